--- UTF-8: is it, and what to make of what is not.

local M = {}

--- What stands for what is no UTF-8.
M.REPLACEMENT = "\239\191\189"

-- First byte -> how many follow, and the range of the first that does: no overlong forms, no surrogates, nothing
-- beyond U+10FFFF.
local function shape(byte)
    if byte >= 0xC2 and byte <= 0xDF then return 1, 0x80, 0xBF end
    if byte == 0xE0 then return 2, 0xA0, 0xBF end
    if byte == 0xED then return 2, 0x80, 0x9F end
    if byte >= 0xE1 and byte <= 0xEF then return 2, 0x80, 0xBF end
    if byte == 0xF0 then return 3, 0x90, 0xBF end
    if byte >= 0xF1 and byte <= 0xF3 then return 3, 0x80, 0xBF end
    if byte == 0xF4 then return 3, 0x80, 0x8F end
end

-- Where the character at a byte of 128 or more ends; nil where it is none.
local function last_of(text, at)
    local more, low, high = shape(text:byte(at))
    if not more then return nil end
    local second = text:byte(at + 1)
    if not second or second < low or second > high then return nil end
    for i = at + 2, at + more do
        local byte = text:byte(i)
        if not byte or byte < 0x80 or byte > 0xBF then return nil end
    end
    return at + more
end

--- Looks for what is no UTF-8.
---@param text string
---@param from? integer the first byte to look at, which begins a character
---@return integer? at of the first byte that belongs to no character; nil: all is well
function M.invalid(text, from)
    local at = text:find("[\128-\255]", from)
    while at do
        local last = last_of(text, at)
        if not last then return at end
        at = text:find("[\128-\255]", last + 1)
    end
end

--- Replaces each byte that belongs to no character.
---@param text string
---@return string text UTF-8
function M.scrub(text)
    local bad, from, parts = M.invalid(text), 1, {}
    if not bad then return text end
    while bad do
        parts[#parts + 1] = text:sub(from, bad - 1)
        parts[#parts + 1] = M.REPLACEMENT
        from = bad + 1
        bad = M.invalid(text, from)
    end
    parts[#parts + 1] = text:sub(from)
    return table.concat(parts)
end

--- A character by its number.
---@param code integer 0 to 0x10FFFF
---@return string
function M.char(code)
    local floor, char = math.floor, string.char
    if code < 0x80 then return char(code) end
    if code < 0x800 then return char(0xC0 + floor(code / 64), 0x80 + code % 64) end
    if code < 0x10000 then
        return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
    end
    return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64,
        0x80 + code % 64)
end

return M
