--- Children over SSH.

local capture = require "orrery.capture"
local context = require "orrery.context"
local core = require "orrery.core"
local options = require "orrery.options"
local Error = require "orrery.error"
local identity = require "orrery.ssh_identity"
local ssh_config = require "orrery.ssh_config"
local openssh = require "orrery.openssh"
local system = require "orrery.ssh_system"

local M = {}

local LOG_INFO = 2

local function positive(value) return value > 0, "must be greater than 0" end
local function count(value) return value >= 1 and value % 1 == 0, "must be a whole number, 1 or more" end

local SCHEMA = {
    host = "string",
    name = "string",
    user = "string",
    port = { "number", "string" },
    identity = { "string", "table" },
    password = { type = "string", secret = true },
    passphrase = { type = "string", secret = true },
    config = "string",
    known_hosts = { "string", "table" },
    strict = { enum = { "yes", "ask", "accept-new", "no" } },
    ask = {
        type = { "function", "boolean" },
        check = function(value) return value ~= true, "must be a function, or false" end,
    },
    askpass = "string",
    connect_timeout = { type = "number", check = positive },
    handshake_timeout = { type = "number", check = positive },
    bootstrap_timeout = { type = "number", check = positive },
    keepalive = "number",
    cache = "string",
    no_cache = "boolean",
    send = { enum = { "optimistic", "deferred" } },
    transport = { enum = { "auto", "libssh2", "openssh" }, default = "auto" },
    jump = { "string", "table" },
    proxy_command = "string",
    connection_attempts = { type = "number", check = count },
    forward_agent = "boolean",
    set_env = "table",
    compression = "boolean",
    kex = "string",
    ciphers = "string",
    macs = "string",
    host_key_algorithms = "string",
}

--- Which options there are, for those who take them from elsewhere.
---@type orrery.OptionSchema
M.options = SCHEMA

--- What can be said of a jump host that stands in a table.
local JUMP_SCHEMA = { port = SCHEMA.port, host = { type = "string", required = true } }
for _, name in ipairs { "name", "user", "identity", "password", "passphrase", "known_hosts", "strict",
    "connect_timeout", "handshake_timeout", "connection_attempts", "compression", "kex", "ciphers", "macs",
    "host_key_algorithms" } do
    JUMP_SCHEMA[name] = SCHEMA[name]
end

---@class orrery.SshOptions everything else comes from ~/.ssh/config, as ssh(1) reads it
---@field host? string the name that `ssh` would be given, where the first argument is a table
---@field name? string what errors and logs call it; default: host
---@field user? string
---@field port? integer
---@field identity? string|string[] key files to offer, in order, instead of the configured ones; one that is not
---there is left out, with a warning
---@field password? string
---@field passphrase? string for encrypted key files
---@field config? string instead of ~/.ssh/config; "none" reads no file
---@field known_hosts? string|string[] files; "~/" is the home directory, as for identity
---@field strict? "yes"|"ask"|"accept-new"|"no" host keys that are not known; default: as configured
---@field ask? false|fun(question: orrery.Asked): string? gives the answer to what only a person knows, in a
---task; false: nobody is asked. Without it, $SSH_ASKPASS and the terminal are used as ssh(1) does
---@field askpass? string a program to ask with, instead
---@field connect_timeout? number seconds, for each address
---@field handshake_timeout? number seconds, from the connection to the running command
---@field bootstrap_timeout? number seconds, from there to the agent
---@field keepalive? number seconds; a peer that is silent for three times as long is lost. 0: never
---@field cache? string directory on the target to keep the agent in, before the usual ones
---@field no_cache? boolean leave nothing on the target
---@field send? "optimistic"|"deferred" the second leaves each write to the broker, to measure it
---@field transport? "auto"|"libssh2"|"openssh" inside this process as far as that can do what is configured;
---always inside; always ssh(1) as a subprocess
---@field jump? string|(string|orrery.Jump)[] jump hosts as for ssh's -J, or a list, in which a table says more
---of one: { host = "j1", user = ..., password = ..., identity = ... }; "none": straight
---@field proxy_command? string instead of a connection, as ProxyCommand; "none": none
---@field connection_attempts? integer
---@field forward_agent? boolean true takes ssh(1)
---@field set_env? table<string, string> variables that the server is asked to set
---@field compression? boolean
---@field kex? string key exchanges to offer, best first: "curve25519-sha256,..."
---@field ciphers? string
---@field macs? string
---@field host_key_algorithms? string

