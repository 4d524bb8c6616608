--- Users and groups where the tools of shadow are not: changes in the files themselves, for systems of busybox.
--
-- The locks are those of the tools. Shadow's take /etc/passwd.lock, a link to a file that has their pid in it; busybox
-- writes /etc/passwd+ first, which must not be there.

local accounts = require "orrery.play.system.accounts"
local resource = require "orrery.play.resource"
local sched = require "orrery.sched"
local text = require "orrery.play.system.text"

local M = {}

local PATIENCE, PAUSE = 15, 0.1 -- seconds, as the tools themselves
local MODES = { ["/etc/shadow"] = 0x180, ["/etc/gshadow"] = 0x180 } -- 0600

-- A lock whose owner is gone is nobody's.
local function is_stale(env, lock)
    local pid = (env.sys.read(lock, 64) or ""):match "^%d+"
    return pid ~= nil and env.sys.stat("/proc/self") ~= nil and env.sys.stat("/proc/" .. pid) == nil
end

local function take(env, path)
    local lock, mine = path .. ".lock", ("%s.%d"):format(path, env.sys.getpid())
    resource.must("write", env.sys.write_atomic(mine, ("%d\0"):format(env.sys.getpid()), { mode = 0x180 }))
    env.cleanup(function() env.sys.unlink(mine) end)
    local waited = 0
    while not env.sys.link(mine, lock) do
        if is_stale(env, lock) then
            env.sys.unlink(lock)
        elseif waited >= PATIENCE then
            resource.fail(("cannot change %s: process %s has locked it (%s)"):format(path,
                (env.sys.read(lock, 64) or "?"):match "^%d*", lock))
        else
            sched.sleep(PAUSE)
            waited = waited + PAUSE
        end
    end
    env.sys.unlink(mine)
    return lock
end

-- busybox's own changes begin with making this name.
local function write_exclusively(env, path, content)
    local st = env.sys.stat(path)
    local beside, temporary = path .. "+", path .. ".orrery"
    local attributes = st and { mode = st.mode, uid = st.uid, gid = st.gid } or { mode = MODES[path] or 0x1a4 }
    resource.must("write", env.sys.write_atomic(temporary, content, attributes))
    local ok, why = env.sys.link(temporary, beside)
    env.sys.unlink(temporary)
    if not ok then resource.fail(("cannot change %s: somebody else is about it: %s"):format(path, why)) end
    resource.must("replace", env.sys.rename(beside, path))
end

--- Changes lines of one of these files.
---@param env orrery.play.Env
---@param path string
---@param change fun(lines: string[]): string[]?
function M.edit(env, path, change)
    local before = text.read(env, path)
    if not before then return end
    local lock = take(env, path)
    local ok, why = pcall(function()
        local after = change(text.lines(text.read(env, path)))
        if after then write_exclusively(env, path, text.join(after)) end
    end)
    env.sys.unlink(lock)
    if not ok then error(why, 0) end
end

-- Changes, or drops, the lines whose first field is a name.
local function each_named(lines, name, change)
    local kept = {}
    for _, line in ipairs(lines) do
        local fields = accounts.fields(line)
        if fields[1] == name then
            fields = change(fields)
            if fields then kept[#kept + 1] = table.concat(fields, ":") end
        else
            kept[#kept + 1] = line
        end
    end
    return kept
end

--- Sets fields of the line of a name.
---@param env orrery.play.Env
---@param path string
---@param name string
---@param values table<integer, string> by their place, from 1
function M.set(env, path, name, values)
    M.edit(env, path, function(lines)
        return each_named(lines, name, function(fields)
            for place, value in pairs(values) do fields[place] = value end
            return fields
        end)
    end)
end

--- Takes the line of a name out.
---@param env orrery.play.Env
---@param path string
---@param name string
function M.drop(env, path, name)
    M.edit(env, path, function(lines)
        return each_named(lines, name, function() return nil end)
    end)
end

--- Adds a line, if there is none of that name.
---@param env orrery.play.Env
---@param path string
---@param line string
function M.add(env, path, line)
    local name = accounts.fields(line)[1]
    M.edit(env, path, function(lines)
        for _, each in ipairs(lines) do
            if accounts.fields(each)[1] == name then return nil end
        end
        lines[#lines + 1] = line
        return lines
    end)
end

--- A number that nobody has: from the range of the kind, above those that are taken.
---@param content? string of passwd or group
---@param system? boolean
---@return integer
function M.free_id(content, system)
    local taken = {}
    for _, line in ipairs(text.lines(content)) do taken[tonumber(accounts.fields(line)[3]) or -1] = true end
    local from, to, step = 1000, 59999, 1
    if system then from, to, step = 999, 100, -1 end
    for id = from, to, step do
        if not taken[id] then return id end
    end
    resource.fail "all numbers for users and groups are taken"
end

--- Makes a list of names the members of a group.
---@param env orrery.play.Env
---@param group string
---@param change fun(members: string[]): string[]
function M.members(env, group, change)
    for path, place in pairs { ["/etc/group"] = 4, ["/etc/gshadow"] = 4 } do
        M.edit(env, path, function(lines)
            return each_named(lines, group, function(fields)
                local members = {}
                for member in (fields[place] or ""):gmatch "[^,%s]+" do members[#members + 1] = member end
                fields[place] = table.concat(change(members), ",")
                return fields
            end)
        end)
    end
end

return M
