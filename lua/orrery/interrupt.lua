--- Ctrl-C, for the command: the first ends what runs, here and on the hosts, and is then reported; the
--- second ends the program at once (runtime/call/bind/interrupt.c). The library leaves signals alone.
--- One that shows a prompt watches it instead, and lives on.

local breaking = require "orrery.breaking"
local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local sched = require "orrery.sched"
require "orrery.thread"

local M = {}

--- How long a script may clean up, and then how long it has to end, seconds.
local CLEANUP, BOUND = 4, 8
local SHOWN = 30 -- lines of the report

--- As a shell sees it.
M.STATUS = 130

local happened = false
---@type string[]
local ended, count = {}, {}

-- A new error for each that waits: who raises it writes into it where that was.
local function interruption(awaited)
    local what = awaited and not awaited.inner and awaited:describe()
    if what then
        if not count[what] then ended[#ended + 1] = what end
        count[what] = (count[what] or 0) + 1
    end
    return Error.new {
        code = "interrupted", message = what and "interrupted by Ctrl-C: " .. what or "interrupted by Ctrl-C",
    }
end

--- Takes Ctrl-C from now on, unless this program was started with SIGINT ignored.
function M.install()
    if not core.interrupts(BOUND) then return end
    local others = link.handler(core.handle.THREAD)
    link.handle(core.handle.THREAD, function(seq, ...)
        if seq ~= 0 then return others(seq, ...) end
        happened = true
        sched.interrupt(interruption, CLEANUP)
    end)
end

-- What computes did not let the loop take it: whatever that is, it ends.
local function break_what_runs()
    for _ in core.next_break do end
    if core.take_interrupts() == 0 then return nil end
    local err = breaking.error()
    if M.foreground then breaking.end_run(M.foreground, err, 0) end
    local task = sched.running()
    if task and task.run ~= M.foreground then breaking.end_run(task:own_run(), err, 0) end
    return err
end

--- What Ctrl-C ends where Lua code computes, besides what that belongs to.
---@type orrery.TaskRun?
M.foreground = nil

--- For a program that goes on after Ctrl-C: `fn` is called for each, in the loop, so it must not block. Lua code that
--- computes, so that the loop cannot call it, is ended: it raises "interrupted". Where nothing takes three of them, the
--- program ends.
---@param fn fun()
---@return boolean? watched nil where SIGINT is ignored, or taken already
function M.watch(fn)
    if not core.watch_interrupts() then return nil end
    breaking.install(break_what_runs, false)
    local others = link.handler(core.handle.THREAD)
    link.handle(core.handle.THREAD, function(seq, ...)
        if seq ~= 0 then return others(seq, ...) end
        for _ = 1, core.take_interrupts() do fn() end
    end)
    return true
end

---@return boolean
function M.happened() return happened end

--- Waits for what still cleans up.
function M.settle() pcall(sched.drain) end

--- What was interrupted, for a person.
---@return string text without a newline at its end
function M.report()
    if #ended == 0 then return "interrupted" end
    local lines = { "interrupted:" }
    table.sort(ended)
    for i = 1, math.min(#ended, SHOWN) do
        local times = count[ended[i]] > 1 and (" (%d times)"):format(count[ended[i]]) or ""
        lines[#lines + 1] = "  " .. ended[i] .. times
    end
    if #ended > SHOWN then lines[#lines + 1] = ("  and %d more"):format(#ended - SHOWN) end
    return table.concat(lines, "\n")
end

return M
