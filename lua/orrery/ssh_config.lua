--- What ssh(1) would do for a host, as options for the SSH inside this process.
--
-- `ssh -G` prints the effective configuration, with Match, Include and tokens done exactly as ssh(1)
-- does them. It costs about 5 ms, so each answer is kept; and where there is no configuration to read,
-- or no ssh to read it, OpenSSH's defaults are used without it.
--
-- An option that means something and is not supported here is an error, never ignored.

local ffi = require "ffi"
local Error = require "orrery.error"

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
---@field connect_timeout? number

---@class orrery.SshOverrides
---@field user? string
---@field port? integer|string
---@field config? string a file to read instead of the usual ones; "none" reads none

pcall(ffi.cdef, [[
    struct orrery_passwd {
        char *name, *passwd;
        unsigned uid, gid;
        char *gecos, *dir, *shell;
    };
    int orrery_getpwuid(unsigned uid, struct orrery_passwd *entry, char *text, size_t size,
        struct orrery_passwd **found) __asm__("getpwuid_r");
    unsigned orrery_getuid(void) __asm__("getuid");
    int orrery_gethostname(char *name, size_t n) __asm__("gethostname");
]])

local PASSWD_SIZE = 2 ^ 14 -- more than any entry of the password database needs

--- What is asked of the machine; a table so that specs can put their own in its place.
local system = {}
M.system = system

--- ssh(1) goes by the password database, not by $HOME.
---@return string home, string user, integer uid
function system.user()
    local uid = ffi.C.orrery_getuid()
    local entry, found = ffi.new "struct orrery_passwd", ffi.new "struct orrery_passwd *[1]"
    local text = ffi.new("char[?]", PASSWD_SIZE)
    if ffi.C.orrery_getpwuid(uid, entry, text, PASSWD_SIZE, found) ~= 0 or found[0] == nil then
        return os.getenv("HOME") or "/", os.getenv("USER") or tostring(uid), uid
    end
    return ffi.string(entry.dir), ffi.string(entry.name), uid
end

---@return string
function system.hostname()
    local name = ffi.new("char[256]")
    return ffi.C.orrery_gethostname(name, 255) == 0 and ffi.string(name) or "localhost"
end

system.getenv = os.getenv

---@return boolean
function system.exists(path)
    local file = io.open(path)
    if file then file:close() end
    return file ~= nil
end

local function quote(word)
    return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- Runs a command.
---@param argv string[]
---@return string output what it wrote on both of its outputs
---@return integer status as the shell sees it; 127 where there is no such command
function system.run(argv)
    local words = {}
    for i, word in ipairs(argv) do words[i] = quote(word) end
    -- io.popen of Lua 5.1 does not tell the status.
    local pipe = assert(io.popen(table.concat(words, " ") .. " </dev/null 2>&1; echo \" $?\"", "r"))
    local text = pipe:read("*a")
    pipe:close()
    local output, status = text:match("^(.*) (%d+)\n$")
    return output or text, tonumber(status) or 255
end

local function refuse(name, text, ...)
    Error.raise { code = "option", message = name .. ": " .. text:format(...), at = Error.at() }
end

--- Options that decide who is reached, or how, and that only ssh(1) can do. The value that is no use
--- of them is "none" or absent.
local UNSUPPORTED = {
    { "proxyjump", "ProxyJump" },
    { "proxycommand", "ProxyCommand" },
    { "certificatefile", "CertificateFile" },
    { "pkcs11provider", "PKCS11Provider" },
    { "revokedhostkeys", "RevokedHostKeys" },
    { "knownhostscommand", "KnownHostsCommand" },
    { "bindinterface", "BindInterface" },
}

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

--- `ssh -G` leaves ~, tokens and variables in most file names.
local function expand(path, name, tokens)
    local rest = path:match("^~(.*)$")
    if rest and rest ~= "" and rest:sub(1, 1) ~= "/" then
        refuse(name, "'%s' in the ssh configuration: the home of another user is not supported", path)
    end
    if rest then path = tokens.d .. rest end
    path = path:gsub("%%(.?)", function(letter)
        return tokens[letter]
            or refuse(name, "'%s' in the ssh configuration: %%%s is not supported", path, letter)
    end)
    return (path:gsub("%${([%w_]+)}", function(variable)
        return system.getenv(variable)
            or refuse(name, "'%s' in the ssh configuration: $%s is not set", path, variable)
    end))
end

