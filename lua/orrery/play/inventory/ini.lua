--- Inventories in INI files, as Ansible writes them. docs/inventory.md says what is understood.

local Error = require "orrery.error"
local host_pattern = require "orrery.play.inventory.host_pattern"
local literal = require "orrery.play.inventory.literal"
local Model = require "orrery.play.inventory.model"
local options = require "orrery.options"
local utf8 = require "orrery.utf8"
local words = require "orrery.play.inventory.words"

local M = {}

---@class orrery.ini.Reader
---@field model orrery.inventory.Model
---@field name string the file's
---@field line integer
---@field indent integer bytes in front of what the line says
---@field group string
---@field kind "hosts"|"children"|"vars"
---@field declared table<string, true> groups that have a section of their own
---@field owed table<string, { line: integer, text: string }> groups that must have one
local Reader = {}
Reader.__index = Reader

function Reader:fail(text, column, line)
    column = column and column + self.indent
    line = line or self.line
    Error.raise {
        code = "inventory", line = line, column = column,
        message = ("%s:%d:%s %s"):format(self.name, line, column and column .. ":" or "", text),
    }
end

function Reader:from() return ("%s:%d"):format(self.name, self.line) end

-- Whether the group is known without this file, or by a section of it.
function Reader:is_declared(name)
    return self.declared[name] or name == "all" or name == "ungrouped" or self.known[name]
end

function Reader:owe(name, text)
    if not self:is_declared(name) and not self.owed[name] then
        self.owed[name] = { line = self.line, text = text }
        table.insert(self.owed, name)
    end
end

local KINDS = { hosts = true, children = true, vars = true }

function Reader:section(name, kind)
    kind = kind or "hosts"
    if not KINDS[kind] then
        self:fail(("[%s:%s] is no section: it is [GROUP], [GROUP:children] or [GROUP:vars]"):format(name, kind), 1)
    end
    self.group, self.kind = name, kind
    if kind == "vars" then
        self:owe(name, ("[%s:vars] sets variables of a group that is not there"):format(name))
    else
        self.declared[name] = true
    end
    self.model:group(name, self:from())
end

-- Is it the head of a section? Behind it only a comment may stand.
function Reader:read_section(text)
    local name, kind, rest = text:match "^%[([^:%]%s]+):([%w_]+)%]%s*(.*)$"
    if not name then name, rest = text:match "^%[([^:%]%s]+)%]%s*(.*)$" end
    if name and (rest == "" or rest:sub(1, 1) == "#") then
        self:section(name, kind)
        return true
    end
    if text:find "^%[.*%]$" then
        self:fail(("'%s' is no section: there may be no spaces in it, and only one ':'"):format(text), 1)
    end
    return false
end

function Reader:host(text)
    local cut, why, column = words.split(text, true)
    if not cut then self:fail(why, column) end
    local names, port = host_pattern.read(cut[1].text)
    if not names then self:fail(("'%s' is no host: %s"):format(cut[1].text, port), 1) end
    local vars = {}
    for i = 2, #cut do
        local key, value = cut[i].text:match "^([^=]+)=(.*)$"
        if not key then
            self:fail(("'%s' is no variable: one is written NAME=VALUE, without spaces outside of quotes"):format(
                cut[i].text), cut[i].column)
        end
        vars[#vars + 1] = { key, literal.read(value) }
    end
    for _, name in ipairs(names) do
        local host = self.model:add_host(self.group, name, self:from())
        if port then Model.set(host, "ansible_port", port, self:from()) end
        for _, var in ipairs(vars) do Model.set(host, var[1], var[2], self:from()) end
    end
end

function Reader:vars(text)
    local key, value = text:match "^([^=]-)%s*=%s*(.*)$"
    if not key or key == "" then self:fail(("'%s' is no variable: one is written NAME = VALUE"):format(text), 1) end
    Model.set(self.model:group(self.group), key, literal.read(value), self:from())
end

function Reader:children(text)
    local name, rest = text:match "^([^:%]%s]+)%s*(.*)$"
    if not name or not (rest == "" or rest:sub(1, 1) == "#") then
        self:fail(("'%s' is no name of a group; there is one on each line"):format(text), 1)
    end
    self:owe(name, ("[%s:children] names '%s', and no section [%s] is there"):format(self.group, name, name))
    self.model:add_child(self.group, name, self:from())
end

function Reader:read_line(line)
    local indent, text = line:match "^(%s*)(.-)%s*$"
    self.indent = #indent
    if text == "" or text:find "^[#;]" then return end
    local bad = utf8.invalid(text)
    if bad then self:fail(("not UTF-8: the byte 0x%02x"):format(text:byte(bad)), bad) end
    if self:read_section(text) then return end
    if self.kind == "hosts" then return self:host(text) end
    if self.kind == "vars" then return self:vars(text) end
    self:children(text)
end

function Reader:settle()
    for _, name in ipairs(self.owed) do
        local owed = self.owed[name]
        if not self.declared[name] then
            self.indent = 0
            local known = {}
            for group in pairs(self.declared) do known[#known + 1] = group end
            table.sort(known)
            local near = options.nearest(name, known)
            self:fail(owed.text .. (near and (" (did you mean '%s'?)"):format(near) or ""), nil, owed.line)
        end
    end
end

--- Reads a text.
---@param model orrery.inventory.Model
---@param text string
---@param name string the file's, for errors and for where a variable comes from
---Raises "inventory", with `line` and `column`.
function M.read(model, text, name)
    local known = {}
    for group in pairs(model.groups) do known[group] = true end
    local reader = setmetatable({
        model = model, name = name, line = 0, indent = 0, group = "ungrouped", kind = "hosts", known = known,
        declared = {}, owed = {},
    }, Reader)
    text = text:gsub("^\239\187\191", "")
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do
        reader.line = reader.line + 1
        reader:read_line(line)
    end
    reader:settle()
end

return M
