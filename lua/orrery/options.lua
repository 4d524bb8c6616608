--- Checks the option table that stands last in the argument list of public functions.
--
-- A misspelt option must not be ignored: a deployment that silently runs without its `timeout` is
-- worse than one that stops. So unknown keys raise, and name the key that was probably meant.

local Error = require "orrery.error"

---@alias orrery.OptionType
---| "number" | "string" | "boolean" | "table" | "function" | "userdata" | "cdata" | "thread"
---| "any"

---@class orrery.OptionSpec
---@field type? orrery.OptionType|orrery.OptionType[] any of these; "any" where it is missing
---@field default? any used where the option is missing; not copied
---@field required? boolean
---@field enum? any[] the values allowed
---@field check? fun(value: any): boolean?, string? ok, and what the value must be
---@field secret? boolean a secret may stand for a string; its text is what is given on

---@alias orrery.OptionSchema table<string, orrery.OptionSpec|orrery.OptionType|orrery.OptionType[]>

local M = {}

---@class orrery.Declared the options that a function takes
---@field schema orrery.OptionSchema|orrery.play.Schema
---@field at? integer which argument they are; nil: whichever is a table

-- Weak, so that a function may go. A schema may be a function that returns it, where it is elsewhere.
---@type table<function, { schema: table|function, at?: integer }>
local declared = setmetatable({}, { __mode = "k" })

--- Says which options a function takes, so that who types a call of it can be told. The schema is the one that it
--- checks.
---@generic T: function
---@param fn T
---@param schema table|fun(): table? of this module, or of orrery.play.schema
---@param at? integer which argument they are, not counting `self`; nil: whichever is a table
---@return T fn
function M.declare(fn, schema, at)
    declared[fn] = { schema = schema, at = at }
    return fn
end

--- The same options as another function, if that has some.
---@generic T: function
---@param fn T
---@param other function
---@return T fn
function M.declare_as(fn, other)
    declared[fn] = declared[other]
    return fn
end

--- The options that a function takes.
---@param fn function
---@return orrery.Declared? declared nil where it has not been said
---Raises what loading the schema raises.
function M.of(fn)
    local found = declared[fn]
    if not found then return nil end
    local schema = found.schema
    if type(schema) == "function" then schema = schema() end
    return schema and { schema = schema, at = found.at }
end

---@class orrery.Fields what an `__index` function finds, which cannot be seen from outside
---@field names fun(): table<string, string> the type of each field, by its name
---@field options? fun(name: string): table? the schema of the function of that name

---@type table<function, orrery.Fields>
local fields = setmetatable({}, { __mode = "k" })

--- Says what an `__index` function finds.
---@param index function
---@param of orrery.Fields
function M.declare_fields(index, of) fields[index] = of end

--- What an `__index` function finds.
---@param index function
---@return orrery.Fields?
function M.fields(index) return fields[index] end

-- Optimal string alignment distance: insert, delete, replace, swap two neighbours. Options are
-- short, and this only runs when an error is on its way.
local function distance(a, b)
    local rows = { [0] = {} }
    for j = 0, #b do rows[0][j] = j end
    for i = 1, #a do
        rows[i] = { [0] = i }
        for j = 1, #b do
            local same = a:byte(i) == b:byte(j)
            local replaced = rows[i - 1][j - 1] + (same and 0 or 1)
            local best = math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, replaced)
            local swapped = i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j)
            rows[i][j] = swapped and math.min(best, rows[i - 2][j - 2] + 1) or best
        end
    end
    return rows[#a][#b]
end

--- Finds the name that was probably meant.
---@param name string
---@param known string[] looked at in this order; the first of the nearest wins
---@return string? nearest nil if none is close: more than one change in three letters
function M.nearest(name, known)
    local best, best_distance = nil, math.max(1, math.floor(#name / 3)) + 1
    for _, candidate in ipairs(known) do
        local d = distance(name:lower(), candidate:lower())
        if d < best_distance then best, best_distance = candidate, d end
    end
    return best
end

local function fail(where, code, text)
    Error.raise { code = code, message = ("%s: %s"):format(where, text), at = Error.at() }
end

local Secret -- not required at once, since it requires this
local function is_secret(value)
    if type(value) ~= "table" then return false end
    Secret = Secret or require("orrery.codec").typed "secret"
    return getmetatable(value) == Secret
end

local function show(value)
    if type(value) == "string" then return ("%q"):format(value) end
    if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
    return is_secret(value) and "a secret" or "a " .. type(value)
end

local function show_all(values)
    local shown = {}
    for i, value in ipairs(values) do shown[i] = show(value) end
    return table.concat(shown, ", ")
end

local function unknown(where, key, schema)
    if type(key) ~= "string" then
        fail(where, "option", ("options have names, but there is one at [%s]"):format(tostring(key)))
    end
    local known = {}
    for name in pairs(schema) do known[#known + 1] = name end
    table.sort(known)
    local near = #key <= 64 and M.nearest(key, known)
    local hint = near and ("did you mean '%s'?"):format(near)
        or #known == 0 and "it takes none" or "known options: " .. table.concat(known, ", ")
    fail(where, "option", ("unknown option '%s'; %s"):format(key, hint))
end

local function has_type(value, types)
    if type(types) == "string" then return types == "any" or type(value) == types end
    for _, name in ipairs(types) do
        if has_type(value, name) then return true end
    end
    return false
end

local function contains(list, value)
    for _, each in ipairs(list) do
        if each == value then return true end
    end
    return false
end

-- A spec may be just its type, or a list of types.
local function expand(spec)
    if type(spec) == "string" or spec[1] ~= nil then return { type = spec } end
    return spec
end

local function check_value(where, name, value, spec)
    local function wrong(text) fail(where, "option", ("option '%s' %s"):format(name, text)) end
    if spec.type and not has_type(value, spec.type) then
        local types = type(spec.type) == "table" and table.concat(spec.type, " or ") or spec.type
        wrong(("must be a %s, not %s"):format(types, show(value)))
    end
    if spec.enum and not contains(spec.enum, value) then
        wrong(("must be one of %s, not %s"):format(show_all(spec.enum), show(value)))
    end
    if spec.check then
        local ok, must = spec.check(value)
        if not ok then wrong(("%s, not %s"):format(must or "must be something else", show(value))) end
    end
end

--- Checks options against a schema.
---@param where string the function's name as users write it, for messages
---@param opts? table the user's options; left alone
---@param schema orrery.OptionSchema
---@return table options a new table, with defaults filled in
---Raises "argument" if `opts` is no table, "option" for an unknown, missing or wrong option; the
---error's
---`at` is the line of the user's script.
function M.check(where, opts, schema)
    if opts ~= nil and type(opts) ~= "table" then
        fail(where, "argument", ("options must be a table, not %s"):format(show(opts)))
    end
    local checked = {}
    for name, value in pairs(opts or {}) do
        if schema[name] == nil then unknown(where, name, schema) end
        local spec = expand(schema[name])
        if is_secret(value) and spec.type and not has_type(value, spec.type) then
            if not spec.secret then
                fail(where, "option", ("option '%s' cannot be a secret: it would be seen"):format(name))
            end
            value = value:reveal()
        end
        check_value(where, name, value, spec)
        checked[name] = value
    end
    for name, spec in pairs(schema) do
        if checked[name] == nil and type(spec) == "table" then
            if spec.required then fail(where, "option", ("option '%s' is missing"):format(name)) end
            checked[name] = spec.default
        end
    end
    return checked
end

return M
