--- What ssh(1) would do for a host, as options for the SSH inside this process.
--
-- `ssh -G` prints the effective configuration, with Match, Include and tokens done exactly as ssh(1)
-- does them. It costs about 5 ms, so each answer is kept; and where there is no configuration to read,
-- or no ssh to read it, OpenSSH's defaults are used without it.
--
-- What means something and cannot be done inside this process is a reason to take ssh(1), never ignored;
-- see ssh_choice.lua.

local Error = require "orrery.error"
local family = require "orrery.ssh_family"
local choice = require "orrery.ssh_choice"
local jump = require "orrery.ssh_jump"
local system = require "orrery.ssh_system"

local M = {}

---@class orrery.SshConfig fields of struct ssh_options (ssh/ssh.h); times are in seconds
---@field host string name or address to connect to
---@field port string
---@field user string
---@field host_key_alias? string
---@field known_hosts string[] the user's files first
---@field strict "yes"|"accept-new"|"no"
---@field identities string[] absolute paths; not all of them need exist
---@field identities_only boolean
---@field agent_socket? string
---@field auth_order string[]
---@field kex? string
---@field ciphers? string
---@field macs? string
---@field host_key_algorithms? string
---@field bind_address? string
---@field family "any"|"inet"|"inet6"
---@field compression boolean
---@field via? orrery.SshConfig the last jump host; the one before it is its own `via`
---@field proxy_command? string for sh, with its tokens replaced
---@field share_key? string of a jump host: those with the same text are one connection
---@field set_env? string[] "NAME=value"
---@field connect_timeout? number
---@field connection_attempts? integer
---@field password_prompts? integer
---@field keepalive? number as in orrery.SshOptions

---@class orrery.SshOverrides what a script says; the other fields of orrery.SshOptions, too
---@field user? string
---@field port? integer|string
---@field config? string a file to read instead of the usual ones; "none" reads none
---@field jump? string|(string|orrery.Jump)[] as ssh's -J, or a list; "none" and {} go straight
---@field proxy_command? string
---@field identity? string|string[]
---@field set_env? table<string, string>
---@field forward_agent? boolean

--- What is asked of the machine; specs put their own functions in it.
M.system = system

local function refuse(name, text, ...)
    Error.raise { code = "option", message = name .. ": " .. text:format(...), at = Error.at() }
end

--- The authentication methods there are, and what switches them off.
local METHODS = {
    publickey = "pubkeyauthentication",
    ["keyboard-interactive"] = "kbdinteractiveauthentication",
    password = "passwordauthentication",
}
local USUAL_ORDER = "publickey,keyboard-interactive,password"

local STRICT = {
    yes = "yes", ["true"] = "yes", ask = "ask", ["accept-new"] = "accept-new",
    no = "no", ["false"] = "no", off = "no",
}

--- Those of ProxyCommand and ProxyJump.
local PROXY_TOKENS = "%hknpr"

local KEY_NAMES = { "id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk" }

--- Keywords and values as `ssh -G` prints them: each has a list, since some come more than once.
local function parse(text)
    local found = {}
    for line in text:gmatch("[^\n]+") do
        local key, value = line:match("^(%w+) (.*)$")
        if key then
            key = key:lower()
            found[key] = found[key] or {}
            table.insert(found[key], value)
        end
    end
    return found
end

-- One value; nil for "none" too.
local function one(found, key)
    local value = found[key] and found[key][1]
    return value ~= "none" and value ~= "" and value or nil
end

--- What stands for the tokens of ssh_config(5) in file names.
local function tokens_for(name, found)
    local home, user, uid = system.user()
    local hostname = system.hostname()
    return {
        ["%"] = "%", d = home, u = user, i = tostring(uid), n = name,
        h = one(found, "hostname") or name, p = one(found, "port") or "22",
        r = one(found, "user") or user, l = hostname, L = hostname:match("^[^.]*"),
        k = one(found, "hostkeyalias") or name, j = one(found, "proxyjump") or "",
    }
