--- Jump hosts: how they are written, and when two of them are the same connection.

local bit = require "bit"

local M = {}

---@class orrery.Jump
---@field host string as ssh(1) would be given it
---@field user? string
---@field port? integer|string
---@field name? string what errors call it; default: host
---Further fields are as in orrery.SshOptions: identity, password, passphrase, known_hosts, strict ...

-- ssh takes "ssh://user@host:port" too, where the user may have %40.
local function without_scheme(text)
    local rest = text:match("^ssh://(.-)/?$")
    if not rest then return text end
    return (rest:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function parse_one(text)
    local user, rest = without_scheme(text):match("^(.*)@([^@]*)$")
    rest = rest or without_scheme(text)
    local host, port = rest:match("^%[(.-)%]:?(%d*)$")
    if not host then host, port = rest:match("^([^:]+):(%d+)$") end
    if not host and not rest:find(":.*:") then host = rest:match("^[^:]+$") end
    host = host or rest:match("^[%x:]+$") -- a bare IPv6 address
    if not host or host == "" or user == "" then return nil, text end
    return { host = host, user = user, port = port ~= "" and port or nil }
end

--- Reads what ssh's -J takes: "user@j1:2222,j2".
---@param text string
---@return orrery.Jump[]? hops in the order of travel; nil: malformed
---@return string? part the one that is
function M.parse(text)
    local hops = {}
    for part in (text .. ","):gmatch("([^,]*),") do
        local hop = parse_one(part)
        if not hop then return nil, part end
        hops[#hops + 1] = hop
    end
    return hops
end

--- The text for ssh's -J.
---@param hops orrery.Jump[]
---@return string? text nil where a hop has what cannot be said there
---@return string? field
function M.format(hops)
    local parts = {}
    for i, hop in ipairs(hops) do
        for field in pairs(hop) do
            if field ~= "host" and field ~= "user" and field ~= "port" and field ~= "name" then
                return nil, field
            end
        end
        local host = hop.host:find(":", 1, true) and "[" .. hop.host .. "]" or hop.host
        parts[i] = (hop.user and hop.user .. "@" or "") .. host .. (hop.port and ":" .. hop.port or "")
    end
    return table.concat(parts, ",")
end

-- What makes no other connection of it.
local NO_MATTER = {
    name = true, connect_timeout = true, handshake_timeout = true, connection_attempts = true,
    password_prompts = true, keepalive = true, share_key = true,
}
local SECRET = { password = true, passphrase = true }

-- Text that outlives the connection has no secret in it: two hashes of 32 bits tell them apart, and the
-- salt is of this process.
local salt = tostring({}) .. tostring(os.time()) .. tostring(os.clock())

local function hash(text)
    local a, b = 0x811c9dc5, 0x1b873593
    for i = 1, #salt do a = bit.tobit(bit.bxor(a, salt:byte(i)) * 0x193) end
    for i = 1, #text do
        a = bit.bxor(bit.rol(a, 7) + text:byte(i), bit.rol(b, 3))
        b = bit.bxor(bit.rol(b, 13) - text:byte(i), a)
    end
    return bit.tohex(a) .. bit.tohex(b)
end

local function show(value)
    if type(value) ~= "table" then return tostring(value) end
    local parts = {}
    for i, each in ipairs(value) do parts[i] = ("%q"):format(each) end
    return "{" .. table.concat(parts, ",") .. "}"
end

--- Text that is the same for two jump hosts exactly when one connection serves for both.
---@param config orrery.SshConfig
---@return string
function M.share_key(config)
    local lines = {}
    for field, value in pairs(config) do
        if field == "via" then
            value = value.share_key
        elseif SECRET[field] then
            value = hash(value)
        end
        if not NO_MATTER[field] then lines[#lines + 1] = ("%s=%s"):format(field, show(value)) end
    end
    table.sort(lines)
    return table.concat(lines, "\n")
end

return M
