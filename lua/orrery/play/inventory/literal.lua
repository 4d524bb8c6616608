--- Literals of Python, which is what Ansible takes the values in INI files for: 80, 'a b', [1, 2], {'a': True}, None.
-- What is none is text.

local json = require "orrery.json"
local utf8 = require "orrery.utf8"

local M = {}

local NONE = {} -- raised: it is no literal
local DEPTH = 50

---@class orrery.literal.Reader
---@field text string
---@field at integer
---@field depth integer
local Reader = {}
Reader.__index = Reader

local function give_up() error(NONE, 0) end

function Reader:take(pattern)
    local from, to, captured = self.text:find("^" .. pattern, self.at)
    if not from then return nil end
    self.at = to + 1
    return captured or self.text:sub(from, to)
end

function Reader:skip() self:take "[ \t\f]+" end

-- Numbers -----------------------------------------------------------------------------------------

-- Whole numbers that a double cannot hold stay text: an id must not change.
local function whole(text, base)
    local value = tonumber(text, base)
    if value < 2 ^ 53 then return value end
    if base ~= 10 then give_up() end
    return text
end

-- "1_000" to "1000"; nil where the underscores are not between digits.
local function digits(text)
    if text:find "^_" or text:find "_$" or text:find "__" then give_up() end
    return (text:gsub("_", ""))
end

local BASES = { x = { 16, "^[%x_]+$" }, o = { 8, "^[0-7_]+$" }, b = { 2, "^[01_]+$" } }

function Reader:number()
    local word = self:take "[%w_%.]*[eE][%+%-]%d[%w_]*"
    if word and (word:find "^0[xX]" or not word:find "^[%d_%.]+[eE][%+%-][%d_]+$") then
        self.at, word = self.at - #word, nil
    end
    word = word or self:take "[%w_%.]+" or give_up()
    local letter, rest = word:match "^0(%a)_?(.*)$"
    local base = letter and BASES[letter:lower()]
    if base and rest ~= "" and rest:find(base[2]) then return whole(digits(rest), base[1]) end
    if word:find "^[%d_]+$" then
        local plain = digits(word)
        if plain:find "^0" and plain:find "[1-9]" then give_up() end
        return whole(plain, 10)
    end
    local mantissa, exponent = word:match "^([%d_%.]+)[eE]([%+%-]?[%d_]+)$"
    mantissa = mantissa or word
    local before, behind = mantissa:match "^([%d_]*)%.?([%d_]*)$"
    if not before or before .. behind == "" then give_up() end
    local value = tonumber(digits(before) .. "." .. digits(behind) .. "e" .. digits(exponent or "0"))
    if not value or value == math.huge then give_up() end
    return value
end

function Reader:signed()
    local sign = self:take "[%+%-]"
    self:skip()
    local value = self:number()
    if sign ~= "-" then return value end
    if value == 0 then return 0 end
    return type(value) == "number" and -value or "-" .. value
end

-- Strings -----------------------------------------------------------------------------------------

local SIMPLE = {
    ["\\"] = "\\", ["'"] = "'", ['"'] = '"', a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v",
}
local HEXADECIMAL = { x = 2, u = 4, U = 8 }

-- What an escape stands for, the position being at its backslash.
function Reader:escape(bytes)
    self.at = self.at + 1
    local octal = self:take "[0-7][0-7]?[0-7]?"
    if octal then return utf8.char(tonumber(octal, 8)) end
    local letter = self:take "." or give_up()
    if SIMPLE[letter] then return SIMPLE[letter] end
    local length = HEXADECIMAL[letter]
    if not length or (bytes and letter ~= "x") then
        if letter == "N" and not bytes then give_up() end
        return "\\" .. letter
    end
    local code = tonumber(self:take(("%x"):rep(length)) or give_up(), 16)
    if code > 0x10FFFF or (code >= 0xD800 and code <= 0xDFFF) or (bytes and code > 127) then give_up() end
    return utf8.char(code)
end

