--- What orrery ssh-check says beside the facts: what looks wrong before it connects, and what to do about a
--- failure.

local system = require "orrery.ssh_system"

local M = {}

-- A private key file of OpenSSH whose cipher is "none" begins with this.
local PLAIN = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"

local function head(path)
    local file = io.open(path, "r")
    local text = file and file:read(400)
    if file then file:close() end
    return text
end

local function is_encrypted(text)
    local body = text:match("^%-+BEGIN OPENSSH PRIVATE KEY%-+%s+(%S+)")
    if body then return body:sub(1, #PLAIN) ~= PLAIN end
    return text:find("ENCRYPTED", 1, true) ~= nil
end

-- ssh(1) does not use a key that others can read, and neither do we.
local function open_to_others(path)
    local text = system.run { "ls", "-ldnL", "--", path }
    local mode, uid = text:match("^%-(%S+)%s+%S+%s+(%d+)")
    local _, _, own = system.user()
    return mode and tonumber(uid) == own and not mode:find("^......%-%-%-")
        and not mode:find("^...%-%-%-%-%-%-")
end

local function check_agent(config, add)
    local socket = config.agent_socket
    if socket and not system.exists(socket) then
        add(("the agent's socket %s does not exist: no keys of an agent are used"):format(socket))
        return false
    end
    return socket ~= nil
end

local function check_key(path, agent, passphrase, add)
    local text = head(path)
    if not text then
        return add(("the key file %s %s"):format(path, system.exists(path) and "cannot be read" or "does not exist"))
    end
    if open_to_others(path) then
        add(("others can read the key file %s, so it is not used: chmod 600 '%s'"):format(path, path))
    end
    if is_encrypted(text) and not passphrase then
        add(agent and ("the key file %s is encrypted: its passphrase will be asked for, unless the agent has it "
            .. "(ssh-add '%s')"):format(path, path)
            or ("the key file %s is encrypted, and there is no agent: its passphrase must be asked for"):format(path))
    end
end

--- What will go wrong, or might.
---@param plan orrery.SshPlan
---@param sources table<string, string[]> see ssh_trace.lua
---@return string[]
function M.before(plan, sources)
    local notes, config = {}, plan.config
    local function add(text) notes[#notes + 1] = text end
    local agent = check_agent(config, add)
    local chosen, usable = sources.identityfile or plan.opts.identity, 0
    for _, path in ipairs(config.identities) do
        local there = system.exists(path)
        if there then usable = usable + 1 end
        if there or chosen then check_key(path, agent, config.passphrase, add) end
    end
    if usable == 0 and not agent and not config.password then
        add("there is neither a key file nor an agent: only a password can let you in")
    end
    local known = 0
    for _, path in ipairs(config.known_hosts) do
        if path ~= "/dev/null" and system.exists(path) then known = known + 1 end
    end
    if known == 0 and config.strict ~= "no" then
        add(("none of the known_hosts files exists: %s"):format(table.concat(config.known_hosts, ", ")))
    end
    return notes
end

-- "User (/root/.ssh/config:3)", to find what may be wrong.
local function place(plan, sources, keyword, name)
    if plan.opts and plan.opts[keyword] then return "the command line" end
    local from = sources[keyword]
    return from and ("%s (%s)"):format(name, from[1]) or name
end

local function connect(plan, err, sources, add)
    local text = err.message
    if text:find("MaxStartups", 1, true) then
        add("connect to fewer hosts behind that server at once (--limit), or raise MaxStartups in its sshd_config")
    elseif text:find("resolve", 1, true) then
        add(("is %s the right name? Else set %s in the ssh configuration"):format(
            plan.config and plan.config.host or plan.host, place(plan, sources, "hostname", "HostName")))
    elseif text:find("refused", 1, true) then
        add(("does sshd run there, on that port? It comes from %s"):format(place(plan, sources, "port", "Port")))
    elseif err.code == "timeout" then
        add("is the host up? Does a firewall drop the packets? Is it behind a jump host (ProxyJump)?")
    end
end

local function auth(plan, err, sources, add)
    local config = plan.config
    if not config then return end
    local key = config.identities[1]
    add(("may %s log in there? The name comes from %s"):format(config.user, place(plan, sources, "user", "User")))
    if key then
        add(("to let the key in, where a password works: ssh-copy-id -i '%s.pub' -p %s %s@%s"):format(key,
            config.port, config.user, config.host))
    end
    if err.message:find("passphrase", 1, true) then add(("give the agent the key: ssh-add '%s'"):format(key)) end
end

local AFTER = {
    connect = connect, timeout = connect, auth = auth, credentials = auth,
    hostkey = function(_, _, _, add)
        add("compare the fingerprint with what an administrator of the host tells you; the message has the "
            .. "command that adds the key. Where keys are taken on first sight: option strict = \"accept-new\"")
    end,
    hostkey_changed = function(_, _, _, add)
        add("ask an administrator of the host whether it has a new key. Until then, do not connect")
    end,
    hostkey_revoked = function(_, _, _, add)
        add("do not connect: the key is known to be in wrong hands")
    end,
    bootstrap = function(_, _, _, add)
        add("what the far side said stands in the message; its login shell must run commands, and some "
            .. "directory must be writable (option 'cache' names another)")
    end,
    option = function(_, _, _, add)
        add("correct the configuration where the message says, or the option")
    end,
}

--- The jump host at which it failed, if it did at one.
---@param plan orrery.SshPlan
---@param err orrery.Error
---@return orrery.SshConfig? hop
function M.jump_host(plan, err)
    local name = err.message:match("cannot be reached by way of ([^:]+):")
    local hop = name and plan.config
    while hop do
        if hop ~= plan.config and hop.name == name then return hop end
        hop = hop.via
    end
end

--- What to do about a failure.
---@param plan orrery.SshPlan
---@param err orrery.Error
---@param sources table<string, string[]>
---@return string[]
function M.after(plan, err, sources)
    local hop = M.jump_host(plan, err)
    if hop then
        local file = plan.opts.config and (" -F '%s'"):format(plan.opts.config) or ""
        return { ("say more of the jump host: orrery ssh-check%s -p %s %s@%s"):format(file, hop.port, hop.user,
            hop.name) }
    end
    local texts = {}
    local say_more = AFTER[err.code]
    if say_more then say_more(plan, err, sources, function(text) texts[#texts + 1] = text end) end
    return texts
end

return M
