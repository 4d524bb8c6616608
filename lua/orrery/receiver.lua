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
---@field package left integer messages in it at which their senders get credit
local Receiver = {}
Receiver.__index = Receiver

local M = {}

local WHAT = "a message for a receiver"

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
    context.send_values(ctx, self.handle, 0, false, codec.encode_data, ...)
end

local function listen(handle, messages)
    local r = setmetatable({
        handle = handle, messages = messages, left = math.floor(messages.count / 2),
    }, Receiver)
    link.expect(1)
    link.handle(handle, function(_, _, _, _, ...) messages:push(...) end)
    return r
end

--- A new receiver. Its number is random: only who was given its sender can send to it.
---@return orrery.Receiver
function M.receiver()
    return listen(core.listen(0, false), inbox.new(WHAT))
end

---@return orrery.Sender
function Receiver:sender()
    local self_id = core.self() -- asked for each time: an agent gets its number after this was loaded
    return setmetatable({ context = self_id, handle = self.handle }, Sender)
end

local function values(payload, ...)
    if type(payload) == "string" then return codec.decode(payload) end
    return ...
end

-- Lets the senders go on when half of what was there is taken, or all: not after each message, and not
-- only after the last, when they have stood still for a while.
local function taken(self, ...)
    local messages = self.messages
    if messages.count <= self.left then
        core.credit(self.handle)
        self.left = math.floor(messages.count / 2)
    end
    return values(...)
end

--- Waits for the next message and returns its values.
---@param timeout? number seconds
---@return any ...
---Raises "timeout"; "closed".
function Receiver:get(timeout)
    return taken(self, self.messages:pop(timeout))
end

--- Iterates over messages; ends when the receiver is closed, or after `count` messages.
---@param count? integer
---@return fun(): any ...
function Receiver:each(count)
    local given = 0
    return function()
        if given == count or not self.messages:wait() then return nil end
        given = given + 1
        return self:get()
    end
end

function Receiver:stop(why)
    self.closed = true
    link.handle(self.handle, nil)
    link.expect(-1)
    self.messages:close(Error.new { code = "closed", message = why })
end

--- Stops listening. Messages that are there can still be taken.
function Receiver:close()
    if self.closed then return end
    core.unlisten(self.handle)
    self:stop "the receiver was closed"
end

-- Moving to another thread ------------------------------------------------------------------------

---@class orrery.Moves receivers on their way to another thread
---@field handles integer[]
---@field package list orrery.Receiver[]
---@field package numbers table<orrery.Receiver, integer>

--- Gathers the receivers among values.
---@return orrery.Moves
function M.moves()
    local list, numbers = {}, {}
    local moves = { handles = {} }

    --- For codec.encode_given.
    function moves.give(value)
        if getmetatable(value) ~= Receiver then return nil end
        if value.closed then
            Error.raise {
                code = "closed", message = "a closed receiver cannot move to a thread", at = Error.at(),
            }
        end
        if not numbers[value] then
            list[#list + 1], numbers[value] = value, #list + 1
            moves.handles[#list] = value.handle
        end
        return numbers[value]
    end

    --- What adopt needs, of each. Nothing may be received between this and the move of the handles.
    function moves.states()
        local states = {}
        for i, r in ipairs(list) do states[i] = { handle = r.handle, messages = r.messages:contents() } end
        return states
    end

    --- They have moved.
    function moves.done()
        for _, r in ipairs(list) do
            r.messages:clear()
            r:stop "the receiver was moved to a thread"
        end
    end

    return moves
end

--- A receiver that has moved here.
---@param state table
---@return orrery.Receiver
function M.adopt(state)
    return listen(state.handle, inbox.restore(WHAT, state.messages))
end

return M
