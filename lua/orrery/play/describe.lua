--- What resources say of themselves: for `orrery doc`, for LuaLS, and for docs/resources.md.

local resource = require "orrery.play.resource"

local M = {}

local WIDTH = 80

-- Words ---------------------------------------------------------------------------------------------

local TYPE_TEXT = {
    path = "absolute path", owner = "user or group", duration = "seconds or \"5m\"", size = "bytes or \"10M\"",
    source = "file of the controller", mode = "mode", integer = "whole number", boolean = "true or false",
}

local function quoted(value) return type(value) == "string" and ("%q"):format(value) or tostring(value) end

local function default_text(value)
    if type(value) ~= "table" then return quoted(value) end
    local shown = {}
    for i, each in ipairs(value) do shown[i] = quoted(each) end
    return "{ " .. table.concat(shown, ", ") .. " }"
end

local function enum_text(enum)
    local shown = {}
    for i, value in ipairs(enum) do shown[i] = quoted(value) end
    return table.concat(shown, " | ")
end

local type_text

local function one_type(name, option)
    local of = option.of and type_text(type(option.of) == "string" and { type = option.of } or option.of)
    if name == "list" then return of and "list of " .. of or "list" end
    if name == "map" then return of and "table of " .. of or "table" end
    return TYPE_TEXT[name] or name
end

--- What an option takes, for people: "absolute path".
---@param option orrery.play.Option
---@return string
function type_text(option)
    if option.enum then return enum_text(option.enum) end
    local types = type(option.type) == "table" and option.type or { option.type or "any" }
    local texts = {}
    for i, name in ipairs(types) do texts[i] = one_type(name, option) end
    return table.concat(texts, " or ")
end
M.type_text = type_text

