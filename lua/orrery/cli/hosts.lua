--- Lists of hosts: "web[1-3],db1" to names, and names back to that.

local Error = require "orrery.error"

local M = {}

local MOST = 100000 -- hosts that one expression may stand for: a slip of the finger stops here

local function fail(text) Error.raise { code = "usage", message = text } end

-- Splits at commas that are not in brackets.
local function split(text)
    local words, from, depth = {}, 1, 0
    for at, sign in text:gmatch("()([,%[%]])") do
        if sign == "[" then
            depth = depth + 1
        elseif sign == "]" then
            depth = depth - 1
        elseif depth == 0 then
            words[#words + 1] = text:sub(from, at - 1)
            from = at + 1
        end
    end
    words[#words + 1] = text:sub(from)
    return words
end

-- "1-3" or "7"; leading zeros are kept: "08-10".
local function add_range(list, range, word)
    local first, last = range:match("^(%d+)%-(%d+)$")
    first = first or range:match("^(%d+)$")
    last = last or first
    if not first or #last > 15 or tonumber(first) > tonumber(last) then
        fail(("'%s' in '%s' is no range of numbers"):format(range, word))
    end
    if tonumber(last) - tonumber(first) >= MOST then
        fail(("'%s' is more than %d hosts"):format(word, MOST))
    end
    local form = "%0" .. #first .. ".0f"
    for n = tonumber(first), tonumber(last) do list[#list + 1] = form:format(n) end
end

local function add_expanded(names, word)
    local head, ranges, tail = word:match("^(.-)%[([%d,%-]+)%](.*)$")
    if not head then
        names[#names + 1] = word
        return
    end
    local numbers = {}
    for _, range in ipairs(split(ranges)) do add_range(numbers, range, word) end
    for _, number in ipairs(numbers) do add_expanded(names, head .. number .. tail) end
    if #names > MOST then fail(("'%s' is more than %d hosts"):format(word, MOST)) end
end

--- The names that an expression stands for.
---@param text string "web[1-3],db1,deploy@app[08-10]"
---@return string[]
---Raises "usage".
function M.expand(text)
    local names = {}
    for _, word in ipairs(split(text)) do
        word = word:match("^%s*(.-)%s*$")
        if word:find("[%s%c]") then fail(("'%s' is no host name"):format(word)) end
        if word:sub(1, 1) == "-" then fail(("'%s' is no host name"):format(word)) end
        if word ~= "" then add_expanded(names, word) end
    end
    return names
end

--- Reads a file with an expression on each line; # begins a comment.
---@param path string "-" is stdin
---@return string[]
---Raises "usage".
function M.read(path)
    local file, why = io.stdin, nil
    if path ~= "-" then file, why = io.open(path, "rb") end
    local text = file and file:read("*a")
    if not text then fail("cannot read the hosts in " .. (why or path .. ": it is a directory")) end
    if path ~= "-" then file:close() end
    local names = {}
    for line in text:gmatch("[^\r\n]+") do
        for _, name in ipairs(M.expand((line:gsub("#.*", "")))) do names[#names + 1] = name end
    end
    return names
end

-- The number by which a host's name differs from its neighbours': the last one of its first label,
-- or of an address.
local function parts(name)
    local label, domain = name, ""
    if not name:match("^[%d%.]+$") then label, domain = name:match("^([^.]*)(.*)$") end
    local head, number, tail = label:match("^(.-)(%d+)(%D*)$")
    if not number or #number > 15 then return name end
    return head, number, tail .. domain
end

local function by_number(a, b)
    local m, n = tonumber(a), tonumber(b)
    if m ~= n then return m < n end
    return #a < #b
end

local function follows(a, b)
    return b == ("%0" .. #a .. ".0f"):format(tonumber(a) + 1)
end

-- "1-3,7" of numbers that are sorted.
local function ranges(numbers)
    local shown, i = {}, 1
    while i <= #numbers do
        local last = i
        while numbers[last + 1] and follows(numbers[last], numbers[last + 1]) do last = last + 1 end
        shown[#shown + 1] = last > i and numbers[i] .. "-" .. numbers[last] or numbers[i]
        i = last + 1
    end
    return table.concat(shown, ",")
end

--- The short way to write names; expand() gives them back.
---@param names string[]
---@return string "web[1-3],db1"
function M.fold(names)
    local groups, by_key = {}, {}
    for _, name in ipairs(names) do
        local head, number, tail = parts(name)
        local key = number and head .. "\0" .. tail or name
        local group = by_key[key]
        if not group then
            group = { head = head, tail = tail or "", numbers = {} }
            by_key[key], groups[#groups + 1] = group, group
        end
        table.insert(group.numbers, number)
    end
    local shown = {}
    for i, group in ipairs(groups) do
        local numbers = group.numbers
        table.sort(numbers, by_number)
        local middle = numbers[1] or ""
        if #numbers > 1 then middle = "[" .. ranges(numbers) .. "]" end
        shown[i] = group.head .. middle .. group.tail
    end
    return table.concat(shown, ",")
end

return M
