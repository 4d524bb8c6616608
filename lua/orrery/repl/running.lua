--- What a prompt runs: one function at a time, which Ctrl-C ends, here and wherever it has called.

local breaking = require "orrery.breaking"
local context = require "orrery.context"
local Error = require "orrery.error"
local interrupt = require "orrery.interrupt"
local sched = require "orrery.sched"

local M = {}

--- How long it may clean up, until nothing in it waits or computes any more, seconds.
local CLEANUP = 0.2
--- When whoever waits for it is told so, although it has not ended.
local BOUND = 0.8
local MOMENT = 0.01 -- between two looks whether it has ended everywhere
local SHOWN = 3     -- contexts that a message names

---@class orrery.repl.Running
---@field task orrery.Task
---@field run orrery.TaskRun
---@field over orrery.Future settled when nobody waits for it any more
---@field interrupted? orrery.Error

---@type orrery.repl.Running?
local active

-- Contexts where a call of it still runs.
local function busy_contexts(running)
    local names, known = {}, {}
    for _, name in pairs(breaking.unfinished(running.interrupted)) do
        if not known[name] then names[#names + 1] = name end
        known[name] = true
    end
    table.sort(names)
    return names
end

-- For a person: where it still runs, and what helps.
local function still_busy(names)
    if #names == 0 then return "what it has left is being ended in the background" end
    local more = #names > SHOWN and (" and %d more"):format(#names - SHOWN) or ""
    local list = table.concat(names, ", ", 1, math.min(#names, SHOWN)) .. more
    if #names == 1 then return ("%s is still busy with it; :close %s ends it"):format(list, list) end
    return ("%s are still busy with it; :close ends them"):format(list)
end

local function left_behind(running)
    local names = busy_contexts(running)
    local err = Error.new { code = "interrupted", message = "interrupted by Ctrl-C: " .. still_busy(names) }
    err.busy = #names > 0 and names or nil
    return err
end

local function has_ended(running)
    return running.task.state and not (running.interrupted and next(breaking.unfinished(running.interrupted)))
end

local function look(running)
    if running.over:done() then return end
    if has_ended(running) then
        running.over:resolve()
    else
        sched.after(MOMENT, function() look(running) end)
    end
end

local function outcome(running)
    if not has_ended(running) then return false, left_behind(running) end
    return pcall(running.task.get, running.task)
end

--- Calls a function in a task of its own, and drives the loop until it has ended; or for a moment, once it was
--- interrupted: then what is left of it ends behind its caller's back, and is not heard of any more.
---@param fn function
---@param ... any
---@return boolean ok
---@return any ... its results; or what it raised: "interrupted" after Ctrl-C, where `busy` lists the contexts in which
---it has not ended
function M.run(fn, ...)
    local outer = active
    local task = sched.spawn(fn, ...)
    local running = { task = task, run = task:own_run(), over = sched.future "the end of an input" }
    active, interrupt.foreground = running, running.run
    task:on_done(function()
        if has_ended(running) then running.over:resolve() end
    end)
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
        running.interrupted = breaking.error()
        sched.after(BOUND, function() running.over:resolve() end)
        look(running)
    end
    sched.cancel_run(running.run, running.interrupted)
    context.cancel_calls(running.run, running.interrupted)
    breaking.end_run(running.run, running.interrupted, CLEANUP)
    return true
end

return M
