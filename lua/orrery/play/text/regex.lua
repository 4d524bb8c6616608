--- Regular expressions, as in Perl and Python: what people know who write them, and the same on every machine.
--
-- The C library's would have made the agent larger by more than there is room for, and knows no \d. This is a module
-- that goes where it is used. Known are: . [a-z\d[:alpha:]] \d \w \s \h and \D \W \S \H; ^ $ \b \B \A \z \Z \< \>;
-- * + ? {2,3}, also lazy (*?) and possessive (*+); ( ) (?: ) (?<name> ) | \1 \k<name>; (?= ) (?! ) (?<= ) (?<! ) (?> );
-- (?i) (?m) (?s) at the beginning. Of several matches at a place the first alternative wins, as there. Bytes are
-- matched, but a character of several bytes is repeated as a whole.
--
-- A tree becomes a chain of functions. Each gets a place in the text, goes on with the next one, and returns where the
-- whole match ends, or false. One that fails has put back what it had changed.

local parse = require "orrery.play.text.regex_parse"

local M = {}

local byte, find, sub = string.byte, string.find, string.sub

local MOST_STEPS = 3e6 -- for a match that begins at one place; a pattern like (a*)*b never ends by itself

---@class orrery.play.Regex
local Regex = {}
Regex.__index = Regex

local compile

local function count_step(run)
    run.steps = run.steps + 1
    if run.steps > MOST_STEPS then error({ regex = "this would take too long: too many ways to match" }, 0) end
end

-- What matches one thing --------------------------------------------------------------------------

local compilers = {}

function compilers.set(run, set, go_on)
    return function(i)
        return set[byte(run.text, i)] and go_on(i + 1)
    end
end

function compilers.text(run, node, go_on)
    local text = node[1]
    local size = #text
    return function(i)
        return sub(run.text, i, i + size - 1) == text and go_on(i + size)
    end
end

function compilers.seq(run, node, go_on)
    for n = #node, 1, -1 do go_on = compile(run, node[n], go_on) end
    return go_on
end

function compilers.alt(run, node, go_on)
    local ways = {}
    for n, each in ipairs(node) do ways[n] = compile(run, each, go_on) end
    return function(i)
        count_step(run)
        for n = 1, #ways do
            local last = ways[n](i)
            if last then return last end
        end
        return false
    end
end

function compilers.plain(run, node, go_on) return compile(run, node.node, go_on) end

function compilers.group(run, node, go_on)
    local n, opened = node.n, nil
    local inner = compile(run, node.node, function(i)
        local from, to = run.from[n], run.to[n]
        run.from[n], run.to[n] = opened, i - 1
        local last = go_on(i)
        if not last then run.from[n], run.to[n] = from, to end
        return last
    end)
    return function(i)
        local before = opened
        opened = i
        local last = inner(i)
        opened = before
        return last
    end
end

