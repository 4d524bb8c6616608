--- A file of the target, at the controller.

local attributes = require "orrery.play.attributes"
local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"
local sources = require "orrery.play.sources"

local MOST_TEXT = 256 * 1024 -- bytes of a file that is shown in a diff

-- A directory gets one for each host, with the path from the root on.
local function destination(o, env)
    local path = sources.path(o.dest)
    if o.dest:sub(-1) ~= "/" then return path end
    return ("%s%s%s"):format(path, env.host.name:gsub("/", "_"), o.path)
end

local function is_text(text) return text ~= nil and not text:sub(1, 8192):find "%z" end

local function content_diff(path, here, there, env)
    local old = here and here.size <= MOST_TEXT and env.sys.read(path) or nil
    if env.diff and is_text(there.content) and (not here or is_text(old)) then
        return { path = path, before = here and old or nil, after = there.content }
    end
    local before = here and ("%d bytes"):format(here.size) or "absent"
    return { what = "content", before = before, after = ("%d bytes"):format(there.stat.size) }
end

local function missing(o, env, why, code)
    if code ~= "ENOENT" and code ~= "ENOTDIR" then resource.fail("cannot read " .. why) end
    if o.missing_ok then return nil, { exists = false } end
    if env.check_mode then return { unknown = true, message = ("there is no file %s yet"):format(o.path) } end
    resource.fail("cannot read " .. why)
end

local function check(o, env)
    local there, why, code = env.there("orrery.play.content.there", "describe", o.path, env.diff and MOST_TEXT or nil)
    if not there then return missing(o, env, why, code) end
    if there.stat.type ~= "file" then resource.fail(("%s is a %s"):format(o.path, there.stat.type)) end
    local path = destination(o, env)
    local here = paths.look(path, true)
    if here and here.type ~= "file" then resource.fail(("%s of the controller is a %s"):format(path, here.type)) end
    local out = { dest = path, size = there.stat.size, hash = there.hash, exists = true }
    local want = attributes.wanted(o, env, here)
    local same = here and here.size == there.stat.size and env.sys.hash(path, "blake2b") == there.hash
    local diff = same and {} or { content_diff(path, here, there, env) }
    if here then attributes.diff(want, here, diff) end
    if #diff == 0 then return nil, out end
    return { path = path, here = here, want = want, same = same, diff = diff }, out
end

local function apply(o, plan, env)
    if plan.same then
        attributes.apply(plan.path, plan.want, plan.here)
        return { sent = 0 }
    end
    paths.make_directories(plan.path:match "^(.*)/[^/]*$")
    local r = env.ctx:get(o.path, plan.path, { mode = plan.want.mode or plan.here and plan.here.mode })
    return { sent = r.sent, size = r.size }
end

return resource.define {
    name = "fetch",
    doc = "A file of the target is at the controller, whole or not at all; it is not sent where it is the same.",
    side = "controller",
    options = {
        path = { type = "path", required = true, doc = "the file of the target" },
        dest = { type = "string", required = true, doc = "where, at the controller, relative to the script: a file; "
            .. "or, with a / at its end, a directory, in which it gets the host's name and its whole path" },
        mode = { type = "mode", doc = "permissions here; those of the file there, if not given and it is new" },
        missing_ok = { type = "boolean", default = false, doc = "where there is none, say so in the result" },
    },
    returns = {
        dest = "where it is", size = "bytes", sent = "bytes that were sent", hash = "BLAKE2b-256 of it, in hexadecimal "
            .. "digits", exists = "false where there is none",
    },
    example = [[h:fetch { path = "/var/log/app.log", dest = "logs/" }]],
    check = check,
    apply = apply,
}
