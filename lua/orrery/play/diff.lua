--- What changes, for people: unified diffs of texts, and lists of single differences in the same style.
--
-- Lines are compared by Myers' method in linear space, from both ends to the middle. Where two texts have so little in
-- common that this would take long, what is left is shown as replaced: that is longer than it need be, and true.

local options = require "orrery.options"
local sgr = require "orrery.sgr"

local M = {}

--- Larger texts, in bytes together, are said to differ and no more.
M.LARGEST = 4 * 1024 * 1024

local MOST_STEPS = 2 ^ 22 -- of the search, in one diff
local BINARY_HEAD = 8192  -- bytes in which a NUL makes a text binary

local OPTIONS = {
    from = "string", to = "string", context = { type = "number", default = 3 }, colour = "boolean",
    largest = { type = "number", default = M.LARGEST },
}

---@class orrery.DiffOptions
---@field from? string name of the text before; default "before"
---@field to? string default "after"
---@field context? integer lines around each change, default 3
---@field colour? boolean with escapes for a terminal
---@field largest? integer bytes of both that are compared at most, default LARGEST

---@class orrery.Difference one of what a resource would change
---@field what? string "mode"
---@field path? string where `before` and `after` are texts of a file
---@field before? any nil: there was nothing
---@field after? any nil: there will be nothing

-- Showing -----------------------------------------------------------------------------------------

local COLOURS = { ["-"] = "31", ["+"] = "32", ["@"] = "36", ["="] = "1" }

local function paint(kind, text, colour)
    return sgr.paint(colour and COLOURS[kind], text)
end

local function hex(text)
    return (text:gsub(".", function(c) return ("\\x%02x"):format(c:byte()) end))
end

-- The second byte of what begins with one of these is from here, or up to there; 0xc2 0x9b is an escape, too.
local LOWEST = { [0xc2] = 0xa0, [0xe0] = 0xa0, [0xf0] = 0x90 }
local HIGHEST = { [0xed] = 0x9f, [0xf4] = 0x8f }

-- Bytes of a character that begins at `at`; nil where it is no UTF-8, or would be obeyed by a terminal.
local function utf8_size(text, at)
    local first = text:byte(at)
    if first < 0xc2 or first > 0xf4 then return nil end
    local size = first >= 0xf0 and 4 or first >= 0xe0 and 3 or 2
    if not text:find("^" .. ("[\128-\191]"):rep(size - 1), at + 1) then return nil end
    local second = text:byte(at + 1)
    if second < (LOWEST[first] or 0) or second > (HIGHEST[first] or 0xff) then return nil end
    return size
end