end

---@class orrery.SshReading one configuration while it is read
---@field name string
---@field found table<string, string[]> what `ssh -G` printed
---@field tokens table<string, string>
---@field owner string "its configuration"
---@field reasons orrery.SshReason[] why only ssh(1) will do

local function only_ssh(reading, path)
    local text = ("%s has the file name %s"):format(reading.owner, path)
    table.insert(reading.reasons, { must = true, text = text })
end

-- nil where a token is none of `letters`; nil letters: all that there are.
local function replace_tokens(text, tokens, letters)
    local unknown
    local replaced = text:gsub("%%(.?)", function(letter)
        local value = tokens[letter]
        if value == nil or (letters and not letters:find(letter, 1, true)) then unknown = letter end
        return value
    end)
    return not unknown and replaced or nil, unknown
end

--- `ssh -G` leaves ~, tokens and variables in most file names.
---@return string? path nil where only ssh(1) can tell
local function expand(path, reading)
    local rest = path:match("^~(.*)$")
    if rest and rest ~= "" and rest:sub(1, 1) ~= "/" then return only_ssh(reading, path) end
    if rest then path = reading.tokens.d .. rest end
    local replaced = replace_tokens(path, reading.tokens)
    if not replaced then return only_ssh(reading, path) end
    return (replaced:gsub("%${([%w_]+)}", function(variable)
        return system.getenv(variable)
            or refuse(reading.name, "'%s' in the ssh configuration: $%s is not set", path, variable)
    end))
end

