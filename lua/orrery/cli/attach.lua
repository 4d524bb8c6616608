--- orrery attach: a prompt, or a script, in the tree of a program that runs.

local args = require "orrery.cli.args"
local run = require "orrery.cli.run"

local M = {}

M.interruptible = true

---@type orrery.cli.Option[]
M.options = { { name = "eval", short = "e", value = "text" }, { name = "list" }, { name = "stats" } }

local function show(contexts)
    local widths = { 2, 4 }
    for _, ctx in ipairs(contexts) do
        widths[1] = math.max(widths[1], #tostring(ctx.id))
        widths[2] = math.max(widths[2], #ctx.name)
    end
    local output = require "orrery.cli.output"
    local form = ("%%%ds  %%-%ds  %%s\n"):format(widths[1], widths[2])
    for _, ctx in ipairs(contexts) do
        io.stdout:write(output.printable(form:format(ctx.id, ctx.name, ctx.route), 1))
    end
end

---@param words string[] the socket, a script and its arguments
---@return integer status
function M.main(opts, words, argv)
    local path = words[1]
    if not path then args.fail("attach", "the path of a socket is missing") end
    local at = args.read(words, 2, M.options, opts, "attach") -- up to the script they are ours
    local script = words[at]
    if not script and not opts.eval and not opts.list then
        return require("orrery.cli.repl").prompt(opts, { contexts = require("orrery").attach(path) })
    end
    return run.program(opts, function()
        local contexts = require("orrery").attach(path)
        if opts.eval then
            require("orrery.script").run_text(opts.eval, "-e", args.rest(words, at))
        elseif script then
            require("orrery.script").run(script, run.arguments(words, at, argv))
        else
            show(contexts)
        end
    end)
end

return M
