--- Ranges of numbers in the names of hosts: "1-3,07-10,0-20/5" to numbers, and back. Numbers are strings, so that
--- their zeros stay.

local M = {}

local DIGITS = 15 -- what a double holds, and more than any name has

local function is_padded(number) return #number > 1 and number:sub(1, 1) == "0" end

-- "-5" to "-", "5".
local function bound(text)
    local sign, digits = text:match("^(%-?)(%d+)$")
    if digits and #digits <= DIGITS then return sign, digits end
end

local function bounds(text)
    local first, last = text:match("^(%-?%d+)%s*%-%s*(%-?%d+)$")
    if not first then
        first = text:match("^%-?%d+$")
        last = first
    end
    return first, last
end

---@class orrery.ranges.Range
---@field first integer
---@field last integer
---@field step integer
---@field form string for string.format

--- Reads one range.
---@param text string "1-3", "7", "0-20/5"
---@return orrery.ranges.Range?
---@return string? why it is none
local function read(text)
    local range, step = text:match("^%s*(.-)%s*/%s*(%d+)%s*$")
    range = range or text:match("^%s*(.-)%s*$")
    local first, last = bounds(range)
    local sign, from = bound(first or "")
    local end_sign, to = bound(last or "")
    if not from or not to then return nil, "is no range of numbers" end
    local padded = is_padded(from) or is_padded(to)
    if padded and sign .. end_sign ~= "" then
        return nil, "is no range of numbers: below 0 there are no leading zeros"
    end
    if padded and #from ~= #to then return nil, "is no range of numbers: both ends need the same number of digits" end
    if step and first == last and tonumber(step) ~= 1 then return nil, "is no range, so it has no step" end
    if step and tonumber(step) < 1 then return nil, "is no range of numbers: its step is 0" end
    if tonumber(first) > tonumber(last) then return nil, "is no range of numbers: it goes down" end
    return {
        first = tonumber(first), last = tonumber(last), step = tonumber(step or 1),
        form = padded and "%0" .. #from .. ".0f" or "%.0f",
    }
end

--- The numbers of a list of ranges, in order; each as often as it is there.
---@param text string "1-3,7"
---@param most integer
---@return string[]? numbers
---@return string? why not
---@return string? which range is wrong
function M.expand(text, most)
    local numbers = {}
    for item in (text .. ","):gmatch("([^,]*),") do
        local range, why = read(item)
        if not range then return nil, why, item end
        if (range.last - range.first) / range.step + #numbers >= most then
            return nil, ("is more than %d"):format(most), item
        end
        for number = range.first, range.last, range.step do numbers[#numbers + 1] = range.form:format(number) end
    end
    return numbers
end

-- By length, then by value: "9" < "10", "1" < "01".
local function before(a, b)
    if #a ~= #b then return #a < #b end
    return a < b
end

-- Whether a number goes on a run that began with `first`, and has come to `last`.
local function goes_on(first, last, number)
    if tonumber(number) ~= tonumber(last) + 1 then return false end
    if is_padded(first) then return #number == #first end
    return not is_padded(number)
end

--- The short way to write numbers. Sorts the list, in which each is there once.
---@param numbers string[] of at most 15 digits
---@return string "1-3,7"
function M.fold(numbers)
    table.sort(numbers, before)
    local shown, i = {}, 1
    while i <= #numbers do
        local last = i
        while numbers[last + 1] and goes_on(numbers[i], numbers[last], numbers[last + 1]) do last = last + 1 end
        shown[#shown + 1] = last > i and numbers[i] .. "-" .. numbers[last] or numbers[i]
        i = last + 1
    end
    return table.concat(shown, ",")
end

--- Cuts a name at its numbers.
---@param name string
---@return string pattern with a NUL for each number
---@return string[] numbers
function M.cut(name)
    local numbers = {}
    local pattern = name:gsub("%d+", function(digits)
        if #digits > DIGITS then return nil end
        numbers[#numbers + 1] = digits
        return "\0"
    end)
    return pattern, numbers
end

return M