function compilers.ref(run, node, go_on)
    local n = node.n
    if n > run.groups then error({ regex = ("there is no group %d"):format(n) }, 0) end
    return function(i)
        if not run.from[n] then return false end
        local text = sub(run.text, run.from[n], run.to[n])
        local there = sub(run.text, i, i + #text - 1)
        local same = there == text or (run.ignore_case and there:lower() == text:lower())
        return same and go_on(i + #text)
    end
end

-- Places ------------------------------------------------------------------------------------------

local function is_word(text, i)
    local b = byte(text, i)
    return b ~= nil and find(string.char(b), "[%w_]") ~= nil
end

local places = {
    ["begin"] = function(_, i) return i == 1 end,
    ["end"] = function(text, i) return i == #text + 1 end,
    ["end or newline"] = function(text, i) return i == #text + 1 or (i == #text and byte(text, i) == 10) end,
    ["word"] = function(text, i) return is_word(text, i - 1) ~= is_word(text, i) end,
    ["no word"] = function(text, i) return is_word(text, i - 1) == is_word(text, i) end,
    ["word begin"] = function(text, i) return not is_word(text, i - 1) and is_word(text, i) end,
    ["word end"] = function(text, i) return is_word(text, i - 1) and not is_word(text, i) end,
    ["every line begin"] = function(text, i) return i == 1 or byte(text, i - 1) == 10 end,
    ["every line end"] = function(text, i) return i == #text + 1 or byte(text, i) == 10 end,
}

local SINGLE = { ["line begin"] = "begin", ["line end"] = "end or newline" }

function compilers.at(run, node, go_on)
    local what = node.what
    if SINGLE[what] then what = run.multiline and "every " .. what or SINGLE[what] end
    local test = places[what]
    return function(i) return test(run.text, i) and go_on(i) end
end

local function at_end(i) return i end

-- How many bytes it matches; nil where that differs.
local function width(node)
    if node.t == "set" then return 1 end
    if node.t == "text" then return #node[1] end
    if node.t == "at" or node.t == "look" then return 0 end
    if node.t == "group" or node.t == "plain" or node.t == "atomic" then return width(node.node) end
    if node.t == "repeat" then
        local one = width(node.node)
        return node.min == node.max and one and one * node.min or nil
    end
    if node.t == "ref" then return nil end
    local total = node.t == "alt" and width(node[1]) or 0
    for _, each in ipairs(node) do
        local one = width(each)
        if not one or (node.t == "alt" and one ~= total) then return nil end
        if node.t == "seq" then total = total + one end
    end
    return total
end

function compilers.look(run, node, go_on)
    local inner, back, negated = compile(run, node.node, at_end), 0, node.negated
    if node.behind then
        back = width(node.node)
        if not back then error({ regex = "what (?<= ) looks for must have one length" }, 0) end
    end
    return function(i)
        local found = i - back >= 1 and inner(i - back)
        if negated then return not found and go_on(i) end
        return found and go_on(i)
    end
end

function compilers.atomic(run, node, go_on)
    local inner = compile(run, node.node, at_end)
    return function(i)
        local last = inner(i)
        return last and go_on(last)
    end
end

-- Repetition --------------------------------------------------------------------------------------

-- One byte, often: no call for each.
local function repeat_set(run, node, go_on)
    local set, min, max, how = node.node, node.min, node.max, node.how
    local function most(i)
        local text, n = run.text, 0
        while n < max and set[byte(text, i + n)] do n = n + 1 end
        return n
    end
    if how == "lazy" then
        return function(i)
            local n, limit = min, most(i)
            while n <= limit do
                local last = go_on(i + n)
                if last then return last end
                count_step(run)
                n = n + 1
            end
            return false
        end
    end
    return function(i)
        local n = most(i)
        if how == "possessive" then return n >= min and go_on(i + n) end
        while n >= min do
            local last = go_on(i + n)
            if last then return last end
            count_step(run)
            n = n - 1
        end
        return false
    end
end

-- How often it has been, and where the last time began, belong to the loop that is under way: who enters it anew has
-- its own, and puts back the others.
local function repeat_any(run, node, go_on)
    local min, max, lazy = node.min, node.max, node.how == "lazy"
    local count, began = 0, nil
    local body, loop

    local function leave(i)
        local c, b = count, began
        local last = go_on(i)
        count, began = c, b
        return last
    end
    local function again(i)
        local c, b = count, began
        count, began = c + 1, i
        local last = body(i)
        count, began = c, b
        return last
    end
    function loop(i)
        count_step(run)
        if count < min then return again(i) end
        if i == began or count >= max then return leave(i) end -- what matched nothing would do so for ever
        if lazy then return leave(i) or again(i) end
        return again(i) or leave(i)
    end
    body = compile(run, node.node, function(i) return loop(i) end)
    return function(i)
        local c, b = count, began
        count, began = 0, nil
        local last = loop(i)
        count, began = c, b
        return last
    end
end

compilers["repeat"] = function(run, node, go_on)
    if node.node.t == "set" then return repeat_set(run, node, go_on) end
    if node.how == "possessive" then
        local greedy = { t = "repeat", node = node.node, min = node.min, max = node.max, how = "greedy" }
        return compilers.atomic(run, { node = greedy }, go_on)
    end
    return repeat_any(run, node, go_on)
end

function compile(run, node, go_on) return compilers[node.t](run, node, go_on) end

-- Where a match can begin -------------------------------------------------------------------------

local first_of

local function first_of_seq(node)
    for _, each in ipairs(node) do
        if each.t ~= "at" and each.t ~= "look" then return first_of(each) end
    end
end

local function first_of_alt(node)
    local all = {}
    for _, each in ipairs(node) do
        local one = first_of(each)
        if not one then return nil end
        for b = 0, 255 do all[b] = all[b] or one[b] end
    end
    return all
end

-- The bytes that a match can begin with; nil where that is not known, or it may be empty.
function first_of(node)
    if node.t == "set" then return node end
    if node.t == "text" then return { [byte(node[1])] = true } end
    if node.t == "group" or node.t == "plain" or node.t == "atomic" then return first_of(node.node) end
    if node.t == "repeat" then return node.min > 0 and first_of(node.node) or nil end
    if node.t == "seq" then return first_of_seq(node) end
    if node.t == "alt" then return first_of_alt(node) end
end

-- Using it ----------------------------------------------------------------------------------------

local function captures(run)
    local all = {}
    for n = 1, run.groups do
        all[n] = run.from[n] and sub(run.text, run.from[n], run.to[n]) or false
    end
    return unpack(all, 1, run.groups)
end

local function search(regex, text, init)
    local run, first = regex.run, regex.first
    run.text = text
    for i = init, #text + 1 do
        if not first or first[byte(text, i)] then
            run.from, run.to, run.steps = {}, {}, 0
            local last = regex.match(i)
            if last then return i, last - 1, captures(run) end
        end
    end
end

local function found(regex, ok, first, ...)
    regex.run.text = ""
    if ok then return first, ... end
    local why = type(first) == "table" and first.regex or tostring(first)
    if why:find("stack overflow", 1, true) then why = "a group is repeated too many times" end
    error(("regular expression '%s': %s"):format(regex.source, why), 0)
end

--- Finds the first match.
---@param text string
---@param init? integer where to begin; what stands before it counts for ^ and \b
---@return integer? first nil where there is none
---@return integer? last
---@return string|false ... what the groups captured; false for one that took no part
---Raises where it would take for ever, or a group matches some thousand times in a row.
function Regex:find(text, init) return found(self, pcall(search, self, text, init or 1)) end

local function build(read, source)
    local run = {
        text = "", steps = 0, from = {}, to = {}, groups = read.groups, multiline = read.multiline,
        ignore_case = read.ignore_case,
    }
    return setmetatable({
        source = source, run = run, match = compile(run, read.tree, at_end), first = first_of(read.tree),
    }, Regex)
end

---@param text string
---@param opts? { ignore_case: boolean?, multiline: boolean? } multiline: ^ and $ are those of lines
---@return orrery.play.Regex? regex nil where it is none
---@return string? problem
function M.compile(text, opts)
    local read, problem = parse.parse(text, opts or {})
    if not read then return nil, problem end
    local ok, regex = pcall(build, read, text)
    if ok then return regex end
    if type(regex) == "table" and regex.regex then return nil, regex.regex end
    error(regex, 0)
end

return M
