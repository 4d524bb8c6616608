--- A file from a server.

local attributes = require "orrery.play.attributes"
local edit = require "orrery.play.content.edit"
local http = require "orrery.play.content.http"
local replace = require "orrery.play.replace"
local resource = require "orrery.play.resource"

local LENGTHS = { md5 = 32, sha1 = 40, sha256 = 64, sha512 = 128 }

local function is_checksum(text)
    local kind, rest = text:match "^(%w+):(%S+)$"
    local ok = kind and LENGTHS[kind] and (rest:find "^https?://" or (#rest == LENGTHS[kind] and not rest:find "%X"))
    return ok and true or false, "must be like 'sha256:' and the hash in hex, or the address of a list of such"
end

local function file_name(url)
    return url:gsub("[?#].*", ""):match "^%a+://[^/]+/.-([^/]*)$" or ""
end

-- A directory gets the file under its name there.
local function destination(o, env)
    local st = env.sys.stat(o.dest)
    if not st or st.type ~= "directory" then return o.dest, st end
    local name = file_name(o.url)
    if name == "" then resource.fail(("%s is a directory, and %s names no file"):format(o.dest, o.url)) end
    local path = (o.dest == "/" and "" or o.dest) .. "/" .. name
    return path, env.sys.stat(path)
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

-- The hash that is wanted; of a list, by way of the network.
local function wanted_hash(o, env)
    if not o.checksum then return nil end
    local kind, rest = o.checksum:match "^(%w+):(%S+)$"
    if not rest:find "^https?://" then return kind, rest:lower() end
    local req = http.request(o)
    req.url = rest
    local response = http.ask(env, req)
    if response.status ~= 200 then resource.fail(("GET %s: status %d"):format(rest, response.status)) end
    local hash = find_hash(response.content, file_name(o.url), LENGTHS[kind])
    if not hash then resource.fail(("%s has no hash for %s"):format(rest, file_name(o.url))) end
    return kind, hash
end

local function attributes_only(o, env, path, st, out)
    local want = attributes.wanted(o, env, st)
    local diff = attributes.diff(want, st)
    if #diff == 0 then return nil, out end
    return { path = path, stat = st, want = want, diff = diff }, out
end

local function check(o, env)
    local path, st = destination(o, env)
    local out = { path = path, url = o.url }
    if st and st.type ~= "file" then resource.fail(("%s is a %s"):format(path, st.type)) end
    if st and not o.checksum and not o.force then return attributes_only(o, env, path, st, out) end
    local kind, hash = wanted_hash(o, env)
    local there = st and kind and resource.must("hash", env.sys.hash(path, kind))
    if there and there == hash then return attributes_only(o, env, path, st, out) end
    local diff = { { what = "content", before = st and (there or "what is there") or "absent", after = hash or o.url } }
    local want = attributes.wanted(o, env, st)
    return {
        path = path, stat = st, download = true, kind = kind, hash = hash, want = want,
        diff = attributes.diff(want, st, diff), unknown = (st and not hash) or nil,
        message = st and not hash and "what the server has is not known before it is fetched" or nil,
    }, out
end

local function download(o, plan, env, temporary)
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

-- Gives a downloaded file its place, unless it is what is there.
local function place(o, plan, env, temporary)
    local sys, out, st = env.sys, {}, plan.stat
    local same = st and sys.hash(temporary, "blake2b") == sys.hash(plan.path, "blake2b")
    if same then
        attributes.apply(plan.path, plan.want, st)
        out.changed = #attributes.diff(plan.want, st) > 0
        return out
    end
    if o.validate then replace.judge(o.validate, temporary, env) end
    if o.backup and st then out.backup = replace.keep(plan.path) end
    local final = {
        mode = plan.want.mode or st and st.mode or attributes.new_mode(),
        uid = plan.want.uid or st and st.uid, gid = plan.want.gid or st and st.gid,
    }
    attributes.apply(temporary, final, sys.stat(temporary))
    resource.must("write " .. temporary, sys.fsync(temporary))
    resource.must("replace " .. plan.path, sys.rename(temporary, plan.path))
    return out
end

local function apply(o, plan, env)
    if not plan.download then
        attributes.apply(plan.path, plan.want, plan.stat)
        return {}
    end
    local temporary = edit.beside(plan.path, env)
    local response = download(o, plan, env, temporary)
    local size = resource.must("look at", env.sys.stat(temporary)).size
    local out = place(o, plan, env, temporary)
    out.status, out.size = response.status, size
    return out
end

local edits = edit.options {}
local options = {
    dest = { type = "path", required = true, doc = "where; in a directory it gets the name that it has in the "
        .. "address" },
    checksum = { type = "string", check = is_checksum, doc = "'sha256:HEX' (or md5, sha1, sha512): what is "
        .. "there with another one is fetched anew, and what comes with another one is not taken; or 'sha256:' and the "
        .. "address of a list as sha256sum writes it" },
    force = { type = "boolean", default = false, doc = "without a checksum: fetch it also when there is a file, and "
        .. "compare" },
    backup = edits.backup, validate = edits.validate, mode = edits.mode, owner = edits.owner, group = edits.group,
}
for name, option in pairs(http.OPTIONS) do options[name] = option end
options.timeout = { type = "duration", default = 600, doc = http.OPTIONS.timeout.doc }

return resource.define {
    name = "get_url",
    doc = "A file is there that a server has: fetched by the target, with curl, wget or busybox's wget.",
    options = options,
    returns = {
        path = "where it is", url = "where it is from", size = "bytes that were fetched", status = "of the response",
        backup = edit.RETURNS.backup,
    },
    example = [[h:get_url { url = "https://example.org/app-1.2.tar.gz", dest = "/srv/app.tar.gz",
    checksum = "sha256:https://example.org/SHA256SUMS" }]],
    validate = http.validate,
    check = check,
    apply = apply,
}
