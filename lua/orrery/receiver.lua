--- Receivers: handles that others send values to.
--
--     local r = orrery.receiver()
--     ctx:cast(function(to) for i = 1, 3 do to:send(i) end to:close() end, r:sender())
--     for i in r do print(i) end
--
-- A receiver knows who holds its senders: the contexts that they were handed to, and those that have sent.
-- When the last holder has closed what it was given, iterating ends; where one was lost before it had, it ends
-- with that error, since something may be missing. This process's own senders hold nothing: whoever makes one
-- may make another.

local codec = require "orrery.codec"
local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local handover = require "orrery.handover"
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
---@field package holders table<integer, integer> by context: senders that it was handed and has not closed
---@field package holder_count integer entries in holders
---@field package alive integer those above 0
---@field package heard table<integer, true> contexts that have sent, and have closed nothing since
---@field package loss? orrery.Error the first holder's that was lost or has failed
---@field package closed? boolean
local Receiver = {}
Receiver.__index = Receiver

local M = { Receiver = Receiver }

local WHAT = "a message for a receiver"
local MOST_HOLDERS = 10000 -- a peer can claim any number of them

-- Senders ------------------------------------------------------------------------------------------

---@type table<integer, orrery.Context> by id
local targets = {}
---@type table<integer, orrery.Error> contexts that were sent to, and are lost
local lost = {}
---@type table<orrery.Sender, true>
local closed_senders = setmetatable({}, { __mode = "k" })

local function no_way(id)
    return Error.new { code = "dead", message = ("context %d is lost"):format(id) }
end

local function target(id)
    local ctx = targets[id]
    if ctx then return ctx end
    ctx = not lost[id] and context.from_id(id)
    if not ctx then
        local err = lost[id] or no_way(id)
        Error.raise { code = err.code, message = err.message, context = err.context, at = Error.at() }
    end
    targets[id] = ctx
    return ctx
end

--- Sends values to the receiver, from anywhere that it was handed to. Waits only while the receiver is a
--- megabyte behind.
---@param ... any
---Raises "closed" when the receiver or this sender was closed, which what is sent right then may be too early to
---know; "dead" when its context is lost; "denied" when something on the way does not let it pass; "encode".
function Sender:send(...)
    if closed_senders[self] then
        Error.raise { code = "closed", message = "the sender was closed", at = Error.at() }
    end
    context.send_values(target(self.context), self.handle, 0, false, codec.encode_data, ...)
end

--- Says that nothing more is sent by this one. When all that were handed out are closed, iterating over the
--- receiver ends. Never fails: a receiver that is gone needs not be told.
---@param err? any iterating ends with this error
function Sender:close(err)
    if closed_senders[self] then return end
    closed_senders[self] = true
    err = err == nil and Error.new { code = "closed", message = "the sender was closed" } or Error.from(err)
    local found, ctx = pcall(target, self.context)
    if found then core.send(context.way(ctx), self.handle, 0, codec.encode_error(err), false, true) end
end

-- Receivers ----------------------------------------------------------------------------------------

local function all_closed()
    return Error.new { code = "closed", message = "every sender of this receiver was closed" }
end

-- Its last holder has gone: nothing comes any more, unless a sender is handed out again.
function Receiver:check_end()
    if self.alive == 0 and not next(self.heard) then self.messages:close(self.loss or all_closed()) end
end

--- A sender of it was handed to a context.
---@param id integer
function Receiver:held_by(id)
    local holders = self.holders
    if self.closed then return end
    if not holders[id] then
        if self.holder_count >= MOST_HOLDERS then return end
        core.hold(self.handle, id)
    end
    self:count(id, 1)
    if holders[id] then self:reopen() else self:check_end() end
end

-- After an end, what comes is another story.
function Receiver:reopen()
    if not self.messages.closed then return end
    self.loss = nil
    self.messages:reopen()
end

-- A count may be below 0 for a while: a holder's messages are not ordered with those of who made it one.
function Receiver:count(id, change)
    local before = self.holders[id] or 0
    local now = before + change
    self.holders[id] = now ~= 0 and now or nil
    self.holder_count = self.holder_count + (now ~= 0 and 1 or 0) - (before ~= 0 and 1 or 0)
    self.alive = self.alive + (now > 0 and 1 or 0) - (before > 0 and 1 or 0)
end

function Receiver:drop(id)
    if self.holders[id] then self:count(id, -self.holders[id]) end
    self.heard[id] = nil
end

