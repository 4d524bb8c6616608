--- Where the end of an unfinished text of Lua is: what is being typed there, and for which call.
--
-- It goes by tokens alone, from the beginning to the end: a text that is being typed compiles almost never.

local tokens = require "orrery.repl.tokens"

local M = {}

---@alias orrery.repl.Path (string|number)[] a local or a global, then fields

---@class orrery.repl.CallPlace a call that is being written
---@field path orrery.repl.Path
---@field method? string
---@field argument integer which one of its arguments it is

---@class orrery.repl.Place
---@field kind "name"|"field"|"key"|"string"|"module" what is being typed
---@field from integer byte where it begins; behind the quote of a string
---@field prefix string as it stands there
---@field path? orrery.repl.Path of what fields are wanted; nil: nothing is known of it
---@field method? boolean
---@field quote? string what the string begins with
---@field call? orrery.repl.CallPlace
---@field table_of? orrery.repl.CallPlace the call that the table is for in whose braces this is
---@field begins? boolean a field of that table begins here
---@field key? string the field of that table whose value this is
---@field list_of? string the field of a table in whose list this is
---@field given table<string, true> the fields that the table has
---@field names string[] that the text declares

local CLOSES = { [")"] = "(", ["}"] = "{", ["]"] = "[" }
local OPENS = { ["("] = true, ["{"] = true, ["["] = true }
local BLOCKS = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local ENDS = { ["end"] = true, ["until"] = true }

local function is(token, text) return token ~= nil and token.kind == "op" and token.text == text end
local function is_keyword(token, text) return token ~= nil and token.kind == "keyword" and token.text == text end
local function is_name(token) return token ~= nil and token.kind == "name" end

-- Strings -----------------------------------------------------------------------------------------

local ESCAPES = { n = "\n", t = "\t", r = "\r", a = "\a", b = "\b", f = "\f", v = "\v" }

-- What the escape at a byte stands for, and where it ends.
local function escape(text, at)
    local digits = text:match("^%d%d?%d?", at)
    if digits then return tonumber(digits) < 256 and string.char(tonumber(digits)) or nil, at + #digits end
    local hex = text:match("^x(%x%x)", at)
    if hex then return string.char(tonumber(hex, 16)), at + 3 end
    local letter = text:match("^[^xz]", at)
    return letter and (ESCAPES[letter] or letter), at + 1
end

