--- Mode, owner and group of a file, as options have them, beside what is there.

local resource = require "orrery.play.resource"

local M = {}

--- The options.
---@type orrery.play.Schema
M.OPTIONS = {
    mode = { type = "mode", doc = "permissions: '644', '0755' or 'u=rw,go=r'; those that are there, if not given" },
    owner = { type = "owner", doc = "user, by name or number" },
    group = { type = "owner", doc = "group, by name or number" },
}

-- Who is known to a directory service only is in no file.
local function ask_getent(env, database, name)
    local ok, r = pcall(env.run, { "getent", database, tostring(name) }, { check = false })
    return ok and r.code == 0 and tonumber(r.stdout:match "^[^:]*:[^:]*:(%d+)") or nil
end

local function id_of(env, kind, name)
    if name == nil or type(name) == "number" then return name end
    local entry = kind == "user" and env.sys.user(name) or kind == "group" and env.sys.group(name)
    if entry then return kind == "user" and entry.uid or entry.gid end
    local id = ask_getent(env, kind == "user" and "passwd" or "group", name)
    if not id and not env.check_mode then resource.fail(("there is no %s '%s'"):format(kind, name)) end
    return id
end

---@class orrery.play.Attributes
---@field mode? integer
---@field uid? integer
---@field gid? integer
---@field unknown? boolean somebody is named who is not there yet

--- What options want, of what is there or will be.
---@param o table mode, owner, group
---@param st? table of sys.stat; nil: nothing is there
---@param env orrery.play.Env
---@param new_mode? integer what something new would get
---@return orrery.play.Attributes
---Raises "resource" for a name that nobody has.
function M.wanted(o, st, env, new_mode)
    local want = { uid = id_of(env, "user", o.owner), gid = id_of(env, "group", o.group) }
    want.unknown = (o.owner and not want.uid) or (o.group and not want.gid) or nil
    if o.mode then want.mode = o.mode:of(st and st.mode or new_mode or 0x1a4, st and st.type == "directory") end
    return want
end

local function octal(mode) return ("%04o"):format(mode) end

--- Appends what differs to a diff.
---@param diff table[]
---@param want orrery.play.Attributes
---@param st table
---@return table[] diff
function M.compare(diff, want, st)
    local function note(what, before, after)
        if after ~= nil and before ~= after then diff[#diff + 1] = { what = what, before = before, after = after } end
    end
    note("mode", octal(st.mode), want.mode and octal(want.mode))
    note("owner", st.uid, want.uid)
    note("group", st.gid, want.gid)
    return diff
end

--- Sets them on what is there.
---@param path string
---@param want orrery.play.Attributes
---@param st table
---@param sys table
function M.set(path, want, st, sys)
    local moved = (want.uid and want.uid ~= st.uid) or (want.gid and want.gid ~= st.gid)
    if moved then resource.must("change the owner of " .. path, sys.lchown(path, want.uid, want.gid)) end
    local mode = want.mode or (moved and st.type ~= "link" and st.mode) or nil
    if mode and st.type ~= "link" and (moved or mode ~= st.mode) then
        resource.must("change the mode of " .. path, sys.chmod(path, mode))
    end
end

return M
