--- What differs of a user.

local accounts = require "orrery.play.system.accounts"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"

local M = {}

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    local date = o.expires
    if date and date ~= "never" and not date:match "^%d%d%d%d%-%d%d%-%d%d$" then
        return "option 'expires' must be a day such as '2030-12-31', or 'never'"
    end
    return accounts.wrong_name(o.name) or accounts.wrong_field("comment", o.comment)
        or accounts.wrong_field("home", o.home) or accounts.wrong_field("shell", o.shell)
        or type(o.password) == "string" and accounts.wrong_field("password", o.password) or nil
end

--- Days since 1970 of a date, as shadow(5) counts.
---@param date string "2030-12-31"
---@return integer
function M.days(date)
    local y, m, d = date:match "^(%d+)%-(%d+)%-(%d+)$"
    y, m, d = tonumber(y), tonumber(m), tonumber(d)
    if m <= 2 then y, m = y - 1, m + 12 end
    local leaps = math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
    return 365 * y + leaps + math.floor((153 * (m - 3) + 2) / 5) + d - 719469
end

local function date_of(days)
    days = tonumber(days)
    return days and os.date("!%Y-%m-%d", days * 86400) or "never"
end

-- In check mode an earlier step would have made the group.
local function primary_group(o, env, plan)
    if not o.group then return nil end
    local group = accounts.group(env, o.group)
    if not group and type(o.group) == "number" then return o.group end
    if not group and not env.check_mode then resource.fail(("there is no group '%s'"):format(o.group)) end
    if not group then plan.unknown = true end
    return group and group.gid
end

local function check_groups(o, env, there, plan, add)
    if not o.groups then return end
    local wanted, now = {}, there and accounts.groups_of(text.read(env, "/etc/group"), o.name) or {}
    for _, name in ipairs(o.groups) do
        if not accounts.group(env, name) then
            if not env.check_mode then resource.fail(("there is no group '%s'"):format(name)) end
            plan.unknown = true
        end
        if not text.has(wanted, name) then wanted[#wanted + 1] = name end
    end
    if o.append then
        for _, name in ipairs(now) do
            if not text.has(wanted, name) then wanted[#wanted + 1] = name end
        end
    end
    table.sort(wanted)
    local before, after = table.concat(now, ","), table.concat(wanted, ",")
    if before ~= after then
        add("groups", before, after)
        plan.groups, plan.groups_before = wanted, now
    end
end

-- The hash of a locked one is kept behind the "!".
local function check_password(o, there, shadow, plan, add)
    local now = shadow and shadow[2] or ""
    local locked = now:sub(1, 1) == "!"
    local hash = now:gsub("^!+", "")
    if o.password and hash ~= o.password then
        add("password", there and "(the old one)", "(the new one)")
        plan.password = o.password
    end
    if o.locked ~= nil and there and o.locked ~= locked then
        if not o.locked and hash == "" and not o.password then
            resource.fail(("%s has no password, and unlocked could log in without one; give a password"):format(o.name))
        end
        add("locked", tostring(locked), tostring(o.locked))
        plan.locked = o.locked
    elseif o.locked and (not there or plan.password) then
        plan.locked = true
    end
end

local function check_expiry(o, shadow, plan, add)
    if not o.expires then return end
    local now = date_of(shadow and shadow[8])
    if now ~= o.expires then
        add("expires", shadow and now, o.expires)
        plan.expires = o.expires
    end
end

local FIELDS = { "uid", "home", "shell", "comment" }

local function check_fields(o, env, there, plan, add)
    for _, field in ipairs(FIELDS) do
        if o[field] ~= nil and not (there and there[field] == o[field]) then
            add(field, there and tostring(there[field]), tostring(o[field]))
            plan.set[field] = o[field]
        end
    end
    local other = plan.set.uid and not o.non_unique and accounts.user(env, o.uid)
    if other and other.name ~= o.name then
        resource.fail(("the number %d is that of the user %s; non_unique = true allows both"):format(o.uid, other.name))
    end
    local gid = primary_group(o, env, plan)
    if gid and not (there and there.gid == gid) or plan.unknown then
        add("group", there and tostring(there.gid), tostring(o.group))
        plan.set.gid = gid
    end
end

local function result_of(o, env, there)
    if not there then return { name = o.name } end
    return {
        name = o.name, uid = there.uid, gid = there.gid, home = there.home, shell = there.shell,
        groups = accounts.groups_of(text.read(env, "/etc/group"), o.name),
    }
end
M.result_of = result_of

local function check_absent(o, there)
    if not there or there.directory then return nil, { name = o.name } end
    return { diff = { { what = "user", before = o.name, after = "absent" } }, there = there }, { name = o.name }
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local there = accounts.user(env, o.name)
    if o.state == "absent" then return check_absent(o, there) end
    if there and there.directory then
        resource.fail(("%s is a user of a directory service, which has to be asked for changes"):format(o.name))
    end
    local plan = { diff = {}, set = {}, there = there }
    local function add(what, before, after)
        plan.diff[#plan.diff + 1] = { what = what, before = before, after = after }
    end
    if not there then add("user", "absent", o.name) end
    check_fields(o, env, there, plan, add)
    check_groups(o, env, there, plan, add)
    if o.password or o.locked ~= nil or o.expires then
        local shadow = there and accounts.shadow(text.read(env, "/etc/shadow"), o.name)
        check_password(o, there, shadow, plan, add)
        check_expiry(o, shadow, plan, add)
    end
    if #plan.diff == 0 then return nil, result_of(o, env, there) end
    return plan, result_of(o, env, there)
end

return M
