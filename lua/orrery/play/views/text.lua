--- Texts for people: harmless, short, and in the same words in every view.

local sgr = require "orrery.sgr"

local M = {}

-- Harmless text -----------------------------------------------------------------------------------

local function hex(bytes)
    return (bytes:gsub(".", function(byte) return ("\\x%02x"):format(byte:byte()) end))
end

-- Bounds of the second byte, by the first; 80 to BF after the others.
local SECOND = { [0xE0] = { 0xA0, 0xBF }, [0xED] = { 0x80, 0x9F }, [0xF0] = { 0x90, 0xBF }, [0xF4] = { 0x80, 0x8F } }
local ANY = { 0x80, 0xBF }

-- Of well-formed UTF-8: its length at a place, or nil.
local function sequence(text, at)
    local first = text:byte(at)
    local n = first >= 0xC2 and (first < 0xE0 and 2 or first < 0xF0 and 3 or first < 0xF5 and 4)
    if not n or at + n - 1 > #text then return nil end
    local bounds = SECOND[first] or ANY
    for i = 1, n - 1 do
        local byte = text:byte(at + i)
        if byte < bounds[1] or byte > bounds[2] then return nil end
        bounds = ANY
    end
    return n
end

-- What shows nothing and moves what is around it: overrides of the writing direction, line separators, marks.
local function is_invisible(text, at, n)
    if n == 2 then return text:byte(at) == 0xC2 and text:byte(at + 1) < 0xA0 end
    if n ~= 3 then return false end
    local a, b, c = text:byte(at, at + 2)
    if a == 0xE2 and b == 0x80 then return c >= 0xAA and c <= 0xAE or c == 0xA8 or c == 0xA9 end
    if a == 0xE2 and b == 0x81 then return c >= 0xA6 and c <= 0xA9 end
    return a == 0xEF and b == 0xBB and c == 0xBF
end

