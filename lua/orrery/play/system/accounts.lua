--- Users and groups as the files of the system have them, and as a directory service knows them.

local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

---@class orrery.play.Account
---@field name string
---@field uid integer
---@field gid integer
---@field comment string
---@field home string
---@field shell string
---@field directory? boolean a directory service has it, and no file here

---@class orrery.play.Group
---@field name string
---@field gid integer
---@field members string[]
---@field directory? boolean

--- The fields of a line of passwd, group or shadow; empty ones, too.
---@param line string
---@return string[]
function M.fields(line)
    local fields = {}
    for field in (line .. ":"):gmatch "([^:]*):" do fields[#fields + 1] = field end
    return fields
end

---@param line string of passwd(5)
---@return orrery.play.Account? account nil: it is none
function M.parse_user(line)
    local f = M.fields(line)
    if #f < 7 or not tonumber(f[3]) or not tonumber(f[4]) then return nil end
    return { name = f[1], uid = tonumber(f[3]), gid = tonumber(f[4]), comment = f[5], home = f[6], shell = f[7] }
end

---@param line string of group(5)
---@return orrery.play.Group?
function M.parse_group(line)
    local f = M.fields(line)
    if #f < 4 or not tonumber(f[3]) then return nil end
    local members = {}
    for member in f[4]:gmatch "[^,%s]+" do members[#members + 1] = member end
    return { name = f[1], gid = tonumber(f[3]), members = members }
end

--- The entry of a name, or of a number, in the text of a file.
---@param content? string
---@param parse fun(line: string): table?
---@param wanted string|integer
---@param id "uid"|"gid"
---@return table?
function M.search(content, parse, wanted, id)
    for _, line in ipairs(text.lines(content)) do
        local entry = line:sub(1, 1) ~= "#" and parse(line)
        if entry and (entry.name == wanted or entry[id] == wanted) then return entry end
    end
end

local function from_directory(env, database, wanted, parse)
    local r = tool.look(env, { "getent", database, wanted })
    local entry = r.code == 0 and parse(r.stdout:match "^[^\n]*" or "")
    if entry then entry.directory = true end
    return entry or nil
end

--- A user, of the files here or else of a directory service.
---@param env orrery.play.Env
---@param wanted string|integer name or uid
---@return orrery.play.Account?
function M.user(env, wanted)
    return M.search(text.read(env, "/etc/passwd"), M.parse_user, wanted, "uid")
        or from_directory(env, "passwd", wanted, M.parse_user)
end

---@param env orrery.play.Env
---@param wanted string|integer name or gid
---@return orrery.play.Group?
function M.group(env, wanted)
    return M.search(text.read(env, "/etc/group"), M.parse_group, wanted, "gid")
        or from_directory(env, "group", wanted, M.parse_group)
end

--- The groups of which a user is a member, besides their primary one.
---@param content? string of /etc/group
---@param name string
---@return string[] sorted
function M.groups_of(content, name)
    local groups = {}
    for _, line in ipairs(text.lines(content)) do
        local group = M.parse_group(line)
        if group and text.has(group.members, name) then groups[#groups + 1] = group.name end
    end
    table.sort(groups)
    return groups
end

--- The fields of a user in shadow(5); nil: none there.
---@param content? string of /etc/shadow
---@param name string
---@return string[]?
function M.shadow(content, name)
    for _, line in ipairs(text.lines(content)) do
        local fields = M.fields(line)
        if fields[1] == name then return fields end
    end
end

--- What is wrong with the name of a user or a group; nil: nothing.
---@param name string
---@return string?
function M.wrong_name(name)
    if name:match "^[%a_][%w_.-]*%$?$" and #name <= 32 then return nil end
    return ("'%s' is no name for a user or a group: a letter or _, then letters, digits, _ . or -, 32 at most")
        :format(name)
end

--- What would break a line of these files.
---@param what string
---@param value? string
---@return string?
function M.wrong_field(what, value)
    if value and value:find "[:%c]" then return ("option '%s' must hold no colon and no line break"):format(what) end
end

return M