local function expand_all(list, reading)
    local paths = {}
    for _, path in ipairs(list) do
        if path ~= "none" then paths[#paths + 1] = expand(path, reading) end
    end
    return paths
end

-- `ssh -G` leaves out the quotes of names with blanks.
local function split_paths(text, list)
    local start = #list
    for word in text:gmatch("%S+") do
        local joined = #list > start and list[#list] .. " " .. word
        if joined and system.exists(joined) then
            list[#list] = joined
        else
            list[#list + 1] = word
        end
    end
end

local function known_hosts(reading)
    local list = {}
    for _, key in ipairs { "userknownhostsfile", "globalknownhostsfile" } do
        split_paths(one(reading.found, key) or "", list)
    end
    return expand_all(list, reading)
end

local function agent_socket(reading)
    local given = reading.found.identityagent and reading.found.identityagent[1] or "SSH_AUTH_SOCK"
    if given == "none" then return nil end
    local variable = given == "SSH_AUTH_SOCK" and given or given:match("^%$([%a_][%w_]*)$")
    local socket
    if variable then
        socket = system.getenv(variable)
    else
        socket = expand(given, reading)
    end
    return socket ~= "" and socket or nil
end

local function auth_order(found)
    local given = one(found, "preferredauthentications") or USUAL_ORDER
    local order = {}
    for method in given:gmatch("[^,]+") do
        local switch = METHODS[method]
        local value = switch and (one(found, switch) or "yes")
        if switch and value ~= "no" and value ~= "false" then order[#order + 1] = method end
    end
    return order
end

-- A keepalive is missed three times here before the peer counts as lost, there as often as is said.
local function keepalive(found)
    local interval = tonumber(one(found, "serveraliveinterval")) or 0
    local count = tonumber(one(found, "serveralivecountmax")) or 3
    return interval > 0 and interval * count / 3 or nil
end

local function glob(pattern)
    return "^" .. pattern:gsub("[^%w_*?]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
end

-- What the server is asked to put into the environment: SendEnv from ours, then SetEnv, then the option.
local function environment(found, opts)
    local values = {}
    local ours = found.sendenv and system.environment() or {}
    for _, wildcard in ipairs(found.sendenv or {}) do
        local pattern = glob(wildcard)
        for _, entry in ipairs(ours) do
            local name, value = entry:match("^([^=]+)=(.*)$")
            if name and name:find(pattern) then values[name] = value end
        end
    end
    for _, entry in ipairs(found.setenv or {}) do
        local name, value = entry:match("^([^=]+)=(.*)$")
        if name then values[name] = value end
    end
    for name, value in pairs(opts.set_env or {}) do values[name] = tostring(value) end
    local list = {}
    for name, value in pairs(values) do list[#list + 1] = name .. "=" .. value end
    table.sort(list)
    return list[1] and list or nil
end

-- OpenSSH's own order is no wish of anybody's: ours has the ciphers in the order of their speed.
local USUAL_CIPHERS = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,"
    .. "aes256-gcm@openssh.com"

local function ciphers(found)
    local list = one(found, "ciphers")
    return list ~= USUAL_CIPHERS and list or nil
end

local function from_config(reading, opts)
    local found, tokens = reading.found, reading.tokens
    return {
        host = tokens.h,
        port = tokens.p,
        user = tokens.r,
        host_key_alias = one(found, "hostkeyalias"),
        known_hosts = known_hosts(reading),
        strict = STRICT[one(found, "stricthostkeychecking") or "ask"] or "yes",
        identities = expand_all(found.identityfile or {}, reading),
        identities_only = one(found, "identitiesonly") == "yes",
        agent_socket = agent_socket(reading),
        auth_order = auth_order(found),
        kex = one(found, "kexalgorithms"),
        ciphers = ciphers(found),
        macs = one(found, "macs"),
        host_key_algorithms = one(found, "hostkeyalgorithms"),
        bind_address = one(found, "bindaddress"),
        family = one(found, "addressfamily") or "any",
        compression = one(found, "compression") == "yes",
        set_env = environment(found, opts),
        connect_timeout = tonumber(one(found, "connecttimeout")),
        connection_attempts = tonumber(one(found, "connectionattempts")),
        password_prompts = tonumber(one(found, "numberofpasswordprompts")),
        keepalive = keepalive(found),
    }
end

-- What a script says of a host, or of a jump host, wins over its configuration.
local OWN = {
    "password", "passphrase", "known_hosts", "strict", "connect_timeout", "handshake_timeout",
    "connection_attempts", "compression", "kex", "ciphers", "macs", "host_key_algorithms", "keepalive",
}

local function as_list(value)
    return type(value) == "string" and { value } or value
end

local function apply(config, opts)
    for _, field in ipairs(OWN) do
        if opts[field] ~= nil then config[field] = opts[field] end
    end
    config.known_hosts = as_list(config.known_hosts)
    config.identities = as_list(opts.identity) or config.identities
end

--- What `ssh -G` would print where nothing is configured.
local function defaults(name, overrides)
    local home, user = system.user()
    local identities = {}
    for i, key in ipairs(KEY_NAMES) do identities[i] = home .. "/.ssh/" .. key end
    return {
        hostname = { name }, user = { overrides.user or user },
        port = { tostring(overrides.port or 22) }, identityfile = identities,
        userknownhostsfile = { "~/.ssh/known_hosts ~/.ssh/known_hosts2" },
        globalknownhostsfile = { "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2" },
        proxyjump = { type(overrides.jump) == "string" and overrides.jump or nil },
        proxycommand = { overrides.proxy_command },
    }
end

local function anything_to_read(overrides)
    if overrides.config then return overrides.config ~= "none" end
    local home = system.user()
    return system.exists(home .. "/.ssh/config") or system.exists("/etc/ssh/ssh_config")
        or system.exists("/etc/ssh/ssh_config.d")
end

--- What a shell would obey: names stand in ProxyCommand.
local HOST_NOT, USER_NOT = "[%c%s'`\"$\\;&<>|(){},]", "[%c'`\";&<>|(){}]"

--- A host name comes from inventories and command lines: it must not become an option of ssh(1), nor
--- lines of its output, nor a command.
---@param name string
---@param overrides orrery.SshOverrides
---Raises "argument", "option".
function M.check(name, overrides)
    if type(name) ~= "string" or name == "" then
        Error.raise { code = "argument", message = "ssh: a host name was expected", at = Error.at() }
    end
    if name:find("^%-") or name:find(HOST_NOT) then
        refuse(("%q"):format(name), "a host name cannot begin with '-', or have blanks or quotes in it, or any of "
            .. "$ \\ ; & < > | ( ) { } ,")
    end
    local user = overrides.user
    if user and (user == "" or user:find("^%-") or user:find(USER_NOT) or user:find("%s%-") or user:find("\\$")) then
        refuse(name, "'%s' cannot be a user name", user)
    end
    local port = tonumber(overrides.port or 22)
    if not port or port < 1 or port > 65535 or port % 1 ~= 0 then
        refuse(name, "port %s is not a number from 1 to 65535", tostring(overrides.port))
    end
end

local function ask_ssh(name, overrides, run)
    local argv = M.query(name, overrides)
    table.insert(argv, 2, "-v") -- for which files it reads, see ssh_family.lua
    local text, status = run(argv)
    if status == 127 then
        if overrides.config then
            refuse(name, "there is no ssh program to read %s with", overrides.config)
        end
        return defaults(name, overrides), text
    end
    local found = parse(text)
    if status ~= 0 or not found.hostname then
        local said = text:gsub("OpenSSH_[^\n]*\n", ""):gsub("debug1: [^\n]*\n", ""):gsub("%s+$", "")
        refuse(name, "ssh does not accept its configuration: %s", said)
    end
    return found, text
end

--- The command that prints a host's configuration.
---@param name string
---@param overrides orrery.SshOverrides
---@return string[] argv
function M.query(name, overrides)
    local argv = { "ssh", "-G" }
    local function add(...)
        for _, word in ipairs { ... } do argv[#argv + 1] = word end
    end
    if overrides.config then add("-F", overrides.config) end
    if overrides.user then add("-l", overrides.user) end
    if overrides.port then add("-p", ("%d"):format(overrides.port)) end
    if type(overrides.jump) == "string" then
        add("-J", overrides.jump)
    elseif overrides.jump then
        add("-o", "ProxyJump=none")
    end
    if overrides.proxy_command then add("-o", "ProxyCommand=" .. overrides.proxy_command) end
    add("--", name)
    return argv
end

-- By the function that ran it, so that a spec's answers are not another's.
local cache = setmetatable({}, { __mode = "k" })

local function look_up(name, overrides, run)
    M.check(name, overrides)
    cache[run] = cache[run] or { answers = {}, families = {} }
    local answers, families = cache[run].answers, cache[run].families
    local query = M.query(name, overrides)
    local key = table.concat(query, "\0")
    if answers[key] then return answers[key] end
    if anything_to_read(overrides) then
        local others = table.concat(query, "\0", 1, #query - 1)
        families[others] = families[others] or family.new()
        answers[key] = families[others]:answer(name, function() return ask_ssh(name, overrides, run) end)
    else
        answers[key] = defaults(name, overrides)
    end
    return answers[key]
end

-- The way there --------------------------------------------------------------------------------

--- More than anybody travels; a circle of configurations ends here.
local MAX_HOPS = 16

-- "j1" or {host = "j1", ...}, or a text with several.
local function hops_of(given, name)
    if type(given) == "string" then given = given ~= "none" and { given } or {} end
    local hops = {}
    for _, each in ipairs(given) do
        local parsed, wrong = { each }, nil
        if type(each) == "string" then parsed, wrong = jump.parse(each) end
        if not parsed then refuse(name, "'%s' cannot be a jump host", wrong) end
        for _, hop in ipairs(parsed) do hops[#hops + 1] = hop end
    end
    return hops
end

-- Tokens stand in what the configuration says, not in what a script says.
local function configured_hops(reading)
    local text = one(reading.found, "proxyjump")
    if not text then return {} end
    local replaced, letter = replace_tokens(text, reading.tokens, PROXY_TOKENS)
    if not replaced then refuse(reading.name, "ProxyJump %s: there is no token %%%s", text, letter) end
    return hops_of(replaced, reading.name)
end

-- As ssh(1) has it: the last one is reached by way of those before it; the first one as its own
-- configuration says.
local function via(hops, reading, overrides, run, depth)
    local last, before = hops[#hops], {}
    for i = 1, #hops - 1 do before[i] = hops[i] end
    local tokens = reading.tokens
    local user, port = last.user or tokens.r, tostring(last.port or 22)
    if depth >= MAX_HOPS or (last.host == tokens.h and port == tokens.p and user == tokens.r) then
        refuse(reading.name, "the jump host %s would be reached by way of itself", last.host)
    end
    local own = { config = overrides.config, jump = before[1] and before or nil }
    for field, value in pairs(last) do own[field] = value end
    local owner = ("the configuration of the jump host %s"):format(last.host)
    local config, way = M.assemble(last.host, own, run, owner, depth + 1)
    config.name = last.name or last.host
    config.set_env, config.keepalive = nil, nil
    config.share_key = jump.share_key(config)
    for _, reason in ipairs(way.reasons) do table.insert(reading.reasons, reason) end
    return config
end

local function proxy_command(reading)
    local text = one(reading.found, "proxycommand")
    if not text then return nil end
    local replaced, letter = replace_tokens(text, reading.tokens, PROXY_TOKENS)
    if not replaced then refuse(reading.name, "ProxyCommand %s: there is no token %%%s", text, letter) end
    return replaced
end

---@class orrery.SshWay beside the configuration
---@field found table<string, string[]> what `ssh -G` printed; not to be changed
---@field reasons orrery.SshReason[] why only ssh(1) will do, or would do better
---@field ticket boolean ssh(1) could try a Kerberos ticket
---@field set_env string[]? what the configuration and the option say, without SendEnv

--- The same as `resolve`, for a host that may be a jump host.
---@param owner string whose configuration it is, for reasons
---@param depth integer jump hosts that were passed already, from the target
---@return orrery.SshConfig config
---@return orrery.SshWay way
function M.assemble(name, overrides, run, owner, depth)
    local found = look_up(name, overrides, run)
    local reading = {
        name = name, found = found, tokens = tokens_for(name, found), owner = owner, reasons = {},
    }
    local config = from_config(reading, overrides)
    apply(config, overrides)
    for _, reason in ipairs(choice.reasons(found, config, overrides, owner)) do
        table.insert(reading.reasons, reason)
    end
    local hops = type(overrides.jump) == "table" and hops_of(overrides.jump, name) or configured_hops(reading)
    if hops[1] then
        config.via = via(hops, reading, overrides, run, depth)
    else
        config.proxy_command = proxy_command(reading)
    end
    local set_env = environment({ setenv = found.setenv }, overrides)
    return config, {
        found = found, reasons = reading.reasons, ticket = choice.has_ticket(found), set_env = set_env,
    }
end

--- The options for a host. Blocks for some milliseconds the first time.
---@param name string as ssh(1) would be given it, without "user@"
---@param overrides? orrery.SshOverrides
---@param run? fun(argv: string[]): string, integer runs ssh in place of this module; for specs
---@return orrery.SshConfig config the caller's own
---@return orrery.SshWay way
---Raises "option" where the configuration is malformed.
function M.resolve(name, overrides, run)
    return M.assemble(name, overrides or {}, run or system.run, "its configuration", 0)
end

--- Forgets all answers, for when the configuration has changed.
function M.forget()
    cache = setmetatable({}, { __mode = "k" })
end

return M
