--- What runs in a thread: the function that it was started with, and the tasks that this starts.

local M = {}

--- How long tasks may take to end when the one who started the thread is closing, seconds. What still
--- waits then never goes on.
local GRACE = 1

local function prepare(setup)
    local core = require "orrery.core"
    package.path, package.cpath = setup.path, setup.cpath
    rawset(_G, "arg", setup.arg)
    core.version, core.ssh_version, core.agent_dir = setup.version, setup.ssh_version, setup.agent_dir
    require "orrery"
    if core.parent() and not core.attached() then require("orrery.modules").install() end
end

local function adopt(states)
    local receiver = require "orrery.receiver"
    local receivers = {}
    for i, state in ipairs(states) do receivers[i] = receiver.adopt(state) end
    return receivers
end

-- Returns a function that says whether the thread must not go on.
local function listen()
    local codec, core, Error = require "orrery.codec", require "orrery.core", require "orrery.error"
    local link, sched = require "orrery.link", require "orrery.sched"
    require "orrery.thread"
    local on_ended = link.handler(core.handle.THREAD)
    local over = false
    link.handle(core.handle.THREAD, function(seq, src, reply, flags, payload)
        if seq ~= 0 then return on_ended(seq, src, reply, flags, payload) end
        if payload ~= "" then return sched.cancel_all(Error.from((codec.decode(payload)))) end
        sched.cancel_all(Error.new { code = "closed", message = "what started this thread is closing" })
        sched.after(GRACE, function() over = true end)
    end)
    return function() return over end
end

local function run(setup_payload, call)
    local codec = require "orrery.codec"
    local sched = require "orrery.sched"
    local setup = codec.decode(setup_payload)
    prepare(setup)
    local receivers = adopt(setup.receivers)
    local is_over = listen()
    local function enter(fn, ...)
        sched.current().origin = fn
        return codec.encode(fn(...))
    end
    local task = sched.spawn(function()
        return enter(codec.decode(call, { code = true, given = receivers }))
    end)
    task.watched = true
    sched.drain(is_over)
    if task.state then return task:get() end
    task:cancel()
    return codec.encode_data()
end

--- Runs a thread to its end.
---@param setup string see orrery.thread
---@param call string
---@return boolean ok
---@return string payload results, or an error
function M.run(setup, call)
    local Error = require "orrery.error"
    local ok, result = xpcall(run, Error.handler, setup, call)
    if ok then return true, result end
    return false, require("orrery.codec").encode_error(result)
end

return M
