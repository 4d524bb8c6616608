--- What options a resource takes, and what becomes of them.
--
-- A schema is a table of options by name, each a table with a type (or an enum) and a line of documentation. From it
-- come the error for a wrong option, which names resource, option and value, `orrery doc`, and the types for LuaLS.
--
-- Options are checked twice: where the script names them, so that the error has the script's line, and on the target,
-- where they are also made into what a resource works with: a mode becomes a schema.Mode, a duration seconds.

local Error = require "orrery.error"
local options = require "orrery.options"

local M = {}

---@alias orrery.play.OptionType
---| "string" | "number" | "integer" | "boolean" | "list" | "map" | "path" | "mode" | "owner" | "duration" | "size"
---| "source" | "function" | "any"

---@class orrery.play.Option
---@field type? orrery.play.OptionType|orrery.play.OptionType[] "any" where it is missing
---@field enum? any[] the values allowed
---@field of? orrery.play.Option|orrery.play.OptionType of a list, or of the values of a map, what each must be
---@field single? boolean of a list: what is none is taken for a list of one
---@field required? boolean
---@field default? any not copied
---@field doc? string one line
---@field check? fun(value: any): boolean?, string? ok, and what the value must be: "must be even"
---@field secret? boolean it is a secret by its nature: never shown
---@field sealed? boolean the resource gets secrets in it as such, and reveals them itself
---@field public? boolean|string everyone on the target can see it, as arguments of commands, so it can hold no secret;
---a text says what to do instead

---@alias orrery.play.Schema table<string, orrery.play.Option>

-- Values that travel as secrets; the module is only there where one was made, or has arrived.
local function is_secret(value)
    local secret = package.loaded["orrery.secret"]
    return type(secret) == "table" and secret.is ~= nil and secret.is(value)
end

local function holds_secret(value)
    if is_secret(value) then return true end
    for _, each in ipairs(type(value) == "table" and value or {}) do
        if is_secret(each) then return true end
    end
    return false
end

local function revealed(value)
    if not is_secret(value) then return value end
    return package.loaded["orrery.secret"].reveal(value)
end

local MOST_SHOWN = 80

local function show(value)
    if type(value) == "string" then
        local text = #value > MOST_SHOWN and value:sub(1, MOST_SHOWN) .. "..." or value
        return (("%q"):format(text):gsub("\\\n", "\\n"))
    end
    if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
    return "a " .. type(value)
end

-- Types -------------------------------------------------------------------------------------------
--
-- Each is a function of a value that returns what it becomes, or nil and what it must be.

---@class orrery.play.Mode permissions as somebody wrote them
---@field text string
---@field bits? integer nil where the text is relative to what is there
local Mode = {}
Mode.__index = Mode
M.Mode = Mode

function Mode:__tostring() return self.text end

local WHO = { u = 0x1c0, g = 0x38, o = 7, a = 0x1ff }
local SHIFT = { u = 64, g = 8, o = 1 }

-- The bits that "rwx", "X", "s", "t" stand for in each of the classes.
local function permission_bits(who, perms, bits, directory)
    local result = 0
    for class in who:gmatch "." do
        local one = 0
        for p in perms:gmatch "[rwxX]" do
            local conditional = p == "X" and not (directory or bit.band(bits, 0x49) ~= 0)
            if not conditional then one = bit.bor(one, p == "r" and 4 or p == "w" and 2 or 1) end
        end
        result = bit.bor(result, one * SHIFT[class])
        if perms:find("s", 1, true) then
            result = bit.bor(result, class == "u" and 0x800 or class == "g" and 0x400 or 0)
        end
    end
    return perms:find("t", 1, true) and bit.bor(result, 0x200) or result
end

local function classes(who) return (who == "" or who:find("a", 1, true)) and "ugo" or who end

local function apply_clause(bits, who, op, perms, directory)
    who = classes(who)
    local named = permission_bits(who, perms, bits, directory)
    if op == "+" then return bit.bor(bits, named) end
    if op == "-" then return bit.band(bits, bit.bnot(named)) end
    local mask = 0
    for class in who:gmatch "." do
        mask = bit.bor(mask, WHO[class])
        if not directory then mask = bit.bor(mask, class == "u" and 0x800 or class == "g" and 0x400 or 0) end
    end
    return bit.bor(bit.band(bits, bit.bnot(mask)), named)
end

--- The permission bits that are wanted for what has these now.
---@param bits integer those that are there; of a new thing, what it would get
---@param directory? boolean X is then as x
---@return integer
function Mode:of(bits, directory)
    if self.bits then return self.bits end
    for clause in self.text:gmatch "[^,]+" do
        local who, rest = clause:match "^([ugoa]*)(.*)$"
        for op, perms in rest:gmatch "([-+=])([rwxXst]*)" do
            bits = apply_clause(bits, who, op, perms, directory)
        end
    end
    return bits
