--- What the resource authorized_key does.
--
-- The home directory belongs to its user, who may be hostile: may have put links, pipes or foreign files there, and may
-- exchange them at any moment. So all that is done there is done with this user's rights, see sys.as, and what is found
-- is neither waited for nor believed to be small.

local accounts = require "orrery.play.system.accounts"
local keys = require "orrery.play.system.keys"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"

local M = {}

local LIMIT = 1024 * 1024 -- bytes
local DIRECTORY_MODE, FILE_MODE, SYSTEM_MODE = 0x1c0, 0x180, 0x1a4 -- 0700, 0600, 0644

-- Where the file is, and whose: what is not in the home is the administrator's.
local function place(o, user)
    local home = user.home:gsub("/+$", "") .. "/"
    local path = o.path or home .. ".ssh/authorized_keys"
    local inside = path:sub(1, #home) == home
    return { path = path, directory = path:match "^(.*)/", inside = inside, mode = inside and FILE_MODE or SYSTEM_MODE }
end

-- A place outside of the home is written with this process's rights, so nobody else may be able to put a link there.
local function check_safe(env, at)
    local directory = env.sys.realpath(at.directory) or at.directory
    repeat
        local st = env.sys.stat(directory)
        local foreign = st and st.uid ~= 0 and st.uid ~= env.sys.getuid()
        if foreign or st and bit.band(st.mode, 0x12) ~= 0 and bit.band(st.mode, 0x200) == 0 then
            resource.fail(("%s: others than root can write to %s, so what is in it is not to be trusted")
                :format(at.path, directory))
        end
        directory = directory:match "^(.+)/[^/]*$"
    until not directory
end

-- Runs a function with the rights that are right there. It returns nil and why, as those of sys do.
local function there(env, user, at, fn)
    if not at.inside then return fn() end
    return env.sys.as(user.uid, user.gid, fn)
end

local function octal(mode) return ("%04o"):format(mode) end

-- What is at the place. A table with `why` where that cannot be told.
local function look(env, user, at)
    return there(env, user, at, function()
        local found = { directory = env.sys.lstat(at.directory), file = env.sys.lstat(at.path) }
        if not found.file or found.file.type ~= "file" then return found end
        local code
        found.content, found.why, code = env.sys.read(at.path, LIMIT)
        if code == "EFBIG" then found.why = at.path .. ": it is larger than a list of keys can be" end
        return found
    end)
end

-- What must not be followed, and what the user's rights could not mend.
local function refuse(at, user, found)
    local file, directory = found.file, found.directory
    if found.why then resource.fail("cannot read " .. found.why) end
    if at.inside and directory and directory.type ~= "directory" then
        resource.fail(("%s is a %s, and is not followed"):format(at.directory, directory.type))
    end
    if file and file.type ~= "file" then
        resource.fail(("%s is a %s, and is neither followed nor replaced"):format(at.path, file.type))
    end
    if at.inside and directory and directory.uid ~= user.uid then
        resource.fail(("%s belongs to %s, and not to %s"):format(at.directory, directory.owner or directory.uid,
            user.name))
    end
end

local function count(lines)
    local n = 0
    for _, line in ipairs(lines) do
        if keys.parse(line) then n = n + 1 end
    end
    return n
end

local function compare(o, at, user, found)
    local lines = text.lines(found.content)
    local after = text.join(keys.merge(lines, keys.wanted(o), o))
    local plan = { diff = {}, at = at, user = user, after = after, before = found.content }
    local function add(part) plan.diff[#plan.diff + 1] = part end
    if text.join(lines) ~= after then add(text.diff(at.path, found.content, after)) end
    local wanted_there = after ~= "" or found.file
    if at.inside and found.directory and found.directory.mode ~= DIRECTORY_MODE and wanted_there then
        add { what = "mode of " .. at.directory, before = octal(found.directory.mode), after = octal(DIRECTORY_MODE) }
    end
    local file = found.file
    if file and file.mode ~= at.mode then add { what = "mode", before = octal(file.mode), after = octal(at.mode) } end
    local uid = at.inside and user.uid or 0
    if file and file.uid ~= uid then
        add { what = "owner", before = file.owner or tostring(file.uid), after = at.inside and user.name or "root" }
    end
    return #plan.diff > 0 and plan or nil, { path = at.path, user = user.name, keys = count(text.lines(after)) }
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local user = accounts.user(env, o.user)
    if not user then
        if not env.check_mode and o.state == "present" then resource.fail(("there is no user '%s'"):format(o.user)) end
        if o.state == "absent" then return nil, { user = o.user } end
        return { unknown = true, message = ("there is no user '%s' yet"):format(o.user) }, { user = o.user }
    end
    local at = place(o, user)
    if at.inside and not env.sys.stat(user.home) and o.state == "present" then
        resource.fail(("the home of %s, %s, is not there"):format(user.name, user.home))
    end
    if not at.inside then check_safe(env, at) end
    local found = resource.must("act as " .. user.name .. " with", look(env, user, at))
    refuse(at, user, found)
    return compare(o, at, user, found)
end

-- One after the other; the first that fails ends it.
local function write(env, at, plan)
    local sys = env.sys
    local directory = sys.lstat(at.directory)
    if not directory then
        local ok, why = sys.mkdir(at.directory, at.inside and DIRECTORY_MODE or 0x1ed)
        if not ok then return nil, why end
    elseif at.inside and directory.mode ~= DIRECTORY_MODE then
        local ok, why = sys.chmod(at.directory, DIRECTORY_MODE)
        if not ok then return nil, why end
    end
    return sys.write_atomic(at.path, plan.after, { mode = at.mode })
end

---@param _ table
---@param plan table
---@param env orrery.play.Env
function M.apply(_, plan, env)
    local ok, why = there(env, plan.user, plan.at, function() return write(env, plan.at, plan) end)
    if not ok then
        resource.fail(("cannot write the keys of %s, with their rights: %s"):format(plan.user.name, tostring(why)))
    end
end

return M
