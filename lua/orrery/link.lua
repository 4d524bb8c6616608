--- Where messages meet the scheduler: one mailbox, one place that waits in it, and the table of who
--- is to get what comes out.
--
-- An answer is known by the number that its question was asked with (`seq`) and by the context it was
-- asked of. One that comes from another context is not ours, and is dropped.

local core = require "orrery.core"
local Error = require "orrery.error"
local sched = require "orrery.sched"

local M = {}

local _, service_handle, answer_handle = core.self()
local LAST_SEQ = 2 ^ 32 - 1
local MOST_TOGETHER = 100 -- messages that are handled before tasks and timers have their turn

---@type table<integer, orrery.Question>
local open = {}
-- Threads of a process start at different numbers, since some errors come back with nothing else.
local next_seq = service_handle
local pending = 0 -- what may still bring a message: without any, waiting is for ever

--- Runs in the loop: must not block. For what came with values, that are plain, `payload` is their
--- number. Returns true if it has run code of the user's, so that others have their turn.
---@alias orrery.Handler fun(seq: integer, src: integer, reply: integer, flags: integer,
---payload: string|integer, ...: any): boolean?
---@type table<integer, orrery.Handler>
local handlers = {}

---@type table<function, true>
local dead_watchers = {}

--- What is asked of a context, and is not answered yet. Its methods run in the loop: must not block.
---@class orrery.Question
---@field context integer id of the context that answers
---@field seq integer
---@field answered fun(self: orrery.Question, flags: integer, payload: string|integer, ...: any)
---@field lost fun(self: orrery.Question, err: orrery.Error) the context is lost; the question is closed

---@class orrery.Conversation: orrery.Question one with a service in C, of payloads of its own
---@field on_message fun(flags: integer, payload: string) runs in the loop: must not block
---@field on_dead fun(err: orrery.Error) the context is lost; the conversation is over
local Conversation = {}
Conversation.__index = Conversation

function Conversation:answered(flags, payload) self.on_message(flags, payload) end

function Conversation:lost(err) self.on_dead(err) end

--- Counts something that will bring a message by itself (the end of a context, a receiver).
---@param n integer 1 or -1
function M.expect(n) pending = pending + n end

---@param handle integer
---@param handler orrery.Handler runs in the loop: must not block
function M.handle(handle, handler) handlers[handle] = handler end

---@param handle integer
---@return orrery.Handler?
function M.handler(handle) return handlers[handle] end

--- Calls fn(id, err) for each context that is lost. Returns a function that stops it.
---@param fn fun(id: integer, err: orrery.Error)
---@return fun()
function M.on_dead(fn)
    dead_watchers[fn] = true
    return function() dead_watchers[fn] = nil end
end

--- A number for a question that nobody else's has.
---@return integer seq
function M.next_seq()
    local seq = next_seq
    repeat
        seq = seq < LAST_SEQ and seq + 1 or 1
    until not open[seq]
    next_seq = seq
    return seq
end

--- Gives a question its number, if it has none, and takes its answers from now on. The caller sends it.
---@param question orrery.Question
function M.open(question)
    local seq = question.seq
    if seq == 0 then
        seq = M.next_seq()
        question.seq = seq
    end
    open[seq] = question
    pending = pending + 1
end

