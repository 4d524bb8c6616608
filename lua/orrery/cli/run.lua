--- orrery run: a script as a program.

local args = require "orrery.cli.args"
local Error = require "orrery.error"

local M = {}

M.interruptible = true

---@type orrery.cli.Option[]
M.options = { { name = "listen", value = "text" }, { name = "stats" } }

--- `arg` as lua has it: the script at 0, what follows it from 1 on, what precedes it below.
---@param words string[] what the subcommand was given
---@param at integer where in it the script is
---@param argv string[] all of it
---@return string[]
function M.arguments(words, at, argv)
    local arg = args.rest(words, at + 1)
    local script = #argv - #words + at
    for i = 0, script - 1 do arg[i - script] = argv[i] end
    return arg
end

--- Does something at the end of a script that ends by os.exit.
---@param fn fun(status?: any) what os.exit is given
function M.at_exit(fn)
    local exit = os.exit
    rawset(os, "exit", function(...)
        fn(...)
        exit(...)
    end)
end

--- The end of a script that has plays: their recap, and the end of what they have opened.
---@param err? any what the script raised
---@return integer status 0 where there were no plays
function M.finish_plays(err)
    local plays = package.loaded["orrery.play.session"]
    local run = plays and plays.running()
    return run and run:finish(err) or 0
end

--- The same at os.exit, which has the last word about the status.
---@param status? any
function M.exit_plays(status)
    local well = status == nil or status == 0 or status == true
    M.finish_plays(not well and Error.new { code = "cancelled", message = "the script called os.exit" } or nil)
end

-- What a script that was interrupted raises says no more than that, mostly.
local function report(ok, err)
    local interrupt = require "orrery.interrupt"
    if interrupt.happened() then
        io.stdout:flush()
        io.stderr:write("orrery: ", require("orrery.cli.output").printable(interrupt.report(), 2), "\n")
    end
    local plays = package.loaded["orrery.play.session"]
    if plays and plays.is_stop(err) then return end
    if not ok and not (interrupt.happened() and Error.from(err).code == "interrupted") then
        require("orrery.cli").report(Error.from(err))
    end
end

--- Runs a function as a program: Ctrl-C ends it, and its error is reported.
---@param opts table the subcommand's
---@param fn fun()
---@return integer status
function M.program(opts, fn)
    if opts.stats then M.at_exit(function() require("orrery.cli.stats").show() end) end
    local failed = false
    local sched = require "orrery.sched"
    local report_orphan = sched.on_orphan_error
    function sched.on_orphan_error(err, what)
        failed = true
        report_orphan(err, what)
    end
    require("orrery.interrupt").install()
    -- No traceback of ours: what the script raised has its own, and its syntax needs none.
    M.at_exit(M.exit_plays)
    local ok, err = pcall(fn)
    if require("orrery.interrupt").happened() then require("orrery.interrupt").settle() end
    local status = M.finish_plays(not ok and err or nil)
    report(ok, err)
    if failed or not ok and status == 0 then status = 1 end
    return status
end

-- Those that are attached hear of the end of this, rather than of that of each context.
local function listening(path, fn)
    local listener = require("orrery").listen(path)
    M.at_exit(function() listener:close() end)
    local ok, err = pcall(fn)
    listener:close()
    if not ok then error(err, 0) end
end

---@param words string[] the script and its arguments
---@return integer status
function M.main(opts, words, argv)
    local path = words[1]
    if not path then args.fail("run", "a script is missing") end
    local function run() require("orrery.script").run(path, M.arguments(words, 1, argv)) end
    return M.program(opts, opts.listen and function() listening(opts.listen, run) end or run)
end

return M
