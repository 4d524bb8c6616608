--- A file gets a content: what the resources copy and template do. The new file is written beside the old one, judged,
--- and takes its place whole; nothing is left of it where that fails.

local attributes = require "orrery.play.attributes"
local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local M = {}

local MOST_TEXT = 256 * 1024 -- bytes of a file that is shown in a diff

--- Options of them.
---@type orrery.play.Schema
M.options = {
    dest = { type = "path", required = true, doc = "where; a link there is followed" },
    mode = attributes.options.mode, owner = attributes.options.owner, group = attributes.options.group,
    validate = {
        type = { "string", "list" }, doc = "a command that judges the new file, %s: it stays away if that fails",
    },
    backup = { type = "boolean", default = false, doc = "the old file stays beside it, with the time in its name" },
    force = { type = "boolean", default = true, doc = "false: a file that is there stays as it is" },
}

M.RETURNS = {
    dest = "where it is", size = "bytes", hash = "BLAKE2b-256 of the content, in hexadecimal digits",
    backup = "where the old one is",
}

--- Options of a resource: those of all, and its own.
function M.with(own)
    for name, option in pairs(M.options) do own[name] = own[name] or option end
    return own
end

local function is_text(text) return not text:sub(1, 8192):find "%z" end

local function content_diff(plan, source, there, env)
    local before = there and there.size or 0
    if env.diff and before <= MOST_TEXT and source.size <= MOST_TEXT then
        local old, new = there and sys.read(plan.path) or "", source:read()
        if is_text(old) and is_text(new) then
            return { path = plan.path, before = there and old or nil, after = new }
        end
    end
    local function bytes(n) return ("%d bytes"):format(n) end
    return { what = "content", before = there and bytes(before) or nil, after = bytes(source.size) }
end

-- Behind links, so that they stay; a directory takes the file under its own name.
local function destination(o, source)
    local path = sys.realpath(o.dest) or o.dest
    local there = paths.look(path)
    if there and there.type == "link" then -- to nowhere yet
        local target = there.target
        path = target:sub(1, 1) == "/" and target or path:gsub("[^/]*$", "") .. target
        there = paths.look(path)
    end
    if there and there.type == "directory" then
        if not source.has_name then resource.fail(o.dest .. " is a directory: say the name of the file, too") end
        path = path .. "/" .. source.name:match "[^/]*$"
        there = paths.look(path)
    end
    if there and there.type ~= "file" then
        resource.fail(("%s is a %s, and not a file"):format(path, there.type))
    end
    return path, there
end

local function new_mode(o, source)
    if o.mode then return nil end
    return source.default_mode or (source.has_name and bit.band(source.mode, 0x1ff)) or nil
end

--- Tells what differs.
---@param o table
---@param source orrery.play.Source `has_name`: it is a file of somewhere; `default_mode`: of a new file
---@param env orrery.play.Env
---@return table? plan
---@return table out
function M.check(o, source, env)
    local path, there = destination(o, source)
    local plan = { path = path, there = there, diff = {} }
    local out = { dest = path, size = source.size, hash = source.hash }
    if there and not o.force then return nil, { dest = path, size = there.size } end
    plan.wanted = attributes.wanted(o, env, there)
    if not there then plan.wanted.mode = plan.wanted.mode or new_mode(o, source) end
    plan.unknown = plan.wanted.unknown and true or nil
    if not there or not source:same_as(path) then
        plan.source = source
        plan.diff[1] = content_diff(plan, source, there, env)
    end
    attributes.diff(plan.wanted, there, plan.diff)
    return #plan.diff > 0 and plan or nil, out
end

local function words_of(validate, path)
    local words = {}
    if type(validate) == "table" then
        for i, word in ipairs(validate) do words[i] = word end
    else
        for word in validate:gmatch "%S+" do words[#words + 1] = word end
    end
    for i, word in ipairs(words) do words[i] = word:gsub("%%s", (path:gsub("%%", "%%%%"))) end
    return words
end

--- Runs the command that judges a new file.
---@param validate string|string[]
---@param path string
---@param env orrery.play.Env
---Raises "resource" with what it said.
function M.judge(validate, path, env)
    local argv = words_of(validate, path)
    local r = env.run(argv, { check = false, live = false })
    if r.code == 0 then return end
    local said = (r.stderr ~= "" and r.stderr or r.stdout):gsub("%s+$", "")
    resource.fail {
        message = ("the new file is not valid: %s ended with status %d: %s"):format(argv[1], r.code, said),
        result = { code = r.code, stdout = r.stdout, stderr = r.stderr },
    }
end

--- Keeps a file under another name, with the time in it.
---@param path string
---@return string name
function M.keep(path)
    local name = ("%s.%s~"):format(path, os.date "!%Y-%m-%dT%H:%M:%SZ")
    local st = resource.must("look at", sys.stat(path))
    local n = 1
    while sys.lstat(name) do
        n = n + 1
        name = ("%s.%s.%d~"):format(path, os.date "!%Y-%m-%dT%H:%M:%SZ", n)
    end
    local ok, err = pcall(function()
        resource.must("keep the old file as", sys.write_atomic(name, "", { mode = 0x180 }))
        resource.must("keep the old file as", sys.copy(path, name))
        resource.must("change the owner of", sys.chown(name, st.uid, st.gid))
        resource.must("change the mode of", sys.chmod(name, st.mode))
    end)
    if ok then return name end
    sys.unlink(name)
    error(err, 0)
end

-- An owner that it has by itself is not set, which only root may.
local function attributes_for(plan)
    local wanted, there = plan.wanted, plan.there
    local uid = wanted.uid or there and there.uid
    local gid = wanted.gid or there and there.gid
    return {
        mode = wanted.mode or there and there.mode, uid = uid ~= sys.getuid() and uid or wanted.uid,
        gid = gid ~= sys.getgid() and gid or wanted.gid,
    }
end

--- Mends it.
---@param o table
---@param plan table of M.check
---@param env orrery.play.Env
---@return table out
function M.apply(o, plan, env)
    local out = {}
    if not plan.source then
        attributes.apply(plan.path, plan.wanted, plan.there)
        return out
    end
    local path = plan.path
    if o.validate then
        path = resource.must("write", sys.mkstemp((plan.path:gsub("[^/]*$", ".orrery-"))))
        env.cleanup(function() sys.unlink(path) end)
    end
    if not o.validate then out.backup = o.backup and plan.there and M.keep(plan.path) or nil end
    plan.source:save(path, attributes_for(plan))
    if not o.validate then return out end
    M.judge(o.validate, path, env)
    out.backup = o.backup and plan.there and M.keep(plan.path) or nil
    resource.must("replace", sys.rename(path, plan.path))
    return out
end

return M
