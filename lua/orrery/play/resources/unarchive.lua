--- An archive, unpacked.

local attributes = require "orrery.play.attributes"
local paths = require "orrery.play.paths"
local record = require "orrery.play.content.record"
local resource = require "orrery.play.resource"
local unpack_archive = require "orrery.play.content.unpack"

local function name_of(o)
    if o.remote_src then return o.remote_src end
    return type(o.src) == "table" and (o.src.file or o.src.name or "content") or o.src
end

-- The hash of the archive; nil: it is not there, or not yet.
local function hash_of(o, env)
    if o.src then return env.source(o.src).hash end
    local hash, why, code = env.sys.hash(o.remote_src, "blake2b")
    if not hash and not (env.check_mode and code == "ENOENT") then resource.fail("cannot read " .. why) end
    return hash
end

-- All that decides about what comes out.
local function key_of(o, hash)
    local parts = { hash, "strip " .. o.strip, "owner " .. tostring(o.owner), "group " .. tostring(o.group) }
    for _, each in ipairs { "include", "exclude" } do
        parts[#parts + 1] = each .. " " .. table.concat(o[each] or {}, "\0")
    end
    return table.concat(parts, "; ")
end

local function check(o, env)
    local out = { dest = o.dest }
    if o.creates and env.sys.lstat(o.creates) then return nil, out end
    local there = paths.look(o.dest, true)
    if there and there.type ~= "directory" then resource.fail(("%s is a %s"):format(o.dest, there.type)) end
    local hash = hash_of(o, env)
    if not hash then return { unknown = true, message = ("there is no archive %s yet"):format(o.remote_src) } end
    local want, name = attributes.wanted({ owner = o.owner, group = o.group }, env), o.dest .. "\0" .. name_of(o)
    local key, entries = record.load(name, env)
    local plan = { name = name, key = key_of(o, hash), want = want }
    if key == plan.key then
        local changed = record.first_that_differs(o.dest, entries, env)
        out.files = #entries
        if not changed then return nil, out end
        plan.diff = { { what = changed, before = "not as it was unpacked", after = "as in the archive" } }
    else
        plan.diff = { { what = "archive", before = key and key:sub(1, 12) or "absent", after = hash:sub(1, 12) } }
    end
    return plan, out
end

local function archive_here(o, env)
    if o.remote_src then return o.remote_src end
    local path = resource.must("write", env.sys.mkstemp())
    env.cleanup(function() env.sys.unlink(path) end)
    env.source(o.src):save(path, { mode = 0x180 })
    return path
end

local function apply(o, plan, env)
    local made, done = paths.make_directories(o.dest), false
    env.cleanup(function() -- the last of all: what is in them has gone before
        for i = done and 0 or #made, 1, -1 do env.sys.rmdir(made[i]) end
    end)
    local stage = unpack_archive.stage(o.dest, env)
    unpack_archive.extract(archive_here(o, env), stage, env)
    local entries = unpack_archive.entries(stage, o, env.sys)
    if #entries == 0 then resource.fail "nothing in the archive is wanted" end
    unpack_archive.move(o.dest, entries, plan.want, env)
    done = true
    record.save(plan.name, plan.key, entries, env)
    return { files = #entries }
end

return resource.define {
    name = "unarchive",
    doc = "What is in an archive is in a directory: a tar (gzip, xz, bzip2, zstd, lz4, by what the target has) or a "
        .. "zip. It is unpacked beside and moved into place, and written down in /var/lib/orrery, or "
        .. "~/.local/state/orrery: so the next run sees whether the archive, or a file of it, has changed.",
    options = {
        src = { type = "source", doc = "the archive, of the controller" },
        remote_src = { type = "path", doc = "the archive, on the target" },
        dest = { type = "path", required = true, doc = "the directory; it is made if it is not there" },
        creates = { type = "path", doc = "where there is this, all is as wanted" },
        strip = { type = "integer", default = 0, doc = "so many directories are taken away from the front of each "
            .. "path" },
        include = { type = "list", of = "string", single = true, doc = "globs: nothing else is unpacked" },
        exclude = { type = "list", of = "string", single = true, doc = "globs of what is not: see `sync`" },
        owner = attributes.options.owner, group = attributes.options.group,
    },
    subject = "dest",
    returns = { dest = "where", files = "how many files, links and directories came out of it" },
    example = [[h:unarchive { src = "dist/app-42.tar.gz", dest = "/srv/app/42", strip = 1, owner = "app" }]],
    validate = function(o)
        if (o.src and 1 or 0) + (o.remote_src and 1 or 0) ~= 1 then return "one of src and remote_src must be given" end
        if o.strip < 0 then return "strip cannot be negative" end
    end,
    check = check,
    apply = apply,
}
