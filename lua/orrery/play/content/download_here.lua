--- get_url with from = "controller": fetched here, and sent. What is there, and what becomes of it, is for the
--- resources get_url and copy of the target.

local download = require "orrery.play.content.download"
local resource = require "orrery.play.resource"

local M = {}

local THERE = "orrery.play.content.there"

local function destination(o, env)
    local found, why, code = env.there(THERE, "describe", o.dest)
    if not found and code ~= "ENOENT" then resource.fail("cannot look at " .. why) end
    if not found or found.stat.type ~= "directory" then return o.dest, found end
    local name = download.file_name(o.url)
    if name == "" then resource.fail(("%s is a directory, and %s names no file"):format(o.dest, o.url)) end
    local path = (o.dest == "/" and "" or o.dest) .. "/" .. name
    return path, (env.there(THERE, "describe", path))
end

-- Nothing is to be fetched: the rest is the target's.
local function remaining(o, path, kind, hash)
    return {
        url = o.url, dest = path, checksum = kind and kind .. ":" .. hash or nil, mode = o.mode and o.mode.text,
        owner = o.owner, group = o.group,
    }
end

--- See orrery.play.resources.get_url.
function M.check(o, env)
    local path, found = destination(o, env)
    local out = { path = path, url = o.url }
    local kind, hash = download.wanted_hash(o, env)
    local there = found and kind and env.there(THERE, "hash", path, kind)
    if found and (hash and there == hash or not hash and not o.force) then
        local options = remaining(o, path, kind, hash)
        local r = env.step("get_url", options, true)
        if not r.changed and not r.unknown then return nil, out end
        return { here = true, options = options, diff = r.diff, unknown = r.unknown }, out
    end
    local before = found and (there or "what is there") or "absent"
    return {
        here = true, path = path, kind = kind, hash = hash, unknown = (found and not hash) or nil,
        diff = { { what = "content", before = before, after = hash or o.url } },
    }, out
end

--- See orrery.play.resources.get_url.
function M.apply(o, plan, env)
    if plan.options then
        env.step("get_url", plan.options)
        return {}
    end
    local temporary = resource.must("create", env.sys.mkstemp())
    env.cleanup(function() env.sys.unlink(temporary) end)
    local response = download.fetch(o, plan, env, temporary)
    env.sys.chmod(temporary, 0x1a4)
    local r = env.step("copy", {
        src = temporary, dest = plan.path, mode = o.mode and o.mode.text, owner = o.owner, group = o.group,
        validate = o.validate, backup = o.backup,
    })
    return { changed = r.changed, status = response.status, size = r.size, backup = r.backup }
end

return M