local function high(text)
    local out, at = {}, 1
    while at <= #text do
        local from = text:find("[\128-\255]", at)
        if not from then break end
        local n = sequence(text, from)
        out[#out + 1] = text:sub(at, from - 1)
        at = from + (n or 1)
        local char = text:sub(from, at - 1)
        out[#out + 1] = n and not is_invisible(text, from, n) and char or hex(char)
    end
    out[#out + 1] = text:sub(at)
    return table.concat(out)
end

--- One line in which nothing is left that a terminal would obey, or that is no UTF-8: shown as \x1b. Tabs stay.
---@param line any
---@return string
function M.printable(line)
    if type(line) ~= "string" then line = tostring(line) end
    if line:find "[%z\1-\8\10-\31\127]" then
        line = line:gsub("\r+$", ""):gsub("[%z\1-\8\10-\31\127]", hex)
    end
    return line:find "[\128-\255]" and high(line) or line
end

--- The same for a place where all columns count: no tabs; of a line that overwrites itself what is seen in the end.
---@param line any
---@return string
function M.flat(line)
    line = tostring(line):gsub("\r+$", ""):gsub("^.*\r", ""):gsub("\t", "    "):gsub("\n", " ")
    return M.printable(line)
end

--- Lines of a text, without the last newline.
---@param text string
---@return string[]
function M.lines(text)
    local lines = {}
    for line in (tostring(text):gsub("\r?\n$", "") .. "\n"):gmatch "(.-)\r?\n" do lines[#lines + 1] = line end
    return lines
end

---@param text any
---@return string
function M.first_line(text) return (tostring(text or ""):match "^[^\r\n]*") end

--- UTF-8 for what has to be (JSON, XML, HTML): other bytes become U+FFFD.
---@param text string
---@return string
function M.utf8(text)
    if not text:find "[\128-\255]" then return text end
    local out, at = {}, 1
    while at <= #text do
        local from = text:find("[\128-\255]", at)
        if not from then break end
        local n = sequence(text, from)
        out[#out + 1] = text:sub(at, from - 1)
        out[#out + 1] = n and text:sub(from, from + n - 1) or "\239\191\189"
        at = from + (n or 1)
    end
    out[#out + 1] = text:sub(at)
    return table.concat(out)
end

-- Numbers -----------------------------------------------------------------------------------------

--- "40 ms", "0.3 s", "12 s", "3 min 05 s", "2 h 03 min".
---@param seconds number
---@return string
function M.duration(seconds)
    if seconds < 0.0995 then return ("%d ms"):format(math.max(0, seconds * 1000 + 0.5)) end
    if seconds < 9.95 then return ("%.1f s"):format(seconds) end
    local s = math.floor(seconds + 0.5)
    if s < 60 then return ("%d s"):format(s) end
    if s < 3600 then return ("%d min %02d s"):format(math.floor(s / 60), s % 60) end
    return ("%d h %02d min"):format(math.floor(s / 3600), math.floor(s % 3600 / 60))
end

--- In few columns: "0.3s", "12s", "3:05", "2:03:00".
---@param seconds number
---@return string
function M.clock(seconds)
    if seconds < 9.95 then return ("%.1fs"):format(math.max(0, seconds)) end
    local s = math.floor(seconds)
    if s < 60 then return ("%ds"):format(s) end
    if s < 3600 then return ("%d:%02d"):format(math.floor(s / 60), s % 60) end
    return ("%d:%02d:%02d"):format(math.floor(s / 3600), math.floor(s % 3600 / 60), s % 60)
end

--- Of several: "0.2 to 1.4 s" where they differ much, else the longest.
---@param least number
---@param most number
---@return string
function M.durations(least, most)
    local a, b = M.duration(least), M.duration(most)
    if most < 1 or most < least * 1.5 then return b end
    if a:match " s$" and b:match "^[%d.]+ s$" then a = a:gsub(" s$", "") end
    return a .. " to " .. b
end

local UNITS = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" }

---@param bytes number
---@return string
function M.bytes(bytes)
    local unit = 1
    while bytes >= 1000 and unit < #UNITS do bytes, unit = bytes / 1024, unit + 1 end
    return (unit == 1 and "%d %s" or bytes < 9.95 and "%.1f %s" or "%.0f %s"):format(bytes, UNITS[unit])
end

---@param n integer
---@param word string
---@return string "1 host", "3 hosts"
function M.count(n, word) return ("%d %s%s"):format(n, word, n == 1 and "" or "s") end

-- Colours -----------------------------------------------------------------------------------------

local SGR = {
    ok = "32", changed = "33", failed = "1;31", lost = "1;31", skipped = "36", unknown = "35", ignored = "35",
    cancelled = "31", interrupted = "1;31",
    warning = "33", bold = "1", dim = "2", add = "32", del = "31", hunk = "36", running = "34",
}

--- A function that gives a text the colour of a word: a status, or "bold", "dim", "add", "del", "hunk".
---@param on boolean
---@return fun(word: string, text: string): string
function M.painter(on)
    if not on then return function(_, text) return text end end
    return function(word, text)
        return sgr.paint(SGR[word], text)
    end
end

-- Order -------------------------------------------------------------------------------------------

--- Statuses of steps and hosts: what one looks for first.
M.STATUSES = { "failed", "lost", "cancelled", "ignored", "unknown", "changed", "ok", "skipped" }

---@type table<string, integer>
M.RANK = {}
for rank, status in ipairs(M.STATUSES) do M.RANK[status] = rank end

--- Those whose error is to be shown.
---@type table<string, boolean>
M.IS_FAILURE = { failed = true, lost = true, cancelled = true, ignored = true }

--- A step's position as numbers: "3.2" is { 3, 2 }; nil where it is something else.
---@param step any
---@return integer[]?
local function position(step)
    local numbers = {}
    for part in tostring(step):gmatch "[^.]+" do
        numbers[#numbers + 1] = tonumber(part)
        if not numbers[#numbers] then return nil end
    end
    return numbers
end

--- Whether a host that is at one step is done with another: one that comes before, and that this is no part of.
---@param at any step
---@param step any
---@return boolean
function M.is_past(at, step)
    local a, b = position(at), position(step)
    if not a or not b then return false end
    for i = 1, math.min(#a, #b) do
        if a[i] ~= b[i] then return a[i] > b[i] end
    end
    return false
end

-- Words -------------------------------------------------------------------------------------------

--- What a step is called: its name, else its resource.
---@param step { name?: string, resource?: string, step?: string }
---@return string
function M.step_name(step)
    local name, resource = step.name, step.resource
    if name and name ~= "" then return M.flat(name) end
    return M.flat(resource or step.step or "?")
end

--- For a key of what is equal.
---@param ... any
---@return string
function M.key(...)
    local parts = {}
    for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
    return table.concat(parts, "\0")
end

return M
