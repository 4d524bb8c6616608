--- Sources of inventories: what each is, and what is found in a directory.

local json = require "orrery.json"
local Model = require "orrery.play.inventory.model"
require "orrery.core" -- it brings orrery.sys along
local sys = require "orrery.sys"

local M = {}

local YAML = ": YAML is not read. Write a program beside it, and name that one as the inventory:\n"
    .. "    #!/bin/sh\n    exec ansible-inventory -i %s --list --export"

local function fail_yaml(path) Model.fail(path, "this is YAML" .. YAML:format(path)) end

local function content(path)
    local text, why = sys.read(path)
    if not text then Model.fail(nil, "cannot read the inventory: " .. why) end
    return text
end

-- Which kind it is -----------------------------------------------------------------------------------

---@type table<string, fun(model: orrery.inventory.Model, where: string)> by the word in front of a source
local kinds = {}

function kinds.ini(model, path) require("orrery.play.inventory.ini").read(model, content(path), path) end

function kinds.json(model, path) require("orrery.play.inventory.json").read(model, content(path), path) end

function kinds.lua(model, path) require("orrery.play.inventory.lua").read(model, path) end

function kinds.script(model, path) require("orrery.play.inventory.script").read(model, path) end

kinds["ssh-config"] = function(model, path)
    require("orrery.play.inventory.ssh_config").read(model, path ~= "" and path or nil)
end

function kinds.hosts(model, text)
    local nodeset = require "orrery.play.inventory.nodeset"
    for _, name in ipairs(nodeset.expand(text, { lenient = true })) do model:add_host("ungrouped", name, text) end
end

-- What looks like YAML at its first line that says something: "---", "all:".
local function looks_like_yaml(text)
    for line in text:gmatch "[^\r\n]+" do
        if line:find "^%s*[^%s#;]" then return line:find "^%-%-%-" ~= nil or line:find "^[%w_%-]+:%s*$" ~= nil end
    end
    return false
end

local function kind_of(path)
    local suffix = path:match "%.(%w+)$"
    if suffix == "lua" then return "lua" end
    if suffix == "yml" or suffix == "yaml" then return "yaml" end
    local text = content(path)
    local program = text:find "^#!" or text:find "^\127ELF"
    if program and sys.access(path, "x") then return "script" end
    if program then Model.fail(path, "it begins as a program does, but may not be executed (chmod +x)") end
    if suffix == "json" or text:find "^%s*{" then return "json" end
    if path:find "%.ssh/config$" or path:find "ssh_config$" then return "ssh-config" end
    if looks_like_yaml(text) then return "yaml" end
    return "ini"
end

local function read_file(model, path)
    local kind = kind_of(path)
    if kind == "yaml" then fail_yaml(path) end
    kinds[kind](model, path)
end

-- Directories --------------------------------------------------------------------------------------

local NOT_READ = { -- what editors and others leave, and what says something about the directory
    orig = true, bak = true, swp = true, cfg = true, retry = true, pyc = true, pyo = true, rpm = true, md = true,
    txt = true, rst = true,
}

-- The configuration of a program (ec2.py, ec2.ini) is no inventory.
local function belongs_to_program(directory, name, names)
    local stem = name:match "^(.+)%.ini$"
    for _, other in ipairs(stem and names or {}) do
        local path = directory .. "/" .. other
        if other ~= name and (other == stem or other:match "^(.+)%.%w+$" == stem) and sys.access(path, "x") then
            return true
        end
    end
    return false
end

local function read_directory(model, directory)
    local names, why = sys.list(directory)
    if not names then Model.fail(nil, "cannot read the inventory: " .. why) end
    table.sort(names)
    for _, name in ipairs(names) do
        local skipped = name:find "^%." or name:find "~$" or name == "group_vars" or name == "host_vars"
            or NOT_READ[name:match "%.(%w+)$" or ""] or belongs_to_program(directory, name, names)
        local path = directory .. "/" .. name
        if not skipped then M.read_path(model, path) end
    end
end

--- Reads a file, a program or a directory.
---@param model orrery.inventory.Model
---@param path string
function M.read_path(model, path)
    local st, why = sys.stat(path)
    if not st then Model.fail(nil, "cannot read the inventory: " .. why) end
    if st.type == "directory" then return read_directory(model, path) end
    read_file(model, path)