---@class orrery.SshPlan how a host is going to be reached
---@field host string as ssh(1) would be given it
---@field name string
---@field opts orrery.SshOptions
---@field config? orrery.SshConfig nil where only ssh(1) can say
---@field way? orrery.SshWay
---@field transport "libssh2"|"openssh"
---@field reason? string why ssh(1), where it was not asked for
---@field failure? orrery.Error how it went inside this process, before ssh(1) was tried
---@field missing string[] key files of option `identity` that are not there

local function check_jumps(jumps)
    if type(jumps) ~= "table" then return jumps end
    local checked = {}
    for i, hop in ipairs(jumps) do
        if type(hop) ~= "string" then
            hop = options.check(("ssh: jump[%d]"):format(i), hop, JUMP_SCHEMA)
            hop.identity, hop.known_hosts = system.paths(hop.identity), system.paths(hop.known_hosts)
        end
        checked[i] = hop
    end
    return checked
end

local function check_environment(set_env)
    for name, value in pairs(set_env or {}) do
        if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") or tostring(value):find("[%z\n]") then
            Error.raise {
                code = "option", at = Error.at(),
                message = ("ssh: option 'set_env' has no variable in %s"):format(tostring(name)),
            }
        end
    end
end

local function check(target, opts)
    if type(target) == "table" then
        target, opts = target.host, target
    end
    if type(target) ~= "string" or target == "" then
        Error.raise { code = "argument", message = "ssh: a host name was expected", at = Error.at() }
    end
    opts = options.check("ssh", opts, SCHEMA)
    opts.jump = check_jumps(opts.jump)
    check_environment(opts.set_env)
    local user, host = target:match("^(.+)@([^@]+)$")
    opts.user = opts.user or user
    opts.identity, opts.known_hosts = system.paths(opts.identity), system.paths(opts.known_hosts)
    return host or target, opts
end

-- Each reason once, for a hundred hosts that share it.
local said = {}

local function say(plan, reason, key)
    if said[key] then return end
    said[key] = true
    core.log(LOG_INFO, "ssh", ("%s: by way of ssh(1), since %s"):format(plan.name, reason))
end

local function dress(plan, request)
    local opts = plan.opts
    request.name, request.route = plan.name, "ssh:" .. plan.name
    request.keepalive = opts.keepalive or plan.config and plan.config.keepalive
    request.no_cache, request.cache = opts.no_cache, opts.cache
    request.deferred = opts.send == "deferred"
    request.ask, request.asking = opts.ask, request.asking or {}
    request.asking.nobody, request.asking.program = opts.ask == false, opts.askpass
    return request
end

local function openssh_request(plan)
    return dress(plan, openssh.request(plan.host, plan.opts, plan.config, plan.way))
end

-- Could ssh(1) be tried, after what can be done here has failed?
local function has_second(plan)
    return plan.opts.transport == "auto" and system.has_program "ssh" and (pcall(openssh_request, plan))
end

local function libssh2_request(plan)
    plan.config.name = plan.name
    local config, second = plan.config, has_second(plan)
    while config do
        config.openssh_next, config = second, config.via
    end
    local request = dress(plan, { ssh = plan.config, bootstrap_timeout = plan.opts.bootstrap_timeout })
    -- With a Kerberos ticket ssh(1) might need no answer.
    if second and plan.way.ticket then request.ask, request.asking = nil, { nobody = true } end
    return request
end

local function must(reasons)
    for _, reason in ipairs(reasons) do
        if reason.must then return reason end
    end
end

local function only_ssh_can(plan, reason, err)
    err.message = ("%s: only ssh(1) can do this, since %s; and %s"):format(plan.name, reason.text, err.message)
    error(err, 0)
end

-- ssh(1) where the configuration asks for it; where it only would be better, and cannot do what the options
-- ask for, inside.
local function choose(plan)
    local reasons = plan.way.reasons
    local strong = must(reasons)
    local reason = strong or reasons[1]
    if not reason then return end
    if plan.opts.transport == "libssh2" then
        if not strong then return end
        Error.raise {
            code = "option", at = Error.at(),
            message = ("%s: SSH inside this process cannot do this: %s; leave out transport = \"libssh2\"")
                :format(plan.name, strong.text),
        }
    end
    local fine, err = pcall(openssh_request, plan)
    if fine then
        plan.transport, plan.reason = "openssh", reason.text
    elseif strong then
        only_ssh_can(plan, strong, Error.from(err))
    end
end

local function new_plan(target, opts)
    local host
    host, opts = check(target, opts)
    return {
        host = host, name = opts.name or host, opts = opts, transport = "libssh2", missing = identity.missing(opts),
    }
end

