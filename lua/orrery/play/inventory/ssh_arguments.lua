--- Arguments of ssh(1) in one string, as Ansible's ansible_ssh_common_args has them, as options of orrery.ssh.

local words = require "orrery.play.inventory.words"

local M = {}

local function text(name) return function(value) return { [name] = value } end end

local function number(name)
    return function(value)
        if not tonumber(value) then return nil, ("'%s', which is no number"):format(value) end
        return { [name] = tonumber(value) }
    end
end

local function yes(name) return function(value) return { [name] = value:lower() == "yes" } end end

local function ignored() return {} end

local STRICT = { yes = "yes", no = "no", off = "no", ask = "ask", ["accept-new"] = "accept-new" }

---@type table<string, fun(value: string): table?, string?> by keyword of ssh_config(5)
local KEYWORDS = {
    proxyjump = text "jump", proxycommand = text "proxy_command", user = text "user", port = number "port",
    identityfile = text "identity", connecttimeout = number "connect_timeout",
    connectionattempts = number "connection_attempts", serveraliveinterval = number "keepalive",
    forwardagent = yes "forward_agent", compression = yes "compression", kexalgorithms = text "kex",
    ciphers = text "ciphers", macs = text "macs", hostkeyalgorithms = text "host_key_algorithms",
    userknownhostsfile = function(value)
        local files = {}
        for file in value:gmatch "%S+" do files[#files + 1] = file end
        return { known_hosts = files }
    end,
    stricthostkeychecking = function(value)
        local strict = STRICT[value:lower()]
        if not strict then return nil, ("StrictHostKeyChecking '%s', which is no value of it"):format(value) end
        return { strict = strict }
    end,
    -- About what only ssh(1) does for itself.
    controlmaster = ignored, controlpath = ignored, controlpersist = ignored, loglevel = ignored,
    serveralivecountmax = ignored, batchmode = ignored, tcpkeepalive = ignored,
}

local function keyword(assignment)
    local name, value = assignment:match "^%s*(%w+)%s*[=%s]%s*(.-)%s*$"
    if not name then return nil, ("'-o %s', which is no NAME=VALUE"):format(assignment) end
    local read = KEYWORDS[name:lower()]
    if not read then
        return nil, ("'-o %s', which has no counterpart here; it can stand in ~/.ssh/config"):format(assignment)
    end
    return read((value:gsub('^"(.*)"$', "%1")))
end

local WITH_VALUE = {
    o = keyword, J = text "jump", p = number "port", l = text "user", i = text "identity", F = text "config",
}
local ALONE = {
    C = function() return { compression = true } end, A = function() return { forward_agent = true } end,
    q = ignored, v = ignored, T = ignored, n = ignored, x = ignored, a = ignored,
}

-- One word that begins with a dash; also which word was the last that was used.
local function option(list, i)
    local letter, rest = list[i].text:match "^%-(%a)(.*)$"
    if letter and WITH_VALUE[letter] then
        if rest == "" then
            i = i + 1
            rest = list[i] and list[i].text
        end
        if not rest then return nil, ("'-%s' without a value"):format(letter) end
        local found, why = WITH_VALUE[letter](rest)
        return found, why, i
    end
    if letter and ALONE[letter] and rest:gsub(letter, "") == "" then return ALONE[letter](), nil, i end
    return nil, ("'%s', which has no counterpart here; it can stand in ~/.ssh/config"):format(list[i].text)
end

--- Reads arguments.
---@param arguments string
---@return table? options of orrery.ssh; of several that say the same, the first counts, as with ssh(1)
---@return string? why not: what it has that cannot be done
function M.read(arguments)
    local list, why = words.split(arguments, false)
    if not list then return nil, why end
    local all, i = {}, 1
    while i <= #list do
        local found, problem, last = option(list, i)
        if not found then return nil, problem end
        for name, value in pairs(found) do
            if all[name] == nil then all[name] = value end
        end
        i = last + 1
    end
    return all
end

return M
