--- Orrery: run things on many machines from a script.
--
--     local orrery = require "orrery"
--     local web1 = orrery.ssh "web1"
--     print(web1:call(function() return io.open("/etc/hostname"):read("*l") end))
--
-- Everything that waits blocks by appearance: in a task (spawn, each, map) others run meanwhile.

local attach = require "orrery.attach"
local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local launcher = require "orrery.launcher"
local localhost = require "orrery.localhost"
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
    select = require("orrery.select").select,
    service = require("orrery.service").service,
    secret = require "orrery.secret",
    on_output = require("orrery.output").on_output,
    thread = require("orrery.thread").thread,
    context = context.from_id,
    contexts = attach.contexts,
    listen = attach.listen,
    attach = attach.attach,
    Context = context.Context,
}

--- Opens a context in a child process on this machine.
---@param opts? orrery.LocalOptions
---@return orrery.Context
function M.localhost(opts)
    return context.open(localhost.plan(opts))
end
options.declare_as(M.localhost, localhost.plan)

local function ssh_options() return require("orrery.ssh").options end

--- Opens a context on a host over SSH; see orrery.ssh's options.
---@param target string|orrery.SshOptions
---@param opts? orrery.SshOptions
---@return orrery.Context
function M.ssh(target, opts)
    return require("orrery.ssh").open(target, opts)
end
options.declare(M.ssh, ssh_options)

--- Opens a context on a host that is reached from this one, with keys, known hosts and people of here; see
--- docs/ssh.md, "From another context".
---@param target string|orrery.SshOptions
---@param opts? orrery.SshOptions as for orrery.ssh. Jump hosts and proxies that are configured here are not on that
---way: those that an option names are
---@return orrery.Context
---Raises what orrery.ssh raises, with "from <context>: " in front; "bootstrap" where no relay can run.
function context.Context:ssh(target, opts)
    return require("orrery.ssh_nested").open(self, target, opts)
end
options.declare(context.Context.ssh, ssh_options)

local SETTINGS = {
    spin = {
        type = "number",
        check = function(seconds) return seconds >= 0 and seconds <= 1, "must be from 0 to 1 second" end,
    },
    attend = "boolean",
}

--- Sets how threads of this process wait for messages. Children take it over when they are opened.
--
-- spin: seconds for which a waiting thread polls before it sleeps, where that has helped lately (on a single
-- CPU: lets others run once, and looks); default 50e-6, 0: never. attend: may a waiting thread run the loop
-- itself; default true. What is not given stays as it is.
---@param settings { spin?: number, attend?: boolean }
function M.configure(settings)
    settings = options.check("configure", settings, SETTINGS)
    core.configure(settings.spin, settings.attend)
end
options.declare(M.configure, SETTINGS, 1)

--- Adds a launcher, a way into a child by a command; docs/launchers.md shows how.
---@param definition orrery.Launcher
---Raises "option", "argument".
function M.launcher(definition)
    launcher.register(definition)
end
options.declare_as(M.launcher, launcher.register)

--- What the runtime has done in this process, as numbers by name; `orrery run --stats` says what each
--- means. In a child: ctx:call("orrery.stats").
---@param since? table<string, number> an earlier result, to get what came after it
---@return table<string, number>
function M.stats(since)
    local stats = core.stats()
    for name, number in pairs(since or {}) do stats[name] = stats[name] - number end
    return stats
end

--- Lets two contexts below this one send to each other's receivers, by way of their nearest common ancestor.
--- Without it they may not: what a child can reach is its parent's to say. It ends with either of them, and the
--- other hears of that.
---@param a orrery.Context
---@param b orrery.Context
---Raises "dead"; "argument".
function M.allow(a, b)
    context.allow(a, b)
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

-- orrery.sudo, orrery.podman ...
return setmetatable(M, { __index = launcher.openers })
