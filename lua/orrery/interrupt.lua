--- Ctrl-C, for the command: the first ends what runs, here and on the hosts, and is then reported; the
--- second ends the program at once (runtime/call/bind/interrupt.c). The library leaves signals alone.

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
