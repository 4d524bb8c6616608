--- The way to a host through ssh(1), as a subprocess: its command line, and what its failures mean.
--
-- For what SSH inside this process cannot do (see ssh_choice.lua), and to measure beside it what a second
-- process costs.

local Error = require "orrery.error"
local jump = require "orrery.ssh_jump"
local errors = require "orrery.openssh_errors"
local ssh_config = require "orrery.ssh_config"

local M = {}

local PROGRAM = "ssh"

--- The same phases as in this process, seconds. ssh(1) has one deadline for all of them.
local CONNECT, HANDSHAKE, BOOTSTRAP = 15, 30, 60
local KEEPALIVE = 15

local function refuse(text, ...)
    Error.raise { code = "option", message = "ssh: " .. text:format(...), at = Error.at() }
end

-- ssh(1) asks by way of us (runtime/call/askpass.h), so what the script gives is in no file, environment or
-- command line.
local function asking(opts)
    local given = opts.password or opts.passphrase
    return {
        askpass = opts.ask ~= false or given ~= nil, password = opts.password, passphrase = opts.passphrase,
    }
end

-- File names on ssh's command line have tokens and variables in them, and no way to quote those.
local function check_path(path)
    if path:find('[%%"\\%c]') or path:find("${", 1, true) then
        refuse("transport = \"openssh\" cannot use the file name %q", path)
    end
    return path
end

local function quoted(paths)
    local words = {}
    for i, path in ipairs(paths) do words[i] = '"' .. check_path(path) .. '"' end
    return table.concat(words, " ")
end

-- In a list of NAME="value", which ssh takes apart again.
local function assignments(entries)
    local words = {}
    for i, entry in ipairs(entries) do words[i] = '"' .. entry:gsub('[\\"]', "\\%0") .. '"' end
    return table.concat(words, " ")
end

local function assigned(set_env)
    local entries = {}
    for name, value in pairs(set_env or {}) do entries[#entries + 1] = name .. "=" .. tostring(value) end
    return entries
end

-- ssh(1) has a shell run another ssh for them, so their names are looked at first.
local function jumps(given)
    if given == "none" then return given end
    local hops = {}
    for _, hop in ipairs(type(given) == "string" and { given } or given) do
        for _, each in ipairs(type(hop) == "string" and jump.parse(hop) or { hop }) do
            if type(each) == "string" then refuse("'%s' cannot be a jump host", each) end
            ssh_config.check(each.host, each)
            hops[#hops + 1] = each
        end
    end
    local text, field = jump.format(hops)
    if not text then
        refuse("option 'jump' cannot say '%s' of a jump host where ssh(1) is used: put it into its "
            .. "configuration", field)
    end
    return text ~= "" and text or "none"
end

-- Options of ours that are one of ssh's each.
local SAME = {
    { "strict", "StrictHostKeyChecking" }, { "proxy_command", "ProxyCommand" },
    { "connection_attempts", "ConnectionAttempts" }, { "kex", "KexAlgorithms" }, { "ciphers", "Ciphers" },
    { "macs", "MACs" }, { "host_key_algorithms", "HostKeyAlgorithms" },
}

-- What a configuration may say of the program ssh, and would leave it without a command or its input. Old
-- versions of ssh do not know these words, but then no configuration has them.
local STAYS = { sessiontype = "SessionType=default", stdinnull = "StdinNull=no",
    forkafterauthentication = "ForkAfterAuthentication=no" }

local function yes_no(value) return value and "yes" or "no" end

---@class orrery.CommandLine a command line that grows
---@field argv string[]
local CommandLine = {}
CommandLine.__index = CommandLine

function CommandLine:add(...)
    for _, word in ipairs { ... } do self.argv[#self.argv + 1] = word end
end

function CommandLine:set(name, value) self:add("-o", name .. "=" .. value) end

-- What the script says. It wins over the configuration: ssh(1) takes the first value that it meets.
local function add_options(line, opts, set_env)
    if opts.config then line:add("-F", opts.config) end
    if opts.user then line:add("-l", opts.user) end
    if opts.port then line:add("-p", ("%d"):format(opts.port)) end
    if opts.jump then line:add("-J", jumps(opts.jump)) end
    if opts.forward_agent ~= nil then line:add(opts.forward_agent and "-A" or "-a") end
    for _, path in ipairs(opts.identity or {}) do line:add("-i", check_path(path)) end
    if opts.identity then line:set("IdentitiesOnly", "yes") end
    if opts.known_hosts then
        line:set("UserKnownHostsFile", quoted(opts.known_hosts))
        line:set("GlobalKnownHostsFile", "/dev/null")
    end
    for _, pair in ipairs(SAME) do
        if opts[pair[1]] then line:set(pair[2], opts[pair[1]]) end
    end
    if opts.compression ~= nil then line:set("Compression", yes_no(opts.compression)) end
    if opts.set_env then line:set("SetEnv", assignments(set_env)) end
    if opts.connect_timeout then line:set("ConnectTimeout", math.ceil(opts.connect_timeout)) end
end

-- What a stream needs of ssh, whatever is configured.
local function add_needs(line, opts, keepalive, found)
    if not asking(opts).askpass then
        line:set("BatchMode", "yes")
    elseif opts.ask == false then
        line:set("NumberOfPasswordPrompts", 1) -- nobody has another one
    end
    line:set("LogLevel", "INFO") -- quieter, it does not say why it failed
    line:set("RemoteCommand", "none")
    line:set("ClearAllForwardings", "yes")
    for keyword, setting in pairs(STAYS) do
        if found[keyword] then line:add("-o", setting) end
    end
    -- A master that others use would outlive us. To use one that is there is fine.
    line:set("ControlMaster", "no")
    -- Were we killed while the network is silent, ssh would wait for ever.
    if keepalive > 0 then
        line:set("ServerAliveInterval", math.ceil(keepalive))
        line:set("ServerAliveCountMax", 3)
    end
end

---@param host string
---@param opts orrery.SshOptions
---@param set_env? string[] all that is to be set, the configuration's too
---@param found table<string, string[]> what is configured
---@return string[] argv {} stands for the text that a shell is to run there
local function command_line(host, opts, keepalive, set_env, found)
    local line = setmetatable({ argv = { PROGRAM, "-T", "-x" } }, CommandLine)
    add_options(line, opts, set_env)
    add_needs(line, opts, keepalive, found)
    line:add("--", host, "exec sh -c '{}'")
    return line.argv
end

--- A request for context.open.
---@param host string as ssh(1) takes it, without "user@"
---@param opts orrery.SshOptions checked; identity and known_hosts are lists
---@param config? orrery.SshConfig what is configured
---@param way? orrery.SshWay
---@return table request argv, bootstrap_timeout, explain, asking
---Raises "option" for what cannot be done in this way, "argument".
function M.request(host, opts, config, way)
    ssh_config.check(host, opts)
    local keepalive = opts.keepalive or config and config.keepalive or KEEPALIVE
    local connect = opts.connect_timeout or config and config.connect_timeout or CONNECT
    return {
        argv = command_line(host, opts, keepalive, way and way.set_env or assigned(opts.set_env),
            way and way.found or {}),
        explain = function(err) return errors.explain(err, host) end,
        bootstrap_timeout = connect + (opts.handshake_timeout or HANDSHAKE)
            + (opts.bootstrap_timeout or BOOTSTRAP),
        asking = asking(opts),
    }
end

return M
