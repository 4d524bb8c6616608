--- What is fetched from a server, and how it is known to be right: for get_url, on either side.

local http = require "orrery.play.content.http"
local resource = require "orrery.play.resource"

local M = {}

local LENGTHS = { md5 = 32, sha1 = 40, sha256 = 64, sha512 = 128 }

--- For an option: is it a checksum, or the address of a list of such?
---@param text string
---@return boolean, string
function M.is_checksum(text)
    local kind, rest = text:match "^(%w+):(%S+)$"
    local ok = kind and LENGTHS[kind] and (rest:find "^https?://" or (#rest == LENGTHS[kind] and not rest:find "%X"))
    return ok and true or false, "must be like 'sha256:' and the hash in hex, or the address of a list of such"
end

--- The name that a file has in its address; "" for none.
---@param url string
---@return string
function M.file_name(url)
    return url:gsub("[?#].*", ""):match "^%a+://[^/]+/.-([^/]*)$" or ""
end

--- Finds a file's hash in a list as sha256sum writes it, or a text that is nothing but a hash.
local function find_hash(text, name, length)
    local alone
    for line in text:gmatch "[^\r\n]+" do
        local hash, file = line:match "^%s*(%x+)%s+[*]?(.-)%s*$"
        if not hash then hash, file = line:match "^%s*(%x+)%s*$", nil end
        local tagged, other = line:match "%((.-)%)%s*=%s*(%x+)"
        if tagged then hash, file = other, tagged end
        if hash and #hash == length then
            if file and file:match "[^/]*$" == name then return hash:lower() end
            alone = alone or (not file or file == "") and hash:lower()
        end
    end
    return alone
end

--- The hash that is wanted; of a list, by way of the network.
---@param o table options of get_url
---@param env orrery.play.Env
---@return string? kind "sha256"
---@return string? hash hex
function M.wanted_hash(o, env)
    if not o.checksum then return nil end
    local kind, rest = o.checksum:match "^(%w+):(%S+)$"
    if not rest:find "^https?://" then return kind, rest:lower() end
    local req = http.request(o)
    req.url = rest
    local response = http.ask(env, req)
    if response.status ~= 200 then resource.fail(("GET %s: status %d"):format(rest, response.status)) end
    local hash = find_hash(response.content, M.file_name(o.url), LENGTHS[kind])
    if not hash then resource.fail(("%s has no hash for %s"):format(rest, M.file_name(o.url))) end
    return kind, hash
end

--- Fetches it into a file, and compares.
---@param o table
---@param plan { kind: string?, hash: string? }
---@param env orrery.play.Env
---@param temporary string
---@return orrery.play.HttpResponse
---Raises "resource" where the server says no, or the hash is another one.
function M.fetch(o, plan, env, temporary)
    local response = http.ask(env, http.request(o), temporary)
    if response.status ~= 200 then
        local text = ("GET %s: status %d"):format(o.url, response.status)
        resource.fail { message = text, result = { status = response.status } }
    end
    if not plan.hash then return response end
    local got = resource.must("hash", env.sys.hash(temporary, plan.kind))
    if got ~= plan.hash then
        resource.fail(("%s: the %s is %s, and not %s"):format(o.url, plan.kind, got, plan.hash))
    end
    return response
end

return M