end

local function is_symbolic(text)
    for clause in (text .. ","):gmatch "(.-)," do
        local rest = clause:match "^[ugoa]*(.+)$"
        if not rest or rest:gsub("[-+=][rwxXst]*", "") ~= "" then return false end
    end
    return true
end

---@param text string
---@return orrery.play.Mode? mode nil where it is none
function M.mode(text)
    if text:match "^[0-7]+$" and #text <= 5 then
        local bits = tonumber(text, 8)
        return bits <= 0xfff and setmetatable({ text = text, bits = bits }, Mode) or nil
    end
    return is_symbolic(text) and setmetatable({ text = text }, Mode) or nil
end

local UNITS = { ms = 1e-3, s = 1, m = 60, h = 3600, d = 86400, w = 604800 }
local SIZES = { [""] = 0, K = 1, M = 2, G = 3, T = 4, P = 5 }

local function duration(text)
    local seconds, rest = 0, text
    while rest ~= "" do
        local number, unit, after = rest:match "^(%d+%.?%d*)([a-z]+)(.*)$"
        if not number or not UNITS[unit] then return nil end
        seconds, rest = seconds + tonumber(number) * UNITS[unit], after
    end
    return text ~= "" and seconds or nil
end

local function size(text)
    local number, unit = text:match "^(%d+%.?%d*)%s*([KMGTP]?)i?[Bb]?$"
    return number and math.floor(tonumber(number) * 1024 ^ SIZES[unit]) or nil
end

local function is_integer(value)
    return type(value) == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 53
end

local TYPES = {}

function TYPES.any(value) return value end

function TYPES.string(value)
    if type(value) == "number" then return tostring(value) end
    if type(value) ~= "string" then return nil, "must be a string" end
    return value
end

function TYPES.number(value)
    if type(value) ~= "number" then return nil, "must be a number" end
    return value
end

function TYPES.integer(value)
    if not is_integer(value) then return nil, "must be a whole number" end
    return value
end

function TYPES.boolean(value)
    if type(value) ~= "boolean" then return nil, "must be true or false" end
    return value
end

TYPES["function"] = function(value)
    if type(value) ~= "function" then return nil, "must be a function" end
    return value
end

function TYPES.path(value)
    local must = "must be an absolute path"
    if type(value) ~= "string" or value:sub(1, 1) ~= "/" then return nil, must end
    if value:find("\0", 1, true) then return nil, must .. " without NUL bytes" end
    return #value > 1 and value:gsub("/+$", "") ~= "" and (value:gsub("/+$", "")) or "/"
end

function TYPES.mode(value)
    if type(value) == "number" then
        return nil, "must be a string such as '644', since Lua has no octal numbers"
    end
    local mode = type(value) == "string" and M.mode(value) or getmetatable(value) == Mode and value
    if not mode then return nil, "must be permissions such as '644', '0755' or 'u=rwX,go=rX'" end
    return mode
end

function TYPES.owner(value)
    if is_integer(value) and value >= 0 then return value end
    if type(value) ~= "string" or value == "" or value:find "[:%z\n]" then
        return nil, "must be a name or a number"
    end
    return value:match "^%d+$" and tonumber(value) or value
end

function TYPES.duration(value)
    if type(value) == "number" and value >= 0 then return value end
    local seconds = type(value) == "string" and (tonumber(value) or duration(value))
    if not seconds or seconds < 0 then return nil, "must be seconds, or a text such as '90s', '5m' or '1h30m'" end
    return seconds
end

function TYPES.size(value)
    if is_integer(value) and value >= 0 then return value end
    local bytes = type(value) == "string" and size(value)
    if not bytes then return nil, "must be bytes, or a text such as '512K', '10M' or '1.5G'" end
    return bytes
end

-- A file of the controller. What becomes of it is for the engine: see orrery.play.files.
function TYPES.source(value)
    if type(value) == "string" and value ~= "" then return value end
    if type(value) == "table" and (value.file or value.content) then return value end
    return nil, "must be the path of a file of the controller"
end

-- Checking ----------------------------------------------------------------------------------------

local check_value

-- The part of a value that is wrong.
local function inner(wrong, whole)
    if wrong == nil then return whole end
    return wrong
end

local function check_list(value, option)
    if type(value) ~= "table" then
        if option.type == "list" and option.single then value = { value } else return nil, "must be a list" end
    end
    local checked, n = {}, 0
    for key in pairs(value) do
        if not is_integer(key) then return nil, "must be a list" end
        n = math.max(n, key)
    end
    for i = 1, n do
        if value[i] == nil then return nil, ("must be a list, but has nothing at [%d]"):format(i) end
        local each, must, wrong = check_value(value[i], option.of or "any")
        if must then return nil, ("[%d] %s"):format(i, must), inner(wrong, value[i]) end
        checked[i] = each
    end
    return checked
end

