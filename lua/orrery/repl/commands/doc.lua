--- :doc.

local columns = require "orrery.repl.columns"
local Error = require "orrery.error"
local options = require "orrery.options"
local orrery = require "orrery"
local source = require "orrery.repl.source"

local M = {}

local NO_SOURCE = "A function that is built into Lua, or whose source is not here: nothing more is known."
local COLUMN = 24 -- where what a name means begins

-- What there is ---------------------------------------------------------------------------------------

-- Classes whose objects scripts have, by their names; in the order in which methods are looked for.
local CLASSES = {
    { "Context", function() return require("orrery.context").Context end },
    { "Future", function() return require("orrery.future").Future end },
    { "Receiver", function() return require("orrery.receiver").Receiver end },
    { "Sender", function() return require("orrery.codec").typed "sender" end },
    { "Service", function() return require("orrery.service").Service end },
    { "Thread", function() return require("orrery.thread").Thread end },
    { "Secret", function() return require("orrery.codec").typed "secret" end },
    { "Inventory", function() return getmetatable(require("orrery.play.inventory").load {}) end },
}

local function methods_of(entry)
    local found, class = pcall(entry[2])
    local methods = {}
    for name, value in pairs(found and class or {}) do
        if type(value) == "function" and type(name) == "string" and not name:find "^_" then methods[name] = value end
    end
    return methods
end

