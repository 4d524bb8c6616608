--- Regular expressions as people write them, read into a tree; see orrery.play.text.regex.
--
-- Nodes: { t = "set", [byte] = true ... } one byte; "text"; "seq" and "alt" with nodes in their array part; "group" (n,
-- node) and "plain" (node); "repeat" (node, min, max, how); "at" (what); "ref" (n); "look" (node, behind, negated);
-- "atomic" (node).

local M = {}

local byte, char = string.byte, string.char

local MOST_TIMES = 1000 -- of a counted repetition, which is a loop and not copied, but may be nested

local function fail(text, ...) error({ regex = text:format(...) }, 0) end

-- Sets of bytes -------------------------------------------------------------------------------------

local function new_set(test)
    local set = { t = "set" }
    for b = 0, 255 do
        if test(b) then set[b] = true end
    end
    return set
end

local function of_class(class)
    return new_set(function(b) return char(b):find(class) ~= nil end)
end

local function negated(set)
    return new_set(function(b) return not set[b] end)
end

local CLASSES = {
    d = of_class "^[0-9]$", w = of_class "^[A-Za-z0-9_]$", s = of_class "^%s$", h = of_class "^[ \t]$",
}
for name, set in pairs { D = "d", W = "w", S = "s", H = "h" } do CLASSES[name] = negated(CLASSES[set]) end

local POSIX = {
    alpha = "%a", digit = "%d", alnum = "%w", upper = "%u", lower = "%l", space = "%s", punct = "%p", cntrl = "%c",
    xdigit = "%x", blank = "[ \t]", print = "[\32-\126]", graph = "[\33-\126]", word = "[%w_]",
}
local CONTROLS = { n = "\n", t = "\t", r = "\r", f = "\f", v = "\v", a = "\a", e = "\27", ["0"] = "\0" }

local ANY = new_set(function() return true end)
local NO_NEWLINE = new_set(function(b) return b ~= 10 end)

---@class orrery.play.regex.Reader
---@field text string
---@field at integer
---@field groups integer that were opened
---@field names table<string, integer>
---@field ignore_case boolean
---@field dot_all boolean
local Reader = {}
Reader.__index = Reader

function Reader:peek(n) return self.text:sub(self.at, self.at + (n or 1) - 1) end

