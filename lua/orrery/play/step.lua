--- A step as a script writes it: a resource, its options, and what every resource takes besides. Both ends use it.

local naming = require "orrery.play.naming"
local core = require "orrery.core"
local resource = require "orrery.play.resource"

local M = {}

---@class orrery.play.Step
---@field definition orrery.play.Resource
---@field options table as the resource gets them
---@field modifiers table
---@field title string for people: its name, or the resource and what it is about
---@field named boolean it was given a name
---@field at? string "file:line"
---@field id string "3.2"
---@field tags? string[] of what it stands in
---@field skip? string why it does not run
---@field events orrery.play.Events
---@field files orrery.play.Files
---@field facts fun(): table
---@field vars table
---@field results orrery.play.Result[] of the steps before it, for `when`

-- Its name, if it has been given one: `title`, or `name` where that is no option of the resource's own.
local function title(definition, options, modifiers)
    local name = modifiers.title or modifiers.name
    if name then return core.redact(tostring(name)), true end
    if modifiers.no_log then return definition.name, false end
    local subject = definition.subject and { path = options[definition.subject] } or options
    return naming.of(definition.name, subject), false
end

-- What stands without a name in front: `h:command { "tar", "xzf", path }`.
local function positional(definition, given)
    if given[1] == nil or not definition.positional then return given end
    local moved, list = {}, {}
    for key, value in pairs(given) do
        if type(key) == "number" then list[key] = value else moved[key] = value end
    end
    for i, option in ipairs(definition.positional) do
        if i < #definition.positional or not definition.rest then
            moved[option], list[i] = list[i], nil
        end
    end
    if definition.rest then
        local rest = {}
        for i = #definition.positional, table.maxn(list) do rest[#rest + 1] = list[i] end
        if #rest > 0 then moved[definition.rest] = rest end
    end
    for i, value in pairs(list) do
        if not definition.rest then moved[i] = value end -- for the error
    end
    return moved
end

--- What a method was called with: a table of options, or things without a name, with a table of options at the end.
---@param ... any
---@return table given
function M.given(...)
    local n, given = select("#", ...), ...
    if n == 1 and type(given) == "table" or n == 0 then return given or {} end
    given = { ... }
    local named = n > 1 and type(given[n]) == "table" and table.remove(given, n)
    for key, value in pairs(named or {}) do given[key] = value end
    return given
end

--- The step for a resource and what was given.
---@param definition orrery.play.Resource
---@param given table left alone
---@param at? string
---@return orrery.play.Step
---Raises "option".
function M.make(definition, given, at)
    local own, modifiers = resource.divide(definition, positional(definition, given))
    local options
    options, modifiers = resource.check_options(definition, own, modifiers, at)
    for _, key in ipairs { "tags", "notify" } do
        if type(modifiers[key]) == "string" then modifiers[key] = { modifiers[key] } end
    end
    local step = { definition = definition, options = options, modifiers = modifiers, at = at }
    step.title, step.named = title(definition, options, modifiers)
    return step
end

--- An entry of a list: `{ "file", path = ... }`.
---@param each table
---@param at? string
---@return string name of the resource
---@return table given
---Raises "option".
function M.entry(each, at)
    local name, given = type(each) == "table" and each[1], {}
    if type(name) ~= "string" then resource.unknown(name, at) end
    for key, value in pairs(each) do
        if type(key) ~= "number" then given[key] = value elseif key > 1 then given[key - 1] = value end
    end
    return name, given
end

return M
