--- The locals that an input declares at its top level, and where each declaration ends.
--
-- It looks at source that has compiled, so it need not know all of Lua: blocks nest, and an expression ends where the
-- next token could not go on with it.

local M = {}

---@class orrery.repl.Declaration
---@field names string[]
---@field to integer the last byte of the statement, its semicolon included

local OPENS = { ["function"] = 1, ["if"] = 1, ["do"] = 1, ["repeat"] = 1, ["end"] = -1, ["until"] = -1 }
local PAIRS = { ["("] = ")", ["{"] = "}", ["["] = "]" }
local UNARY = { ["-"] = true, ["not"] = true, ["#"] = true }
local BINARY = {}
for word in ("+ - * / % ^ .. == ~= < <= > >= and or ,"):gmatch "%S+" do BINARY[word] = true end

local function is(token, text) return token ~= nil and token.kind ~= "string" and token.text == text end

-- The index of the bracket that closes the one at `i`.
local function skip_brackets(list, i)
    local opens, depth = list[i].text, 0
    local closes = PAIRS[opens]
    repeat
        if is(list[i], opens) then depth = depth + 1 end
        if is(list[i], closes) then depth = depth - 1 end
        i = i + 1
    until depth == 0
    return i - 1
end

local function step(token) return token.kind == "keyword" and OPENS[token.text] or 0 end

-- The index of the `end` of the function at `i`.
local function skip_function(list, i)
    local depth = 0
    repeat
        depth = depth + step(list[i])
        i = i + 1
    until depth == 0
    return i - 1
end

-- The last index of an operand that begins at `i`, and whether it can be called and indexed.
local function operand(list, i)
    while UNARY[list[i].text] and list[i].kind ~= "string" do i = i + 1 end
    local token = list[i]
    if token.kind == "name" then return i, true end
    if is(token, "function") then return skip_function(list, i), false end
    if is(token, "(") then return skip_brackets(list, i), true end
    if is(token, "{") then return skip_brackets(list, i), false end
    return i, false
end

-- The last index of the calls and indices that follow an operand that ends at `i`.
local function suffixes(list, i)
    while list[i + 1] do
        local token = list[i + 1]
        if token.kind == "string" then
            i = i + 1
        elseif is(token, ".") or is(token, ":") then
            i = i + 2
        elseif PAIRS[token.text] then
            i = skip_brackets(list, i + 1)
        else
            break
        end
    end
    return i
end

-- The last index of the expressions that begin at `i`.
local function expressions(list, i)
    while true do
        local prefix
        i, prefix = operand(list, i)
        if prefix then i = suffixes(list, i) end
        local token = list[i + 1]
        if not token or token.kind == "string" or not BINARY[token.text] then return i end
        i = i + 2
    end
end

-- The last index of the declaration at `i`, and its names.
local function declaration(list, i)
    if is(list[i + 1], "function") then return skip_function(list, i + 1), { list[i + 2].text } end
    local names = {}
    repeat
        names[#names + 1] = list[i + 1].text
        i = i + 2
    until not is(list[i], ",")
    if is(list[i], "=") then return expressions(list, i + 1), names end
    return i - 1, names
end

--- Finds them.
---@param list orrery.repl.Token[] of source that compiles, without comments
---@return orrery.repl.Declaration[] in their order
function M.find(list)
    local found, depth, i = {}, 0, 1
    while list[i] do
        if depth == 0 and is(list[i], "local") then
            local last, names = declaration(list, i)
            if is(list[last + 1], ";") then last = last + 1 end
            found[#found + 1] = { names = names, to = list[last].to }
            i = last
        else
            depth = depth + step(list[i])
        end
        i = i + 1
    end
    return found
end

return M