end

-- One that says what it is: "ini:PATH". A file of that name is meant first.
local function prefixed(source)
    local kind, where = source:match "^([%w%-]+):(.*)$"
    if kind and kinds[kind] and not sys.stat(source) then return kind, where end
    if source:find "," and not sys.stat(source) then return "hosts", source end
end

--- Reads a source.
---@param model orrery.inventory.Model
---@param source string|table a path, "KIND:PATH", "host1,host2", or what a Lua file would return
---Raises "inventory", "decode".
function M.read(model, source)
    if type(source) == "table" then return require("orrery.play.inventory.lua").take(model, source, "inventory") end
    local kind, where = prefixed(source)
    if kind then return kinds[kind](model, where) end
    M.read_path(model, source)
end

--- What a source is called: the name in front of a group, in "@prod:web".
---@param source string|table
---@return string
function M.name_of(source)
    if type(source) == "table" then return "inventory" end
    local kind, where = prefixed(source)
    if kind then source = where ~= "" and where or kind end
    local name = source:gsub("/+$", ""):match "([^/]+)$" or source
    return name:match "^(.+)%.%w+$" or name
end

--- The directory beside whose sources group_vars and host_vars are.
---@param source string|table
---@return string?
function M.directory_of(source)
    if type(source) == "table" then return nil end
    local kind, where = prefixed(source)
    if kind == "hosts" or kind == "ssh-config" then return nil end
    source = kind and where or source
    local st = sys.stat(source)
    if st and st.type == "directory" then return (source:gsub("(.)/+$", "%1")) end
    return source:match "^(.*)/[^/]*$" or "."
end

-- group_vars and host_vars -------------------------------------------------------------------------

-- Variables in a file: Lua that returns a table, or JSON.
local function read_vars(entity, path, suffix)
    local vars
    if suffix == "lua" then
        vars = require("orrery.play.inventory.lua").run(path)
    else
        local text = content(path)
        if suffix == "yml" or suffix == "yaml" then fail_yaml(path) end
        if not text:find "%S" then return end
        if suffix ~= "json" and not text:find "^%s*{" then fail_yaml(path) end
        vars = json.decode(text, { name = path, ordered = true })
    end
    if type(vars) ~= "table" or getmetatable(vars) == json.Array then
        Model.fail(path, "variables by name were expected")
    end
    for key in pairs(vars) do
        if type(key) ~= "string" then Model.fail(path, "variables have names") end
    end
    for _, key in ipairs(json.keys(vars)) do Model.set(entity, key, vars[key], path) end
end

local SUFFIXES = { lua = true, json = true, yml = true, yaml = true }

-- "web.lua" to "web", "lua"; a host may have dots in its name.
local function stem_of(name)
    local stem, suffix = name:match "^(.+)%.(%w+)$"
    if stem and SUFFIXES[suffix] then return stem, suffix end
    return name
end

local function is_hidden(name) return name:find "^%." or name:find "~$" end

-- What is in a directory, in order, without what editors leave there. One that cannot be read has nothing.
local function each(directory, on_directory, on_file)
    local names = sys.list(directory) or {}
    table.sort(names)
    for _, name in ipairs(names) do
        local path = directory .. "/" .. name
        local st = not is_hidden(name) and sys.stat(path)
        if st and st.type == "directory" then
            on_directory(path, name)
        elseif st then
            on_file(path, stem_of(name))
        end
    end
end

-- All files of a directory that has the name of a group, and of those in it.
local function read_vars_tree(entity, path)
    each(path, function(below) read_vars_tree(entity, below) end, function(file, stem, suffix)
        if suffix or not stem:find "%." then read_vars(entity, file, suffix) end
    end)
end

local function read_entries(entities, directory)
    each(directory, function(path, name)
        if entities[name] then read_vars_tree(entities[name], path) end
    end, function(path, stem, suffix)
        if entities[stem] then read_vars(entities[stem], path, suffix) end
    end)
end

--- Reads group_vars and host_vars of a directory. What is said about hosts and groups that are not there is left out.
---@param model orrery.inventory.Model
---@param directory string
function M.read_vars(model, directory)
    read_entries(model.groups, directory .. "/group_vars")
    read_entries(model.hosts, directory .. "/host_vars")
end

return M
