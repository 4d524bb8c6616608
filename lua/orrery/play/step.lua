--- A step as a script writes it: a resource, its options, and what every resource takes besides. Both ends use it.

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
---@field nth? integer the n-th step of this name
---@field skip? string why it does not run
---@field events orrery.play.Events
---@field files orrery.play.Files
---@field facts table
---@field vars table
---@field results orrery.play.Result[] of the steps before it, for `when`

local SUBJECTS = { "path", "dest", "name", "names", "url", "argv", "cmd", "user", "src" }
local LONGEST = 60

local function text_of(value)
    if type(value) == "table" and not getmetatable(value) then
        local words = {}
        for i, word in ipairs(value) do words[i] = text_of(word) or "?" end
        value = table.concat(words, " ")
    end
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" or value == "" then return nil end
    value = value:match "^%s*([^\n]*)"
    return #value > LONGEST and value:sub(1, LONGEST - 3) .. "..." or value
end

local function subject(definition, options)
    if definition.subject then return text_of(options[definition.subject]) end
    for _, key in ipairs(SUBJECTS) do
        local text = definition.options[key] and text_of(options[key])
        if text then return text end
    end
end

-- Its name, if it has been given one: `title`, or `name` where that is no option of the resource's own.
local function title(definition, options, modifiers)
    local name = modifiers.title or modifiers.name
    if name then return tostring(name), true end
    local what = not modifiers.no_log and subject(definition, options)
    return what and ("%s %s"):format(definition.name, what) or definition.name, false
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
---@return orrery.play.Resource
---@return table given
---Raises "option", "argument".
function M.entry(each, at)
    local name = type(each) == "table" and each[1]
    local definition = type(name) == "string" and resource.find(name) or resource.unknown(name, at)
    local given = {}
    for key, value in pairs(each) do
        if type(key) ~= "number" then given[key] = value elseif key > 1 then given[key - 1] = value end
    end
    return definition, given
end

return M
