--- Settings of a prompt: typed, described, set by `:set` and in init.lua.
--
--     local settings = require("orrery.repl.settings").new()
--     settings:set("depth", 3)
--     print(settings.depth)

local Error = require "orrery.error"
local options = require "orrery.options"
local sgr = require "orrery.sgr"

---@class orrery.repl.Settings its fields are the values
---@field colour "auto"|"on"|"off"
---@field depth integer
---@field items integer
---@field length integer
---@field lines integer
---@field pager boolean
---@field time boolean
---@field timeout number seconds
---@field on_change? fun(name: string, value: any) called behind each change
local Settings = {}
Settings.__index = Settings

local M = {}

---@class orrery.repl.Setting
---@field name string
---@field kind "choice"|"switch"|"count"|"seconds"
---@field default any
---@field choices? string[]
---@field most? number
---@field text string what it is for

--- All of them, in the order in which they are shown.
---@type orrery.repl.Setting[]
M.list = {
    {
        name = "colour", kind = "choice", default = "auto", choices = { "auto", "on", "off" },
        text = "colours of results",
    },
    { name = "depth", kind = "count", default = 6, most = 100, text = "tables in tables that are shown" },
    { name = "items", kind = "count", default = 100, most = 1e6, text = "items of a table that are shown" },
    { name = "length", kind = "count", default = 4000, most = 1e8, text = "bytes of a string that are shown" },
    { name = "lines", kind = "count", default = 2000, most = 1e6, text = "lines of a result that are shown" },
    { name = "pager", kind = "switch", default = true, text = "page what is longer than the screen" },
    { name = "time", kind = "switch", default = false, text = "say behind each input how long it took" },
    { name = "timeout", kind = "seconds", default = 0.3, most = 60, text = "seconds that completion waits for a host" },
}

---@type table<string, orrery.repl.Setting>
local by_name = {}
---@type string[]
local names = {}
for i, setting in ipairs(M.list) do by_name[setting.name], names[i] = setting, setting.name end

local function fail(text, ...) Error.raise { code = "usage", message = text:format(...) } end

--- The names of all settings.
---@return string[]
function M.names()
    local copy = {}
    for i, name in ipairs(names) do copy[i] = name end
    return copy
end

-- Reading values -----------------------------------------------------------------------------------

local SWITCHES = {
    on = true, yes = true, ["true"] = true, ["1"] = true, off = false, no = false, ["false"] = false, ["0"] = false,
}

local readers = {}

function readers.switch(text)
    local value = SWITCHES[text:lower()]
    if value == nil then return nil, "on or off" end
    return value
end

function readers.choice(text, setting)
    for _, choice in ipairs(setting.choices) do
        if choice == text:lower() then return choice end
    end
    local choices = setting.choices
    return nil, table.concat(choices, ", ", 1, #choices - 1) .. " or " .. choices[#choices]
end

function readers.count(text, setting)
    local value = tonumber(text)
    if value and value >= 1 and value <= setting.most and value % 1 == 0 then return value end
    return nil, ("a whole number from 1 to %d"):format(setting.most)
end

function readers.seconds(text, setting)
    local value = tonumber(text)
    if value and value > 0 and value <= setting.most then return value end
    return nil, ("a number of seconds, %d at most"):format(setting.most)
end

-- As it is typed: "on", "0.3".
local function shown(value)
    if type(value) == "boolean" then return value and "on" or "off" end
    return tostring(value)
end

local function find(name)
    local setting = by_name[name]
    if setting then return setting end
    local near = #name <= 64 and options.nearest(name, names)
    fail("there is no setting '%s'; %s", name,
        near and ("did you mean '%s'?"):format(near) or "there are: " .. table.concat(names, ", "))
end

-- The prompt's -------------------------------------------------------------------------------------

---@return orrery.repl.Settings
function M.new()
    local settings = {}
    for _, setting in ipairs(M.list) do settings[setting.name] = setting.default end
    return setmetatable(settings, Settings)
end

--- Changes one.
---@param name string
---@param value any as it is typed, or a Lua value
---Raises "usage": there is none of that name, or it takes other values.
function Settings:set(name, value)
    local setting = find(tostring(name))
    local read, must = readers[setting.kind](shown(value), setting)
    if read == nil then fail("setting '%s' must be %s, not '%s'", setting.name, must, shown(value)) end
    self[setting.name] = read
    if self.on_change then self.on_change(setting.name, read) end
end

--- One as a line of a table: name, value, what it is for.
---@param name string
---@return string
---Raises "usage" where there is none of that name.
function Settings:describe(name)
    local setting = find(name)
    return ("%-8s %-5s %s"):format(setting.name, shown(self[setting.name]), setting.text)
end

--- May there be colours on what is, or is no, terminal?
---@param terminal boolean
---@return boolean
function Settings:colours(terminal)
    if self.colour ~= "auto" then return self.colour == "on" end
    return sgr.wanted(terminal)
end

--- The options of orrery.repl.pretty that are settings.
---@param width integer columns
---@param colour boolean
---@return table
function Settings:pretty(width, colour)
    return {
        width = width, colour = colour,
        depth = self.depth, items = self.items, length = self.length, lines = self.lines,
    }
end

return M
