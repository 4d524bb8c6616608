--- Inventories: which hosts there are, in which groups, what is known of them, and how they are reached.
--
--     local inventory = require "orrery.play.inventory"
--     local inv = inventory.load { "hosts.ini", "clouds/" }
--     for _, name in ipairs(inv:expand "@web!web3") do print(name, inv:vars(name).http_port) end
--
-- docs/inventory.md has the forms of sources, the order in which variables win, and the algebra.

local connection = require "orrery.play.inventory.connection"
local Error = require "orrery.error"
local json = require "orrery.json"
local Model = require "orrery.play.inventory.model"
local nodeset = require "orrery.play.inventory.nodeset"
local options = require "orrery.options"
local sources = require "orrery.play.inventory.sources"
local sys = require "orrery.sys"

local M = {}

---@class orrery.Inventory
---@field model orrery.inventory.Model
---@field sources (string|table)[]
---@field private alone table<string, orrery.Inventory> each source as an inventory of its own, by name
local Inventory = {}
Inventory.__index = Inventory

local LOAD = { vars_dirs = "table" }

---@class orrery.inventory.LoadOptions
---@field vars_dirs? string[] further directories with group_vars and host_vars, which win: that of a playbook

--- Reads an inventory.
---@param list string|table|(string|table)[] sources: paths, "KIND:PATH", "host1,host2", tables as Lua files return
---@param opts? orrery.inventory.LoadOptions
---@return orrery.Inventory
---Raises "inventory" and "decode", with the file, the line and the cause.
function M.load(list, opts)
    opts = options.check("inventory.load", opts, LOAD)
    if type(list) == "string" or (type(list) == "table" and #list == 0 and next(list)) then list = { list } end
    local model = Model.new()
    for _, source in ipairs(list) do sources.read(model, source) end
    model:finish()
    local seen = {}
    local function read_vars(directory)
        if directory and not seen[directory] then
            seen[directory] = true
            sources.read_vars(model, directory)
        end
    end
    for _, source in ipairs(list) do read_vars(sources.directory_of(source)) end
    for _, directory in ipairs(opts.vars_dirs or {}) do read_vars(directory) end
    return setmetatable({ model = model, sources = list, alone = {} }, Inventory)
end
options.declare(M.load, LOAD, 2)

--- The sources that are meant where none is given: those of $ORRERY_INVENTORY (paths with a colon between them, or a
--- single source of another kind), else what lies next to a playbook: inventory.lua, .ini, .json, or a directory.
---@param directory? string the playbook's
---@return string[] sources may be empty
function M.default(directory)
    local set = os.getenv "ORRERY_INVENTORY"
    if set and set ~= "" then
        if set:find "," then return { set } end
        local list = {}
        for path in set:gmatch "[^:]+" do list[#list + 1] = path end
        return list
    end
    for _, name in ipairs(directory and { "inventory.lua", "inventory.ini", "inventory.json", "inventory" } or {}) do
        local path = directory .. "/" .. name
        if sys.stat(path) then return { path } end
    end
    return {}
end

-- Hosts and groups -----------------------------------------------------------------------------------

--- The names of all hosts, in the order of the sources.
---@return string[]
function Inventory:hosts() return Model.copy(self.model.host_names) end

--- The names of all groups, "all" and "ungrouped" first.
---@return string[]
function Inventory:groups() return Model.copy(self.model.group_names) end

--- The hosts of a group and of those below it.
---@param group string
---@return string[]? nil: there is no such group
function Inventory:members(group) return self.model:members(group) end

---@param name string
---@return boolean
function Inventory:has(name) return self.model.hosts[name] ~= nil end

local function get_host(self, name)
    local host = self.model.hosts[name]
    if host then return host end
    local near = options.nearest(tostring(name), self.model.host_names)
    Error.raise {
        code = "inventory", at = Error.at(),
        message = ("there is no host '%s' in the inventory%s"):format(tostring(name),
            near and (" (did you mean '%s'?)"):format(near) or ""),
    }
end

--- The groups that a host is in, directly or by their children; "all" is left out.
---@param name string
---@return string[] sorted
---Raises "inventory" where there is no such host.
function Inventory:groups_of(name)
    local names = {}
    for _, group in ipairs(self.model:groups_of(get_host(self, name))) do
        if group.name ~= "all" then names[#names + 1] = group.name end
    end
    table.sort(names)
    return names
end

-- A source of this inventory as one of its own.
local function alone(self, name)
    if self.alone[name] == nil then
        local found = {}
        for _, source in ipairs(self.sources) do
            if sources.name_of(source) == name then found[#found + 1] = source end
        end
        self.alone[name] = found[1] ~= nil and M.load(found)
    end
    return self.alone[name] or nil
end

--- What expressions ask for groups and hosts.
---@return orrery.nodeset.Resolver
function Inventory:resolver()
    local function of(source)
        if source then return alone(self, source) end
        return self
    end
    return {
        group = function(name, source)
            local inv = of(source)
            return inv and inv.model:members(name)
        end,
        all = function(source)
            local inv = of(source)
            return inv and inv:hosts()
        end,
        groups = function() return self:groups() end,
    }
end

--- The hosts that an expression stands for.
---@param text string "web[1-20],@db!db3&@rack2"
---@return string[]
---Raises "inventory".
function Inventory:expand(text)
    return nodeset.expand(text, { resolver = self:resolver(), lenient = true })
end

--- The short way to write names: "web[1-17]".
---@param names string[]
---@return string
function Inventory.fold(_, names) return nodeset.fold(names) end

-- Variables ------------------------------------------------------------------------------------------

-- All that is said about a host, what wins last, each with whose it is.
local function settings_of(self, name)
    local host, list = get_host(self, name), {}
    local function add(entity, whose)
        for _, setting in ipairs(entity.settings) do list[#list + 1] = { setting, whose } end
    end
    for _, group in ipairs(self.model:groups_of(host)) do add(group, "group " .. group.name) end
    add(host, "host " .. name)
    return list
end

--- The variables of a host.
---@param name string
---@param nulls? boolean keep json.null for what a source says is nothing; else it is nil
---@return table<string, any> a table of its own; what is in it is shared
---Raises "inventory" where there is no such host.
function Inventory:vars(name, nulls)
    local vars = {}
    for _, each in ipairs(settings_of(self, name)) do
        local setting = each[1]
        if not setting.option then
            local value = setting.value
            if value == json.null and not nulls then value = nil end
            vars[setting.key] = value
        end
    end
    vars.ansible_group_priority = nil
    return vars
end

---@class orrery.inventory.Reason
---@field key string a variable; "ssh.port", "launch", "become" where it is about the connection
---@field value any
---@field whose string "host web1", "group web"
---@field from string "hosts.ini:12"
---@field wins boolean

--- Why the variables of a host are what they are.
---@param name string
---@return orrery.inventory.Reason[] by key; for each what wins first, and then what it wins over, the nearest first
---Raises "inventory" where there is no such host.
function Inventory:why(name)
    local by_key, keys = {}, {}
    for order, each in ipairs(settings_of(self, name)) do
        local setting, whose = each[1], each[2]
        if not by_key[setting.key] then
            by_key[setting.key], keys[#keys + 1] = {}, setting.key
        end
        table.insert(by_key[setting.key], {
            key = setting.key, value = setting.value, whose = whose, from = setting.from, order = order,
        })
    end
    table.sort(keys)
    local reasons = {}
    for _, key in ipairs(keys) do
        local list = by_key[key]
        for i = #list, 1, -1 do
            local each = list[i]
            each.wins, each.order = i == #list, nil
            reasons[#reasons + 1] = each
        end
    end
    return reasons
end

-- Connections ----------------------------------------------------------------------------------------

--- How a host is reached.
---@param name string
---@return orrery.inventory.Connection
---Raises "inventory".
function Inventory:connection(name)
    local settings = {}
    for i, each in ipairs(settings_of(self, name)) do settings[i] = each[1] end
    return connection.resolve(name, settings)
end

--- Opens a context on a host, as the inventory says how.
---@param name string
---@param more? orrery.SshOptions for its last link, which win
---@return orrery.Context
---Raises "inventory", and what opening raises.
function Inventory:open(name, more)
    return connection.open(self:connection(name), name, more)
end

return M
