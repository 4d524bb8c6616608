--- What an inventory is made of: hosts, groups, and what was set for them where. The readers of the sources fill it in;
--- `orrery.play.inventory` answers questions about it.

local Error = require "orrery.error"

local M = {}

---@class orrery.inventory.Setting one thing that was said about a host or a group
---@field key string
---@field value any json.null where a source says that it is nothing
---@field from string "hosts.ini:12"
---@field option? boolean it is about the connection (ssh, launch, become), and no variable

---@class orrery.inventory.Entity
---@field kind "host"|"group"
---@field name string
---@field settings orrery.inventory.Setting[] in the order in which they were read: later ones win

---@class orrery.inventory.Group: orrery.inventory.Entity
---@field hosts string[] its own, not those of its children
---@field children string[]
---@field parents string[]
---@field has table<string, true> which hosts and children it has; children with a @ in front
---@field depth integer 0 for "all"
---@field priority number among groups of the same depth

---@class orrery.inventory.Host: orrery.inventory.Entity
---@field groups string[] those that name it

---@class orrery.inventory.Model
---@field host_names string[] in the order in which they were read
---@field hosts table<string, orrery.inventory.Host>
---@field group_names string[]
---@field groups table<string, orrery.inventory.Group>
local Model = {}
Model.__index = Model

--- The error of whoever reads a source.
---@param from string? "hosts.ini:12"
---@param text string
function M.fail(from, text)
    Error.raise { code = "inventory", message = (from and from .. ": " or "") .. text }
end

--- A list of its own. (unpack has a limit that inventories are beyond.)
---@param list string[]
---@return string[]
function M.copy(list)
    local copy = {}
    for i, each in ipairs(list) do copy[i] = each end
    return copy
end

---@return orrery.inventory.Model
function M.new()
    local model = setmetatable({ host_names = {}, hosts = {}, group_names = {}, groups = {} }, Model)
    model:group "all"
    model:group "ungrouped"
    model:add_child("all", "ungrouped")
    return model
end

local function check_name(kind, name, from)
    if type(name) ~= "string" or name == "" then M.fail(from, ("a %s needs a name"):format(kind)) end
    local bad = name:find("[%s%c]") or name:find("^[%-@]")
    if kind == "group" then bad = bad or name:find("[:,!&^*?%[%]]") end
    if bad then M.fail(from, ("'%s' is no name of a %s"):format(name, kind)) end
end

--- The group of that name, made if it is not there.
---@param name string
---@param from? string for the error
---@return orrery.inventory.Group
function Model:group(name, from)
    local group = self.groups[name]
    if group then return group end
    check_name("group", name, from)
    group = {
        kind = "group", name = name, settings = {}, hosts = {}, children = {}, parents = {}, has = {},
        depth = 0, priority = 1,
    }
    self.groups[name] = group
    table.insert(self.group_names, name)
    return group
end

--- The host of that name, made if it is not there.
---@param name string
---@param from? string
---@return orrery.inventory.Host
function Model:host(name, from)
    local host = self.hosts[name]
    if host then return host end
    check_name("host", name, from)
    host = { kind = "host", name = name, settings = {}, groups = {} }
    self.hosts[name] = host
    table.insert(self.host_names, name)
    return host
end

--- Puts a host into a group.
---@param group string
---@param name string
---@param from? string
---@return orrery.inventory.Host
function Model:add_host(group, name, from)
    local host, of = self:host(name, from), self:group(group, from)
    if not of.has[name] then
        of.has[name] = true
        table.insert(of.hosts, name)
        table.insert(host.groups, group)
    end
    return host
end

local function reaches(self, from, to)
    if from == to then return true end
    for _, child in ipairs(self.groups[from].children) do
        if reaches(self, child, to) then return true end
    end
    return false
end

