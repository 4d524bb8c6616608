--- A queue of messages of several values each, that one task fills and another empties, waiting
--- while it is empty.

local sched = require "orrery.sched"

---@class orrery.Inbox
---@field package items any[] of each message the number of values, then these
---@field package head integer
---@field package tail integer
---@field count integer messages in it
---@field package waiter? orrery.Future
---@field closed? orrery.Error what get raises once it is empty
local Inbox = {}
Inbox.__index = Inbox

local M = {}

---@param what string what one waits for, for error messages
---@return orrery.Inbox
function M.new(what)
    return setmetatable({ what = what, items = {}, head = 1, tail = 1, count = 0 }, Inbox)
end

--- One with what another one, perhaps of another thread, had in it.
---@param what string
---@param contents table
---@return orrery.Inbox
function M.restore(what, contents)
    return setmetatable({
        what = what, items = contents.items, head = contents.head, tail = contents.tail,
        count = contents.count,
    }, Inbox)
end

---@return table contents for restore; it stays there
function Inbox:contents()
    return { items = self.items, head = self.head, tail = self.tail, count = self.count }
end

function Inbox:clear()
    self.items, self.head, self.tail, self.count = {}, 1, 1, 0
end

local function wake(inbox)
    local waiter = inbox.waiter
    inbox.waiter = nil
    if waiter then waiter:resolve() end
end

--- Adds one. Never blocks.
---@param ... any its values
function Inbox:push(...)
    local items, tail, n = self.items, self.tail, select("#", ...)
    if n <= 2 then
        items[tail], items[tail + 1], items[tail + 2] = n, ...
    else
        items[tail] = n
        for i = 1, n do items[tail + i] = (select(i, ...)) end
    end
    self.tail = tail + n + 1
    self.count = self.count + 1
    if self.waiter then wake(self) end
end

--- No item comes any more (but for reopen); who waits gets the error once the queue is empty.
---@param err orrery.Error
function Inbox:close(err)
    self.closed = self.closed or err
    wake(self)
end

--- More may come after all.
function Inbox:reopen() self.closed = nil end

---@return boolean
function Inbox:empty() return self.head == self.tail end

--- What is resolved when there is an item, or none will come: then, who waits looks again, since another one
--- may have been faster.
---@return orrery.Future
function Inbox:news()
    self.waiter = self.waiter or sched.future(self.what)
    return self.waiter
end

--- Waits until there is an item.
---@param timeout? number seconds
---@return boolean there false when it is empty and closed
---Raises "timeout".
function Inbox:wait(timeout)
    local deadline = timeout and sched.now() + timeout
    while self:empty() and not self.closed do
        self:news():get(deadline and math.max(0, deadline - sched.now()))
    end
    return not self:empty()
end

local function taken(inbox, head, last, ...)
    local items = inbox.items
    for i = head, last do items[i] = nil end
    inbox.head = last + 1
    inbox.count = inbox.count - 1
    -- A queue that is empty starts again, to stay in the array part of its table.
    if last + 1 == inbox.tail then inbox.head, inbox.tail = 1, 1 end
    return ...
end

--- Takes the oldest.
---@param timeout? number seconds
---@return any ... its values
---Raises "timeout", or the error it was closed with.
function Inbox:pop(timeout)
    if self.head == self.tail and not self:wait(timeout) then error(self.closed, 0) end
    local head = self.head
    local last = head + self.items[head]
    return taken(self, head, last, unpack(self.items, head + 1, last))
end

return M