--- Those that are open.
---@return orrery.Question[]
function M.questions()
    local list = {}
    for _, question in pairs(open) do list[#list + 1] = question end
    return list
end

--- Opens a conversation. The caller sends the question with its `seq`.
---@param context integer
---@param on_message fun(flags: integer, payload: string)
---@param on_dead fun(err: orrery.Error)
---@return orrery.Conversation
function M.converse(context, on_message, on_dead)
    local c = { context = context, seq = 0, on_message = on_message, on_dead = on_dead }
    M.open(setmetatable(c, Conversation))
    return c
end

--- Ends it; what still comes is dropped. Idempotent.
---@param question orrery.Question
function M.finish(question)
    if open[question.seq] == question then
        open[question.seq] = nil
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
    local code, text = core.unpack("1s*", payload)
    return Error.new { code = core.error_name(code or 1), message = text or "malformed error" }
end

--- Answers that this process's own services post to the VM, each named by the number that starting it
--- gave: a child that is open, a file that is there.
---@param handle integer
---@param to_error fun(payload: string): orrery.Error
---@param unwanted? fun(src: integer) for a success that nobody waits for any more
---@return fun(seq: integer, future: orrery.Future) settle the future, with src and payload, when the
---answer comes
function M.answers(handle, to_error, unwanted)
    local waiting = {}
    handlers[handle] = function(seq, src, _, flags, payload)
        local future = waiting[seq]
        if not future then return end
        waiting[seq] = nil
        pending = pending - 1
        if flags == core.ERROR then
            future:reject(to_error(payload))
        elseif not future:resolve(src, payload) and unwanted then
            unwanted(src)
        end
    end
    return function(seq, future)
        waiting[seq] = future
        pending = pending + 1
    end
end

-- Who waits until there is room for more, by context and handle.
---@type table<number, orrery.Future>
local full = {}

--- Waits until it is worth trying again to send to a handle whose window is used up.
---@param ctx orrery.Context
---@param handle integer
---Raises "cancelled".
function M.await_room(ctx, handle)
    local key = ctx.id * 2 ^ 32 + handle
    local future = full[key]
    if not future then
        future = sched.future(("room for more messages to %s"):format(ctx.name))
        full[key] = future
        pending = pending + 1
    end
    future:get()
end

handlers[core.handle.CREDIT] = function(handle, src)
    local key = src * 2 ^ 32 + handle
    local future = full[key]
    if not future then return end
    full[key] = nil
    pending = pending - 1
    future:resolve()
end

local function on_answer(seq, src, _, flags, ...)
    local question = open[seq]
    if not question then return end -- nobody waits for it any more
    if question.context == src then
        question:answered(flags, ...)
    else
        core.refused(src, "answers what another one was asked: dropped")
    end
end

local function on_dead(_, src, _, _, payload)
    local err = M.dead_error(payload)
    local over = {}
    for _, question in pairs(open) do
        if question.context == src then over[#over + 1] = question end
    end
    table.sort(over, function(a, b) return a.seq < b.seq end)
    for _, question in ipairs(over) do
        M.finish(question)
        question:lost(err)
    end
    for fn in pairs(dead_watchers) do fn(src, err) end
end

handlers[service_handle] = on_answer
handlers[answer_handle] = on_answer
handlers[core.handle.DEAD] = on_dead

local function handle(number, seq, src, reply, flags, ...)
    local handler = number and handlers[number]
    return number, handler and handler(seq, src, reply, flags, ...)
end

--- Handles a message that came out of the mailbox otherwise than by waiting for it here.
M.dispatch = handle

local BACKLOG = 8 * 2 ^ 20
local NAP = 0.005
local PATIENCE = 60 -- seconds: one that never reads must not keep a task for good

--- Is so much on its way to a context that more would be in the way of others, whom it takes the same way to?
---@param id integer
---@return boolean
function M.is_choked(id) return core.backlog(id) > BACKLOG end

--- Waits until that is over, or has been so for long. For answers, whose number who asks decides about.
---@param id integer
function M.await_way(id)
    local deadline = sched.now() + PATIENCE
    while M.is_choked(id) and sched.now() < deadline do sched.sleep(NAP) end
end

local function poll(timeout)
    if timeout == nil and pending == 0 then return "idle" end
    local more, ran = handle(core.wait(timeout))
    for _ = 2, MOST_TOGETHER do
        if not more or (ran and sched.busy()) then return end
        more, ran = handle(core.next())
    end
end

sched.set_poll(poll)
sched.set_clock(core.now)

return M
