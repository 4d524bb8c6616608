--- What is wrong with an input that does not compile, and where.
--
-- LuaJIT's messages name the line alone. How far its lexer had read tells the column: it is given the line byte by
-- byte, and is one byte ahead of the token that it complains about.

local tokens = require "orrery.repl.tokens"

local M = {}

---@class orrery.repl.Mistake
---@field kind "syntax"|"incomplete"
---@field line integer of the input
---@field column integer in characters, from 1
---@field byte integer the same in bytes
---@field at integer the same from the beginning of the input
---@field message string without a place
---@field near? string the token there; shortened

local LONGEST_NEAR = 40 -- bytes

-- Where the line break at a byte ends; two different ones in a row are one.
local function break_end(text, at)
    local first, second = text:byte(at, at + 1)
    return (second == 10 or second == 13) and second ~= first and at + 1 or at
end

local function line_start(text, line)
    local from = 1
    for _ = 2, line do
        local at = text:find("[\r\n]", from)
        if not at then return from end
        from = break_end(text, at) + 1
    end
    return from
end

-- The line of a byte, and where it begins.
local function line_of(text, byte)
    local line, from = 1, 1
    while true do
        local at = text:find("[\r\n]", from)
        if not at or at >= byte then return line, from end
        line, from = line + 1, break_end(text, at) + 1
    end
end

local function characters(text)
    local _, count = text:gsub("[^\128-\191]", "")
    return count
end

-- How many bytes LuaJIT has read when it gives up in a line.
local function read_until(source, line)
    local given = line_start(source, line) - 1
    local bulk = given > 0 and source:sub(1, given)
    load(function()
        local piece = bulk
        bulk = nil
        if piece then return piece end
        given = given + 1
        return given <= #source and source:sub(given, given) or nil
    end, "=?", "t")
    return given
end

-- The last token of a list that ends before a byte; comments are none.
local function last_before(list, byte)
    for i = #list, 1, -1 do
        if list[i].to < byte and list[i].kind ~= "comment" then return i end
    end
    return 0
end

-- The last place at which these tokens follow each other in a line.
local function find_words(source, list, line, ...)
    local from = line_start(source, line)
    local to = line_start(source, line + 1)
    for i = #list, 1, -1 do
        local all = list[i].from >= from and (list[i].from < to or to == from)
        for k = 1, select("#", ...) do
            local token = list[i + k - 1]
            all = all and token ~= nil and token.text == select(k, ...)
        end
        if all then return list[i] end
    end
end

-- The `break` without which the complaint is another one.
local function find_break(source, list, line, why)
    for _, token in ipairs(list) do
        if token.kind == "keyword" and token.text == "break" and line_of(source, token.from) == line then
            local other = source:sub(1, token.from - 1) .. "     " .. source:sub(token.to + 1)
            local fn, still = load(other, "=?", "t")
            if fn or still ~= why then return token end
        end
    end
    return find_words(source, list, line, "break")
end

-- What messages without a token are about, if they tell.
local function find_meant(source, list, line, message, why)
    if message:find "no loop to break" then return find_break(source, list, line, why) end
    local label = message:match "^undefined label '(.*)'" or message:match "^<goto (.-)>"
    if label then return find_words(source, list, line, "goto", label) end
    label = message:match "^duplicate label '(.*)'"
    return label and find_words(source, list, line, "::", label)
end

-- The escape sequence inside of a string that is being read.
local function find_escape(source, read)
    local from = read
    while from > 1 and source:sub(from, from) ~= "\\" do from = from - 1 end
    return { kind = "bad", text = source:sub(from, read), from = from, to = read }
end

local function find_token(source, line, message, near, why)
    local list = tokens.list(source)
    local read = read_until(source, line)
    if message:find("escape sequence", 1, true) then return find_escape(source, read) end
    if not near then
        local meant = find_meant(source, list, line, message, why)
        if meant then return meant end
    end
    local i = last_before(list, read)
    local before = list[i - 1]
    -- LuaJIT sometimes looks one token further.
    if near and before and list[i].text ~= near and before.text == near then i = i - 1 end
    return list[i]
end

-- Cut where a character begins, and at the end of its line.
local function shorten(text)
    local short = text:match "^[^\r\n]*"
    if #short > LONGEST_NEAR then
        short = short:sub(1, LONGEST_NEAR):gsub("[\192-\255][\128-\191]*$", "")
    end
    return short == text and text or short .. "..."
end

local function place(text, at)
    local line, from = line_of(text, at)
    return { line = line, column = characters(text:sub(from, at - 1)) + 1, byte = at - from + 1, at = at }
end

--- Explains why a source does not compile.
---@param source string
---@param shift integer how many of its bytes stand before the input
---@param input string
---@param why string what `load` said of it, by the chunk name "=?"
---@param incomplete boolean the input may go on
---@return orrery.repl.Mistake
function M.explain(source, shift, input, why, incomplete)
    local line, rest = why:match "^%?:(%d+): (.*)$"
    local message, near = (rest or why):match "^(.-) near '(.*)'$"
    message = message or rest or why
    local at = #input:match "^(.-)%s*$" + 1
    if not incomplete then
        local token = find_token(source, tonumber(line) or 1, message, near, why)
        at = token and math.min(math.max(token.from - shift, 1), #input + 1) or at
        if near and token and not near:find "^char%(" then near = token.text end
    end
    local found = place(input, at)
    found.kind = incomplete and "incomplete" or "syntax"
    found.message = message == "'<eof>' expected" and "unexpected symbol" or message
    found.near = near and shorten(near)
    return found
end

return M
