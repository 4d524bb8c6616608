--- What the resource group does: by groupadd and its like; by busybox's addgroup; in the files where there is neither.

local accounts = require "orrery.play.system.accounts"
local edit = require "orrery.play.system.accounts_edit"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local function sorted(list)
    local copy = { unpack(list or {}) }
    table.sort(copy)
    return copy
end

local function listed(list) return table.concat(sorted(list), ",") end

local function result_of(o, there)
    return { name = o.name, gid = there and there.gid or o.gid, members = there and there.members or o.members }
end

local function check_absent(o, there)
    if not there or there.directory then return nil, { name = o.name } end
    return { diff = { { what = "group", before = o.name, after = "absent" } } }, { name = o.name }
end

local function check_number(o, env, diff, there)
    if not o.gid or there and there.gid == o.gid then return end
    local other = accounts.group(env, o.gid)
    if other and not o.non_unique then
        local why = "the number %d is that of the group %s; non_unique = true allows both"
        resource.fail(why:format(o.gid, other.name))
    end
    diff[#diff + 1] = { what = "gid", before = there and tostring(there.gid), after = tostring(o.gid) }
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local there = accounts.group(env, o.name)
    if o.state == "absent" then return check_absent(o, there) end
    local diff = {}
    if there and there.directory then return nil, result_of(o, there) end
    if not there then diff[1] = { what = "group", before = "absent", after = o.name } end
    check_number(o, env, diff, there)
    if o.members and listed(o.members) ~= listed(there and there.members) then
        diff[#diff + 1] = { what = "members", before = there and listed(there.members), after = listed(o.members) }
    end
    if #diff == 0 then return nil, result_of(o, there) end
    return { diff = diff, there = there }, result_of(o, there)
end

local SHADOW = {}

function SHADOW.create(o, env)
    tool.must(env, "add the group " .. o.name, tool.words("groupadd", o.system and "-r", o.gid and { "-g", o.gid },
        o.non_unique and "-o", o.name))
end

function SHADOW.number(o, env)
    tool.must(env, "change the number of the group " .. o.name,
        tool.words("groupmod", "-g", o.gid, o.non_unique and "-o", o.name))
end

function SHADOW.members(o, env)
    tool.must(env, "set the members of the group " .. o.name, { "gpasswd", "-M", table.concat(o.members, ","), o.name })
end

function SHADOW.delete(o, env) tool.must(env, "remove the group " .. o.name, { "groupdel", o.name }) end

local FILES = {}

function FILES.create(o, env)
    if tool.find(env, "addgroup") then
        return tool.must(env, "add the group " .. o.name,
            tool.words("addgroup", o.gid and { "-g", o.gid }, o.system and "-S", o.name))
    end
    local gid = o.gid or edit.free_id(text.read(env, "/etc/group"), o.system)
    edit.add(env, "/etc/group", ("%s:x:%d:"):format(o.name, gid))
    edit.add(env, "/etc/gshadow", o.name .. ":!::")
end

function FILES.number(o, env) edit.set(env, "/etc/group", o.name, { [3] = tostring(o.gid) }) end

function FILES.members(o, env)
    edit.members(env, o.name, function() return o.members end)
end

-- busybox's delgroup and groupdel look who has it as their primary group.
function FILES.delete(o, env)
    local gid = accounts.group(env, o.name).gid
    for _, line in ipairs(text.lines(text.read(env, "/etc/passwd"))) do
        local user = accounts.parse_user(line)
        if user and user.gid == gid then
            resource.fail(("cannot remove the group %s: it is the primary group of %s"):format(o.name, user.name))
        end
    end
    edit.drop(env, "/etc/group", o.name)
    edit.drop(env, "/etc/gshadow", o.name)
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    local how = tool.find(env, "groupadd") and SHADOW or FILES
    if o.state == "absent" then return how.delete(o, env) end
    local list = {}
    if not plan.there then
        list[1] = { "group", function() how.create(o, env) end, undo = function() how.delete(o, env) end }
    end
    for _, part in ipairs(plan.diff) do
        if part.what == "gid" and plan.there then list[#list + 1] = { "gid", function() how.number(o, env) end } end
        if part.what == "members" then list[#list + 1] = { "members", function() how.members(o, env) end } end
    end
    tool.steps(list)
    local now = accounts.group(env, o.name)
    return { gid = now and now.gid, members = now and now.members }
end

return M