--- Puts a group into another one.
---@param parent string
---@param child string
---@param from? string
---Raises "inventory" where that would be a loop.
function Model:add_child(parent, child, from)
    local above, below = self:group(parent, from), self:group(child, from)
    if above.has["@" .. child] then return end
    if reaches(self, child, parent) then
        M.fail(from, parent == child and ("group '%s' cannot be its own child"):format(child)
            or ("group '%s' cannot be a child of '%s', which is below it"):format(child, parent))
    end
    above.has["@" .. child] = true
    table.insert(above.children, child)
    table.insert(below.parents, parent)
end

--- Says something about a host or a group.
---@param entity orrery.inventory.Entity
---@param key string
---@param value any
---@param from string
---@param option? boolean
function M.set(entity, key, value, from, option)
    table.insert(entity.settings, { key = key, value = value, from = from, option = option })
    if entity.kind == "group" and key == "ansible_group_priority" then
        entity.priority = tonumber(value) or M.fail(from, "ansible_group_priority must be a number")
    end
end

local function depth_of(self, name, known)
    if not known[name] then
        local depth = 0
        for _, parent in ipairs(self.groups[name].parents) do
            depth = math.max(depth, depth_of(self, parent, known) + 1)
        end
        known[name] = depth
    end
    return known[name]
end

local function remove(list, value)
    for i, each in ipairs(list) do
        if each == value then return table.remove(list, i) end
    end
end

-- A host is in "ungrouped" as long as no group but "all" has it.
local function sort_ungrouped(self)
    local ungrouped = self.groups.ungrouped
    for _, name in ipairs(self.host_names) do
        local host, grouped = self.hosts[name], false
        for _, group in ipairs(host.groups) do grouped = grouped or group ~= "all" and group ~= "ungrouped" end
        if not grouped then
            self:add_host("ungrouped", name)
        elseif ungrouped.has[name] then
            ungrouped.has[name] = nil
            remove(ungrouped.hosts, name)
            remove(host.groups, "ungrouped")
        end
    end
end

--- Puts in order what can only be known when all sources have been read.
function Model:finish()
    for _, name in ipairs(self.group_names) do
        if name ~= "all" and #self.groups[name].parents == 0 then self:add_child("all", name) end
    end
    sort_ungrouped(self)
    local known = {}
    for _, name in ipairs(self.group_names) do self.groups[name].depth = depth_of(self, name, known) end
end

local function add_ancestors(self, name, seen, list)
    if seen[name] then return end
    seen[name] = true
    list[#list + 1] = self.groups[name]
    for _, parent in ipairs(self.groups[name].parents) do add_ancestors(self, parent, seen, list) end
end

--- The groups of a host, those of its groups included: the order in which what they set is applied.
---@param host orrery.inventory.Host
---@return orrery.inventory.Group[] "all" first, then by depth, priority and name
function Model:groups_of(host)
    local list, seen = {}, {}
    add_ancestors(self, "all", seen, list)
    for _, name in ipairs(host.groups) do add_ancestors(self, name, seen, list) end
    table.sort(list, function(a, b)
        if a.depth ~= b.depth then return a.depth < b.depth end
        if a.priority ~= b.priority then return a.priority < b.priority end
        return a.name < b.name
    end)
    return list
end

local function add_members(self, name, seen, list)
    local group = self.groups[name]
    if seen["@" .. name] then return end
    seen["@" .. name] = true
    for _, host in ipairs(group.hosts) do
        if not seen[host] then
            seen[host] = true
            list[#list + 1] = host
        end
    end
    for _, child in ipairs(group.children) do add_members(self, child, seen, list) end
end

--- The hosts of a group and of all below it, in the order of the inventory.
---@param name string
---@return string[]? hosts nil: there is no such group
function Model:members(name)
    if not self.groups[name] then return nil end
    if name == "all" then return M.copy(self.host_names) end
    local seen, list = {}, {}
    add_members(self, name, seen, list)
    local ordered = {}
    for _, host in ipairs(self.host_names) do
        if seen[host] then ordered[#ordered + 1] = host end
    end
    return ordered
end

return M
