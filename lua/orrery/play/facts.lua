--- Facts: what is known of a machine. Each group of them is found out when it is first asked for, and kept.
--
--     h.facts.os.family                                     -- one message, the first time
--     local found = h.facts:get { "os", "network" }         -- one message for both
--     h.facts:forget "network"                              -- asked again, it is found out again
--
-- A group is a module `orrery.play.facts.NAME`, or one of the user's own: `facts/NAME.lua` next to the script, which
-- returns a table with a function `gather`. What cannot be known is nil. docs/inventory.md has all of them.

local Error = require "orrery.error"
local options = require "orrery.options"

local M = {}

---@class orrery.Facts.Group
---@field doc? string what it is about
---@field fields? { [1]: string, [2]: string }[] names and what they are; others are errors when they are asked for
---@field each? { [1]: string, [2]: string }[] the same of its members, where it has them by name or in a list
---@field gather fun(machine: orrery.facts.Machine): any runs on the target

local OWN = "facts." -- modules of the user's
local BUILT_IN = "orrery.play.facts."

local NAMES = {
    "cpu", "disks", "env", "groups", "hardware", "memory", "mounts", "network", "os", "packages", "security",
    "services", "ssh", "time", "user", "users", "virtualization",
}
local KNOWN = {}
for _, name in ipairs(NAMES) do KNOWN[name] = true end

--- The names of the groups that are here, sorted.
---@return string[]
function M.names() return { unpack(NAMES) } end

local function fail(text) Error.raise { code = "argument", message = text, at = Error.at() } end

local function check_name(name)
    if type(name) == "string" and name:find "^[%a_][%w_]*$" then return end
    fail(("facts: a group has a name, not %s"):format(type(name) == "string" and "'" .. name .. "'" or type(name)))
end

--- The module of a group.
---@param name string
---@return string
function M.module_of(name)
    check_name(name)
    return (KNOWN[name] and BUILT_IN or OWN) .. name
end

local function is_missing(err, module) return tostring(err):find("module '" .. module .. "' not found", 1, true) end

--- The definition of a group.
---@param name string
---@return orrery.Facts.Group
---Raises "argument" where there is none.
function M.group(name)
    local module = M.module_of(name)
    local ok, group = pcall(require, module)
    if not ok then
        if KNOWN[name] or not is_missing(group, module) then error(group, 0) end
        local near = options.nearest(name, NAMES)
        fail(("there are no facts '%s'%s; your own would be in facts/%s.lua next to the script"):format(name,
            near and (" (did you mean '%s'?)"):format(near) or "", name))
    end
    if type(group) ~= "table" or type(group.gather) ~= "function" then
        fail(("facts '%s': the module %s must return a table with a function 'gather'"):format(name, module))
    end
    return group
end

-- On the target --------------------------------------------------------------------------------------

-- What is asked for and not documented is a mistake of whoever asks; nil would be taken for an answer.
local function strict(name, group, value)
    if type(value) ~= "table" or not group.fields then return value end
    local known = {}
    for i, field in ipairs(group.fields) do
        known[i] = field[1]
        known[field[1]] = true
    end
    return setmetatable(value, {
        __index = function(_, key)
            if known[key] or type(key) ~= "string" then return nil end
            local near = options.nearest(key, known)
            local hint = near and (" (did you mean '%s'?)"):format(near) or ""
            fail(("there is no fact '%s.%s'%s"):format(name, key, hint))
        end,
    })
end

local function gather(name, machine)
    local group = M.group(name)
    local ok, value = xpcall(group.gather, Error.handler, machine)
    if ok then return strict(name, group, value) end
    value.message = ("facts '%s': %s"):format(name, tostring(value.message))
    error(value, 0)
end

--- Finds groups out, on the machine that this runs on. Nothing is kept.
---@param names string|string[]
---@param machine? orrery.facts.Machine
---@return any facts of the one group, or a table of those that are in the list, by name
---Raises "argument" for a group that is not there, and what gathering raises.
function M.get(names, machine)
    machine = machine or require("orrery.play.facts.machine").new()
    if type(names) == "string" then return gather(names, machine) end
    local found = {}
    for _, name in ipairs(names) do found[name] = gather(name, machine) end
    return found
end

-- Tables of facts ------------------------------------------------------------------------------------

---@class orrery.Facts
---@field [string] any a group
local Facts = {}

local KEY = {} -- under which a table of facts has what is its own

-- Those that are not known yet, at once.
local function complete(self, names)
    local own, missing = rawget(self, KEY), {}
    for _, name in ipairs(names) do
        check_name(name)
        if own.known[name] == nil then missing[#missing + 1] = name end
    end
    if not missing[1] then return end
    local found = own.fetch(missing)
    for _, name in ipairs(missing) do
        if found[name] == nil then found[name] = false end -- a group that is nothing
        own.known[name] = strict(name, M.group(name), found[name])
    end
end

--- Several groups in one message.
---@param names string[]
---@return table<string, any> groups by name
function Facts:get(names)
    if type(names) ~= "table" then fail "facts:get takes a list of names" end
    complete(self, names)
    local found, own = {}, rawget(self, KEY)
    for _, name in ipairs(names) do found[name] = own.known[name] or nil end
    return found
end

--- Forgets what is known, since it has changed.
---@param ... string groups; none: all
function Facts:forget(...)
    local own = rawget(self, KEY)
    if select("#", ...) == 0 then own.known = {} end
    for _, name in ipairs { ... } do own.known[name] = nil end
end

local MT = {
    __index = function(self, name)
        if Facts[name] then return Facts[name] end
        complete(self, { name })
        return rawget(self, KEY).known[name] or nil
    end,
    __newindex = function(_, name) fail(("facts cannot be set ('%s')"):format(tostring(name))) end,
}

--- A table of facts that fills itself.
---@param fetch fun(names: string[]): table<string, any> finds groups out
---@return orrery.Facts
function M.lazy(fetch)
    return setmetatable({ [KEY] = { known = {}, fetch = fetch } }, MT)
end

--- The facts of the machine that this runs on.
---@return orrery.Facts
function M.here() return M.lazy(M.get) end

-- Of another machine -----------------------------------------------------------------------------------

-- Runs there. The modules come along: loading them takes no round trips.
local function enter(bundle, names)
    if bundle then require("orrery.modules").add(bundle) end
    local facts = require "orrery.play.facts"
    local found = facts.get(names)
    for _, group in pairs(found) do
        if type(group) == "table" then setmetatable(group, nil) end
    end
    return found
end

--- The facts of a context's machine. One message for what is asked for at once.
---@param ctx orrery.Context|fun(): orrery.Context
---@return orrery.Facts
function M.of(ctx)
    return M.lazy(function(names)
        local to = type(ctx) == "function" and ctx() or ctx
        local needed = { "orrery.play.facts", "orrery.play.facts.machine" }
        for _, name in ipairs(names) do
            M.group(name) -- raises here what is no group
            needed[#needed + 1] = M.module_of(name)
        end
        return to:call(enter, require("orrery.modules").bundle(to.id, needed), names)
    end)
end

return M
