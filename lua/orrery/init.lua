--- Orrery: run things on many machines from a script.
--
--     local orrery = require "orrery"
--     local web1 = orrery.ssh "web1"
--     print(web1:call(function() return io.open("/etc/hostname"):read("*l") end))
--
-- Everything that waits blocks by appearance: in a task (spawn, each, map) others run meanwhile.

local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local options = require "orrery.options"
local parallel = require "orrery.parallel"
local receiver = require "orrery.receiver"
local sched = require "orrery.sched"
require "orrery.command"
require "orrery.file"

if not core.parent() and core.ssh_version then require("orrery.modules").serve() end

local M = {
    version = core.version,
    each = parallel.each,
    map = parallel.map,
    spawn = sched.spawn,
    sleep = sched.sleep,
    now = sched.now,
    receiver = receiver.receiver,
    Context = context.Context,
}

local LOCAL_OPTIONS = {
    name = { type = "string", default = "localhost" },
    keepalive = "number",
    send = { enum = { "optimistic", "deferred" } },
}

--- Opens a context in a child process on this machine.
---@param opts? { name?: string, keepalive?: number, send?: "optimistic"|"deferred" }
---@return orrery.Context
function M.localhost(opts)
    opts = options.check("localhost", opts, LOCAL_OPTIONS)
    return context.open {
        name = opts.name, route = "local:" .. opts.name, keepalive = opts.keepalive,
        deferred = opts.send == "deferred",
    }
end

--- Opens a context on a host over SSH; see orrery.ssh's options.
---@param target string|orrery.SshOptions
---@param opts? orrery.SshOptions
---@return orrery.Context
function M.ssh(target, opts)
    return require("orrery.ssh").open(target, opts)
end

--- Runs fn(...) with a deadline; what it waits for is cancelled then.
---@param seconds number
---@param fn function
---@param ... any
---@return any ... what fn returns
---Raises "timeout".
function M.timeout(seconds, fn, ...)
    return sched.spawn(fn, ...):take(seconds)
end

--- Is it an error object (a table with code, message, context, route, traceback)?
---@param value any
---@return boolean
function M.is_error(value) return Error.is(value) end

return M
