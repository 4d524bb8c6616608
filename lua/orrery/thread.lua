--- Threads: functions that run beside the script, on a CPU of their own.
--
--     local t = orrery.thread(function(host, n) return host:call("app.count", n) end, web1, 3)
--     print(t:get())
--
-- A thread has a Lua state of its own and shares no values with the script: what it is given travels as
-- in a call, by value. Contexts and senders mean the same there; a receiver moves.

local codec = require "orrery.codec"
local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local receiver = require "orrery.receiver"
local sched = require "orrery.sched"

local M = {}

local WITH_CODE = { code = true }

--- A running thread; also the future of its function's results. Nobody who drops it stops it: it is
--- waited for at the end of the script, and its failure reported there.
---@class orrery.Thread: orrery.Task
---@field package id integer
---@field package outcome orrery.Future flags, payload
local Thread = setmetatable({}, { __index = sched.Task })
Thread.__index = Thread

---@type table<integer, orrery.Thread> those that have not ended
local running = {}

---@return string
function Thread:describe()
    return (sched.Task.describe(self):gsub("^the task", "the thread"))
end

--- Asks the thread to end: what its tasks wait for raises the error, once. It is over when its function
--- has ended.
---@param reason? string|orrery.Error
---@return boolean first
function Thread:cancel(reason)
    if self.state or self.cancelled then return false end
    self.cancelled = self:cancellation(reason)
    core.thread_tell(self.id, codec.encode_error(self.cancelled))
    return true
end

local function on_ended(seq, _, _, flags, payload)
    local thread = running[seq]
    if not thread then return end
    running[seq] = nil
    link.expect(-1)
    core.thread_join(seq)
    thread.outcome:resolve(flags, payload)
end

-- Inside of a thread, what comes without a number is for it: see thread_main.
link.handle(core.handle.THREAD, on_ended)

local function is_cancellation(thread, err)
    local cancelled = thread.cancelled
    return cancelled and err.code == cancelled.code and err.message == cancelled.message
end

local function await(thread)
    local flags, payload = thread.outcome:get()
    if flags == 0 then return codec.decode(payload, WITH_CODE) end
    local err
    if flags == core.DEAD then
        err = link.dead_error(payload)
    else
        err = Error.from((codec.decode(payload)))
    end
    error(is_cancellation(thread, err) and thread.cancelled or err, 0)
end

-- What a thread needs to be like the one that starts it.
local function setup(states)
    return codec.encode_data({
        path = package.path, cpath = package.cpath, arg = rawget(_G, "arg"), receivers = states,
        version = core.version, ssh_version = core.ssh_version, agent_dir = core.agent_dir,
    })
end

--- Runs a function in a thread of its own.
---@param fn function
---@param ... any its arguments. A receiver among them, or captured by fn, moves there with the messages that
---wait in it, and is closed here
---@return orrery.Thread thread get(timeout), done(), cancel()
---Raises "encode" naming what cannot travel; "closed" for a closed receiver; "system".
function M.thread(fn, ...)
    if type(fn) ~= "function" then
        Error.raise {
            code = "argument", at = Error.at(),
            message = "thread: a function was expected, this is a " .. type(fn),
        }
    end
    local moves = receiver.moves()
    local payload = codec.encode_given(moves.give, fn, ...)
    local id, code, text = core.thread_start(setup(moves.states()), payload, moves.handles)
    if not id then Error.raise { code = code, message = text, at = Error.at() } end
    moves.done()
    local thread = setmetatable(sched.future(), Thread)
    thread.id, thread.waiting = id, false
    thread.outcome = sched.future(function() return thread:describe() end)
    running[id] = thread
    link.expect(1)
    sched.adopt(thread)
    sched.begin(thread, await, thread)
    thread.origin = fn
    return thread
end

return M
