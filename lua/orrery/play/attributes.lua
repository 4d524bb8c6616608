--- Mode and owner of a path: options, what differs, and how it is mended. For all resources that leave files behind.

local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local M = {}

--- Options to take over into a resource.
---@type orrery.play.Schema
M.options = {
    mode = { type = "mode", doc = "permissions: '644', '0644' or 'u=rw,go=r'; what is there stays without it" },
    owner = { type = "owner", doc = "name or number of a user" },
    group = { type = "owner", doc = "name or number of a group" },
}

---@class orrery.play.Attributes
---@field mode? integer
---@field uid? integer
---@field gid? integer
---@field unknown? string a user or group that there is not (yet): in check mode an earlier step would have made it

local function id_of(kind, wanted, env)
    if wanted == nil or type(wanted) == "number" then return wanted end
    local found = sys[kind](wanted)
    if found then return kind == "user" and found.uid or found.gid end
    -- Those of a directory service.
    local r = env.run({ "getent", kind == "user" and "passwd" or "group", wanted }, { check = false, live = false })
    local id = r.code == 0 and r.stdout:match "^[^:]*:[^:]*:(%d+)"
    if id then return tonumber(id) end
    if env.check_mode then return nil, wanted end
    resource.fail(("there is no %s '%s'"):format(kind, wanted))
end

-- A machine without getent has no directory service.
local function find_id(kind, wanted, env)
    local ok, id, missing = pcall(id_of, kind, wanted, env)
    if ok then return id, missing end
    if id.code ~= "command" then error(id, 0) end
    if env.check_mode then return nil, wanted end
    resource.fail(("there is no %s '%s'"):format(kind, wanted))
end

--- What the options ask for.
---@param o table with mode, owner, group
---@param env orrery.play.Env
---@param there? table what sys.stat says of what is there; nil: a new one
---@param directory? boolean
---@return orrery.play.Attributes
function M.wanted(o, env, there, directory)
    local wanted = {}
    if o.mode then wanted.mode = o.mode:of(there and there.mode or M.new_mode(directory), directory) end
    local missing_user, missing_group
    wanted.uid, missing_user = find_id("user", o.owner, env)
    wanted.gid, missing_group = find_id("group", o.group, env)
    wanted.unknown = missing_user or missing_group
    return wanted
end

--- The mode that a new thing gets from the umask.
---@param directory? boolean
---@return integer
function M.new_mode(directory) return bit.band(directory and 0x1ff or 0x1b6, bit.bnot(sys.umask())) end

local function octal(mode) return mode and ("%04o"):format(mode) end

local function name_of(kind, id)
    local found = sys[kind](id)
    return found and found.name or tostring(id)
end

--- What differs.
---@param wanted orrery.play.Attributes
---@param there? table
---@param diff? table[] to add to
---@return table[] diff empty: nothing
function M.diff(wanted, there, diff)
    diff = diff or {}
    local function add(what, before, after) diff[#diff + 1] = { what = what, before = before, after = after } end
    if wanted.mode and (not there or there.mode ~= wanted.mode) then
        add("mode", octal(there and there.mode), octal(wanted.mode))
    end
    if wanted.uid and (not there or there.uid ~= wanted.uid) then
        add("owner", there and (there.owner or tostring(there.uid)), name_of("user", wanted.uid))
    end
    if wanted.gid and (not there or there.gid ~= wanted.gid) then
        add("group", there and (there.group or tostring(there.gid)), name_of("group", wanted.gid))
    end
    if wanted.unknown then add("owner", there and there.owner, wanted.unknown) end
    return diff
end

--- Makes a path have them. The owner first, since changing it takes set-user-id bits away.
---@param path string
---@param wanted orrery.play.Attributes
---@param there? table what it has now
function M.apply(path, wanted, there)
    local uid = wanted.uid ~= (there and there.uid) and wanted.uid or nil
    local gid = wanted.gid ~= (there and there.gid) and wanted.gid or nil
    if uid or gid then resource.must("change the owner of", sys.lchown(path, uid, gid)) end
    local link = there and there.type == "link"
    if wanted.mode and not link and (uid or gid or not there or there.mode ~= wanted.mode) then
        resource.must("change the mode of", sys.chmod(path, wanted.mode))
    end
end

return M
