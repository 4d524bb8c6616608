--- What a target tells while it works: events, gathered for a moment and sent together.
--
-- Most of what is asked for is over within that moment, and then they go with the answer. What must not be lost when
-- the connection is goes at once: see `flush`.

local sched = require "orrery.sched"
local sys = require "orrery.sys"

local M = {}

local MOMENT = 0.1 -- seconds
local MOST_LINES = 500 -- of output, in one message: more are dropped, and counted
local LONGEST = 4096 -- bytes of a line

---@class orrery.play.Events
---@field sender? orrery.Sender
---@field common table fields that each event gets
local Events = {}
Events.__index = Events

---@param sender? orrery.Sender where they go while the work is under way; nil: all are kept for the answer
---@param common? table
---@return orrery.play.Events
function M.new(sender, common)
    return setmetatable({
        sender = sender, common = common or {}, kept = {}, lines = 0, dropped = 0, timer = false,
    }, Events)
end

--- Sends what there is. A receiver that is gone wants none of it.
function Events:flush()
    if self.timer then self.timer:cancel() end
    self.timer = false
    if not self.sender or #self.kept == 0 then return end
    local kept = self:take()
    pcall(self.sender.send, self.sender, kept)
end

--- What was not sent.
---@return table[]
function Events:take()
    local kept = self.kept
    if self.dropped > 0 then
        local text = ("(%d lines were dropped here: they came faster than they were taken)"):format(self.dropped)
        self.last_line.line = self.last_line.line .. "\n" .. text
    end
    self.kept, self.lines, self.dropped = {}, 0, 0
    return kept
end

--- No more are sent by themselves.
---@return table[] what was not sent
function Events:stop()
    if self.timer then self.timer:cancel() end
    self.timer = false
    return self:take()
end

function Events:later()
    if self.timer or not self.sender then return end
    self.timer = sched.after(MOMENT, function()
        self.timer = false
        sched.spawn(self.flush, self)
    end)
end

--- Adds one; takes the table.
---@param event table
function Events:emit(event)
    event.time = event.time or sys.time()
    for key, value in pairs(self.common) do event[key] = value end
    self.kept[#self.kept + 1] = event
    self:later()
end

--- Adds a line of a command's output.
function Events:line(step, stream, line)
    if self.lines >= MOST_LINES then
        self.dropped = self.dropped + 1
        return
    end
    self.lines = self.lines + 1
    if #line > LONGEST then line = line:sub(1, LONGEST) .. "..." end
    self.last_line = { event = "step_line", step = step, stream = stream, line = line }
    self:emit(self.last_line)
end

return M
