--- Inventories as Ansible's dynamic ones print them: groups by name, and _meta.hostvars.

local json = require "orrery.json"
local Model = require "orrery.play.inventory.model"

local M = {}

---@class orrery.inventory.JsonReader
---@field model orrery.inventory.Model
---@field name string
local Reader = {}
Reader.__index = Reader

function Reader:fail(path, text) Model.fail(self.name, ("%s %s"):format(path, text)) end

local function is_array(value) return getmetatable(value) == json.Array end

local function is_object(value) return type(value) == "table" and not is_array(value) end

function Reader:names(path, list)
    if type(list) ~= "table" then self:fail(path, "must be a list of names") end
    local names = is_array(list) and list or json.keys(list)
    for i, name in ipairs(names) do
        if type(name) ~= "string" then self:fail(("%s[%d]"):format(path, i), "must be a name") end
    end
    return names
end

function Reader:set_vars(path, entity, vars)
    if vars == nil or vars == json.null then return end
    if not is_object(vars) then self:fail(path, "must be an object: variables by name") end
    for _, key in ipairs(json.keys(vars)) do Model.set(entity, key, vars[key], self.name) end
end

-- Where `hosts` is an object (as in the form that YAML inventories have), it holds their variables.
function Reader:hosts(group, path, hosts)
    for _, name in ipairs(self:names(path, hosts)) do
        local host = self.model:add_host(group, name, self.name)
        if is_object(hosts) then self:set_vars(path .. "." .. name, host, hosts[name]) end
    end
end

function Reader:children(group, path, children)
    for _, name in ipairs(self:names(path, children)) do
        self.model:add_child(group, name, self.name)
        local data = is_object(children) and children[name]
        if data and data ~= json.null then self:group(name, data, path .. "." .. name) end
    end
end

--- A group: a list of hosts, an object with hosts, vars, children, or the variables of a host of that name.
function Reader:group(name, data, path)
    path = path or name
    local group = self.model:group(name, self.name)
    if type(data) == "table" and is_array(data) then
        self:hosts(name, path, data)
    elseif not is_object(data) then
        self:fail(path, "must be a list of hosts, or an object")
    elseif data.hosts == nil and data.vars == nil and data.children == nil and next(data) then
        self:set_vars(path, self.model:add_host(name, name, self.name), data)
    else
        if data.hosts ~= nil and data.hosts ~= json.null then self:hosts(name, path .. ".hosts", data.hosts) end
        self:set_vars(path .. ".vars", group, data.vars)
        if data.children ~= nil and data.children ~= json.null then
            self:children(name, path .. ".children", data.children)
        end
    end
end

--- Takes in what was decoded.
---@param model orrery.inventory.Model
---@param data any
---@param name string what errors, and where variables come from, call it
---@return boolean complete it has the variables of its hosts: there is a _meta.hostvars
---Raises "inventory".
function M.take(model, data, name)
    local reader = setmetatable({ model = model, name = name }, Reader)
    if not is_object(data) then Model.fail(name, "an inventory is an object: groups by name") end
    for _, group in ipairs(json.keys(data)) do
        if group ~= "_meta" then reader:group(group, data[group]) end
    end
    local hostvars = is_object(data._meta) and data._meta.hostvars
    if not hostvars then return false end
    if not is_object(hostvars) then reader:fail("_meta.hostvars", "must be an object: hosts by name") end
    for _, host in ipairs(json.keys(hostvars)) do
        local path = "_meta.hostvars." .. host
        -- What is in no group is no host of the inventory, as with Ansible.
        if model.hosts[host] then reader:set_vars(path, model.hosts[host], hostvars[host]) end
    end
    return true
end

--- Reads a text.
---@param model orrery.inventory.Model
---@param text string
---@param name string
---@return boolean complete
---Raises "decode" with `line` and `column`, "inventory".
function M.read(model, text, name)
    return M.take(model, json.decode(text, { name = name, ordered = true }), name)
end

return M
