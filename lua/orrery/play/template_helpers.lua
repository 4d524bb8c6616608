--- What templates can call besides Lua's own functions; docs/templates.md lists it.
--
-- All of it takes secrets where it takes text, and gives a secret then.

local Error = require "orrery.error"
local secret = require "orrery.secret"

local M = {}

--- What is written for a value. Numbers without a fraction never get an exponent.
---@param value any
---@return string? text nil for what has none: nil, tables, functions
function M.text_of(value)
    local kind = type(value)
    if kind == "string" then return value end
    if kind == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 63 then
        return ("%d"):format(value)
    end
    if kind == "number" or kind == "boolean" or kind == "cdata" then return tostring(value) end
    if secret.is(value) then return secret.reveal(value) end
    local mt = kind == "table" and getmetatable(value)
    return type(mt) == "table" and mt.__tostring and tostring(value) or nil
end

local function text_in(where, value)
    local text = M.text_of(value)
    if text then return text end
    Error.raise { code = "lua", message = ("%s: a text was expected, this is %s"):format(
        where, value == nil and "nil" or "a " .. type(value)) }
end

-- The secrets among some values.
local function secrets_of(...)
    local found = {}
    for i = 1, select("#", ...) do
        local value = (select(i, ...))
        if secret.is(value) then found[#found + 1] = value end
    end
    return found
end

--- Each line that is not empty, with blanks in front; the first one, too.
---@param text any
---@param by? integer|string how many blanks, or what to put there; default 4
---@return string
function M.indent(text, by)
    local blanks = type(by) == "string" and by or (" "):rep(by or 4)
    local result = ("\n" .. text_in("indent", text)):gsub("\n([^\r\n])", function(first)
        return "\n" .. blanks .. first
    end)
    return secret.derive(result:sub(2), secrets_of(text))
end

--- The items of a list in one line.
---@param list any[]
---@param separator? string default ", "
---@return string
function M.join(list, separator)
    if type(list) ~= "table" or secret.is(list) then
        Error.raise { code = "lua", message = "join: a list was expected, this is " .. text_in("join", list) }
    end
    local texts = {}
    for i, item in ipairs(list) do texts[i] = text_in(("join, item %d"):format(i), item) end
    return secret.derive(table.concat(texts, separator or ", "), secrets_of(unpack(list)))
end

--- One word for sh, whatever is in it.
---@param text any
---@return string
function M.quote(text)
    local plain = text_in("quote", text)
    local safe = plain:match "^[%w_%-%./:=,@%%+]+$" and plain or "'" .. plain:gsub("'", "'\\''") .. "'"
    return secret.derive(safe, secrets_of(text))
end

--- JSON, which YAML reads as well; a text is a basic string of TOML, too.
---@param value any
---@return string
function M.json(value)
    local plain, found = secret.open(value)
    return secret.derive(require("orrery.json").encode(plain), found)
end

local function order(a, b)
    local kind_a, kind_b = type(a), type(b)
    if kind_a ~= kind_b then return kind_a < kind_b end
    if kind_a == "number" or kind_a == "string" then return a < b end
    return tostring(a) < tostring(b)
end

--- pairs() in the order of the keys, so that the same variables give the same file.
---@param t table
---@return fun(): any, any
function M.sorted(t)
    local keys, i = {}, 0
    for key in pairs(t) do keys[#keys + 1] = key end
    table.sort(keys, order)
    return function()
        i = i + 1
        return keys[i], t[keys[i]]
    end
end

--- The helpers of one rendering.
---@param run orrery.template.Render
---@return table
function M.new(run)
    local vars = setmetatable({}, {
        __index = function(_, name)
            for _, scope in ipairs(run.scopes) do
                local value = scope[name]
                if value ~= nil then return value end
            end
        end,
    })
    return {
        indent = M.indent, join = M.join, quote = M.quote, json = M.json, sorted = M.sorted,
        include = function(name, more) return run:included(name, more) end,
        defined = function(name) return vars[name] ~= nil or rawget(run.own, name) ~= nil end,
        vars = vars,
    }
end

return M
