--- One input to a function, or to what is wrong with it.
--
-- An input is an expression where it compiles behind a `return`, and statements otherwise. Locals of the session are
-- upvalues of it: it is compiled inside of a function that declares them, on the same line, so that lines are right;
-- whoever runs it joins them with the session's (session.lua). What it declares itself at its top level is handed over
-- right behind each declaration, so that it is kept however the input ends.
--
-- What it makes is never compiled to machine code: LuaJIT's compiled loops do not look at hooks, and a loop that cannot
-- be interrupted is worse than a slow one. Measured: a loop that adds or fills a table takes 5 times as long, one that
-- calls small functions 15 times, one over `pairs` 1.6 times, one that makes strings not 1.1 times. Functions of modules
-- are compiled as ever.

local declared = require "orrery.repl.declared"
local Error = require "orrery.error"
local mistake = require "orrery.repl.mistake"
local tokens = require "orrery.repl.tokens"

local M = {}

---@class orrery.repl.Parsed an input that compiles
---@field text string of which the column and line of each byte are those of the input
---@field body string what is compiled, without a line break at the end
---@field shift integer how many bytes of `body` stand before the text
---@field tokens orrery.repl.Token[] of the text, without comments
---@field hidden boolean it ends in a semicolon

-- No text in UTF-8 has this name.
local CAPTURE = "\255"
-- How many locals one capture takes; a function has at most 60 upvalues.
local TOGETHER = 50
-- How many locals of the session may be mentioned; a function has at most 200 locals.
local MOST_MENTIONED = 190

local function blank(found) return (" "):rep(#found) end

-- What a file may begin with is no part of its code.
local function without_header(text)
    text = text:gsub("^\239\187\191", blank)
    return (text:gsub("^%s*#![^\r\n]*", blank))
end

local function significant(text)
    local list, n = {}, 0
    for _, token in ipairs(tokens.list(text)) do
        if token.kind ~= "comment" then
            n = n + 1
            list[n] = token
        end
    end
    return list
end

local function parsed(text, prefix)
    local list = significant(text)
    local last = list[#list]
    local hidden = last ~= nil and last.kind == "op" and last.text == ";"
    return { text = text, body = prefix .. text, shift = #prefix, tokens = list, hidden = hidden }
end

-- The line break ends a string that does not go on in the next line.
local function compiles(text, prefix) return load(prefix .. text .. "\n", "=?", "t") end

local function incomplete(why) return why:find "near '<eof>'$" ~= nil end

local function problem(text, prefix, why)
    return mistake.explain(prefix .. text .. "\n", #prefix, text, why, incomplete(why))
end

--- Compiles an input, and forgets the result.
---@param input string
---@return orrery.repl.Parsed?
---@return orrery.repl.Mistake? mistake
function M.parse(input)
    local text, count = without_header(input):gsub("^(%s*)=", "%1 ")
    local fn, why = compiles(text, "return ")
    if fn then return parsed(text, "return ") end
    if count > 0 or incomplete(why) then return nil, problem(text, "return ", why) end
    -- A space, for a # in front is a comment to `load`.
    local also, other = compiles(text, " ")
    if also then return parsed(text, " ") end
    local as_statements = problem(text, " ", other)
    -- Without a token it is about labels, which are looked at when all the rest is in order.
    if incomplete(other) or not as_statements.near then return nil, as_statements end
    local as_expression = problem(text, "return ", why)
    return nil, as_expression.at > as_statements.at and as_expression or as_statements
end

-- Names that may mean a local: all but those of fields.
local function mentioned(list, locals)
    local names, seen, before = {}, {}, nil
    for _, token in ipairs(list) do
        local name = token.kind == "name" and before ~= "." and before ~= ":" and token.text
        if name and locals[name] and not seen[name] then
            seen[name], names[#names + 1] = true, name
        end
        before = token.text
    end
    return names
end

local function capture_of(names)
    local calls = {}
    for from = 1, #names, TOGETHER do
        local some = table.concat(names, ",", from, math.min(#names, from + TOGETHER - 1))
        -- An assignment, since what is never assigned to may be taken for a constant; never run.
        calls[#calls + 1] = (" %s(function()%s=nil end);"):format(CAPTURE, some)
    end
    return table.concat(calls)
end

-- The input with its captures.
local function with_captures(input, declarations)
    local parts, from = {}, 1
    for _, each in ipairs(declarations) do
        parts[#parts + 1] = input.body:sub(from, each.to + input.shift)
        parts[#parts + 1] = capture_of(each.names)
        from = each.to + input.shift + 1
    end
    parts[#parts + 1] = input.body:sub(from)
    return table.concat(parts)
end

local function limit(text)
    return nil, Error.new { code = "limit", message = text .. "; keep some of them in a table" }
end

local function compile(input, names, declarations, name)
    local source = input.body
    if #declarations > 0 then
        source = with_captures(input, declarations)
        table.insert(names, 1, CAPTURE)
    end
    if #names == 0 then return load(source, name, "t") end
    local given = #declarations > 0 and "=..." or ""
    local outer = ("local %s%s return function(...) "):format(table.concat(names, ","), given)
    return load(outer .. source .. "\nend", name, "t")
end

--- Makes the function of an input. Its upvalues that are named as a local of the session are not that local yet.
---@param input orrery.repl.Parsed
---@param name string of the chunk
---@param locals table<string, any> by name: those of the session
---@param capture fun(holds: function) gets a function whose upvalues are locals that the input has declared
---@return function?
---@return orrery.Error? err "limit": it uses too many locals of the session
function M.build(input, name, locals, capture)
    local names = mentioned(input.tokens, locals)
    if #names > MOST_MENTIONED then
        return limit(("the input names %d locals of the session, and %d is the most"):format(#names, MOST_MENTIONED))
    end
    local declarations = declared.find(input.tokens)
    local wrapped = #names > 0 or #declarations > 0
    local fn, why = compile(input, names, declarations, name)
    if not fn then
        if why:find("upvalues", 1, true) then
            return limit "a function of the input uses more than 60 locals of the session and others around it"
        end
        return nil, Error.new { code = "lua", message = why }
    end
    jit.off(fn, true)
    return wrapped and fn(capture) or fn
end

return M
