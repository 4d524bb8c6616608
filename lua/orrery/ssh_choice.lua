--- SSH inside this process, or ssh(1)? What a configuration may ask for that only ssh(1) can do.
--
-- An option that decides who is reached, or how, and that is not done here is never ignored: it selects
-- ssh(1). What a stream of messages has no use for (forwardings, a terminal, RemoteCommand) selects nothing.

local system = require "orrery.ssh_system"

local M = {}

---@class orrery.SshReason
---@field text string to stand behind "since"
---@field must boolean SSH inside this process would do something else than what is asked for

local function is_set(value) return value ~= nil and value ~= "none" and value ~= "" end
local function is_on(value) return is_set(value) and value ~= "no" and value ~= "false" end

-- Keywords as `ssh -G` prints them and as people write them, and which values select ssh(1).
local KEYWORDS = {
    { "certificatefile", "CertificateFile", is_set },
    { "pkcs11provider", "PKCS11Provider", is_set },
    { "revokedhostkeys", "RevokedHostKeys", is_set },
    { "knownhostscommand", "KnownHostsCommand", is_set },
    { "bindinterface", "BindInterface", is_set },
    { "hostbasedauthentication", "HostbasedAuthentication", is_on },
    { "proxyusefdpass", "ProxyUseFdpass", is_on },
    { "verifyhostkeydns", "VerifyHostKeyDNS", is_on },
    { "forwardagent", "ForwardAgent", is_on },
    { "rekeylimit", "RekeyLimit", function(value) return is_set(value) and value ~= "0 0" end },
}

local LOOPBACK = { ["localhost"] = true, ["127.0.0.1"] = true, ["::1"] = true }

local function first(found, key) return found[key] and found[key][1] end

-- Its first choice is a method that is not there, though it is switched on.
local function method(found)
    local order = first(found, "preferredauthentications") or ""
    local name = order:match("^[^,]*")
    if name == "gssapi-with-mic" and is_on(first(found, "gssapiauthentication")) then
        return "PreferredAuthentications " .. order
    end
end

-- A certificate for a key lies beside it, and ssh(1) offers it first.
local function certificate(config)
    for _, path in ipairs(config.identities) do
        if system.exists(path .. "-cert.pub") then return path .. "-cert.pub" end
    end
end

--- Why a host should be reached by ssh(1).
---@param found table<string, string[]> what `ssh -G` printed
---@param config orrery.SshConfig what was made of it
---@param opts orrery.SshOverrides
---@param owner string whose configuration it is: "its configuration"
---@return orrery.SshReason[] reasons
function M.reasons(found, config, opts, owner)
    local reasons = {}
    local function add(must, text) reasons[#reasons + 1] = { must = must, text = text } end
    local function says(text) add(true, owner .. " says " .. text) end
    for _, keyword in ipairs(KEYWORDS) do
        local value = first(found, keyword[1])
        local overridden = keyword[1] == "forwardagent" and opts.forward_agent ~= nil
        if keyword[3](value) and not overridden then says(keyword[2] .. " " .. value) end
    end
    if opts.forward_agent then add(true, "the option forward_agent is set") end
    local order = method(found)
    if order then says(order) end
    if #config.auth_order == 0 then
        says("that none of publickey, keyboard-interactive and password may be used")
    end
    if is_on(first(found, "nohostauthenticationforlocalhost")) and LOOPBACK[config.host] then
        says("NoHostAuthenticationForLocalhost yes")
    end
    local path = certificate(config)
    if path then add(false, "there is the certificate " .. path) end
    local socket = first(found, "controlpath")
    if is_set(socket) and system.exists(socket) then
        add(false, "a master connection is there: ControlPath " .. socket)
    end
    return reasons
end

--- Whether ssh(1) could still log in with a Kerberos ticket, where nothing else helped.
---@param found table<string, string[]>
---@return boolean
function M.has_ticket(found)
    if not is_on(first(found, "gssapiauthentication")) then return false end
    local _, _, uid = system.user()
    return system.getenv("KRB5CCNAME") ~= nil or system.exists(("/tmp/krb5cc_%d"):format(uid))
end

return M