-- A holder has closed one of its senders, or says that something went wrong.
function Receiver:on_closed(src, err)
    if err.code ~= "closed" then
        local ctx = context.from_id(src)
        self.loss = self.loss or (ctx and context.locate(ctx, err) or err)
    end
    if src ~= core.self() then
        self:count(src, -1)
        self.heard[src] = nil
    end
    self:check_end()
end

-- What is no data: an error closes a sender, a number is a context that has one now.
function Receiver:on_notice(src, payload, value)
    if type(payload) == "string" then value = codec.decode(payload) end
    if type(value) == "number" then
        self:held_by(value)
    elseif Error.is(value) then
        self:on_closed(src, value)
    end
end

function Receiver:on_lost(id, err)
    if not self.holders[id] and not self.heard[id] then return end
    self:drop(id)
    if err.code ~= "closed" then self.loss = self.loss or err end
    self:check_end()
end

local function refuse(handle, src, err)
    core.refused(src, ("sent a message to handle %d that is dropped: %s"):format(handle, Error.from(err).message))
end

local function handler_of(r)
    local messages, heard, handle, me = r.messages, r.heard, r.handle, (core.self())
    return function(_, src, _, flags, payload, ...)
        if flags == core.ERROR then
            local ok, err = pcall(r.on_notice, r, src, payload, ...)
            if not ok then refuse(handle, src, err) end
            return
        end
        if not heard[src] and src ~= me and r.holder_count < MOST_HOLDERS then
            heard[src] = true
            r:reopen()
        end
        if type(payload) == "string" then
            local ok, err = pcall(handover.check, src, payload)
            if not ok then return refuse(handle, src, err) end
        end
        messages:push(payload, ...)
    end
end

local function listen(handle, messages, state)
    local r = setmetatable({
        handle = handle, messages = messages, left = math.floor(messages.count / 2),
        holders = state.holders or {}, holder_count = state.holder_count or 0, alive = state.alive or 0,
        heard = state.heard or {}, loss = state.loss,
    }, Receiver)
    link.expect(1)
    link.handle(handle, handler_of(r))
    handover.receivers[handle] = r
    return r
end

link.on_dead(function(id, err)
    if targets[id] then targets[id], lost[id] = nil, err end
    for _, r in pairs(handover.receivers) do r:on_lost(id, err) end
end)

--- A new receiver. Its number is random: only who was given its sender can send to it.
---@return orrery.Receiver
function M.receiver()
    return listen(core.listen(0, false), inbox.new(WHAT), {})
end

--- A sender of it, to be handed to others: as an argument of a call, in a message, inside of other values.
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
---Raises "timeout"; "closed" when it was closed, or every sender of it; the error of a holder that was lost.
function Receiver:get(timeout)
    return taken(self, self.messages:pop(timeout))
end

-- The next message; nothing at the end.
local function step(self)
    if self.messages:wait() then return self:get() end
    if self.loss then error(self.loss, 0) end
end

--- Iterates over messages; ends when the receiver or all of its senders are closed, or after `count`
--- messages. `for value in r do` is the same as `for value in r:each() do`.
---@param count? integer
---@return fun(): any ...
---The iteration raises the error of a holder that was lost, when the last one has gone.
function Receiver:each(count)
    local given = 0
    return function()
        if given == count then return nil end
        given = given + 1
        return step(self)
    end
end

Receiver.__call = step

-- For orrery.select: can get be called without waiting? Is it over, with nothing to say?
function Receiver:is_ready()
    return not self.messages:empty() or (self.messages.closed ~= nil and self.loss ~= nil)
end

function Receiver:is_over()
    return self.messages:empty() and self.messages.closed ~= nil and not self.loss
end

function Receiver:news() return self.messages:news() end

function Receiver:stop(why)
    self.closed, self.loss = true, nil
    link.handle(self.handle, nil)
    handover.receivers[self.handle] = nil
    link.expect(-1)
    self.messages:close(Error.new { code = "closed", message = why })
end

--- Stops listening. Messages that are there can still be taken. Its senders raise "closed" from now on.
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
        for i, r in ipairs(list) do
            states[i] = {
                handle = r.handle, messages = r.messages:contents(), holders = r.holders,
                holder_count = r.holder_count, alive = r.alive, heard = r.heard, loss = r.loss,
                over = r.messages.closed ~= nil,
            }
        end
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
    local r = listen(state.handle, inbox.restore(WHAT, state.messages), state)
    if state.over then r:check_end() end
    return r
end

return M
