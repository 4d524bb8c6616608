--- JSON (RFC 8259): a strict reader that says where the mistake is, and a writer whose output does not depend on
--- the order in which tables are walked.
--
-- Objects and arrays become tables. An array keeps a mark (a metatable) by which it is written as one again when it
-- is empty; the mark is lost when the table travels to another process. null is `json.null`, which travels.
-- Numbers are doubles: whole numbers beyond 2^53 become the nearest one.

local Error = require "orrery.error"
local utf8 = require "orrery.utf8"

local M = {}

--- What null is. It is equal to itself and to nothing else, and true as a condition.
M.null = require("string.buffer").decode "\3" -- NULL, of type userdata; there is no FFI in an agent

--- The mark of arrays.
M.Array = { __name = "json.array" }

local DEPTH = 100

--- Marks a table as an array: an empty one is written as [].
---@param list table
---@return table list the same
function M.array(list) return setmetatable(list, M.Array) end

-- Reading -----------------------------------------------------------------------------------------

---@class orrery.json.Reader
---@field text string
---@field at integer the next byte
---@field name? string
---@field depth integer how many more levels may be
---@field null any
---@field ordered boolean
local Reader = {}
Reader.__index = Reader

-- Raises with the position of a byte.
function Reader:fail(why, at)
    at = at or self.at
    local before, line, from = self.text:sub(1, at - 1), 1, 1
    for newline in before:gmatch("()\n") do
        line, from = line + 1, newline + 1
    end
    local column = 1
    for _ in before:sub(from):gmatch("[^\128-\191]") do column = column + 1 end
    Error.raise {
        code = "decode", line = line, column = column,
        message = ("%s:%d:%d: %s"):format(self.name or "JSON", line, column, why),
    }
end

-- What stands at a position, for a message.
function Reader:found(at)
    at = at or self.at
    if at > #self.text then return "the end" end
    local word = self.text:match("^[%w_%.%+%-]+", at)
    if word then return "'" .. word:sub(1, 20) .. "'" end
    local char = self.text:match("^[%z\1-\127]", at) or self.text:match("^[\192-\255][\128-\191]*", at)
    if not char or char:find("%c") then return ("the byte 0x%02x"):format(self.text:byte(at)) end
    return "'" .. char .. "'"
end

function Reader:skip()
    self.at = self.text:find("[^ \t\r\n]", self.at) or #self.text + 1
    return self.text:byte(self.at)
end

local SIMPLE = {
    ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

-- The four digits behind \u.
function Reader:unit(at)
    local digits = self.text:match("^%x%x%x%x", at)
    if not digits then self:fail("\\u needs four hexadecimal digits", at - 2) end
    return tonumber(digits, 16)
end

-- An escape at its backslash: what it stands for, and where it goes on.
function Reader:escape(at)
    local letter = self.text:sub(at + 1, at + 1)
    if SIMPLE[letter] then return SIMPLE[letter], at + 2 end
    if letter ~= "u" then
        self:fail(letter == "" and "the string has no end" or "there is no escape \\" .. letter, at)
    end
    local unit = self:unit(at + 2)
    if unit < 0xD800 or unit > 0xDFFF then return utf8.char(unit), at + 6 end
    local low = unit < 0xDC00 and self.text:sub(at + 6, at + 7) == "\\u" and self:unit(at + 8)
    if not low or low < 0xDC00 or low > 0xDFFF then
        self:fail(("\\u%04x is half of a surrogate pair, and the other half is missing"):format(unit), at)
    end
    return utf8.char(0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00)), at + 12
end

