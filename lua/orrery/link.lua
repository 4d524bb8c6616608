--- Where messages meet the scheduler: one mailbox, one place that waits in it, and the table of who
--- is to get what comes out.
--
-- A conversation is a question and its answers: it is known by the number it was asked with (`seq`)
-- and by the context it was asked of. An answer that comes from another context is not ours, and is
-- dropped.

local core = require "orrery.core"
local Error = require "orrery.error"
local sched = require "orrery.sched"

local M = {}

local _, reply_handle = core.self()
local LAST_SEQ = 2 ^ 32 - 1

---@type table<integer, orrery.Conversation>
local conversations = {}
local next_seq = 0
local pending = 0 -- what may still bring a message: without any, waiting is for ever

---@alias orrery.Handler fun(seq: integer, src: integer, reply: integer, flags: integer, payload: string)
---@type table<integer, orrery.Handler>
local handlers = {}

---@type table<function, true>
local dead_watchers = {}

---@class orrery.Conversation
---@field context integer id of the context that answers
---@field seq integer
---@field on_message fun(flags: integer, payload: string) runs in the loop: must not block
---@field on_dead fun(err: orrery.Error) the context is lost; the conversation is over

--- Counts something that will bring a message by itself (the end of a context, a receiver).
---@param n integer 1 or -1
function M.expect(n) pending = pending + n end

---@param handle integer
---@param handler orrery.Handler runs in the loop: must not block
function M.handle(handle, handler) handlers[handle] = handler end

--- Calls fn(id, err) for each context that is lost. Returns a function that stops it.
---@param fn fun(id: integer, err: orrery.Error)
---@return fun()
function M.on_dead(fn)
    dead_watchers[fn] = true
    return function() dead_watchers[fn] = nil end
end

--- Opens a conversation. The caller sends the question with its `seq`.
---@param context integer
---@param on_message fun(flags: integer, payload: string)
---@param on_dead fun(err: orrery.Error)
---@return orrery.Conversation
function M.converse(context, on_message, on_dead)
    repeat
        next_seq = next_seq < LAST_SEQ and next_seq + 1 or 1
    until not conversations[next_seq]
    local c = { context = context, seq = next_seq, on_message = on_message, on_dead = on_dead }
    conversations[next_seq] = c
    pending = pending + 1
    return c
end

--- Ends it; what still comes is dropped. Idempotent.
---@param c orrery.Conversation
function M.finish(c)
    if conversations[c.seq] == c then
        conversations[c.seq] = nil
        pending = pending - 1
    end
end

--- The error that a router wrote into a FRAME_DEAD message.
---@param payload string
---@return orrery.Error
function M.dead_error(payload)
    local code, text, name = core.unpack("1ss", payload)
    return Error.new {
        code = core.error_name(code or 4), message = text or "the context is lost", context = name,
    }
end

--- The error that C services write: u8 code, str text.
---@param payload string
---@return orrery.Error
function M.service_error(payload)
    local code, text = core.unpack("1s", payload)
    return Error.new { code = core.error_name(code or 1), message = text or "malformed error" }
end

--- Answers that this process's own services post to the VM, each named by the number that starting it
--- gave: a child that is open, a file that is there.
---@param handle integer
---@param unwanted? fun(src: integer) for a success that nobody waits for any more
---@return fun(seq: integer, future: orrery.Future) settle the future, with src and payload, when the
---answer comes
function M.answers(handle, unwanted)
    local waiting = {}
    handlers[handle] = function(seq, src, _, flags, payload)
        local future = waiting[seq]
        if not future then return end
        waiting[seq] = nil
        pending = pending - 1
        if flags == core.ERROR then
            future:reject(M.service_error(payload))
        elseif not future:resolve(src, payload) and unwanted then
            unwanted(src)
        end
    end
    return function(seq, future)
        waiting[seq] = future
        pending = pending + 1
    end
end

local function on_reply(seq, src, _, flags, payload)
    local c = conversations[seq]
    if c and c.context == src then c.on_message(flags, payload) end
end

local function on_dead(_, src, _, _, payload)
    local err = M.dead_error(payload)
    local over = {}
    for _, c in pairs(conversations) do
        if c.context == src then over[#over + 1] = c end
    end
    table.sort(over, function(a, b) return a.seq < b.seq end)
    for _, c in ipairs(over) do
        M.finish(c)
        c.on_dead(err)
    end
    for fn in pairs(dead_watchers) do fn(src, err) end
end

handlers[reply_handle] = on_reply
handlers[core.handle.DEAD] = on_dead

local function poll(timeout)
    if timeout == nil and pending == 0 then return "idle" end
    local handle, seq, src, reply, flags, payload = core.wait(timeout)
    if not handle then return end
    local handler = handlers[handle]
    if handler then handler(seq, src, reply, flags, payload) end
end

sched.set_poll(poll)
sched.set_clock(core.now)

return M
