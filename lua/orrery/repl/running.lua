--- What a prompt runs: one function at a time, which Ctrl-C ends, here and wherever it has called.

local breaking = require "orrery.breaking"
local Error = require "orrery.error"
local interrupt = require "orrery.interrupt"
local sched = require "orrery.sched"

local M = {}

--- How long it may clean up, until nothing in it waits or computes any more, seconds.
local CLEANUP = 0.2
--- When whoever waits for it is told so, although it has not ended.
local BOUND = 0.8

---@class orrery.repl.Running
---@field task orrery.Task
---@field run orrery.TaskRun
---@field over orrery.Future settled when nobody waits for it any more
---@field interrupted? orrery.Error

---@type orrery.repl.Running?
local active

local function left_behind(running)
    local err = running.interrupted
    return Error.new {
        code = "interrupted", at = err.at,
        message = "interrupted by Ctrl-C; some of it has not ended yet and goes on ending",
    }
end

local function outcome(running)
    local task = running.task
    if not task.state then return false, left_behind(running) end
    return pcall(task.get, task)
end

--- Calls a function in a task of its own, and drives the loop until it has ended; or for a moment, once it was
--- interrupted: then what is left of it ends behind its caller's back, and is not heard of any more.
---@param fn function
---@param ... any
---@return boolean ok
---@return any ... its results; or what it raised, "interrupted" where that was Ctrl-C
function M.run(fn, ...)
    local outer = active
    local task = sched.spawn(fn, ...)
    local running = { task = task, run = task:own_run(), over = sched.future("the end of an input") }
    active, interrupt.foreground = running, running.run
    task:on_done(function() running.over:resolve() end)
    local ok, err = pcall(running.over.get, running.over)
    active, interrupt.foreground = outer, outer and outer.run
    if not ok then
        task:cancel(Error.from(err))
        return false, Error.from(err)
    end
    return outcome(running)
end

--- Whether something runs.
---@return boolean
function M.busy() return active ~= nil end

--- Ends what runs: each of its waits raises "interrupted", and so do its items in orrery.map, and its calls where they
--- run; what catches that has a moment to clean up, and is then ended for good.
---@return boolean ended false where nothing runs
function M.interrupt()
    local running = active
    if not running then return false end
    if not running.interrupted then
        running.interrupted = Error.new { code = "interrupted", message = "interrupted by Ctrl-C" }
        sched.after(BOUND, function() running.over:resolve() end)
    end
    sched.cancel_run(running.run, running.interrupted)
    breaking.end_run(running.run, running.interrupted, CLEANUP)
    return true
end

return M