local function check_map(value, option)
    if type(value) ~= "table" then return nil, "must be a table" end
    local checked = {}
    for key, each in pairs(value) do
        local one, must, wrong = check_value(each, option.of or "any")
        if must then return nil, ("['%s'] %s"):format(tostring(key), must), inner(wrong, each) end
        checked[key] = one
    end
    return checked
end

local function check_type(name, value, option)
    if name == "list" then return check_list(value, option) end
    if name == "map" then return check_map(value, option) end
    local convert = TYPES[name]
    if not convert then error(("schema: there is no type '%s'"):format(tostring(name)), 0) end
    return convert(value)
end

local function check_types(types, value, option)
    local wanted = {}
    for i, name in ipairs(types) do
        local converted, must, wrong = check_type(name, value, option)
        if not must then return converted end
        wanted[i] = i == 1 and must or must:gsub("^must be ", "")
        if wrong ~= nil then return nil, must, wrong end
    end
    return nil, table.concat(wanted, " or ")
end

local function check_enum(value, enum)
    local shown = {}
    for i, each in ipairs(enum) do
        if each == value then return value end
        shown[i] = show(each)
    end
    local near = type(value) == "string" and #value <= 64 and options.nearest(value, enum)
    local hint = near and (" (did you mean %s?)"):format(show(near)) or ""
    return nil, ("must be one of %s%s"):format(table.concat(shown, ", "), hint)
end

-- Returns what the value becomes; or nil, what it must be, and the part of it that is wrong. A secret stays one, since
-- it is checked here and revealed much later; what it holds is checked all the same.
function check_value(value, option)
    if type(option) == "string" then option = { type = option } end
    local converted, must, wrong
    if option.enum then
        converted, must = check_enum(revealed(value), option.enum)
    else
        local types = type(option.type) == "table" and option.type or { option.type or "any" }
        converted, must, wrong = check_types(types, revealed(value), option)
    end
    if not must and option.check then
        local ok, why = option.check(converted)
        if not ok then must = why or "must be something else" end
    end
    if must then return nil, must, wrong end
    return is_secret(value) and value or converted
end

local function fail(where, text, at)
    Error.raise { code = "option", message = ("%s: %s"):format(where, text), at = at or Error.at() }
end

local function unknown(where, key, known, at)
    if type(key) ~= "string" then
        fail(where, ("options have names, but there is one at [%s]"):format(tostring(key)), at)
    end
    table.sort(known)
    local near = #key <= 64 and options.nearest(key, known)
    local hint = near and ("did you mean '%s'?"):format(near) or "it takes: " .. table.concat(known, ", ")
    fail(where, ("unknown option '%s'; %s"):format(key, hint), at)
end

local function names_of(schema)
    local names = {}
    for name in pairs(schema) do names[#names + 1] = name end
    return names
end

--- Checks options, and makes them what the types say.
---@param where string what the error begins with: the resource's name
---@param given table left alone
---@param schema orrery.play.Schema
---@param at? string "file:line" for the error
---@return table options with defaults
---Raises "option".
function M.check(where, given, schema, at)
    local checked = {}
    for name, value in pairs(given) do
        local option = schema[name]
        if option == nil then unknown(where, name, names_of(schema), at) end
        if option.public and holds_secret(value) then
            local instead = type(option.public) == "string" and option.public or "stdin or env take it to the command"
            fail(where, ("option '%s' has a secret in it, and all users of the machine can see it; %s"):format(
                name, instead), at)
        end
        local converted, must, wrong = check_value(value, option)
        if must then
            if wrong == nil then wrong = value end
            local shown = (option.secret or is_secret(value)) and "this secret" or show(wrong)
            fail(where, ("option '%s' %s, not %s"):format(name, must, shown), at)
        end
        checked[name] = converted
    end
    for name, option in pairs(schema) do
        if checked[name] == nil then
            if option.required then fail(where, ("option '%s' is missing"):format(name), at) end
            if option.default ~= nil then checked[name] = check_value(option.default, option) end
        end
    end
    return checked
end

local function check_option(where, name, option)
    if type(option) ~= "table" then
        local text = "option '%s' must be described by a table: { type = \"string\", doc = ... }"
        fail(where, text:format(tostring(name)))
    end
    local types = type(option.type) == "table" and option.type or { option.type }
    for _, each in ipairs(types) do
        if not TYPES[each] and each ~= "list" and each ~= "map" then
            fail(where, ("option '%s' has type '%s', which there is not"):format(name, tostring(each)))
        end
    end
    if type(option.of) == "table" then check_option(where, name .. "[]", option.of) end
    if type(option.of) == "string" then check_option(where, name .. "[]", { type = option.of }) end
end

--- Checks a schema itself.
---@param where string
---@param schema orrery.play.Schema
---Raises "option".
function M.validate(where, schema)
    for name, option in pairs(schema) do check_option(where, name, option) end
end

return M
