--- A file from a server: fetched by the target, or by the controller, which then sends it.

local attributes = require "orrery.play.attributes"
local download = require "orrery.play.content.download"
local edit = require "orrery.play.content.edit"
local http = require "orrery.play.content.http"
local replace = require "orrery.play.replace"
local resource = require "orrery.play.resource"

-- A directory gets the file under its name there.
local function destination(o, env)
    local st = env.sys.stat(o.dest)
    if not st or st.type ~= "directory" then return o.dest, st end
    local name = download.file_name(o.url)
    if name == "" then resource.fail(("%s is a directory, and %s names no file"):format(o.dest, o.url)) end
    local path = (o.dest == "/" and "" or o.dest) .. "/" .. name
    return path, env.sys.stat(path)
end

local function attributes_only(o, env, path, st, out)
    local want = attributes.wanted(o, env, st)
    local diff = attributes.diff(want, st)
    if #diff == 0 then return nil, out end
    return { path = path, stat = st, want = want, diff = diff }, out
end

local function to_fetch(o, env, plan, there)
    local st = plan.stat
    local before = st and (there or "what is there") or "absent"
    plan.want = attributes.wanted(o, env, st)
    plan.diff = attributes.diff(plan.want, st, { { what = "content", before = before, after = plan.hash or o.url } })
    if st and not plan.hash then
        plan.unknown, plan.message = true, "what the server has is not known before it is fetched"
    end
    return plan
end

-- The other side's module is named by this, and so is not sent to targets.
local HERE = "orrery.play.content.download_here"

local function check(o, env)
    if o.from == "controller" and env.there then return require(HERE).check(o, env) end
    local path, st = destination(o, env)
    local out = { path = path, url = o.url }
    if st and st.type ~= "file" then resource.fail(("%s is a %s"):format(path, st.type)) end
    if st and not o.checksum and not o.force then return attributes_only(o, env, path, st, out) end
    local kind, hash = download.wanted_hash(o, env)
    local there = st and kind and resource.must("hash", env.sys.hash(path, kind))
    if there and there == hash then return attributes_only(o, env, path, st, out) end
    return to_fetch(o, env, { path = path, stat = st, download = true, kind = kind, hash = hash }, there), out
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
    if plan.here then return require(HERE).apply(o, plan, env) end
    if not plan.download then
        attributes.apply(plan.path, plan.want, plan.stat)
        return {}
    end
    local temporary = edit.beside(plan.path, env)
    local response = download.fetch(o, plan, env, temporary)
    local size = resource.must("look at", env.sys.stat(temporary)).size
    local out = place(o, plan, env, temporary)
    out.status, out.size = response.status, size
    return out
end

local edits = edit.options {}
local options = {
    dest = { type = "path", required = true, doc = "where; in a directory it gets the name that it has in the "
        .. "address" },
    checksum = { type = "string", check = download.is_checksum, doc = "'sha256:HEX' (or md5, sha1, sha512): what is "
        .. "there with another one is fetched anew, and what comes with another one is not taken; or 'sha256:' and the "
        .. "address of a list as sha256sum writes it" },
    force = { type = "boolean", default = false, doc = "without a checksum: fetch it also when there is a file, and "
        .. "compare" },
    from = { enum = { "target", "controller" }, default = "target", doc = "who fetches it: the controller sends it to "
        .. "the target, which needs no program for it then, and no way to the server" },
    backup = edits.backup, validate = edits.validate, mode = edits.mode, owner = edits.owner, group = edits.group,
}
for name, option in pairs(http.OPTIONS) do options[name] = option end
options.timeout = { type = "duration", default = 600, doc = http.OPTIONS.timeout.doc }

return resource.define {
    name = "get_url",
    doc = "A file is there that a server has: fetched by the target, with curl, wget or busybox's wget, "
        .. "or by the controller.",
    side = function(o) return o.from end,
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