local function sorted(map)
    local names = {}
    for name in pairs(map) do names[#names + 1] = tostring(name) end
    table.sort(names)
    return names
end

local function functions_of(module)
    local list = {}
    for name, value in next, module do
        if type(value) == "function" and type(name) == "string" and not name:find "^_" then list[name] = value end
    end
    return list
end

-- Finding ---------------------------------------------------------------------------------------------

---@class orrery.repl.Found
---@field shown string how it is called: "ctx:put"
---@field fn? function
---@field module? table
---@field launcher? string
---@field resource? table

local function find_method(object, name)
    for _, entry in ipairs(CLASSES) do
        if object == entry[1] then
            local fn = methods_of(entry)[name]
            return fn and { shown = ("%s:%s"):format(object, name), fn = fn }
        end
    end
    for _, entry in ipairs(CLASSES) do
        local fn = methods_of(entry)[name]
        if fn then return { shown = ("%s:%s"):format(entry[1] == "Context" and object or entry[1], name), fn = fn } end
    end
end

local function is_library(name)
    return name:find "^orrery[%w_%.]*$" ~= nil
        and (require("orrery.core").library(name) or package.searchpath(name, package.path)) ~= nil
end

-- The longest part that is a module, and what is left.
local function find_module(name)
    local rest = ""
    local head = name
    while head do
        local module = package.loaded[head] or is_library(head) and select(2, pcall(require, head)) or nil
        if type(module) == "table" then return module, rest end
        local tail
        head, tail = head:match "^(.*)%.([^%.]+)$"
        rest = tail and (rest == "" and tail or tail .. "." .. rest) or rest
    end
end

-- What a session calls a thing, or all of Lua does. Nothing of the user's runs for it.
local function find_value(repl, name)
    local head, rest = name:match "^([%a_][%w_]*)%.?(.*)$"
    if not head then return nil end
    local loaded, session = pcall(require, "orrery.repl.session")
    local found, value
    if loaded and session.lookup then found, value = session.lookup(repl.id, head) end
    if not found then value = rawget(_G, head) end
    for key in rest:gmatch "[^%.]+" do value = type(value) == "table" and rawget(value, key) or nil end
    return value
end

local function as_found(name, value)
    if type(value) == "function" then return { shown = name, fn = value } end
    if type(value) == "table" then return { shown = name, module = value } end
end

local function find_dotted(repl, name)
    local own = name:match "^orrery%.([%w_]+)$"
    if own and rawget(orrery, own) ~= nil then return as_found(name, orrery[own]) end
    local module, rest = find_module(name)
    if module and rest == "" then return { shown = name, module = module } end
    local value = module
    for key in rest and rest:gmatch "[^%.]+" or function() end do
        value = type(value) == "table" and rawget(value, key) or nil
    end
    local found = as_found(name, value)
    if found then return found end
    if module == orrery and source.module_text("orrery.launchers." .. rest) then
        return { shown = name, launcher = rest }
    end
    return as_found(name, find_value(repl, name))
end

local function find(repl, name)
    local object, method = name:match "^([%w_%.]+):([%w_]+)$"
    if object then return find_method(object, method) end
    object, method = name:match "^(%u%w*)%.([%w_]+)$"
    local found = object and find_method(object, method)
    if found then return found end
    local definition = require("orrery.play.resource").find(name)
    if definition then return { resource = definition } end
    return find_dotted(repl, name) or find_dotted(repl, "orrery." .. name)
end

--- All names that there is something to say of.
---@return string[]
function M.names()
    local names = {}
    for _, name in ipairs(sorted(functions_of(orrery))) do names[#names + 1] = "orrery." .. name end
    for _, entry in ipairs(CLASSES) do
        for _, name in ipairs(sorted(methods_of(entry))) do names[#names + 1] = entry[1] .. ":" .. name end
    end
    for _, name in ipairs(require("orrery.play.resource").names()) do names[#names + 1] = name end
    return names
end

local function not_found(name)
    local near
    local own = name:match "^[%a_][%w_]*[:.]([%w_]+)$"
    if #name <= 64 then near = options.nearest(name, M.names()) end
    if #name <= 64 and not near and own then
        local methods = sorted(methods_of(CLASSES[1]))
        near = options.nearest(own, methods)
        near = near and "Context:" .. near
    end
    Error.raise {
        code = "usage",
        message = ("nothing is known of '%s'; %s"):format(name,
            near and ("did you mean '%s'?"):format(near) or "':doc' shows what there is"),
    }
end

-- Showing ---------------------------------------------------------------------------------------------

local function first_sentence(fn)
    local doc = source.of_function(fn)
    local prose = doc and doc.comment and table.concat(doc.comment.prose, " ") or ""
    return prose:match "^(.-%.)%s" or prose
end

local function add_prose(lines, prose, width)
    if #prose > 0 then columns.paragraphs(lines, table.concat(prose, "\n"), width) end
end

local function add_list(lines, title, list, width)
    if #list == 0 then return end
    lines[#lines + 1] = ""
    lines[#lines + 1] = title
    for _, each in ipairs(list) do columns.entry(lines, "  " .. each.name, COLUMN, each.text, width) end
end

-- The classes of a library's that a parameter may be of.
local function classes_in(text)
    local list = {}
    for class in text:gmatch "orrery%.[%w_%.]+" do list[#list + 1] = class end
    return list
end

local function add_classes(lines, comment, chunk, width)
    local shown = {}
    for _, param in ipairs(comment.params) do
        for _, class in ipairs(classes_in(param.text:match "^%S+" or "")) do
            local fields = not shown[class] and class ~= "orrery.Context" and source.fields(class, chunk) or {}
            shown[class] = true
            add_list(lines, ("%s is an %s:"):format((param.name:gsub("%?$", "")), class), fields, width)
        end
    end
end

-- A type may have spaces in its brackets.
local function split_type(text)
    local to = 0
    repeat
        to = text:find("%s", to + 1) or #text + 1
        local opens = select(2, text:sub(1, to - 1):gsub("[<({]", ""))
        local closes = select(2, text:sub(1, to - 1):gsub("[>)}]", ""))
    until opens == closes or to > #text
    return text:sub(1, to - 1), (text:sub(to + 1):gsub("^%s+", ""))
end

local function function_text(found, width)
    local doc = source.of_function(found.fn)
    local lines = {}
    columns.wrap(lines, "", found.shown .. (doc and doc.arguments or "(...)"), width)
    if not doc then
        columns.wrap(lines, "", NO_SOURCE, width)
        return table.concat(lines, "\n")
    end
    local comment = doc.comment
    if comment and #comment.prose > 0 then
        lines[#lines + 1] = ""
        add_prose(lines, comment.prose, width)
    end
    if comment then
        add_list(lines, "Takes:", comment.params, width)
        local returns = {}
        for i, text in ipairs(comment.returns) do
            local kind, rest = split_type(text)
            returns[i] = { name = kind, text = rest }
        end
        add_list(lines, "Returns:", returns, width)
        add_classes(lines, comment, debug.getinfo(found.fn, "S").source, width)
    end
    lines[#lines + 1] = ""
    lines[#lines + 1] = columns.cut(doc.where, width)
    return table.concat(lines, "\n")
end

local function add_functions(lines, title, functions, width)
    local list = {}
    for i, name in ipairs(sorted(functions)) do list[i] = { name = name, text = first_sentence(functions[name]) } end
    add_list(lines, title, list, width)
end

local function module_text(found, width)
    local lines = { found.shown }
    local text = source.module_text(found.shown)
    if text then
        lines[#lines + 1] = ""
        add_prose(lines, source.header(text), width)
    end
    add_functions(lines, "Functions:", functions_of(found.module), width)
    return table.concat(lines, "\n")
end

local function launcher_text(found, width)
    local name = found.launcher
    local lines = { ("orrery.%s(options)"):format(name), "" }
    add_prose(lines, source.header(source.module_text("orrery.launchers." .. name)), width)
    local class = ("orrery.%s%sOptions"):format(name:sub(1, 1):upper(), name:sub(2))
    add_list(lines, "Options:", source.fields(class, ("@orrery/launchers/%s.lua"):format(name)), width)
    return table.concat(lines, "\n")
end

local function resource_text(definition, width)
    local lines = {}
    for line in require("orrery.play.describe").text(definition):gmatch "([^\n]*)\n" do
        if columns.length(line) <= width then
            lines[#lines + 1] = line
        else
            columns.wrap(lines, line:match "^ *", line, width)
        end
    end
    return (table.concat(lines, "\n"):gsub("%s+$", ""))
end

local function overview(width)
    local lines = {}
    add_functions(lines, "orrery", functions_of(orrery), width)
    table.remove(lines, 1)
    add_functions(lines, "Contexts", methods_of(CLASSES[1]), width)
    lines[#lines + 1] = ""
    lines[#lines + 1] = "Resources of playbooks"
    columns.wrap(lines, "  ", table.concat(require("orrery.play.resource").names(), " "), width)
    return table.concat(lines, "\n")
end

--- What `:doc NAME` shows.
---@param repl orrery.repl.Prompt
---@param name string "": all that there is
---@param width integer
---@return string
---Raises "usage" where nothing is known of it.
function M.text(repl, name, width)
    if name == "" then return overview(width) end
    local found = find(repl, name:gsub("%(%)?$", "")) or not_found(name)
    if found.resource then return resource_text(found.resource, width) end
    if found.fn then return function_text(found, width) end
    if found.launcher then return launcher_text(found, width) end
    return module_text(found, width)
end

function M.doc(repl, name)
    require("orrery.repl.commands").page(repl, M.text(repl, name, columns.width(repl)))
end

return M