local function expand_all(list, name, tokens)
    local paths = {}
    for _, path in ipairs(list) do
        if path ~= "none" then paths[#paths + 1] = expand(path, name, tokens) end
    end
    return paths
end

local function known_hosts(found, name, tokens)
    local list = {}
    for _, key in ipairs { "userknownhostsfile", "globalknownhostsfile" } do
        for path in (one(found, key) or ""):gmatch("%S+") do list[#list + 1] = path end
    end
    return expand_all(list, name, tokens)
end

local function agent_socket(found, name, tokens)
    local given = found.identityagent and found.identityagent[1] or "SSH_AUTH_SOCK"
    if given == "none" then return nil end
    local variable = given == "SSH_AUTH_SOCK" and given or given:match("^%$([%a_][%w_]*)$")
    local socket
    if variable then
        socket = system.getenv(variable)
    else
        socket = expand(given, name, tokens)
    end
    return socket ~= "" and socket or nil
end

local function auth_order(found, name)
    local given = one(found, "preferredauthentications") or USUAL_ORDER
    local order = {}
    for method in given:gmatch("[^,]+") do
        local switch = METHODS[method]
        local value = switch and (one(found, switch) or "yes")
        if switch and value ~= "no" and value ~= "false" then order[#order + 1] = method end
    end
    if #order == 0 then
        refuse(name, "the ssh configuration allows no authentication method that SSH inside this "
            .. "process has (publickey, keyboard-interactive, password): %s", given)
    end
    return order
end

local function check_supported(found, name)
    for _, option in ipairs(UNSUPPORTED) do
        local value = one(found, option[1])
        if value then
            refuse(name, "the ssh configuration says %s %s, which SSH inside this process cannot do yet",
                option[2], value)
        end
    end
end

local function from_config(name, found)
    check_supported(found, name)
    local tokens = tokens_for(name, found)
    return {
        host = tokens.h,
        port = tokens.p,
        user = tokens.r,
        host_key_alias = one(found, "hostkeyalias"),
        known_hosts = known_hosts(found, name, tokens),
        strict = STRICT[one(found, "stricthostkeychecking") or "ask"] or "yes",
        identities = expand_all(found.identityfile or {}, name, tokens),
        identities_only = one(found, "identitiesonly") == "yes",
        agent_socket = agent_socket(found, name, tokens),
        auth_order = auth_order(found, name),
        kex = one(found, "kexalgorithms"),
        ciphers = one(found, "ciphers"),
        macs = one(found, "macs"),
        host_key_algorithms = one(found, "hostkeyalgorithms"),
        bind_address = one(found, "bindaddress"),
        family = one(found, "addressfamily") or "any",
        compression = one(found, "compression") == "yes",
        connect_timeout = tonumber(one(found, "connecttimeout")),
    }
end

--- What ssh(1) does where nothing is configured.
local function defaults(name, overrides)
    local home, user = system.user()
    local identities = {}
    for i, key in ipairs(KEY_NAMES) do identities[i] = home .. "/.ssh/" .. key end
    return from_config(name, {
        hostname = { name }, user = { overrides.user or user },
        port = { tostring(overrides.port or 22) }, identityfile = identities,
        userknownhostsfile = { "~/.ssh/known_hosts ~/.ssh/known_hosts2" },
        globalknownhostsfile = { "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2" },
    })
end

local function anything_to_read(overrides)
    if overrides.config then return overrides.config ~= "none" end
    local home = system.user()
    return system.exists(home .. "/.ssh/config") or system.exists("/etc/ssh/ssh_config")
        or system.exists("/etc/ssh/ssh_config.d")
end

--- A host name comes from inventories and command lines: it must not become an option of ssh(1), nor
--- lines of its output.
---@param name string
---@param overrides orrery.SshOverrides
---Raises "argument", "option".
function M.check(name, overrides)
    if type(name) ~= "string" or name == "" then
        Error.raise { code = "argument", message = "ssh: a host name was expected", at = Error.at() }
    end
    if name:find("^%-") or name:find("[%c%s]") then
        refuse(("%q"):format(name), "a host name cannot begin with '-' or have blanks in it")
    end
    if overrides.user and (overrides.user == "" or overrides.user:find("^%-") or overrides.user:find("%c")) then
        refuse(name, "'%s' cannot be a user name", overrides.user)
    end
    local port = tonumber(overrides.port or 22)
    if not port or port < 1 or port > 65535 or port % 1 ~= 0 then
        refuse(name, "port %s is not a number from 1 to 65535", tostring(overrides.port))
    end
end

local function ask_ssh(name, overrides, run)
    local argv = { "ssh", "-G" }
    local function add(...)
        for _, word in ipairs { ... } do argv[#argv + 1] = word end
    end
    if overrides.config then add("-F", overrides.config) end
    if overrides.user then add("-l", overrides.user) end
    if overrides.port then add("-p", ("%d"):format(overrides.port)) end
    add("--", name)
    local text, status = run(argv)
    if status == 127 then
        if overrides.config then
            refuse(name, "there is no ssh program to read %s with", overrides.config)
        end
        return defaults(name, overrides)
    end
    local found = parse(text)
    if status ~= 0 or not found.hostname then
        refuse(name, "ssh does not accept its configuration: %s", (text:gsub("%s+$", "")))
    end
    return from_config(name, found)
end

-- By the function that ran it, so that a spec's answers are not another's.
local cache = setmetatable({}, { __mode = "k" })

local function copy(value)
    if type(value) ~= "table" then return value end
    local new = {}
    for k, v in pairs(value) do new[k] = copy(v) end
    return new
end

--- The options for a host. Blocks for some milliseconds the first time.
---@param name string as ssh(1) would be given it, without "user@"
---@param overrides? orrery.SshOverrides
---@param run? fun(argv: string[]): string, integer runs ssh in place of this module; for specs
---@return orrery.SshConfig config the caller's own
---Raises "option" where the configuration is malformed or asks for what is not supported.
function M.resolve(name, overrides, run)
    overrides, run = overrides or {}, run or system.run
    M.check(name, overrides)
    local answers = cache[run] or {}
    cache[run] = answers
    local key = table.concat({ name, overrides.user or "", tostring(overrides.port or ""),
        overrides.config or "" }, "\0")
    if not answers[key] then
        if anything_to_read(overrides) then
            answers[key] = ask_ssh(name, overrides, run)
        else
            answers[key] = defaults(name, overrides)
        end
    end
    return copy(answers[key])
end

--- Forgets all answers, for when the configuration has changed.
function M.forget()
    cache = setmetatable({}, { __mode = "k" })
end

return M
