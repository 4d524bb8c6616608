--- Regular expressions as people write them, into those of POSIX, which every libc has.
--
-- POSIX extended regular expressions know no \d, and take a backslash in brackets for itself. Where both worlds
-- agree nothing changes; what POSIX cannot do is an error that says so, since it would mean something else there.

local M = {}

local CLASSES = { d = "[:digit:]", w = "[:alnum:]_", s = "[:space:]" }
local CONTROLS = { n = "\n", t = "\t", r = "\r", f = "\f", v = "\v" }
local SPECIAL = "[%.%[%]%(%)%*%+%?%{%}%^%$|\\]"

local function fail(text, ...) error({ regex = text:format(...) }, 0) end

---@class orrery.play.regex.Reader
---@field text string
---@field at integer the next character
---@field out string[]
---@field atom boolean is there something that a quantifier could be about?
local Reader = {}
Reader.__index = Reader

function Reader:emit(text, atom)
    self.out[#self.out + 1] = text
    self.atom, self.quantified = atom, false
end

-- What an escape means in brackets: a set, or one character.
local function bracket_escape(c)
    if CLASSES[c] then return CLASSES[c] end
    if CLASSES[c:lower()] then fail("\\%s cannot be in brackets", c) end
    if CONTROLS[c] then return CONTROLS[c] end
    if c:find "%w" then fail("there is no \\%s in brackets", c) end
    return c
end

-- Where ], - and ^ stand in brackets decides what they mean, so they are put where they mean themselves.
local function assemble(negated, set)
    local rest = table.concat(set.rest)
    local text = (set["]"] and "]" or "") .. rest .. (set["^"] and "^" or "") .. (set["-"] and "-" or "")
    if text == "" then fail "empty brackets" end
    if not negated and text == "^" then return "\\^" end
    if not negated and text == "^-" then text = "-^" end
    return ("[%s%s]"):format(negated and "^" or "", text)
end

function Reader:bracket_item(set, first)
    local class = self.text:match("^%[([:%.=]).-%1%]", self.at)
    if class then
        local item = self.text:match("^%[[:%.=].-[:%.=]%]", self.at)
        set.rest[#set.rest + 1] = item
        self.at = self.at + #item
        return
    end
    local c = self.text:sub(self.at, self.at)
    if c == "" then fail "the brackets are not closed" end
    local escaped = c == "\\"
    if escaped then
        self.at = self.at + 1
        c = bracket_escape(self.text:sub(self.at, self.at))
    end
    local next_one = self.text:sub(self.at + 1, self.at + 1)
    local is_edge = first or next_one == "]"
    if c == "]" or (escaped and (c == "-" or c == "^")) or (c == "-" and is_edge) then
        set[c] = true
    elseif c == "^" and first then
        set["^"] = true
    else
        set.rest[#set.rest + 1] = c
    end
    self.at = self.at + 1
end

function Reader:bracket()
    local negated = self.text:sub(self.at + 1, self.at + 1) == "^"
    self.at = self.at + (negated and 2 or 1)
    local set, first = { rest = {} }, true
    while first or self.text:sub(self.at, self.at) ~= "]" do
        self:bracket_item(set, first)
        first = false
    end
    self.at = self.at + 1
    self:emit(assemble(negated, set), true)
end

function Reader:escape()
    local c = self.text:sub(self.at + 1, self.at + 1)
    self.at = self.at + 2
    if c == "" then fail "a backslash at the end" end
    if CLASSES[c] then return self:emit(("[%s]"):format(CLASSES[c]), true) end
    if CLASSES[c:lower()] then return self:emit(("[^%s]"):format(CLASSES[c:lower()]), true) end
    if CONTROLS[c] then return self:emit(CONTROLS[c], true) end
    if c:find "[1-9]" then return self:emit("\\" .. c, true) end
    if c:find "[bB<>]" then return self:emit("\\" .. c, false) end
    if c:find "%w" then fail("POSIX regular expressions have no \\%s", c) end
    self:emit(c:find(SPECIAL) and "\\" .. c or c, true)
end

function Reader:group()
    if self.text:sub(self.at + 1, self.at + 1) == "?" then
        local what = self.text:match("^%(%?[:=!<P]?", self.at)
        fail("POSIX regular expressions have no %s...)%s", what, what == "(?:" and ": write (...)" or "")
    end
    self.at = self.at + 1
    self:emit("(", false)
end

-- A { that begins no number of times is a character; in POSIX it would be an error.
function Reader:quantifier(c)
    local text = c == "{" and self.text:match("^{%d*,?%d*}", self.at) or c
    if text == "{" or text == "{}" or text == "{,}" then
        self.at = self.at + 1
        return self:emit("\\{", true)
    end
    if self.quantified then
        fail("POSIX regular expressions have no %s after another quantifier: matches are as long as they can be", text)
    end
    if not self.atom then fail("there is nothing before the %s", text) end
    self.at = self.at + #text
    self.out[#self.out + 1] = text
    self.quantified = true
end

function Reader:step()
    local c = self.text:sub(self.at, self.at)
    if c == "\\" then
        self:escape()
    elseif c == "[" then
        self:bracket()
    elseif c == "(" then
        self:group()
    elseif c == "*" or c == "+" or c == "?" or c == "{" then
        self:quantifier(c)
    else
        self.at = self.at + 1
        self:emit(c, not c:find "[%^|]")
    end
end

local function translate(pattern)
    local flags, begin = pattern:match "^%(%?([a-z]+)%)()"
    if flags and flags:find "[^ims]" then fail("of (?%s), only i and m are known", flags) end
    local reader = setmetatable({ text = pattern, at = begin or 1, out = {}, atom = false }, Reader)
    while reader.at <= #pattern do reader:step() end
    return table.concat(reader.out), {
        ignore_case = flags and flags:find("i", 1, true) ~= nil or nil,
        multiline = flags and flags:find("m", 1, true) ~= nil or nil,
    }
end

--- Makes a POSIX extended regular expression of one that may hold \d \D \w \W \s \S \b \n \t, escapes in brackets,
--- and (?i) or (?m) at its beginning.
---@param pattern string
---@return string? ere nil where POSIX cannot say that
---@return { ignore_case: boolean?, multiline: boolean? }|string flags or what is wrong
function M.translate(pattern)
    local ok, ere, flags = pcall(translate, pattern)
    if ok then return ere, flags end
    if type(ere) == "table" and ere.regex then return nil, ere.regex end
    error(ere, 0)
end

return M