function Reader:quoted(quote, raw, bytes)
    local parts = {}
    while self.text:sub(self.at, self.at + #quote - 1) ~= quote do
        if self.at > #self.text then give_up() end
        if self.text:byte(self.at) ~= 92 then
            local plain = self:take("[^\\" .. quote:sub(1, 1) .. "]+") or self:take "."
            if bytes and plain:find "[\128-\255]" then give_up() end
            parts[#parts + 1] = plain
        elseif raw then
            parts[#parts + 1] = self:take "\\." or give_up()
        else
            parts[#parts + 1] = self:escape(bytes)
        end
    end
    self.at = self.at + #quote
    return table.concat(parts)
end

local PREFIXES = { [""] = true, r = true, u = true, b = true, rb = true, br = true }

function Reader:string(kind)
    local prefix = self:take "%a*":lower()
    if not PREFIXES[prefix] then give_up() end
    local bytes = prefix:find "b" ~= nil
    if kind ~= nil and kind ~= bytes then give_up() end
    local quote = self:take '"""' or self:take "'''" or self:take "[\"']" or give_up()
    local text = self:quoted(quote, prefix:find "r" ~= nil, bytes)
    self:skip()
    if self.text:find("^%a*[\"']", self.at) then return text .. self:string(bytes) end -- they are joined
    return text
end

-- Lists and what is in brackets ---------------------------------------------------------------------

-- Values up to a bracket; whether a comma stood behind one.
function Reader:values(close)
    local list, comma = json.array {}, false
    while true do
        self:skip()
        if self:take(close) then return list, comma end
        if #list > 0 and not comma then give_up() end
        list[#list + 1] = self:value()
        self:skip()
        comma = self:take "," ~= nil
    end
end

local function key_of(value)
    if type(value) == "table" then give_up() end
    if value == json.null then return "null" end
    return tostring(value)
end

function Reader:braces()
    self:skip()
    if self:take "}" then return {} end
    local from = self.at
    self:value()
    self:skip()
    if not self.text:find("^:", self.at) then
        self.at = from
        return (self:values "}")
    end
    self.at = from
    local map = {}
    repeat
        local key = key_of(self:value())
        self:skip()
        if not self:take ":" then give_up() end
        map[key] = self:value()
        self:skip()
        local comma = self:take ","
        self:skip()
        local closed = self:take "}"
        if not comma and not closed then give_up() end
    until closed
    return map
end

function Reader:parentheses()
    local list, comma = self:values "%)"
    if #list == 1 and not comma then return list[1] end
    return list
end

local WORDS = { True = true, False = false, None = json.null }

function Reader:value()
    if self.depth == 0 then give_up() end
    self.depth = self.depth - 1
    self:skip()
    local value
    if self:take "%[" then
        value = self:values "%]"
    elseif self:take "{" then
        value = self:braces()
    elseif self:take "%(" then
        value = self:parentheses()
    elseif self.text:find("^%a*[\"']", self.at) then
        value = self:string()
    elseif self.text:find("^[%d%.%+%-]", self.at) then
        value = self:signed()
    else
        value = WORDS[self:take "[%a_][%w_]*" or give_up()]
        if value == nil then give_up() end
    end
    self.depth = self.depth + 1
    return value
end

local function read(text)
    local reader = setmetatable({ text = text, at = 1, depth = DEPTH }, Reader)
    local value = reader:value()
    reader:skip()
    if reader.text:find("^,", reader.at) then
        local list = json.array { value }
        while reader:take "," do
            reader:skip()
            if reader.at > #text or text:find("^#", reader.at) then break end
            list[#list + 1] = reader:value()
            reader:skip()
        end
        value = list
    end
    if reader.at <= #text and not text:find("^#", reader.at) then give_up() end
    return value
end

--- The value that a text stands for.
---@param text string
---@return any value the text itself where it is no literal; json.null for None
function M.read(text)
    local ok, value = pcall(read, text)
    if ok then return value end
    if value ~= NONE then error(value, 0) end
    return text
end

return M
