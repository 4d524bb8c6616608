--- orrery run: a script as a program.

local args = require "orrery.cli.args"
local Error = require "orrery.error"

local M = {}

---@type orrery.cli.Option[]
M.options = { { name = "stats" } }

-- `arg` as lua has it: the script at 0, what follows it from 1 on, what precedes it below.
local function arguments(words, argv)
    local arg = args.rest(words, 2)
    local script = #argv - #words + 1
    for i = 0, script - 1 do arg[i - script] = argv[i] end
    return arg
end

-- A script that ends by os.exit has statistics, too.
local function show_at_exit()
    local exit = os.exit
    rawset(os, "exit", function(...)
        require("orrery.cli.stats").show()
        exit(...)
    end)
end

---@param words string[] the script and its arguments
---@return integer status
function M.main(opts, words, argv)
    local path = words[1]
    if not path then args.fail("run", "a script is missing") end
    if opts.stats then show_at_exit() end
    local failed = false
    local sched = require "orrery.sched"
    local report = sched.on_orphan_error
    function sched.on_orphan_error(err, what)
        failed = true
        report(err, what)
    end
    local arg = arguments(words, argv)
    local script = require "orrery.script"
    -- No traceback of ours: what the script raised has its own, and its syntax needs none.
    local ok, err = pcall(script.run, path, arg)
    if ok then return failed and 1 or 0 end
    require("orrery.cli").report(Error.from(err))
    return 1
end

return M
