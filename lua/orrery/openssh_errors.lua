--- What ssh(1)'s last words mean: the codes that SSH inside this process has, and texts that say what to do.

local M = {}

-- "ED25519 key in /root/.ssh/known_hosts:3" behind "Offending".
local function offending(said)
    local file, line = said:match("Offending [%w-]+ key in (.-):(%d+)")
    return file, line
end

local function changed(said, host)
    local name = said:match("Host key for (%S+) has changed") or host
    local kind, print = said:match("fingerprint for the (%S+) key sent by the remote host is%s+(SHA256:[%w+/]+)")
    local file, line = offending(said)
    local text = ("the host key of %s has changed"):format(name)
    if print then text = ("%s: it is now %s %s"):format(text, kind, print) end
    if file then text = ("%s, but %s:%s has another one"):format(text, file, line) end
    text = text .. ". Either somebody is in between, or the host is new"
    if file then text = ("%s; if so: ssh-keygen -f '%s' -R '%s'"):format(text, file, name) end
    return text
end

local function revoked(said, host)
    local kind, print, by = said:match("Host key (%S+) (SHA256:%S+) revoked by file (%S+)")
    if kind then return ("the host key of %s, %s %s, is revoked by %s"):format(host, kind, print, by) end
    local type, name = said:match("The (%S+) host key for (%S+) is marked as revoked")
    return ("the host key of %s%s is revoked by a line in known_hosts, @revoked"):format(name or host,
        type and " (" .. type .. ")" or "")
end

local function unknown(said, host)
    local kind, name = said:match("No (%S+) host key is known for (%S+)")
    if not kind then
        return ("ssh does not trust the host's key: it is not known, and nobody is there to be asked (option "
            .. "'strict'). Its fingerprint: ssh-keyscan %s | ssh-keygen -lf -"):format(host)
    end
    return ("ssh does not trust the host's key: No %s host key is known for %s. Its fingerprint: ssh-keyscan -t "
        .. "%s %s | ssh-keygen -lf - (to take it as it is: option strict = \"accept-new\")"):format(kind, name,
        kind:lower(), name)
end

local function permissions(said)
    local mode, path = said:match("Permissions (%d+) for '(.-)' are too open")
    return mode and ("others can read the key file %s (mode %s), so ssh leaves it out: chmod 600 '%s'; then: %s")
        :format(path, mode, path, said:match("(%S+: Permission denied %([^)]*%))") or "it was not let in")
end

-- Lines by which it is sure why ssh ended, in the order in which they are looked for; the code that they
-- mean; and what stands in front of ssh's words, or makes the whole text out of them.
local SIGNS = {
    { "IDENTIFICATION HAS CHANGED", "hostkey_changed", changed },
    { "REVOKED HOST KEY", "hostkey_revoked", revoked },
    { " revoked by file ", "hostkey_revoked", revoked },
    { "Host key verification failed", "hostkey", unknown },
    { "bad permissions", "auth", permissions },
    { "incorrect passphrase supplied", "credentials", "ssh was not let in" },
    { "Permission denied (", "auth", "ssh was not let in" },
    { "Too many authentication failures", "auth", "ssh was not let in" },
    { "Bad configuration option", "option", "ssh does not accept its configuration" },
    { "bad configuration options", "option", "ssh does not accept its configuration" },
    { "Bad owner or permissions on", "option", "ssh does not accept its configuration" },
    { "jumphost loop via", "option", "ssh does not accept its configuration" },
    { "Bad key types", "option", "ssh does not accept its configuration" },
    { "Bad SSH2 ", "option", "ssh does not accept its configuration" },
    { "onnection timed out", "timeout", "ssh got no answer" },
    { "timed out during banner exchange", "timeout", "ssh got no answer" },
}

-- Without the frames of its warnings, on one line.
local function tidy(text)
    return (text:gsub("@@+", ""):gsub("%s@%s", " "):gsub("%s+", " "):match("^%s*(.-)%.?%s*$"))
end

local function read(said, host)
    for _, sign in ipairs(SIGNS) do
        if said:find(sign[1], 1, true) then
            local text = sign[3]
            if type(text) == "function" then text = text(said, host) else text = text .. ": " .. said end
            if text then return sign[2], text end
        end
    end
    return "connect", "ssh did not get through: "
        .. (said ~= "" and said or "it exited with status 255 and said nothing")
end

--- Says of an opening that failed what ssh's own words say. Errors that are none of ssh's stay as they are.
---@param err orrery.Error
---@param host string what ssh was given
---@return orrery.Error err the same
function M.explain(err, host)
    if err.code == "command" then
        err.code = "connect"
        return err
    end
    -- Else something ran at the far end, or the time was over.
    local ended = err.message:find("status 255", 1, true) or err.message:find("though it still runs", 1, true)
    if err.code ~= "bootstrap" or not ended then return err end
    err.code, err.message = read(tidy(err.stderr or ""), host)
    return err
end

return M
