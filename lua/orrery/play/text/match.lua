--- What the options `regexp`, `pattern` and `literal` have in common: places in a text, and what to put there.

local regex = require "orrery.play.text.regex"

local M = {}

---@class orrery.play.Matcher
---@field kind "regexp"|"pattern"|"literal"
---@field find fun(self: orrery.play.Matcher, text: string, init?: integer): integer?, integer?, (string|false)[]?
---first, last, captures; nil where there is none
---@field expand fun(self: orrery.play.Matcher, template: string, whole: string, captures: (string|false)[]): string

local function pack(first, last, ...)
    if not first then return nil end
    return first, last, { ... }
end

-- Regular expressions -----------------------------------------------------------------------------

local Regexp = { kind = "regexp" }
Regexp.__index = Regexp

function Regexp:find(text, init)
    return pack(self.compiled:find(text, init or 1))
end

local CONTROLS = { n = "\n", t = "\t", r = "\r" }

-- What stands for the escape at `at`, and where the text goes on.
local function expand_escape(template, at, group)
    local number, behind = template:match("^g<(%d+)>()", at + 1)
    if number then return group(tonumber(number)), behind end
    local c = template:sub(at + 1, at + 1)
    if c:find "%d" then return group(tonumber(c)), at + 2 end
    if c == "\\" then return "\\", at + 2 end
    if CONTROLS[c] then return CONTROLS[c], at + 2 end
    return "\\", at + 1
end

function Regexp:expand(template, whole, captures) -- luacheck: ignore self
    local function group(number)
        return number == 0 and whole or captures[number] or ""
    end
    local parts, at = {}, 1
    while true do
        local found = template:find("\\", at, true)
        parts[#parts + 1] = template:sub(at, (found or 0) - 1)
        if not found then return table.concat(parts) end
        parts[#parts + 1], at = expand_escape(template, found, group)
    end
end

-- Lua ---------------------------------------------------------------------------------------------

local Pattern = { kind = "pattern" }
Pattern.__index = Pattern

-- An anchored pattern holds at the beginning of the text alone, not wherever the search goes on.
function Pattern:find(text, init)
    if self.anchored and (init or 1) > 1 then return nil end
    return pack(text:find(self.text, init or 1))
end

function Pattern:expand(template, whole, captures) -- luacheck: ignore self
    return (template:gsub("%%(.)", function(c)
        if c == "0" or (c == "1" and #captures == 0) then return whole end
        if c:find "%d" then return tostring(captures[tonumber(c)] or "") end
        return c == "%" and "%" or "%" .. c
    end))
end

-- Plain text --------------------------------------------------------------------------------------

local Literal = { kind = "literal" }
Literal.__index = Literal

function Literal:find(text, init)
    local first, last = text:find(self.text, init or 1, true)
    if first then return first, last, {} end
end

function Literal:expand(template) return template end -- luacheck: ignore self

-- Making them -------------------------------------------------------------------------------------

---@param text string
---@param opts? { multiline: boolean?, ignore_case: boolean? } multiline: ^ and $ are those of lines
---@return orrery.play.Matcher? matcher
---@return string? problem
function M.regexp(text, opts)
    local compiled, problem = regex.compile(text, opts)
    if not compiled then return nil, ("regular expression '%s': %s"):format(text, problem) end
    return setmetatable({ compiled = compiled }, Regexp)
end

---@param text string
---@return orrery.play.Matcher? matcher
---@return string? problem
function M.pattern(text)
    local ok, problem = pcall(string.find, "", text)
    if not ok then return nil, ("Lua pattern '%s': %s"):format(text, tostring(problem)) end
    return setmetatable({ text = text, anchored = text:sub(1, 1) == "^" }, Pattern)
end

---@param text string
---@return orrery.play.Matcher
function M.literal(text)
    return setmetatable({ text = text }, Literal)
end

local KINDS = { "regexp", "pattern", "literal" }

--- The one that a resource's options ask for.
---@param o table with one of regexp, pattern, literal, or none
---@param opts? table for M.regexp
---@return orrery.play.Matcher? matcher nil also where there is none of the options
---@return string? problem
function M.of(o, opts)
    local found
    for _, kind in ipairs(KINDS) do
        if o[kind] ~= nil and found then
            return nil, ("%s and %s cannot both be given"):format(found, kind)
        end
        if o[kind] ~= nil then found = kind end
    end
    if not found then return nil end
    if o[found] == "" then return nil, found .. " is empty: it would match everywhere" end
    return M[found](o[found], opts)
end

--- Replaces all that match, none of which overlap.
---@param text string
---@param matcher orrery.play.Matcher
---@param template string
---@param from? integer where to begin
---@param to? integer the last character that may be replaced
---@return string text
---@return integer count
function M.replace(text, matcher, template, from, to)
    local parts, at, count = {}, from or 1, 0
    to = to or #text
    parts[1] = text:sub(1, at - 1)
    local search = at
    while search <= to + 1 do
        local first, last, captures = matcher:find(text, search)
        if not first or last > to or first > to + 1 then break end
        parts[#parts + 1] = text:sub(at, first - 1)
        parts[#parts + 1] = matcher:expand(template, text:sub(first, last), captures)
        count, at = count + 1, last + 1
        search = last >= first and at or at + 1
    end
    parts[#parts + 1] = text:sub(at)
    return table.concat(parts), count
end

return M
