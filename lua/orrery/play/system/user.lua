--- How a user is made, changed and removed: by useradd and its like; else by busybox's adduser; else in the files.
--
-- Passwords go over stdin (chpasswd), or into the file; never into a command line, which everybody can read.

local accounts = require "orrery.play.system.accounts"
local edit = require "orrery.play.system.accounts_edit"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"
local user_check = require "orrery.play.system.user_check"

local M = {}

local function wants_home(o)
    if o.create_home ~= nil then return o.create_home end
    return not o.system
end

-- With the tools of shadow ------------------------------------------------------------------------

local SHADOW = {}

function SHADOW.create(o, plan, env)
    local own_group = not plan.set.gid and accounts.group(env, o.name)
    tool.must(env, "add the user " .. o.name, tool.words("useradd", o.system and "-r",
        o.uid and { "-u", o.uid }, o.non_unique and "-o",
        plan.set.gid and { "-g", plan.set.gid } or own_group and { "-g", own_group.gid },
        plan.groups and #plan.groups > 0 and { "-G", table.concat(plan.groups, ",") },
        o.home and { "-d", o.home }, o.shell and { "-s", o.shell }, o.comment and { "-c", o.comment },
        wants_home(o) and "-m" or "-M", o.name))
end

function SHADOW.change(o, plan, env)
    local set = plan.set
    local argv = tool.words("usermod", set.uid and { "-u", set.uid }, set.uid and o.non_unique and "-o",
        set.gid and { "-g", set.gid }, plan.groups and { "-G", table.concat(plan.groups, ",") },
        set.home and { "-d", set.home }, set.home and o.move_home and "-m",
        set.shell and { "-s", set.shell }, set.comment and { "-c", set.comment })
    if #argv == 1 then return end
    argv[#argv + 1] = o.name
    tool.must(env, "change the user " .. o.name, argv)
end

function SHADOW.password(o, hash, env)
    tool.must(env, "set the password of " .. o.name, { "chpasswd", "-e" }, { stdin = o.name .. ":" .. hash .. "\n" })
end

-- usermod -L puts the "!" there, and -U takes it away.
function SHADOW.lock(o, locked, env)
    tool.must(env, (locked and "lock " or "unlock ") .. o.name, { "usermod", locked and "-L" or "-U", o.name })
end

function SHADOW.expire(o, date, env)
    tool.must(env, "set when the account of " .. o.name .. " ends",
        { "usermod", "-e", date == "never" and "" or date, o.name })
end

function SHADOW.delete(o, env)
    local r = tool.run(env, tool.words("userdel", o.force and "-f", o.remove and "-r", o.name))
    -- 12: the home directory could not be removed (it may belong to somebody else, or be gone); the user is.
    if r.code ~= 0 and accounts.user(env, o.name) then
        resource.fail(("cannot remove the user %s: %s"):format(o.name, tool.reason(r)))
    elseif r.code ~= 0 then
        env.warn(("%s is removed, but: %s"):format(o.name, tool.reason(r)))
    end
end

-- In the files ------------------------------------------------------------------------------------

local FILES = {}

local PLACES = { uid = 3, gid = 4, comment = 5, home = 6, shell = 7 } -- in passwd(5)

local function fill_home(o, env, user)
    local st = env.sys.lstat(user.home)
    if st then return end
    text.make_parent(env, user.home)
    if env.sys.stat "/etc/skel" then
        tool.must(env, "make the home of " .. o.name, { "cp", "-a", "/etc/skel", user.home })
        tool.must(env, "make the home of " .. o.name, { "chown", "-R", user.uid .. ":" .. user.gid, user.home })
    else
        resource.must("create", env.sys.mkdir(user.home, 0x1ed))
        resource.must("change the owner of", env.sys.chown(user.home, user.uid, user.gid))
    end
    resource.must("change the mode of", env.sys.chmod(user.home, 0x1ed))
end

local function group_for(o, plan, env)
    if plan.set.gid then return plan.set.gid end
    local own = accounts.group(env, o.name)
    if own then return own.gid end
    local gid = edit.free_id(text.read(env, "/etc/group"), o.system)
    edit.add(env, "/etc/group", ("%s:x:%d:"):format(o.name, gid))
    edit.add(env, "/etc/gshadow", o.name .. ":!::")
    return gid
end

local function add_lines(o, plan, env)
    local user = {
        uid = o.uid or edit.free_id(text.read(env, "/etc/passwd"), o.system), gid = group_for(o, plan, env),
        home = o.home or "/home/" .. o.name, shell = o.shell or (o.system and "/sbin/nologin" or "/bin/sh"),
    }
    local today = math.floor(os.time() / 86400)
    edit.add(env, "/etc/shadow", ("%s:!:%d:0:99999:7:::"):format(o.name, today))
    edit.add(env, "/etc/passwd", ("%s:x:%d:%d:%s:%s:%s"):format(o.name, user.uid, user.gid, o.comment or "",
        user.home, user.shell))
    if wants_home(o) then fill_home(o, env, user) end
end

local function is_busybox(env)
    local path = tool.find(env, "adduser")
    return path and (env.sys.realpath(path) or ""):match "/busybox[^/]*$" ~= nil
end

function FILES.create(o, plan, env)
    if is_busybox(env) then
        local group = plan.set.gid and accounts.group(env, plan.set.gid)
        tool.must(env, "add the user " .. o.name, tool.words("adduser", "-D", not wants_home(o) and "-H",
            o.system and "-S", o.uid and { "-u", o.uid }, group and { "-G", group.name }, o.home and { "-h", o.home },
            o.shell and { "-s", o.shell }, o.comment and { "-g", o.comment }, o.name))
    else
        add_lines(o, plan, env)
    end
    FILES.groups(o, plan, env)
end

-- In each group that is new or old, and in no other line.
function FILES.groups(o, plan, env)
    for _, name in ipairs(plan.groups or {}) do
        if not text.has(plan.groups_before, name) then
            edit.members(env, name, function(members)
                if not text.has(members, o.name) then members[#members + 1] = o.name end
                return members
            end)
        end
    end
    for _, name in ipairs(plan.groups_before or {}) do
        if not text.has(plan.groups, name) then FILES.leave(env, o.name, name) end
    end
end

function FILES.leave(env, user, group)
    edit.members(env, group, function(members)
        local kept = {}
        for _, member in ipairs(members) do
            if member ~= user then kept[#kept + 1] = member end
        end
        return kept
    end)
end

local function stay() end

-- Returns what moves it back.
local function move_home(o, plan, env)
    local old, new = plan.there.home, plan.set.home
    if not new or not o.move_home or not env.sys.stat(old) or env.sys.lstat(new) then return stay end
    text.make_parent(env, new)
    tool.must(env, "move the home of " .. o.name, { "mv", old, new })
    return function() tool.run(env, { "mv", new, old }) end
end

function FILES.change(o, plan, env)
    local values = {}
    for field, place in pairs(PLACES) do
        if plan.set[field] ~= nil then values[place] = tostring(plan.set[field]) end
    end
    local back = move_home(o, plan, env)
    local ok, why = pcall(function()
        if next(values) then edit.set(env, "/etc/passwd", o.name, values) end
    end)
    if not ok then
        back()
        error(why, 0)
    end
    FILES.groups(o, plan, env)
end

function FILES.password(o, hash, env) edit.set(env, "/etc/shadow", o.name, { [2] = hash }) end

function FILES.lock(o, locked, env)
    local shadow = accounts.shadow(text.read(env, "/etc/shadow"), o.name)
    local hash = (shadow and shadow[2] or ""):gsub("^!+", "")
    edit.set(env, "/etc/shadow", o.name, { [2] = locked and "!" .. hash or hash })
end

function FILES.expire(o, date, env)
    edit.set(env, "/etc/shadow", o.name, { [8] = date == "never" and "" or tostring(user_check.days(date)) })
end

function FILES.delete(o, env)
    local user = accounts.user(env, o.name)
    local groups = accounts.groups_of(text.read(env, "/etc/group"), o.name)
    for _, group in ipairs(groups) do FILES.leave(env, o.name, group) end
    edit.drop(env, "/etc/shadow", o.name)
    edit.drop(env, "/etc/passwd", o.name)
    local own = accounts.group(env, o.name)
    if own and own.gid == user.gid and #own.members == 0 then
        edit.drop(env, "/etc/group", o.name)
        edit.drop(env, "/etc/gshadow", o.name)
    end
    -- Another's directory stays, whatever passwd(5) says.
    local st = o.remove and env.sys.lstat(user.home)
    if st and st.type == "directory" and st.uid == user.uid and user.home ~= "/" then
        tool.must(env, "remove the home of " .. o.name, { "rm", "-rf", user.home })
    end
end

-- ------------------------------------------------------------------------------------------------

local function change(how, o, plan, env)
    local list = {}
    local function add(what, wanted, fn, value)
        if wanted then list[#list + 1] = { what, function() fn(o, value, env) end } end
    end
    add("account and groups", plan.there and (next(plan.set) or plan.groups), how.change, plan)
    add("password", plan.password, how.password, plan.password)
    add("lock", plan.locked ~= nil, how.lock, plan.locked)
    add("expiry", plan.expires, how.expire, plan.expires)
    tool.steps(list)
end

-- A new user that could not be finished is none. A directory that was there before them stays.
local function create(how, o, plan, env)
    local had_home = env.sys.lstat(o.home or "/home/" .. o.name)
    how.create(o, plan, env)
    local ok, why = pcall(change, how, o, plan, env)
    if ok then return end
    pcall(how.delete, { name = o.name, remove = wants_home(o) and not had_home }, env)
    error(why, 0)
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    local shadow = tool.find(env, "useradd") and SHADOW or FILES
    if o.state == "absent" then return shadow.delete(o, env) end
    if not plan.there then create(shadow, o, plan, env) else change(shadow, o, plan, env) end
    return user_check.result_of(o, env, accounts.user(env, o.name))
end

return M
