--- A queue that one task fills and another empties, waiting while it is empty.

local sched = require "orrery.sched"

---@class orrery.Inbox
---@field package items any[]
---@field package head integer
---@field package tail integer
---@field package waiter? orrery.Future
---@field package closed? orrery.Error
local Inbox = {}
Inbox.__index = Inbox

local M = {}

---@param what string what one waits for, for error messages
---@return orrery.Inbox
function M.new(what)
    return setmetatable({ what = what, items = {}, head = 1, tail = 1 }, Inbox)
end

local function wake(inbox)
    local waiter = inbox.waiter
    inbox.waiter = nil
    if waiter then waiter:resolve() end
end

--- Adds one. Never blocks.
---@param item any not nil
function Inbox:push(item)
    self.items[self.tail], self.tail = item, self.tail + 1
    wake(self)
end

--- No item comes any more; who waits gets the error once the queue is empty.
---@param err orrery.Error
function Inbox:close(err)
    self.closed = self.closed or err
    wake(self)
end

---@return boolean
function Inbox:empty() return self.head == self.tail end

--- Waits until there is an item.
---@param timeout? number seconds
---@return boolean there false when it is empty and closed
---Raises "timeout".
function Inbox:wait(timeout)
    while self:empty() and not self.closed do
        -- Several may wait: each that is woken looks again.
        self.waiter = self.waiter or sched.future { what = self.what }
        self.waiter:get(timeout)
    end
    return not self:empty()
end

--- Takes the oldest.
---@param timeout? number seconds
---@return any
---Raises "timeout", or the error it was closed with.
function Inbox:pop(timeout)
    if not self:wait(timeout) then error(self.closed, 0) end
    local item = self.items[self.head]
    self.items[self.head], self.head = nil, self.head + 1
    return item
end

return M