local function wrap(lines, text, indent, width)
    local line = indent
    for word in text:gmatch "%S+" do
        if #line > #indent and #line + #word + 1 > (width or WIDTH) then
            lines[#lines + 1] = line
            line = indent
        end
        line = #line > #indent and line .. " " .. word or line .. word
    end
    lines[#lines + 1] = line
end

local function sorted(map, first)
    local names = {}
    for name in pairs(map) do names[#names + 1] = name end
    table.sort(names, function(a, b)
        local ra, rb = first and first(a) or false, first and first(b) or false
        if ra ~= rb then return ra end
        return a < b
    end)
    return names
end

-- Text ----------------------------------------------------------------------------------------------

local function add_option(lines, name, option)
    local default = option.default
    local notes = option.required and ", required" or ""
    if default ~= nil and default ~= false then notes = notes .. ", default " .. default_text(default) end
    lines[#lines + 1] = ("  %s: %s%s"):format(name, type_text(option), notes)
    if option.doc then wrap(lines, option.doc, "      ") end
end

local function add_options(lines, options)
    for _, name in ipairs(sorted(options, function(n) return options[n].required or false end)) do
        add_option(lines, name, options[name])
    end
end

local function add_example(lines, example)
    for line in (example .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = "  " .. line end
    lines[#lines + 1] = ""
end

--- All of a resource, at most 80 columns wide where its options' types allow that.
---@param definition orrery.play.Resource
---@return string
function M.text(definition)
    local lines = {}
    wrap(lines, ("%s: %s"):format(definition.name, definition.doc), "")
    lines[#lines + 1] = ""
    if definition.example then add_example(lines, definition.example) end
    lines[#lines + 1] = "Options:"
    add_options(lines, definition.options)
    if definition.positional then
        local names = table.concat(definition.positional, ", ") .. (definition.rest and " ..." or "")
        wrap(lines, "What stands without a name is: " .. names, "  ")
    end
    if definition.returns and next(definition.returns) then
        lines[#lines + 1], lines[#lines + 2] = "", "Result, beside changed, message, diff and seconds:"
        for _, name in ipairs(sorted(definition.returns)) do
            wrap(lines, ("%s: %s"):format(name, definition.returns[name]), "  ")
        end
    end
    lines[#lines + 1] = ""
    wrap(lines, "Every resource also takes " .. table.concat(sorted(resource.MODIFIERS), ", ")
        .. "; `orrery doc --modifiers` explains them.", "")
    return table.concat(lines, "\n") .. "\n"
end

--- What every resource takes.
---@return string
function M.modifiers()
    local lines = { "Options of every resource:" }
    add_option(lines, "name", resource.TITLE)
    wrap(lines, "(or `title`, where a resource has a `name` of its own)", "      ")
    add_options(lines, resource.MODIFIERS)
    return table.concat(lines, "\n") .. "\n"
end

local function first_sentence(doc) return doc:match "^(.-%.) %u" or doc end

--- All resources, with a line of each.
---@return string
function M.list()
    local names, width, lines = resource.names(), 0, {}
    for _, name in ipairs(names) do width = math.max(width, #name) end
    for _, name in ipairs(names) do
        local indent = (" "):rep(width + 4)
        local own = {}
        wrap(own, first_sentence(resource.find(name).doc), indent)
        own[1] = ("  %s%s"):format(name, own[1]:sub(#name + 3))
        for _, line in ipairs(own) do lines[#lines + 1] = line end
    end
    return table.concat(lines, "\n") .. "\n"
end

--- The table of docs/resources.md.
---@return string
function M.markdown()
    local lines = { "| resource | |", "|---|---|" }
    for _, name in ipairs(resource.names()) do
        lines[#lines + 1] = ("| `%s` | %s |"):format(name, (first_sentence(resource.find(name).doc):gsub("|", "\\|")))
    end
    return table.concat(lines, "\n") .. "\n"
end

-- LuaLS ---------------------------------------------------------------------------------------------

local LUALS = {
    path = "string", mode = "string", owner = "string|integer", duration = "number|string", size = "integer|string",
    source = "string|{ content: string }", ["function"] = "function", any = "any",
}

local luals_type

local function one_luals(name, option)
    local of = option.of and luals_type(type(option.of) == "string" and { type = option.of } or option.of) or "any"
    if name == "list" then
        return (of:find("|", 1, true) and "(%s)[]" or "%s[]"):format(of) .. (option.single and "|" .. of or "")
    end
    if name == "map" then return ("table<string, %s>"):format(of) end
    return LUALS[name] or name
end

function luals_type(option)
    if option.enum then return (enum_text(option.enum):gsub(" | ", "|")) end
    local types = type(option.type) == "table" and option.type or { option.type or "any" }
    local texts = {}
    for i, name in ipairs(types) do texts[i] = one_luals(name, option) end
    return table.concat(texts, "|")
end

local function add_fields(lines, options)
    for _, name in ipairs(sorted(options)) do
        local option = options[name]
        lines[#lines + 1] = ("---@field %s%s %s %s"):format(
            name, option.required and "" or "?", luals_type(option), option.doc or "")
    end
end

local function add_class(lines, definition)
    local name = definition.name
    lines[#lines + 1] = ("---@class orrery.play.options.%s: orrery.play.Modifiers %s"):format(name, definition.doc)
    add_fields(lines, definition.options)
    if definition.positional then
        lines[#lines + 1] = "---@field [integer] any " .. table.concat(definition.positional, ", ")
    end
    lines[#lines + 1] = ""
    lines[#lines + 1] = ("---@class orrery.play.result.%s: orrery.play.Result"):format(name)
    for _, field in ipairs(sorted(definition.returns or {})) do
        lines[#lines + 1] = ("---@field %s any %s"):format(field, definition.returns[field])
    end
    lines[#lines + 1] = ""
end

--- Types of all resources, for LuaLS.
---@return string
function M.types()
    local lines = { "---@meta", "", "---@class orrery.play.Modifiers what every resource takes" }
    local modifiers = { name = resource.TITLE, title = resource.TITLE }
    for name, option in pairs(resource.MODIFIERS) do modifiers[name] = option end
    add_fields(lines, modifiers)
    lines[#lines + 1] = ""
    local names = resource.names()
    for _, name in ipairs(names) do add_class(lines, resource.find(name)) end
    for _, class in ipairs { "Host", "TargetHost" } do
        lines[#lines + 1] = "---@class orrery.play." .. class
        for _, name in ipairs(names) do
            lines[#lines + 1] = ("---@field %s fun(self: orrery.play.%s, o: orrery.play.options.%s|string, ...: any): "
                .. "orrery.play.result.%s"):format(name, class, name, name)
        end
        lines[#lines + 1] = ""
    end
    return table.concat(lines, "\n")
end

return M