--- Decides how a host is reached, and connects to nothing.
---@param target string|orrery.SshOptions
---@param opts? orrery.SshOptions
---@return orrery.SshPlan
---Raises "option", "argument".
function M.plan(target, opts)
    local plan = new_plan(target, opts)
    local host = plan.host
    opts = plan.opts
    if opts.transport == "openssh" then
        ssh_config.check(host, opts)
        plan.transport = "openssh"
        local fine, config, way = pcall(ssh_config.resolve, host, opts, capture.run)
        if fine then plan.config, plan.way = config, way end
    else
        plan.config, plan.way = ssh_config.resolve(host, opts, capture.run)
        choose(plan)
    end
    return plan
end

--- The same for a connection that another context makes, with SSH inside it.
---@param from orrery.Context
---@param target string|orrery.SshOptions
---@param opts? orrery.SshOptions
---@return orrery.SshPlan
---Raises "option", "argument".
function M.plan_from(from, target, opts)
    local plan = new_plan(target, opts)
    local host = plan.host
    opts = plan.opts
    local overrides = setmetatable({
        -- What is configured here is the way from here.
        jump = opts.jump or {}, proxy_command = opts.proxy_command or "none",
    }, { __index = opts })
    plan.config, plan.way = ssh_config.resolve(host, overrides, capture.run)
    local reason = opts.transport == "openssh" and { text = 'the option transport = "openssh" is set' }
        or must(plan.way.reasons)
    if reason then
        Error.raise {
            code = "option", at = Error.at(),
            message = ("%s: SSH from %s cannot do this: %s"):format(plan.name, from.name, reason.text),
        }
    end
    plan.config.name, plan.config.bind_address = plan.name, nil
    return plan
end

--- Who is asked for what only a person knows.
---@param plan orrery.SshPlan
---@return table request with `ask` and `asking`
function M.asked(plan)
    local request = dress(plan, {})
    return { ask = request.ask, asking = request.asking }
end

--- A plan for the context that connects, as data.
---@param plan orrery.SshPlan
---@param keep orrery.Keeper
---@return orrery.Plan
function M.kept_request(plan, keep)
    local request = dress(plan, { ssh = keep.ssh, bootstrap_timeout = plan.opts.bootstrap_timeout })
    request.ask, request.asking = nil, keep.asking
    return request
end

-- Not for every host a line of its own: what is the same for all is what libssh2 could not do.
local function general(message)
    return message:match("libssh2 [^;,)]*") or message:match("[^(;,]*only ssh%(1%)[^;,)]*")
        or message:gsub("%S+ port %d+", "it")
end

-- What it would ask a person, or try with a Kerberos ticket.
local ASKS = { auth = true, credentials = true, hostkey = true }

local function ssh_could(plan, err)
    return err.openssh_could or (ASKS[err.code] and plan.way.ticket)
end

-- What SSH inside this process could not do is tried by ssh(1), once.
local function fall_back(plan, err)
    local request = openssh_request(plan)
    plan.transport, plan.failure = "openssh", err
    plan.reason = "SSH inside this process did not do: " .. err.message
    say(plan, plan.reason, general(err.message))
    local ok, ctx = pcall(context.open, request)
    if ok then return ctx end
    ctx = Error.from(ctx)
    ctx.cause = err
    error(ctx, 0)
end

local function connect(plan)
    if plan.transport == "openssh" then
        if plan.reason then say(plan, plan.reason, plan.reason) end
        return context.open(openssh_request(plan))
    end
    local ok, ctx = pcall(context.open, libssh2_request(plan))
    if ok then return ctx end
    local err = Error.from(ctx)
    if ssh_could(plan, err) and has_second(plan) then return fall_back(plan, err) end
    error(err, 0)
end

--- Opens a context as planned.
---@param plan orrery.SshPlan its `transport`, `reason` and `failure` say afterwards how it went
---@return orrery.Context
function M.connect(plan)
    local ok, ctx = pcall(connect, plan)
    if ok then return ctx end
    error(identity.explain(Error.from(ctx), plan.missing), 0)
end

--- Opens a context on a host and waits until it is up.
---@param target string|orrery.SshOptions a host as `ssh` takes it ("web1", "deploy@web1"), or options
---@param opts? orrery.SshOptions
---@return orrery.Context
---Raises "connect", "hostkey", "hostkey_changed", "hostkey_revoked", "auth", "credentials", "bootstrap",
---"timeout", naming the host and the cause.
function M.open(target, opts)
    local plan = M.plan(target, opts)
    identity.warn(plan.missing)
    return M.connect(plan)
end

return M