-- A string, the position being at its first quote.
function Reader:string()
    local from, parts = self.at, nil
    local at = from + 1
    while true do
        local stop = self.text:find('["\\%z\1-\31]', at)
        if not stop then self:fail("the string has no end", from) end
        local byte = self.text:byte(stop)
        local piece = self.text:sub(at, stop - 1)
        if byte == 34 then
            self.at = stop + 1
            if not parts then return piece end
            parts[#parts + 1] = piece
            return table.concat(parts)
        elseif byte ~= 92 then
            self:fail(("a string cannot contain the byte 0x%02x; \\u%04x can be written"):format(byte, byte), stop)
        end
        parts = parts or {}
        parts[#parts + 1] = piece
        parts[#parts + 1], at = self:escape(stop)
    end
end

function Reader:number()
    local from, to = self.text:find("^%-?%d+", self.at)
    local digits = from and self.text:sub(from, to)
    if not digits or digits:find("^%-?0%d") then
        self:fail("not a number of JSON's: " .. self:found())
    end
    local _, fraction = self.text:find("^%.%d+", to + 1)
    to = fraction or to
    local _, exponent = self.text:find("^[eE][%+%-]?%d+", to + 1)
    to = exponent or to
    if self.text:find("^[%w_%.]", to + 1) then self:fail("not a number of JSON's: " .. self:found()) end
    local value = tonumber(self.text:sub(from, to))
    if value == math.huge or value == -math.huge then self:fail("the number is too large: " .. self:found()) end
    self.at = to + 1
    return value
end

function Reader:word(word, value)
    if self.text:match("^[%w_]+", self.at) ~= word then self:fail("a value was expected, not " .. self:found()) end
    self.at = self.at + #word
    return value
end

-- Enters a level; returns whether it is empty.
function Reader:enter(close)
    if self.depth == 0 then self:fail("too many levels") end
    self.depth = self.depth - 1
    self.at = self.at + 1
    return self:skip() == close
end

function Reader:leave(value)
    self.depth = self.depth + 1
    self.at = self.at + 1
    return value
end

local COMMA, COLON, QUOTE, CLOSE_ARRAY, CLOSE_OBJECT = 44, 58, 34, 93, 125

-- Behind a value: true if there is another one.
function Reader:another(close, what)
    local byte = self:skip()
    if byte == close then return false end
    if byte ~= COMMA then self:fail(("',' or '%s' was expected, not %s"):format(what, self:found())) end
    local comma = self.at
    self.at = comma + 1
    if self:skip() == close then self:fail("nothing follows this ','", comma) end
    return true
end

function Reader:array()
    local list = M.array {}
    if self:enter(CLOSE_ARRAY) then return self:leave(list) end
    repeat list[#list + 1] = self:value() until not self:another(CLOSE_ARRAY, "]")
    return self:leave(list)
end

function Reader:object()
    local object, seen, keys = {}, {}, {}
    if self.ordered then setmetatable(object, { keys = keys }) end
    if self:enter(CLOSE_OBJECT) then return self:leave(object) end
    repeat
        if self:skip() ~= QUOTE then self:fail("a key in quotes was expected, not " .. self:found()) end
        local at = self.at
        local key = self:string()
        if seen[key] then self:fail(("the key \"%s\" is there already"):format(key), at) end
        seen[key] = true
        keys[#keys + 1] = key
        if self:skip() ~= COLON then self:fail("':' was expected, not " .. self:found()) end
        self.at = self.at + 1
        object[key] = self:value()
    until not self:another(CLOSE_OBJECT, "}")
    return self:leave(object)
end

local readers = {
    [34] = Reader.string, [91] = Reader.array, [123] = Reader.object,
    [116] = function(self) return self:word("true", true) end,
    [102] = function(self) return self:word("false", false) end,
    [110] = function(self) return self:word("null", self.null) end,
    [45] = Reader.number,
}
for digit = 48, 57 do readers[digit] = Reader.number end

function Reader:value()
    local read = readers[self:skip()]
    if not read then self:fail("a value was expected, not " .. self:found()) end
    return read(self)
end

---@class orrery.json.DecodeOptions
---@field name? string what messages call the text, a file's name mostly
---@field depth? integer the most levels, 100 by default
---@field null? any what null becomes; json.null by default
---@field ordered? boolean objects remember the order of their keys, for `json.keys`

--- Reads a text that holds one value.
---@param text string
---@param opts? orrery.json.DecodeOptions
---@return any
---Raises "decode", with `line` and `column` (in characters), where it is not JSON: a key that is there twice,
---invalid UTF-8, and half of a surrogate pair are mistakes, too.
function M.decode(text, opts)
    opts = opts or {}
    local null = opts.null
    if null == nil then null = M.null end
    local reader = setmetatable(
        {
            text = text, at = 1, name = opts.name, depth = opts.depth or DEPTH, null = null,
            ordered = opts.ordered or false,
        }, Reader)
    local bad = utf8.invalid(text)
    if bad then reader:fail(("not UTF-8: the byte 0x%02x"):format(text:byte(bad)), bad) end
    if text:sub(1, 3) == "\239\187\191" then reader.at = 4 end -- a mark that some editors write
    local value = reader:value()
    if reader:skip() then reader:fail("the value has ended, and there is more: " .. reader:found()) end
    return value
end

--- The keys of an object: in the order of the text where it was read with `ordered`, else by the alphabet.
---@param object table
---@return string[]
function M.keys(object)
    local meta = getmetatable(object)
    if type(meta) == "table" and meta.keys then return meta.keys end
    local keys = {}
    for key in pairs(object) do keys[#keys + 1] = key end
    table.sort(keys)
    return keys
end

-- Writing -----------------------------------------------------------------------------------------

---@class orrery.json.Writer
---@field out string[]
---@field indent? string
---@field path string[]
---@field html boolean
local Writer = {}
Writer.__index = Writer

function Writer:fail(why)
    local path = table.concat(self.path):gsub("^%.", "")
    Error.raise {
        code = "encode", at = Error.at(),
        message = ("not to be written as JSON: %s%s"):format(path == "" and "" or path .. ": ", why),
    }
end

local ESCAPES = {
    ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}

local function unicode_escape(char) return ESCAPES[char] or ("\\u%04x"):format(char:byte()) end

-- In a <script> of HTML, "</script" would end it, and JavaScript was slow to take these two in strings.
local function quote_html(text)
    return (text:gsub("[<>&]", unicode_escape):gsub("\226\128\168", "\\u2028"):gsub("\226\128\169", "\\u2029"))
end

function Writer:quote(text)
    text = utf8.scrub(text):gsub('[%z\1-\31"\\\127]', unicode_escape)
    if self.html then text = quote_html(text) end
    return '"' .. text .. '"'
end

local function shortest(number)
    for digits = 15, 17 do
        local text = ("%." .. digits .. "g"):format(number)
        if tonumber(text) == number then return text end
    end
end

function Writer:number(number)
    if number ~= number or number == math.huge or number == -math.huge then
        self:fail(("the number %s"):format(tostring(number)))
    end
    if number % 1 == 0 and math.abs(number) < 2 ^ 53 then return ("%.0f"):format(number) end
    return shortest(number)
end

-- How long the array is; nil: it is an object.
function Writer:length(t)
    local count, numbers = 0, false
    for key in pairs(t) do
        count = count + 1
        numbers = numbers or type(key) == "number"
    end
    if not numbers then return (count == 0 and getmetatable(t) == M.Array) and 0 or nil end
    for i = 1, count do
        if t[i] == nil then self:fail("a table that is neither a list without gaps nor has names only") end
    end
    return count
end

function Writer:line(level)
    if self.indent then self.out[#self.out + 1] = "\n" .. self.indent:rep(level) end
end

function Writer:array(t, count, level)
    local out, path = self.out, self.path
    out[#out + 1] = "["
    for i = 1, count do
        if i > 1 then out[#out + 1] = "," end
        self:line(level + 1)
        path[level + 1] = "[" .. i .. "]"
        self:value(t[i], level + 1)
    end
    path[level + 1] = nil
    if count > 0 then self:line(level) end
    out[#out + 1] = "]"
end

function Writer:object(t, level)
    local out, path, keys = self.out, self.path, {}
    for key in pairs(t) do
        if type(key) ~= "string" then self:fail(("a key of type %s"):format(type(key))) end
        keys[#keys + 1] = key
    end
    table.sort(keys)
    out[#out + 1] = "{"
    for i, key in ipairs(keys) do
        if i > 1 then out[#out + 1] = "," end
        self:line(level + 1)
        path[level + 1] = "." .. key
        out[#out + 1] = self:quote(key) .. (self.indent and ": " or ":")
        self:value(t[key], level + 1)
    end
    path[level + 1] = nil
    if #keys > 0 then self:line(level) end
    out[#out + 1] = "}"
end

function Writer:table(t, level)
    local meta = getmetatable(t)
    if type(meta) == "table" and meta.__json then return self:value(meta.__json(t), level) end
    if level >= DEPTH then self:fail(("more than %d levels, or a table in itself"):format(DEPTH)) end
    local count = self:length(t)
    if count then return self:array(t, count, level) end
    self:object(t, level)
end

function Writer:value(value, level)
    local kind, text = type(value), nil
    if kind == "table" then return self:table(value, level) end
    if kind == "string" then
        text = self:quote(value)
    elseif kind == "number" then
        text = self:number(value)
    elseif kind == "boolean" then
        text = tostring(value)
    elseif value == nil or value == M.null then
        text = "null"
    else
        self:fail("a " .. kind)
    end
    self.out[#self.out + 1] = text
end

---@class orrery.json.EncodeOptions
---@field indent? integer spaces a level; without it all is on one line
---@field html? boolean it can stand in a <script> of HTML

--- Writes a value. Keys are sorted. An empty table is {} unless it is marked by `json.array`; a table with a
--- metatable that has `__json` is written as what that function makes of it. Bytes that are no UTF-8 are replaced.
---@param value any
---@param opts? orrery.json.EncodeOptions
---@return string text without a newline at its end
---Raises "encode", with the path to what cannot be written: a function, a NaN, a list with gaps ...
function M.encode(value, opts)
    opts = opts or {}
    local writer = setmetatable({
        out = {}, path = {}, html = opts.html or false, indent = opts.indent and (" "):rep(opts.indent),
    }, Writer)
    writer:value(value, 0)
    return table.concat(writer.out)
end

return M
