--- The hosts of a run: names by expression, variables, and how each is reached. An inventory, where there is one; else
--- every name is a host that ssh may know.

local Error = require "orrery.error"

local M = {}

---@class orrery.play.Hosts
---@field package settings orrery.play.RunSettings
---@field package inventory? orrery.Inventory
local Hosts = {}
Hosts.__index = Hosts

local function directory(path)
    if not path or path == "-" then return nil end
    return path:match "^(.*)/[^/]*$" or "."
end

---@param settings orrery.play.RunSettings
---@return orrery.play.Hosts
---Raises "inventory".
function M.open(settings)
    local inventory, dir = require "orrery.play.inventory", directory(settings.playbook)
    local list = settings.inventory or inventory.default(dir)
    local self = setmetatable({ settings = settings, sources = list }, Hosts)
    if #list > 0 or next(list) then self.inventory = inventory.load(list, { vars_dirs = dir and { dir } or nil }) end
    return self
end

--- What tells this inventory from others of the same playbook.
---@return string
function Hosts:id()
    local names = {}
    for i, source in ipairs(self.sources) do names[i] = tostring(type(source) == "string" and source or "table") end
    return table.concat(names, " ")
end

local function text_of(expression, what)
    if type(expression) == "string" then return expression end
    for _, name in ipairs(expression) do
        if type(name) ~= "string" then
            local message = ("play: option '%s' must be text, or a list of names"):format(what)
            Error.raise { code = "option", message = message }
        end
    end
    return table.concat(expression, ",")
end

local function expand(self, expression, what)
    local text = text_of(expression, what)
    if text == "" then return {} end
    if self.inventory then return self.inventory:expand(text) end
    return require("orrery.play.inventory.nodeset").expand(text, { lenient = true })
end

-- A slip in a host's name must not leave it out in silence.
local function check_known(self, names)
    if not self.inventory then return end
    for _, name in ipairs(names) do
        if name ~= "localhost" and not self.inventory:has(name) then
            Error.raise { code = "inventory", message = ("there is no host '%s' in the inventory"):format(name) }
        end
    end
end

--- The hosts that an expression stands for, each once.
---@param expression string|string[]
---@param limit? string only those that are in this, too
---@return string[]
---Raises "inventory", "option".
function Hosts:hosts(expression, limit)
    local only
    if limit then
        only = {}
        local limited = expand(self, limit, "limit")
        check_known(self, limited)
        for _, name in ipairs(limited) do only[name] = true end
    end
    local names, seen, all = {}, {}, expand(self, expression, "hosts")
    check_known(self, all)
    for _, name in ipairs(all) do
        if not seen[name] and (not only or only[name]) then
            seen[name], names[#names + 1] = true, name
        end
    end
    return names
end

function Hosts:has(name) return self.inventory ~= nil and self.inventory:has(name) end

---@param name string
---@return table<string, any> a table of its own
function Hosts:vars(name)
    return self:has(name) and self.inventory:vars(name) or {}
end

--- What the inventory says about becoming somebody else.
---@param name string
---@return { enabled?: boolean, user?: string, method?: string, password?: any }
function Hosts:become(name)
    return self:has(name) and self.inventory:connection(name).become or {}
end

--- Opens a host.
---@param name string
---@return orrery.Context
---@return boolean? borrowed it is not this run's to close
function Hosts:open(name)
    local settings = self.settings
    if settings.open then
        local ctx = settings.open(name, self:vars(name))
        if ctx then return ctx, true end
    end
    if self:has(name) then return self.inventory:open(name, settings.ssh) end
    local orrery = require "orrery"
    if name == "localhost" then return orrery.localhost() end
    local opts = { name = name }
    for key, value in pairs(settings.ssh or {}) do opts[key] = value end
    return orrery.ssh(name, opts)
end

return M