--- A line as it can be shown: what a terminal would obey is written out, as \x1b.
---@param line string
---@return string
function M.printable(line)
    line = line:gsub("[%z\1-\8\10-\31\127]", hex)
    if not line:find "[\128-\255]" then return line end
    local out, from, at = {}, 1, 1
    while true do
        at = line:find("[\128-\255]", at)
        if not at then break end
        local size = utf8_size(line, at)
        if not size then
            out[#out + 1] = line:sub(from, at - 1) .. hex(line:sub(at, at))
            from = at + 1
        end
        at = at + (size or 1)
    end
    return table.concat(out) .. line:sub(from)
end

-- Comparing ---------------------------------------------------------------------------------------

-- Lines with their newlines: that the last one has none is a difference.
local function split(text)
    local lines = {}
    for line in text:gmatch "[^\n]*\n?" do
        if line ~= "" then lines[#lines + 1] = line end
    end
    return lines
end

---@class orrery.diff.Search
---@field a string[]
---@field b string[]
---@field removed table<integer, true> lines of a
---@field added table<integer, true> lines of b
---@field steps integer that are left
---@field forth table<integer, integer>
---@field back table<integer, integer>
local Search = {}
Search.__index = Search

function Search:replace(a_from, a_to, b_from, b_to)
    for i = a_from, a_to do self.removed[i] = true end
    for i = b_from, b_to do self.added[i] = true end
end

-- One more step from the start along each diagonal that it can reach: how far one gets there. Ends where it meets
-- what came from the end, with the point where they do.
local function forward(search, box, d)
    local a, b, v, w = search.a, search.b, search.forth, search.back
    for k = -d, d, 2 do
        local x = (k == -d or k ~= d and v[k - 1] < v[k + 1]) and v[k + 1] or v[k - 1] + 1
        local y, x0 = x - k, x
        while x < box.n and y < box.m and a[box.a + x] == b[box.b + y] do x, y = x + 1, y + 1 end
        v[k] = x
        local other = box.n - box.m - k
        if box.odd and other >= -(d - 1) and other <= d - 1 and x + w[other] >= box.n then
            return x0, x0 - k, x, y
        end
    end
end

local function backward(search, box, d)
    local a, b, v, w = search.a, search.b, search.forth, search.back
    for k = -d, d, 2 do
        local x = (k == -d or k ~= d and w[k - 1] < w[k + 1]) and w[k + 1] or w[k - 1] + 1
        local y, x0 = x - k, x
        while x < box.n and y < box.m and a[box.a + box.n - 1 - x] == b[box.b + box.m - 1 - y] do
            x, y = x + 1, y + 1
        end
        w[k] = x
        local other = box.n - box.m - k
        if not box.odd and other >= -d and other <= d and x + v[other] >= box.n then
            return box.n - x, box.m - y, box.n - x0, box.m - (x0 - k)
        end
    end
end

-- The run of equal lines in the middle of a shortest way through the box, which may be empty; nil: it takes too long.
function Search:middle(box)
    self.forth, self.back = { [1] = 0 }, { [1] = 0 }
    for d = 0, math.ceil((box.n + box.m) / 2) do
        self.steps = self.steps - 2 * d - 1
        if self.steps < 0 then return nil end
        self.forth[-d - 1], self.forth[d + 1] = self.forth[-d - 1] or -1, self.forth[d + 1] or -1
        self.back[-d - 1], self.back[d + 1] = self.back[-d - 1] or -1, self.back[d + 1] or -1
        if d == 0 then self.forth[1], self.back[1] = 0, 0 end
        local x, y, to_x, to_y = forward(self, box, d)
        if not x then x, y, to_x, to_y = backward(self, box, d) end
        if x then return x, y, to_x, to_y, d end
    end
end

-- Marks what differs between lines a_from .. a_to and b_from .. b_to.
function Search:compare(a_from, a_to, b_from, b_to)
    local a, b = self.a, self.b
    while a_from <= a_to and b_from <= b_to and a[a_from] == b[b_from] do a_from, b_from = a_from + 1, b_from + 1 end
    while a_from <= a_to and b_from <= b_to and a[a_to] == b[b_to] do a_to, b_to = a_to - 1, b_to - 1 end
    local box = { a = a_from, b = b_from, n = a_to - a_from + 1, m = b_to - b_from + 1 }
    box.odd = (box.n - box.m) % 2 ~= 0
    if box.n == 0 or box.m == 0 then return self:replace(a_from, a_to, b_from, b_to) end
    local x, y, to_x, to_y = self:middle(box)
    local stuck = x and (x == 0 and y == 0 and to_x == 0 and to_y == 0
        or x == box.n and y == box.m and to_x == x and to_y == y)
    if not x or stuck then return self:replace(a_from, a_to, b_from, b_to) end
    self:compare(a_from, a_from + x - 1, b_from, b_from + y - 1)
    return self:compare(a_from + to_x, a_to, b_from + to_y, b_to)
end

-- Hunks -------------------------------------------------------------------------------------------

---@class orrery.diff.Line
---@field kind " "|"-"|"+"
---@field text string with its newline

-- Both texts as one list: what is removed stands before what is added.
local function merge(search)
    local all, i, j = {}, 1, 1
    local a, b = search.a, search.b
    while i <= #a or j <= #b do
        if search.removed[i] and i <= #a then
            all[#all + 1], i = { kind = "-", text = a[i] }, i + 1
        elseif search.added[j] and j <= #b then
            all[#all + 1], j = { kind = "+", text = b[j] }, j + 1
        else
            all[#all + 1], i, j = { kind = " ", text = a[i] }, i + 1, j + 1
        end
    end
    return all
end

local function range(from, count)
    if count == 1 then return tostring(from) end
    return ("%d,%d"):format(count == 0 and from - 1 or from, count)
end

local function add_line(out, kind, text, colour)
    local newline = text:sub(-1) == "\n"
    out[#out + 1] = paint(kind, kind .. M.printable(newline and text:sub(1, -2) or text), colour)
    if not newline then out[#out + 1] = "\\ No newline at end of file" end
end

-- Lines from .. to of the merged list; a and b are the numbers of the first of them.
local function add_hunk(out, all, from, to, a, b, colour)
    local of_a, of_b = 0, 0
    for i = from, to do
        of_a = of_a + (all[i].kind ~= "+" and 1 or 0)
        of_b = of_b + (all[i].kind ~= "-" and 1 or 0)
    end
    out[#out + 1] = paint("@", ("@@ -%s +%s @@"):format(range(a, of_a), range(b, of_b)), colour)
    for i = from, to do add_line(out, all[i].kind, all[i].text, colour) end
end

-- Where the hunk ends that has a change at `at`: behind it, as long as the next change is near.
local function end_of_hunk(all, at, context)
    local last = at
    for i = at + 1, #all do
        if all[i].kind ~= " " then
            last = i
        elseif i - last > 2 * context then
            break
        end
    end
    return math.min(#all, last + context)
end

local function add_hunks(out, all, opts)
    local a, b, i, done = 1, 1, 1, 0
    while i <= #all do
        if all[i].kind ~= " " then
            local from = math.max(done + 1, i - opts.context)
            local to = end_of_hunk(all, i, opts.context)
            add_hunk(out, all, from, to, a - (i - from), b - (i - from), opts.colour)
            for j = i, to do
                a = a + (all[j].kind ~= "+" and 1 or 0)
                b = b + (all[j].kind ~= "-" and 1 or 0)
            end
            i, done = to + 1, to
        else
            a, b, i = a + 1, b + 1, i + 1
        end
    end
end

local function is_binary(text)
    return text ~= nil and text:sub(1, BINARY_HEAD):find("\0", 1, true) ~= nil
end

local function in_words(before, after, how, opts)
    local function size(text) return text and ("%d bytes"):format(#text) or "nothing" end
    return {
        paint("=", "--- " .. opts.from, opts.colour), paint("=", "+++ " .. opts.to, opts.colour),
        ("%s (%s, %s)"):format(how, size(before), size(after)),
    }
end

--- What is between two texts, as `diff -u` says it. Control characters, and bytes that are no UTF-8, are written out.
---@param before? string nil: there was none
---@param after? string nil: there will be none
---@param opts? orrery.DiffOptions
---@return string? text lines, without a newline at the end; nil where the two are equal
function M.unified(before, after, opts)
    opts = options.check("diff.unified", opts, OPTIONS)
    if before == after then return nil end
    opts.from = M.printable(before and (opts.from or "before") or "/dev/null")
    opts.to = M.printable(after and (opts.to or "after") or "/dev/null")
    if is_binary(before) or is_binary(after) then
        return table.concat(in_words(before, after, "Binary files differ", opts), "\n")
    end
    if #(before or "") + #(after or "") > opts.largest then
        return table.concat(in_words(before, after, "They differ, and are too large to show", opts), "\n")
    end
    local search = setmetatable({
        a = split(before or ""), b = split(after or ""), removed = {}, added = {}, steps = MOST_STEPS,
    }, Search)
    search:compare(1, #search.a, 1, #search.b)
    local out = { paint("=", "--- " .. opts.from, opts.colour), paint("=", "+++ " .. opts.to, opts.colour) }
    add_hunks(out, merge(search), opts)
    return table.concat(out, "\n")
end
options.declare(M.unified, OPTIONS, 3)

-- Differences -------------------------------------------------------------------------------------

local function show(value)
    if type(value) == "string" then return M.printable((value:gsub("\n", "\\n"))) end
    if type(value) ~= "table" or getmetatable(value) then return M.printable(tostring(value)) end
    local shown = {}
    for i, item in ipairs(value) do shown[i] = show(item) end
    if #shown > 0 then return table.concat(shown, ", ") end
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = tostring(key) end
    table.sort(keys)
    for i, key in ipairs(keys) do shown[i] = ("%s=%s"):format(M.printable(key), show(value[key])) end
    return #shown > 0 and "{ " .. table.concat(shown, ", ") .. " }" or "none"
end

local function add_single(out, each, colour)
    local what = M.printable(each.what or each.path or "value")
    local function add(kind, value)
        if value == nil then return end
        out[#out + 1] = paint(kind, ("%s%s: %s"):format(kind, what, show(value)), colour)
    end
    add("-", each.before)
    add("+", each.after)
end

local function is_text(value) return value == nil or type(value) == "string" end

local FORMAT = { colour = "boolean", context = "number" }

--- Differences as a resource gives them: one of a `path` as a unified diff, others as a line before and a line after.
---@param list orrery.Difference[]
---@param opts? { colour?: boolean, context?: integer }
---@return string text lines, without a newline at the end; "" where there is nothing
function M.format(list, opts)
    opts = options.check("diff.format", opts, FORMAT)
    local out = {}
    for _, each in ipairs(list) do
        if each.path and not each.what and is_text(each.before) and is_text(each.after) then
            out[#out + 1] = M.unified(each.before, each.after, {
                from = each.path, to = each.path, colour = opts.colour, context = opts.context,
            })
        else
            add_single(out, each, opts.colour)
        end
    end
    return table.concat(out, "\n")
end
options.declare(M.format, FORMAT, 2)

return M
