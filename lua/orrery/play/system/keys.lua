--- Lines of authorized_keys(5).

local text = require "orrery.play.system.text"

local M = {}

---@class orrery.play.Key
---@field options? string
---@field type string "ssh-ed25519"
---@field blob string base64; what it is known by, with its type
---@field comment? string

local function is_type(word)
    return word:match "^ssh%-[%w%-@.]+$" or word:match "^ecdsa%-[%w%-@.]+$" or word:match "^sk%-[%w%-@.]+$"
end

-- Options may have blanks within quotes, and quotes with a backslash in front of them.
local function end_of_options(line)
    local quoted, i = false, 1
    while i <= #line do
        local c = line:sub(i, i)
        if c == "\\" and line:sub(i + 1, i + 1) == '"' then
            i = i + 1
        elseif c == '"' then
            quoted = not quoted
        elseif not quoted and c:match "%s" then
            return i - 1
        end
        i = i + 1
    end
    return nil
end

--- Reads a line.
---@param line string
---@return orrery.play.Key? key nil: it is none (a comment, an empty line, something broken)
function M.parse(line)
    line = text.trim(line)
    if line == "" or line:sub(1, 1) == "#" then return nil end
    local options
    if not is_type(line:match "^%S+") then
        local last = end_of_options(line)
        if not last then return nil end
        options, line = line:sub(1, last), text.trim(line:sub(last + 1))
    end
    local kind, blob, comment = line:match "^(%S+)%s+(%S+)%s*(.-)$"
    if not kind or not is_type(kind) or not blob:match "^[%w+/]+=*$" then return nil end
    -- The type is in the blob once more: a length of four bytes, the first three of which are 0.
    if not blob:match "^AAAA" or #blob < 32 then return nil end
    return { options = options, type = kind, blob = blob, comment = comment ~= "" and comment or nil }
end

---@param key orrery.play.Key
---@return string
function M.format(key)
    return table.concat({ key.options or key.type, key.options and key.type or key.blob,
        key.options and key.blob or key.comment, key.options and key.comment or nil }, " ")
end

local function all_lines(keys)
    local lines = {}
    for _, each in ipairs(type(keys) == "table" and keys or { keys }) do
        for _, line in ipairs(text.lines(each)) do
            if line:match "%S" and not line:match "^%s*#" then lines[#lines + 1] = line end
        end
    end
    return lines
end

--- The keys that an option names.
---@param o { keys: string|string[], options?: string, comment?: string }
---@return orrery.play.Key[]
function M.wanted(o)
    local keys = {}
    for i, line in ipairs(all_lines(o.keys)) do
        local key = M.parse(line)
        key.options, key.comment = o.options or key.options, o.comment or key.comment
        keys[i] = key
    end
    return keys
end

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    for _, line in ipairs(all_lines(o.keys)) do
        if line:find "[%z\1-\8\11-\31\127]" then
            return "option 'keys' has a line with control characters"
        end
        if line:find("PRIVATE KEY", 1, true) then return "option 'keys' has a private key; a public one is wanted" end
        if not M.parse(line) then
            return ("option 'keys' has a line that is no public key: %s"):format(line:sub(1, 60))
        end
    end
    if o.options and o.options:find "%c" then return "option 'options' must be one line" end
    if o.comment and o.comment:find "%c" then return "option 'comment' must be one line" end
    if o.options and o.options ~= "" and not M.parse(o.options .. " ssh-ed25519 " .. ("A"):rep(68)) then
        return "option 'options' has a quote without its end, or a blank outside of quotes"
    end
end

local function find(keys, key)
    for i, each in ipairs(keys) do
        if each.type == key.type and each.blob == key.blob then return i, each end
    end
end

--- The lines of the file as they should be. Others than those of the keys stay in place, unless it is exclusive.
---@param lines string[]
---@param wanted orrery.play.Key[]
---@param o { state: string, exclusive: boolean }
---@return string[]
function M.merge(lines, wanted, o)
    local result, seen = {}, {}
    for _, line in ipairs(lines) do
        local key = M.parse(line)
        local at, new = nil, nil
        if key then at, new = find(wanted, key) end
        if not at then
            if not o.exclusive then result[#result + 1] = line end
        elseif o.state == "present" and not seen[at] then
            seen[at] = true
            if new.comment == nil then new.comment = key.comment end
            local same = key.options == new.options and key.comment == new.comment
            result[#result + 1] = same and line or M.format(new)
        end
    end
    if o.state == "absent" then return result end
    for i, key in ipairs(wanted) do
        if not seen[i] and find(wanted, key) == i then result[#result + 1] = M.format(key) end
    end
    return result
end

return M
