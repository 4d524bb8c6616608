--- Receivers: handles that others send values to.
--
--     local r = orrery.receiver()
--     ctx:cast(function(to) for i = 1, 3 do to:send(i) end end, r:sender())
--     for i in r:each(3) do print(i) end

local codec = require "orrery.codec"
local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local inbox = require "orrery.inbox"
local link = require "orrery.link"

---@class orrery.Sender where a receiver listens; can be passed in a call
---@field context integer
---@field handle integer
local Sender = codec.typed "sender"
Sender.__index = Sender

---@class orrery.Receiver
---@field handle integer
---@field package messages orrery.Inbox
local Receiver = {}
Receiver.__index = Receiver

local M = {}

---@type table<orrery.Sender, orrery.Context>
local targets = setmetatable({}, { __mode = "k" })

--- Sends values to the receiver, from anywhere that it was handed to. Does not wait for them to be
--- taken.
---@param ... any
---Raises "dead" when the way there is gone; "encode".
function Sender:send(...)
    local ctx = targets[self]
    if not ctx then
        ctx = context.from_id(self.context)
        if not ctx then
            Error.raise {
                code = "dead", message = ("context %d is lost"):format(self.context), at = Error.at(),
            }
        end
        targets[self] = ctx
    end
    context.send(ctx, self.handle, 0, codec.encode_data(...), false)
end

--- A new receiver. Its number is random: only who was given its sender can send to it.
---@return orrery.Receiver
function M.receiver()
    local r = setmetatable({
        handle = core.listen(0, false), messages = inbox.new "a message for a receiver",
    }, Receiver)
    link.expect(1)
    link.handle(r.handle, function(_, _, _, _, payload) r.messages:push(payload) end)
    return r
end

---@return orrery.Sender
function Receiver:sender()
    local self_id = core.self() -- asked for each time: an agent gets its number after this was loaded
    return setmetatable({ context = self_id, handle = self.handle }, Sender)
end

--- Waits for the next message and returns its values.
---@param timeout? number seconds
---@return any ...
---Raises "timeout"; "closed".
function Receiver:get(timeout)
    return codec.decode(self.messages:pop(timeout))
end

--- Iterates over messages; ends when the receiver is closed, or after `count` messages.
---@param count? integer
---@return fun(): any ...
function Receiver:each(count)
    local taken = 0
    return function()
        if taken == count or not self.messages:wait() then return nil end
        taken = taken + 1
        return self:get()
    end
end

--- Stops listening. Messages that are there can still be taken.
function Receiver:close()
    if self.closed then return end
    self.closed = true
    core.unlisten(self.handle)
    link.handle(self.handle, nil)
    link.expect(-1)
    self.messages:close(Error.new { code = "closed", message = "the receiver was closed" })
end

return M
