--- Ends tasks for good, also what computes and does not wait.
--
-- What waits is told by the scheduler. What computes is looked at by a hook (runtime/call/bind/breaker.h), between two
-- instructions, and raises there: never in this library's own code, which would not survive it; and again on each
-- occasion, so that nobody goes on by catching it.

local core = require "orrery.core"
local Error = require "orrery.error"
local sched = require "orrery.sched"

local M = {}

-- Instructions to the next look.
local NOW, SOON = 1, 1000

---@class orrery.breaking.End
---@field err orrery.Error
---@field at number when it begins, on the scheduler's clock

---@type table<orrery.TaskRun, orrery.breaking.End>
local ends = {}
---@type fun(): orrery.Error? of the one that is asked for from outside
local look

-- How the sources of this library begin.
local own = debug.getinfo(1, "S").source:match("^(.*)breaking")

-- Errors that end for good, wherever they come to; and the calls in other contexts that they still have to end.
---@type table<orrery.Error, table<orrery.Question, string>>
local insisting = setmetatable({}, { __mode = "k" })

--- Makes an error that ends for good whatever is cancelled with it, calls in other contexts as well.
---@return orrery.Error
function M.error()
    local err = Error.new { code = "interrupted", message = "interrupted by Ctrl-C" }
    insisting[err] = {}
    return err
end

--- The calls in other contexts that have not ended yet of those that were cancelled with it, and the names of these
--- contexts.
---@param err orrery.Error
---@return table<orrery.Question, string>? calls nil for an error that is no such one
function M.unfinished(err) return insisting[err] end

local function forget_those_over()
    for run in pairs(ends) do
        if run.tasks == 0 then ends[run] = nil end
    end
end

-- What is to happen where `source` runs: see core.breaker.
local function decide(source, asked)
    if own and source:sub(1, #own) == own then return (asked or next(ends)) and NOW or nil end
    local err = asked and look()
    forget_those_over()
    local task = sched.running()
    local over = task and task.run and ends[task.run]
    if over then
        if sched.now() < over.at then return SOON end
        if not task.run.broken then sched.break_run(task.run, over.err) end
        err = over.err
    end
    return err or (next(ends) and SOON or nil)
end
jit.off(decide)

--- Lets code of this Lua state be broken.
---@param fn fun(): orrery.Error? takes what was asked for from outside; runs between any two instructions of the
---user's. What it returns is raised there
---@param serve boolean parents may ask for it, by BREAK
---@return boolean? done
function M.install(fn, serve)
    look = fn
    return core.breaker(decide, serve)
end

--- Ends a run for good.
---@param run orrery.TaskRun
---@param err orrery.Error what all that waits or computes in it raises
---@param seconds number from when on: it may clean up until then
function M.end_run(run, err, seconds)
    local known = ends[run]
    local at = sched.now() + seconds
    if not known or at < known.at then ends[run] = { err = err, at = at } end
    if seconds <= 0 then sched.break_run(run, err) end
    core.watch_code(SOON)
    if seconds > 0 then
        sched.after(seconds, function()
            if run.tasks == 0 then return end
            sched.break_run(run, err)
            core.watch_code(SOON)
        end)
    end
end

--- Ends a task, and what it has spawned, at once and for good.
---@param task orrery.Task
---@param err orrery.Error
function M.end_task(task, err)
    M.end_run(task:own_run(), err, 0)
    if not task.waiting then -- it runs, and the scheduler may not have seen it yet
        task:cancel(err)
        task.interrupt = err
    end
end

return M