function Reader:skip(text)
    if self.text:sub(self.at, self.at + #text - 1) ~= text then return false end
    self.at = self.at + #text
    return true
end

-- Takes what a pattern anchored at this place captures; nil where it does not match.
function Reader:take(pattern)
    local first, last, one, two = self.text:find("^" .. pattern, self.at)
    if not first then return nil end
    self.at = last + 1
    return one or self.text:sub(first, last), two
end

local function folded(set)
    for b = 65, 90 do
        if set[b] or set[b + 32] then set[b], set[b + 32] = true, true end
    end
    return set
end

function Reader:one(c)
    local set = { t = "set", [byte(c)] = true }
    return self.ignore_case and folded(set) or set
end

-- A character of several bytes is one thing, so that what repeats it repeats all of it.
function Reader:literal()
    local long = self:take "[\194-\244][\128-\191]+"
    if long then return { t = "text", long } end
    return self:one(self:take ".")
end

-- Brackets ------------------------------------------------------------------------------------------

local function add(set, other)
    for b = 0, 255 do
        if other[b] then set[b] = true end
    end
end

function Reader:escaped_byte()
    local hex = self:take "x(%x%x)"
    if hex then return tonumber(hex, 16) end
    local c = self:take "."
    if not c then fail "a backslash at the end" end
    if CONTROLS[c] then return byte(CONTROLS[c]) end
    if c == "b" then return 8 end
    if c:find "%w" then fail("there is no \\%s in brackets", c) end
    return byte(c)
end

-- One item of brackets: a set, or a byte, which may begin a range.
function Reader:bracket_item()
    local class = self:take "%[:(%^?%a+):%]"
    if class then
        local name = class:gsub("^%^", "")
        if not POSIX[name] then fail("there is no class [:%s:]", class) end
        local set = of_class("^" .. POSIX[name] .. "$")
        return name == class and set or negated(set)
    end
    if self:skip "\\" then
        local set = CLASSES[self:peek()]
        if set then
            self.at = self.at + 1
            return set
        end
        return self:escaped_byte()
    end
    local c = self:take "."
    if not c then fail "the brackets are not closed" end
    if byte(c) > 127 then fail "brackets can hold ASCII only: write (a|b) for other characters" end
    return byte(c)
end

function Reader:bracket()
    local is_negated, set = self:skip "^", { t = "set" }
    local first = true
    while first or self:peek() ~= "]" do
        first = false
        local item = self:bracket_item()
        if type(item) == "table" then
            add(set, item)
        else
            local last = item
            if self:peek() == "-" and self:peek(2) ~= "-]" then
                self.at = self.at + 1
                last = self:bracket_item()
                if type(last) == "table" or last < item then fail "a range in brackets ends before it begins" end
            end
            for b = item, last do set[b] = true end
        end
    end
    self.at = self.at + 1
    if self.ignore_case then folded(set) end
    return is_negated and negated(set) or set
end

-- Atoms ---------------------------------------------------------------------------------------------

local PLACES = { b = "word", B = "no word", A = "begin", z = "end", Z = "end or newline", ["<"] = "word begin",
    [">"] = "word end" }

function Reader:escape()
    local number = self:take "([1-9]%d?)"
    if number then return { t = "ref", n = tonumber(number) } end
    local name = self:take "k<([%w_]+)>" or self:take "k{([%w_]+)}"
    if name then return { t = "ref", n = self.names[name] or fail("there is no group '%s'", name) } end
    local hex = self:take "x(%x%x)"
    if hex then return self:one(char(tonumber(hex, 16))) end
    local c = self:peek()
    if c == "" then fail "a backslash at the end" end
    if CLASSES[c] or PLACES[c] or CONTROLS[c] then
        self.at = self.at + 1
        if CLASSES[c] then return CLASSES[c] end
        return CONTROLS[c] and self:one(CONTROLS[c]) or { t = "at", what = PLACES[c] }
    end
    if c:find "%w" then fail("there is no \\%s", c) end
    return self:literal()
end

function Reader:close(node)
    if not self:skip ")" then fail "a parenthesis is not closed" end
    return node
end

local LOOKS = {
    { "?=", {} }, { "?!", { negated = true } }, { "?<=", { behind = true } },
    { "?<!", { behind = true, negated = true } },
}

function Reader:special_group()
    if self:skip "?:" then return self:close { t = "plain", node = self:alternatives() } end
    if self:skip "?>" then return self:close { t = "atomic", node = self:alternatives() } end
    for _, look in ipairs(LOOKS) do
        if self:skip(look[1]) then
            local how = look[2]
            return self:close { t = "look", node = self:alternatives(), behind = how.behind, negated = how.negated }
        end
    end
    if self:take "%?#[^)]*" then return self:close { t = "seq" } end
    fail("there is no (%s", self:peek(3))
end

function Reader:group()
    local name = self:take "%?P?<([%a_][%w_]*)>"
    if not name and self:peek() == "?" then return self:special_group() end
    self.groups = self.groups + 1
    local n = self.groups
    if n > 60 then fail "more than 60 groups" end
    if name then self.names[name] = n end
    return self:close { t = "group", n = n, node = self:alternatives() }
end

function Reader:atom()
    if self:skip "(" then return self:group() end
    if self:skip "[" then return self:bracket() end
    if self:skip "\\" then return self:escape() end
    if self:skip "." then return self.dot_all and ANY or NO_NEWLINE end
    if self:skip "^" then return { t = "at", what = "line begin" } end
    if self:skip "$" then return { t = "at", what = "line end" } end
    return self:literal()
end

-- How often: min, max; nil where nothing of the kind stands here. A { that says no number is a character.
function Reader:times()
    if self:skip "*" then return 0, math.huge end
    if self:skip "+" then return 1, math.huge end
    if self:skip "?" then return 0, 1 end
    local exact = self:take "{(%d+)}"
    if exact then return tonumber(exact), tonumber(exact) end
    local min, max = self:take "{(%d+),(%d*)}"
    if min then return tonumber(min), tonumber(max) or math.huge end
    max = self:take "{,(%d+)}"
    if max then return 0, tonumber(max) end
end

function Reader:piece()
    if self:peek():find "^[*+?]" then fail("there is nothing in front of the %s", self:peek()) end
    local node = self:atom()
    local min, max = self:times()
    if not min then return node end
    if node.t == "at" or node.t == "look" then fail "a place cannot be repeated" end
    if max < min then fail "a repetition of at most fewer times than at least" end
    if min > MOST_TIMES or (max > MOST_TIMES and max < math.huge) then fail("more than %d times", MOST_TIMES) end
    local how = self:skip "?" and "lazy" or self:skip "+" and "possessive" or "greedy"
    if self:peek():find "^[*+?]" then fail("there is nothing in front of the %s", self:peek()) end
    return { t = "repeat", node = node, min = min, max = max, how = how }
end

function Reader:sequence()
    local nodes = { t = "seq" }
    while self.at <= #self.text and not self:peek():find "^[|)]" do nodes[#nodes + 1] = self:piece() end
    return #nodes == 1 and nodes[1] or nodes
end

function Reader:alternatives()
    self.depth = self.depth + 1
    if self.depth > 50 then fail "parentheses in more than 50 parentheses" end
    local nodes = { t = "alt", self:sequence() }
    while self:skip "|" do nodes[#nodes + 1] = self:sequence() end
    self.depth = self.depth - 1
    return #nodes == 1 and nodes[1] or nodes
end

local function read(text, opts)
    local reader = setmetatable({ text = text, at = 1, groups = 0, names = {}, depth = 0 }, Reader)
    local flags = reader:take "%(%?([a-z]+)%)" or ""
    if flags:find "[^ims]" then fail("of (?%s) only i, m and s are known", flags) end
    reader.ignore_case = opts.ignore_case or flags:find("i", 1, true) ~= nil
    reader.dot_all = flags:find("s", 1, true) ~= nil
    local tree = reader:alternatives()
    if reader.at <= #text then fail "a parenthesis is closed that was not opened" end
    return { tree = tree, groups = reader.groups, ignore_case = reader.ignore_case,
        multiline = opts.multiline or flags:find("m", 1, true) ~= nil }
end

---@param text string
---@param opts { ignore_case: boolean?, multiline: boolean? }
---@return { tree: table, groups: integer, ignore_case: boolean, multiline: boolean }? read nil where it is none
---@return string? problem
function M.parse(text, opts)
    local ok, result = pcall(read, text, opts)
    if ok then return result end
    if type(result) == "table" and result.regex then return nil, result.regex end
    error(result, 0)
end

return M
