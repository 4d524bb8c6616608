--- Inventories in Lua: a file that returns a table. docs/inventory.md describes it.

local Error = require "orrery.error"
local json = require "orrery.json"
local Model = require "orrery.play.inventory.model"
local nodeset = require "orrery.play.inventory.nodeset"
local options = require "orrery.options"

local M = {}

---@class orrery.inventory.LuaHost
---@field vars? table<string, any>
---@field ssh? orrery.SshOptions
---@field launch? string|table how it is reached, where that is not SSH: "local", { "podman", "pg" }, or a chain of such
---@field become? string|boolean|table the user to become: "app", true for root, { user = , method = }
---@field groups? string[] further groups that it is in

---@class orrery.inventory.LuaGroup: orrery.inventory.LuaHost
---@field hosts? (string|table<string, orrery.inventory.LuaHost>)[] names or expressions, and tables by name
---@field children? string[]

---@class orrery.inventory.LuaFile: orrery.inventory.LuaGroup what is said here is said about all hosts
---@field groups? table<string, orrery.inventory.LuaGroup>

local SAID = { vars = "table", ssh = "table", launch = "any", become = "any" }
local HOST = { groups = "table" }
local GROUP = { hosts = "table", children = "table" }
local FILE = { hosts = "table", groups = "table" }
for key, kind in pairs(SAID) do HOST[key], GROUP[key], FILE[key] = kind, kind, kind end

---@class orrery.inventory.LuaReader
---@field model orrery.inventory.Model
---@field name string
local Reader = {}
Reader.__index = Reader

function Reader:fail(path, text) Model.fail(self.name, path == "" and text or ("%s: %s"):format(path, text)) end

-- Runs a check that raises, and says in which file it was.
function Reader:checked(fn, ...)
    local ok, result = pcall(fn, ...)
    if ok then return result end
    Model.fail(self.name, Error.is(result) and result.message or tostring(result))
end

function Reader:check(path, value, schema)
    if type(value) ~= "table" then self:fail(path, "a table was expected, not a " .. type(value)) end
    return self:checked(options.check, path == "" and "inventory" or path, value, schema)
end

function Reader:expand(path, text)
    local ok, names = pcall(nodeset.expand, text)
    if not ok then self:fail(path, Error.from(names).message) end
    return names
end

-- Which options orrery.ssh takes is known there.
local function ssh_schema()
    local schema = {}
    for name in pairs(require("orrery.ssh").options) do schema[name] = "any" end
    return schema
end

-- The keys of a table that has names only, by the alphabet.
function Reader:names(path, map)
    for key in pairs(map) do
        if type(key) ~= "string" then self:fail(path, ("names were expected, not [%s]"):format(tostring(key))) end
    end
    return json.keys(map)
end

function Reader:say(path, entity, said)
    for _, key in ipairs(self:names(path .. "vars", said.vars or {})) do
        Model.set(entity, key, said.vars[key], self.name)
    end
    if said.ssh then
        self:check(path .. "ssh", said.ssh, ssh_schema())
        for _, key in ipairs(self:names(path .. "ssh", said.ssh)) do
            Model.set(entity, "ssh." .. key, said.ssh[key], self.name, true)
        end
    end
    for _, key in ipairs { "launch", "become" } do
        if said[key] ~= nil then Model.set(entity, key, said[key], self.name, true) end
    end
end

function Reader:host(path, group, text, said)
    said = self:check(path, said, HOST)
    for _, name in ipairs(self:expand(path, text)) do
        local host = self.model:add_host(group, name, self.name)
        for _, other in ipairs(said.groups or {}) do self.model:add_host(other, name, self.name) end
        self:say(path .. ".", host, said)
    end
end

function Reader:hosts(path, group, hosts)
    for i, text in ipairs(hosts) do
        local at = ("%s[%d]"):format(path, i)
        if type(text) ~= "string" then self:fail(at, "the name of a host was expected, not a " .. type(text)) end
        self:host(at, group, text, {})
    end
    local names = {}
    for name in pairs(hosts) do
        if type(name) == "string" then names[#names + 1] = name end
    end
    table.sort(names)
    for _, name in ipairs(names) do self:host(("%s.%s"):format(path, name), group, name, hosts[name]) end
end

function Reader:child(path, parent, child)
    if type(child) ~= "string" then self:fail(path, "the name of a group was expected") end
    if not self.groups[child] and not self.model.groups[child] then
        local near = options.nearest(child, json.keys(self.groups))
        self:fail(path, ("there is no group '%s'%s"):format(child,
            near and (" (did you mean '%s'?)"):format(near) or ""))
    end
    self.model:add_child(parent, child, self.name)
end

function Reader:group(name, said)
    local path = "groups." .. name
    said = self:check(path, said, GROUP)
    local group = self.model:group(name, self.name)
    self:hosts(path .. ".hosts", name, said.hosts or {})
    self:say(path .. ".", group, said)
    for i, child in ipairs(said.children or {}) do
        self:child(("%s.children[%d]"):format(path, i), name, child)
    end
end

--- Takes in a table.
---@param model orrery.inventory.Model
---@param data orrery.inventory.LuaFile
---@param name string what errors, and where variables come from, call it
---Raises "inventory".
function M.take(model, data, name)
    local reader = setmetatable({ model = model, name = name }, Reader)
    data = reader:check("", data, FILE)
    reader.groups = data.groups or {}
    reader:say("", model.groups.all, data)
    reader:hosts("hosts", "ungrouped", data.hosts or {})
    for _, group in ipairs(reader:names("groups", reader.groups)) do reader:group(group, reader.groups[group]) end
end

--- Runs a file that returns a table.
---@param path string
---@return table
---Raises "inventory".
function M.run(path)
    local chunk, problem = loadfile(path)
    if not chunk then Model.fail(nil, problem) end
    local ok, data = xpcall(chunk, Error.handler)
    if not ok then
        Error.raise { code = "inventory", message = ("%s: %s"):format(path, data.message), cause = data }
    end
    if type(data) ~= "table" then Model.fail(path, "it must return a table, not a " .. type(data)) end
    return data
end

--- Reads a file.
---@param model orrery.inventory.Model
---@param path string
function M.read(model, path) M.take(model, M.run(path), path) end

return M
