--- Children over SSH.

local capture = require "orrery.capture"
local context = require "orrery.context"
local options = require "orrery.options"
local Error = require "orrery.error"
local config = require "orrery.ssh_config"
local openssh = require "orrery.openssh"

local M = {}

local function positive(value) return value > 0, "must be greater than 0" end

local SCHEMA = {
    host = "string",
    name = "string",
    user = "string",
    port = { "number", "string" },
    identity = { "string", "table" },
    password = "string",
    passphrase = "string",
    config = "string",
    known_hosts = { "string", "table" },
    strict = { enum = { "yes", "accept-new", "no" } },
    connect_timeout = { type = "number", check = positive },
    handshake_timeout = { type = "number", check = positive },
    bootstrap_timeout = { type = "number", check = positive },
    keepalive = "number",
    cache = "string",
    no_cache = "boolean",
    send = { enum = { "optimistic", "deferred" } },
    transport = { enum = { "libssh2", "openssh" }, default = "libssh2" },
}

---@class orrery.SshOptions everything else comes from ~/.ssh/config, as ssh(1) reads it
---@field host? string the name that `ssh` would be given, where the first argument is a table
---@field name? string what errors and logs call it; default: host
---@field user? string
---@field port? integer
---@field identity? string|string[] key files to offer, in order, instead of the configured ones
---@field password? string
---@field passphrase? string for encrypted key files
---@field config? string instead of ~/.ssh/config; "none" reads no file
---@field known_hosts? string|string[]
---@field strict? "yes"|"accept-new"|"no" host keys that are not known; default: as configured
---@field connect_timeout? number seconds, for each address
---@field handshake_timeout? number seconds, from the connection to the running command
---@field bootstrap_timeout? number seconds, from there to the agent
---@field keepalive? number seconds; a peer that is silent for three times as long is lost. 0: never
---@field cache? string directory on the target to keep the agent in, before the usual ones
---@field no_cache? boolean leave nothing on the target
---@field send? "optimistic"|"deferred" the second leaves each write to the broker, to measure it
---@field transport? "libssh2"|"openssh" SSH inside this process, or ssh(1) as a subprocess

local function as_list(value)
    return type(value) == "string" and { value } or value
end

--- SSH inside this process.
local function libssh2(host, name, opts)
    local ssh = config.resolve(host, opts, capture.run)
    ssh.name = name
    ssh.password, ssh.passphrase = opts.password, opts.passphrase
    ssh.identities = opts.identity or ssh.identities
    ssh.known_hosts = opts.known_hosts or ssh.known_hosts
    ssh.strict = opts.strict or ssh.strict
    ssh.connect_timeout = opts.connect_timeout or ssh.connect_timeout
    ssh.handshake_timeout = opts.handshake_timeout or ssh.handshake_timeout
    return { ssh = ssh, bootstrap_timeout = opts.bootstrap_timeout }
end

--- Opens a context on a host and waits until it is up.
---@param target string|orrery.SshOptions a host as `ssh` takes it ("web1", "deploy@web1"), or options
---@param opts? orrery.SshOptions
---@return orrery.Context
---Raises "connect", "hostkey", "auth", "bootstrap", "timeout", naming the host and the cause.
function M.open(target, opts)
    if type(target) == "table" then
        target, opts = target.host, target
    end
    if type(target) ~= "string" or target == "" then
        Error.raise { code = "argument", message = "ssh: a host name was expected", at = Error.at() }
    end
    opts = options.check("ssh", opts, SCHEMA)
    local user, host = target:match("^([^@]+)@(.+)$")
    host, opts.user = host or target, opts.user or user
    opts.identity, opts.known_hosts = as_list(opts.identity), as_list(opts.known_hosts)
    local name = opts.name or host
    local request
    if opts.transport == "openssh" then
        request = openssh.request(host, opts)
    else
        request = libssh2(host, name, opts)
    end
    request.name, request.route, request.keepalive = name, "ssh:" .. name, opts.keepalive
    request.no_cache, request.cache = opts.no_cache, opts.cache
    request.deferred = opts.send == "deferred"
    return context.open(request)
end

return M