--- What the inside of a string in quotes stands for.
---@param text string
---@return string? value nil where it ends in the middle of an escape, or has one that is not known here
function M.unescape(text)
    local parts, at = {}, 1
    while true do
        local from = text:find("\\", at, true)
        parts[#parts + 1] = text:sub(at, (from or 0) - 1)
        if not from then return table.concat(parts) end
        parts[#parts + 1], at = escape(text, from + 1)
        if not at or #parts % 2 == 1 then return nil end
    end
end

local function opening(text) return text:match "^[\"']" or text:match "^%[=*%[" end

-- What a whole string stands for.
local function value_of(token)
    local open = opening(token.text)
    local inside = token.text:sub(#open + 1, -#open - 1)
    if #open > 1 then return inside end
    return M.unescape(inside)
end

-- Expressions -------------------------------------------------------------------------------------

local function module_path(token) return { "package", "loaded", value_of(token) } end

-- The path of a call or of a value in parentheses that ends at `i`; and where it begins.
local function closed_path(list, i)
    local inside = list[i - 1]
    if not (inside and inside.kind == "string" and is(list[i - 2], "(")) then return nil end
    local before = list[i - 3]
    if is_name(before) then
        if before.text ~= "require" or is(list[i - 4], ".") or is(list[i - 4], ":") then return nil end
        return module_path(inside), i - 3
    end
    if before and (before.kind == "string" or CLOSES[before.text]) then return nil end
    return { "string" }, i - 2
end

-- The path of what ends at `i` and has no name at its end.
local function other_path(list, i)
    if is(list[i], ")") then return closed_path(list, i) end
    if list[i] and list[i].kind == "string" and is_name(list[i - 1]) and list[i - 1].text == "require" then
        return module_path(list[i]), i - 1
    end
end

local function key_of(token)
    if not token then return nil end
    if token.kind == "number" then return tonumber(token.text) end
    return token.kind == "string" and value_of(token) or nil
end

-- Where the expression goes on in front of the last part of it that ends at `i`; and that part.
local function last_part(list, i)
    if is_name(list[i]) then
        if is(list[i - 1], ".") then return list[i].text, i - 2 end
        return list[i].text, nil, is(list[i - 1], ":")
    end
    if is(list[i], "]") and is(list[i - 2], "[") then return key_of(list[i - 1]), i - 3 end
end

local function join(path, parts)
    for n = #parts, 1, -1 do path[#path + 1] = parts[n] end
    return path
end

-- The path of the expression that ends at token `i`; nil where it is not made of names and keys alone.
local function path_to(list, i, aliases)
    local parts = {}
    while i do
        local path = other_path(list, i)
        if path then return join(path, parts) end
        local part, before, method = last_part(list, i)
        if part == nil or method then return nil end
        parts[#parts + 1] = part
        i = before
    end
    local alias = aliases[parts[#parts]]
    if alias then
        parts[#parts] = nil
        return join({ "package", "loaded", alias }, parts)
    end
    return join({}, parts)
end

-- The function that is called by arguments behind token `i`.
local function callee(list, i, aliases)
    if is_name(list[i]) and is(list[i - 1], ":") then
        local path = path_to(list, i - 2, aliases)
        return path and { path = path, method = list[i].text }
    end
    if i < 1 or is_keyword(list[i], "end") then return nil end
    local path = path_to(list, i, aliases)
    return path and { path = path }
end

-- Walking -----------------------------------------------------------------------------------------

---@class orrery.repl.Frame what is open
---@field at integer the token that opens it
---@field sign string "(", "{", "[" or "block"
---@field commas integer
---@field key? string
---@field given table<string, true>

---@class orrery.repl.Walk
---@field list orrery.repl.Token[]
---@field frames orrery.repl.Frame[]
---@field names string[] that are declared
---@field aliases table<string, string> modules, by the name that a local gives them
local Walk = {}
Walk.__index = Walk

function Walk:open(at, sign)
    self.frames[#self.frames + 1] = { at = at, sign = sign, commas = 0, given = {} }
end

-- What is open within what closes is forgotten.
function Walk:close(sign)
    for n = #self.frames, 1, -1 do
        if self.frames[n].sign == sign then
            for _ = n, #self.frames do table.remove(self.frames) end
            return
        end
    end
end

-- "a, b" behind token `i` are declared.
function Walk:declare(i)
    while is_name(self.list[i]) do
        self.names[#self.names + 1] = self.list[i].text
        if not is(self.list[i + 1], ",") then return end
        i = i + 2
    end
end

-- local NAME = require "MODULE"
function Walk:alias(i)
    local list = self.list
    if not is_name(list[i]) then return end
    self.aliases[list[i].text] = nil
    if not (is(list[i + 1], "=") and is_name(list[i + 2]) and list[i + 2].text == "require") then return end
    local at = is(list[i + 3], "(") and i + 4 or i + 3
    if list[at] and list[at].kind == "string" then self.aliases[list[i].text] = value_of(list[at]) end
end

function Walk:declarations(i)
    local list, word = self.list, self.list[i].text
    if word == "for" then return self:declare(i + 1) end
    if word == "local" then
        self:alias(i + 1)
        return self:declare(is_keyword(list[i + 1], "function") and i + 2 or i + 1)
    end
    local at = i + 1
    while list[at] and not is(list[at], "(") do at = at + 1 end
    self:declare(at + 1)
end

function Walk:keyword(i)
    local word = self.list[i].text
    if word == "local" or word == "for" or word == "function" then self:declarations(i) end
    if BLOCKS[word] then self:open(i, "block") end
    if ENDS[word] then self:close "block" end
end

function Walk:sign(i)
    local sign, top, list = self.list[i].text, self.frames[#self.frames], self.list
    if OPENS[sign] then return self:open(i, sign) end
    if CLOSES[sign] then return self:close(CLOSES[sign]) end
    if not top then return end
    if sign == "," or sign == ";" then
        top.commas, top.key = top.commas + 1, nil
    elseif sign == "=" and top.sign == "{" and is_name(list[i - 1]) then
        top.key = list[i - 1].text
        top.given[top.key] = true
    end
end

function Walk:step(i)
    local kind = self.list[i].kind
    if kind == "keyword" then self:keyword(i) end
    if kind == "op" then self:sign(i) end
end

-- The call whose argument a token in this frame, or the table that it is, would be.
function Walk:call_of(n)
    local frame = self.frames[n]
    if not frame or frame.sign ~= "(" then return nil end
    local call = callee(self.list, frame.at - 1, self.aliases)
    if call then call.argument = frame.commas + 1 end
    return call
end

local function ends_callee(token)
    return token ~= nil and (token.kind == "name" or is(token, "]") or is(token, ")"))
end

function Walk:table_of(n)
    local frame = self.frames[n]
    if not frame or frame.sign ~= "{" then return nil end
    local before = self.list[frame.at - 1]
    if is(before, "(") or is(before, ",") then return self:call_of(n - 1) end
    if not ends_callee(before) then return nil end
    local call = callee(self.list, frame.at - 1, self.aliases)
    if call then call.argument = 1 end
    return call
end

-- { "file", path = ... } in the list of h:apply is a step of the resource.
function Walk:step_of(n)
    local frame, list = self.frames[n], self.list
    local first = frame and frame.sign == "{" and list[frame.at + 1]
    if not (first and first.kind == "string" and is(list[frame.at + 2], ",")) then return nil end
    local outer = self:table_of(n - 1)
    if not outer or outer.method ~= "apply" then return nil end
    return { path = outer.path, method = value_of(first), argument = 1 }
end

-- The end ---------------------------------------------------------------------------------------

local function walk(list, last)
    local self = setmetatable({ list = list, frames = {}, names = {}, aliases = {} }, Walk)
    for i = 1, last do self:step(i) end
    return self
end

-- What surrounds what is typed behind token `last`.
local function surround(place, list, last)
    local self = walk(list, last)
    local n, before = #self.frames, list[last]
    local frame = self.frames[n]
    place.names, place.given = self.names, frame and frame.given or {}
    place.call = self:call_of(n)
    place.table_of = self:table_of(n) or self:step_of(n)
    place.begins = frame ~= nil and frame.sign == "{" and (last == frame.at or is(before, ",") or is(before, ";"))
    place.list_of = place.begins and is(list[frame.at - 1], "=") and n > 1 and self.frames[n - 1].key or nil
    place.key = is(before, "=") and frame and frame.sign == "{" and frame.key or nil
    if place.kind == "string" and is_name(before) then -- f "..."
        place.call = callee(list, last, self.aliases)
        if place.call then place.call.argument = 1 end
    end
    return place, self
end

local function is_required(list, last)
    if is(list[last], "(") then last = last - 1 end
    return is_name(list[last]) and list[last].text == "require"
end

local function in_string(list, last)
    local token = list[#list]
    local open = opening(token.text)
    local place, self = surround({
        kind = "string", quote = open, from = token.from + #open, prefix = token.text:sub(#open + 1),
    }, list, last)
    if is_required(list, last) then
        place.kind = "module"
    elseif is(list[last], "[") and last > 1 and not is(list[last - 1], "{") and not is(list[last - 1], ",") then
        place.kind, place.path = "key", path_to(list, last - 1, self.aliases)
    end
    return place
end

local function behind_dot(place, list, last)
    local _, self = surround(place, list, last)
    place.kind, place.method = "field", is(list[last], ":")
    place.path = path_to(list, last - 1, self.aliases)
    return place
end

local function without_comments(list)
    local kept = {}
    for _, token in ipairs(list) do
        if token.kind ~= "comment" then kept[#kept + 1] = token end
    end
    return kept
end

-- Is the end of the text in a comment, a number, or what is no Lua?
local function is_elsewhere(token, size)
    if not token or token.to < size then return false end
    if token.kind == "comment" then return not token.text:find "^%-%-%[=*%[" end
    return token.kind == "number" or (token.kind == "bad" and not opening(token.text))
end

-- Behind a value, in the same line, no other begins.
local function is_value(token, text)
    if not token or text:find("\n", token.to + 1, true) then return false end
    return token.kind == "name" or token.kind == "string" or token.kind == "number" or CLOSES[token.text] ~= nil
        or token.text == "..." or is_keyword(token, "nil") or is_keyword(token, "true") or is_keyword(token, "false")
end

local function declares(token)
    return is_keyword(token, "local") or is_keyword(token, "for") or is_keyword(token, "function")
        or is_keyword(token, "goto")
end

--- Where the end of a text is.
---@param text string
---@return orrery.repl.Place? place nil where nothing can be completed
function M.of(text)
    local list = tokens.list(text)
    if is_elsewhere(list[#list], #text) then return nil end
    list = without_comments(list)
    local last = list[#list]
    if last and last.kind == "bad" then return last.to == #text and in_string(list, #list - 1) or nil end
    local place, n = { kind = "name", from = #text + 1, prefix = "" }, #list
    if last and last.to == #text and (last.kind == "name" or last.kind == "keyword") then
        place.from, place.prefix, n = last.from, last.text, n - 1
    end
    if is(list[n], ".") or is(list[n], ":") then return behind_dot(place, list, n) end
    if declares(list[n]) or (place.prefix == "" and is_value(list[n], text)) then return nil end
    return (surround(place, list, n))
end

return M
