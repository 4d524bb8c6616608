--- The lexer of Lua source, as LuaJIT reads it: for what has to look at an input without running it.
--
-- It never fails: what is no token, or does not end, is one of kind "bad". Long strings and comments are found by
-- their ends, so that an input of many MiB costs what a search through it does.

local M = {}

---@class orrery.repl.Token
---@field kind "keyword"|"name"|"number"|"string"|"comment"|"op"|"bad"
---@field text string
---@field from integer byte where it begins
---@field to integer its last byte
---@field closed? false a string or a comment that does not end

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
    until while]]):gmatch "%a+" do
    KEYWORDS[word] = true
end
M.keywords = KEYWORDS

-- Longer ones first.
local OPS = { "^%.%.%.", "^%.%.", "^[=~<>]=", "^::", "^[%+%-%*/%%%^#<>=%(%){}%[%];:,%.]" }

-- Where a quoted string ends, or its line.
local function quoted_end(text, from)
    local quote, at = text:sub(from, from), from + 1
    local stops = "[\r\n\\" .. quote .. "]"
    while true do
        at = text:find(stops, at)
        if not at then return #text, false end
        local byte = text:sub(at, at)
        if byte == quote then return at, true end
        if byte ~= "\\" then return at - 1, false end
        local _, skipped = text:find("^z%s*", at + 1)
        if not skipped then _, skipped = text:find("^\r\n", at + 1) end
        if not skipped then _, skipped = text:find("^\n\r", at + 1) end
        at = (skipped or at + 1) + 1
    end
end

-- Where what a long bracket opens ends; nil: there is none.
local function long_end(text, from)
    local level = text:match("^%[(=*)%[", from)
    if not level then return nil end
    local _, to = text:find("]" .. level .. "]", from + #level + 2, true)
    return to or #text, to ~= nil
end

local function comment_end(text, from)
    local to, closed = long_end(text, from + 2)
    if to then return to, closed end
    return (text:find("[\r\n]", from + 2) or #text + 1) - 1, true
end

-- LuaJIT takes all that could belong to a number, and then looks whether it is one.
local function number_end(text, from)
    local sign = text:find("^0[xX]", from) and "^[pP]" or "^[eE]"
    local _, to = text:find("^[%w_%.\128-\255]+", from)
    while text:find("^[+-]", to + 1) and text:find(sign, to) do
        _, to = text:find("^[%w_%.\128-\255]*", to + 2)
    end
    return to
end

-- A `goto` is one only in front of a name.
local function word_kind(text, word, to)
    if word == "goto" and not text:find("^%s*[%a_\128-\255]", to + 1) then return "name" end
    return KEYWORDS[word] and "keyword" or "name"
end

local function op_at(text, from)
    for _, pattern in ipairs(OPS) do
        local _, to = text:find(pattern, from)
        if to then return "op", to end
    end
    return "bad", from
end

-- Kind, last byte, and whether it ends, of the token that begins at a byte.
local function token_at(text, from)
    local _, to = text:find("^[%a_\128-\255][%w_\128-\255]*", from)
    if to then return word_kind(text, text:sub(from, to), to), to, true end
    if text:find("^%.?%d", from) then return "number", number_end(text, from), true end
    local closed
    if text:find("^[\"']", from) then
        to, closed = quoted_end(text, from)
        return "string", to, closed
    elseif text:find("^%-%-", from) then
        to, closed = comment_end(text, from)
        return "comment", to, closed
    elseif text:find("^%[[=%[]", from) then
        to, closed = long_end(text, from)
        if to then return "string", to, closed end
        _, to = text:find("^%[=+", from)
        return "bad", to, false
    end
    local kind
    kind, to = op_at(text, from)
    return kind, to, true
end

--- Cuts a text into tokens. White space is none.
---@param text string
---@return orrery.repl.Token[]
function M.list(text)
    local list, n = {}, 0
    local at = text:find("%S")
    while at do
        local kind, to, closed = token_at(text, at)
        n = n + 1
        list[n] = { kind = closed and kind or "bad", text = text:sub(at, to), from = at, to = to }
        if not closed then list[n].closed = false end
        at = text:find("%S", to + 1)
    end
    return list
end

return M
