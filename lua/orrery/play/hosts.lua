--- The hosts of a run: names by expression, variables, and how each is reached.

local Error = require "orrery.error"

local M = {}

---@class orrery.play.Hosts
---@field package settings orrery.play.RunSettings
local Hosts = {}
Hosts.__index = Hosts

---@param settings orrery.play.RunSettings
---@return orrery.play.Hosts
function M.open(settings)
    return setmetatable({ settings = settings }, Hosts)
end

local function expand(expression)
    if type(expression) == "table" then return expression end
    return require("orrery.cli.hosts").expand(expression)
end

--- The hosts that an expression stands for, in the inventory's order.
---@param expression string|string[]
---@param limit? string only those that are in this, too
---@return string[]
function Hosts:hosts(expression, limit)
    local only
    if limit then
        only = {}
        for _, name in ipairs(expand(limit)) do only[name] = true end
    end
    local names, seen = {}, {}
    for _, name in ipairs(expand(expression)) do
        if type(name) ~= "string" then
            Error.raise { code = "option", message = "play: option 'hosts' must be an expression, or a list of names" }
        end
        if not seen[name] and (not only or only[name]) then
            seen[name], names[#names + 1] = true, name
        end
    end
    return names
end

---@param _ string a host
---@return table<string, any>
function Hosts:vars(_) return {} end

---@param _ string a host
---@return string? password to become somebody else with
function Hosts:become_password(_) return nil end

--- Opens a host.
---@param name string
---@return orrery.Context
function Hosts:open(name)
    local settings = self.settings
    if settings.open then return settings.open(name, self:vars(name)) end
    local orrery = require "orrery"
    if name == "localhost" then return orrery.localhost() end
    local opts = { name = name }
    for key, value in pairs(settings.ssh or {}) do opts[key] = value end
    return orrery.ssh(name, opts)
end

return M
