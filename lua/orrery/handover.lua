--- Senders that travel: who hands one on lets its new holder use it, and tells the receiver.
--
-- A sender names a context and a handle there. Whoever has it may send there by way of the nearest common
-- ancestor of the two, which lets pass only what was allowed (orrery.allow). So the ancestor that hands a
-- sender of one of its children to another one allows it. Each that hands one on tells the receiver that
-- there is a holder more, so that it knows when the last of them has gone: see receiver.lua.
--
-- Since handing over gives rights, a child must not be able to make senders up: those that come from it
-- must be its own, or have been given to it.

local codec = require "orrery.codec"
local core = require "orrery.core"
local Error = require "orrery.error"

local M = {}

--- The receivers of this thread, by handle.
---@type table<integer, orrery.Receiver>
M.receivers = {}

-- What is not data goes in the same order as data, with a flag: see docs/protocol.md.
local function tell_receiver(sender, holder)
    local way = core.context(sender.context)
    if way then core.send(way, sender.handle, 0, codec.encode_data(holder), false, true) end
end

local function give(to, sender)
    local owner, handle, me = sender.context, sender.handle, (core.self())
    if owner == to or type(owner) ~= "number" or type(handle) ~= "number" then return end
    -- Where the two are not both below, somebody above has to, or nobody needs to.
    if owner ~= me then core.allow(to, owner) end
    local receiver = owner == me and M.receivers[handle]
    if receiver then receiver:held_by(to) else tell_receiver(sender, to) end
end

--- For each message with values, before it is sent.
---@param to integer context id
---@param payload string
function M.give(to, payload)
    local senders = codec.senders(payload)
    if not senders or to == core.self() or not core.context(to) then return end
    for _, sender in ipairs(senders) do give(to, sender) end
end

--- For each message with values that was sent by another context.
---@param from integer context id
---@param payload string
---Raises "denied" for a sender that this context cannot have.
function M.check(from, payload)
    for _, sender in ipairs(codec.senders(payload) or {}) do
        local owner = sender.context
        if type(owner) ~= "number" or not core.may_know(from, owner) then
            Error.raise {
                code = "denied",
                message = ("context %d sent a sender of context %s, which it was never given"):format(
                    from, tostring(owner)),
            }
        end
    end
end

return M
