--- orrery repl: a prompt.

local args = require "orrery.cli.args"
local output = require "orrery.cli.output"
local ssh_options = require "orrery.cli.ssh_options"

local M = {}

---@type orrery.cli.Option[]
M.options = ssh_options.with {
    { name = "inventory", short = "i", value = "text", many = true },
    { name = "eval", short = "e", value = "text", many = true },
    { name = "no-init" },
    { name = "no-history" },
    { name = "stats" },
}

M.operand = "orrery repl"

-- What the command line says is wrong by what it says of an inventory, too.
local function told(fn, ...)
    local ok, result = pcall(fn, ...)
    if ok then return result end
    local err = require("orrery.error").from(result)
    if err.code ~= "inventory" and err.code ~= "decode" then error(err, 0) end
    args.fail("repl", err.message)
end

local function is_person(opts)
    return not opts.eval and output.is_terminal(0) and output.is_terminal(1)
end

--- Runs a prompt, as the options say.
---@param opts table
---@param more orrery.repl.Options
---@return integer status
function M.prompt(opts, more)
    local all = {
        inventory = not more.contexts and told(require("orrery.cli.inventory").load, opts) or nil,
        ssh = function(name) return ssh_options.of(name, opts) end,
        code = opts.eval, config = not opts["no-init"], history = not opts["no-history"],
        interactive = is_person(opts),
    }
    for key, value in pairs(more) do all[key] = value end
    return require("orrery.repl").run(all)
end

---@param words string[] hosts
---@return integer status
function M.main(opts, words)
    return M.prompt(opts, { use = words[1] and table.concat(words, ",") })
end

return M
