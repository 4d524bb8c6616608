--- Hosts as Ansible's INI files name them: "web[01:20].example.com:2222", "db-[a:f]", "[2001:db8::1]:22".

local M = {}

local LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
local MOST = 100000

local function letters(first, last, step)
    local from, to = LETTERS:find(first, 1, true), LETTERS:find(last, 1, true)
    if from > to then return nil, "goes down" end
    local list = {}
    for i = from, to, step do list[#list + 1] = LETTERS:sub(i, i) end
    return list
end

local function numbers(first, last, step)
    if first == "" then first = "0" end
    local padded = first:find "^0%d"
    if padded and #first ~= #last then return nil, "needs the same number of digits at both ends" end
    if tonumber(first) > tonumber(last) then return nil, "goes down" end
    if (tonumber(last) - tonumber(first)) / step > MOST then return nil, ("is more than %d hosts"):format(MOST) end
    local form, list = padded and "%0" .. #first .. ".0f" or "%.0f", {}
    for n = tonumber(first), tonumber(last), step do list[#list + 1] = form:format(n) end
    return list
end

-- "01:20:2" to its members.
local function members(range)
    local first, last, step = range:match "^([^:]*):([^:]*):?([^:]*)$"
    if not first or (range:find(":.*:") and step == "") then return nil, "is no range: one is written begin:end" end
    if last == "" then return nil, "has no end" end
    step = step == "" and 1 or tonumber(step:match "^%d+$" or 0)
    if step < 1 then return nil, "has a step that is no number" end
    if first:find "^%a$" and last:find "^%a$" then return letters(first, last, step) end
    if first:find "^%d*$" and last:find "^%d+$" and #last <= 15 and #first <= 15 then
        return numbers(first, last, step)
    end
    return nil, "is no range of numbers or of letters"
end

-- All names of a pattern; nil and the range that is wrong.
local function expand(pattern)
    local head, range, tail = pattern:match "^([^%[]*)%[([^%]]*)%](.*)$"
    if not head then return { pattern } end
    local middle, why = members(range)
    if not middle then return nil, ("[%s] %s"):format(range, why) end
    local rest, problem = expand(tail)
    if not rest then return nil, problem end
    if #middle * #rest > MOST then return nil, ("it stands for more than %d hosts"):format(MOST) end
    local names = {}
    for _, part in ipairs(middle) do
        for _, behind in ipairs(rest) do names[#names + 1] = head .. part .. behind end
    end
    return names
end

local function is_ipv6(text) return text:find "^[%x:%.]*:[%x:%.]*:[%x:%.]*$" end

-- A port behind a name or an address in brackets.
local function split_port(word)
    local address, port = word:match "^%[(.+)%]:(%d+)$"
    if address and not address:find "[%[%]]" then return address, port end
    local plain = word:gsub("%[[^%]]*%]", function(range) return ("x"):rep(#range) end)
    local before = plain:match "^[^:]*():%d+$"
    if before then return word:sub(1, before - 1), word:sub(before + 1) end
    return word
end

--- Reads one.
---@param word string
---@return string[]? names
---@return integer|string|nil port or, without names, why
function M.read(word)
    if word:gsub("%[[^%[%]]*%]", ""):find "[%[%]]" then return nil, "its brackets do not match" end
    local pattern, port = split_port(word)
    if is_ipv6(pattern) then return { pattern }, tonumber(port) end
    local plain = pattern:gsub("%[[^%]]*%]", "")
    if plain:find ":$" then return nil, "a port is missing behind the ':'" end
    if plain:find ":" then return nil, ("what stands behind the ':' in '%s' is no port"):format(pattern) end
    if port and (#port > 5 or tonumber(port) < 1 or tonumber(port) > 65535) then
        return nil, ("%s is no port"):format(port)
    end
    if pattern == "---" then return nil, "'---' begins a YAML file, and this is read as INI" end
    local names, why = expand(pattern)
    if not names then return nil, why end
    return names, tonumber(port)
end

return M
