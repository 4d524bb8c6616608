--- What Python's packages are asked for by: "app[extra]>=1.2,<2".

local text = require "orrery.play.system.text"

local M = {}

---@class orrery.play.Requirement
---@field spec string as it was given
---@field key? string the name as all spell it; nil: only pip can tell
---@field wants { op: string, version: string }[]

--- The one spelling of a name.
---@param name string
---@return string
function M.key(name) return (name:lower():gsub("[-_.]+", "-")) end

local function from_wheel(spec)
    local name, version = spec:match "([^/]+)%-(%d[^-/]*)%-[^/]*%.whl$"
    return name and { spec = spec, key = M.key(name), wants = { { op = "==", version = version } } }
end

--- Reads a requirement.
---@param spec string
---@return orrery.play.Requirement
function M.parse(spec)
    local plain = text.trim((spec:gsub("%s*;.*$", "")))
    local opaque = { spec = spec, wants = {} }
    if plain:match "^[%a+]+://" or plain:match "^%.?%.?/" then return from_wheel(plain) or opaque end
    local name, rest = plain:match "^([%w][%w._-]*)%s*(.-)$"
    if not name then return opaque end
    rest = text.trim((rest:gsub("^%[[^%]]*%]", "")))
    if rest:sub(1, 1) == "@" then return { spec = spec, key = nil, wants = {} } end
    local wants = {}
    for part in rest:gsub("[()]", ""):gmatch "[^,]+" do
        local op, version = text.trim(part):match "^([=!<>~]=?=?)%s*(%S+)$"
        if not op then return opaque end
        wants[#wants + 1] = { op = op, version = version }
    end
    return { spec = spec, key = M.key(name), wants = wants }
end

local function numbers(version)
    local parts = {}
    for part in version:gmatch "[^.]+" do
        local n = tonumber(part)
        if not n then return nil end
        parts[#parts + 1] = n
    end
    return parts
end

local function compare(a, b)
    for i = 1, math.max(#a, #b) do
        local x, y = a[i] or 0, b[i] or 0
        if x ~= y then return x < y and -1 or 1 end
    end
    return 0
end

local OPS = {
    ["=="] = function(c) return c == 0 end, ["!="] = function(c) return c ~= 0 end,
    [">="] = function(c) return c >= 0 end, ["<="] = function(c) return c <= 0 end,
    [">"] = function(c) return c > 0 end, ["<"] = function(c) return c < 0 end,
}

-- nil: that is beyond us (pre-releases, epochs); pip decides.
local function satisfied(version, want)
    if want.op == "===" or want.op == "==" and version == want.version then return version == want.version end
    local prefix = want.version:match "^(.+)%.%*$"
    if prefix then
        local begins = version == prefix or version:sub(1, #prefix + 1) == prefix .. "."
        if want.op == "==" then return begins end
        return want.op == "!=" and not begins or nil
    end
    local have, wanted = numbers(version), numbers(want.version)
    if not have or not wanted then return nil end
    if want.op == "~=" then
        local upper = { unpack(wanted, 1, #wanted - 1) }
        if #upper == 0 then return nil end
        upper[#upper] = upper[#upper] + 1
        return compare(have, wanted) >= 0 and compare(have, upper) < 0
    end
    return OPS[want.op] and OPS[want.op](compare(have, wanted))
end

--- Does an installed version do?
---@param version string
---@param requirement orrery.play.Requirement
---@return boolean? yes nil: cannot be told here
function M.satisfies(version, requirement)
    for _, want in ipairs(requirement.wants) do
        local yes = satisfied(version, want)
        if not yes then return yes end
    end
    return true
end

--- The requirements of a file. What includes others, or is not in a package index, only pip can tell.
---@param content string
---@return orrery.play.Requirement[]
function M.file(content)
    local list = {}
    for _, line in ipairs(text.lines((content:gsub("\\\n", " ")))) do
        line = text.trim((line:gsub("^#.*", ""):gsub("%s+#.*", ""):gsub("%s+%-%-.*$", "")))
        if line:match "^%-%-" or line:match "^%-[if]" then
            line = "" -- where to look, not what for
        end
        if line ~= "" then list[#list + 1] = line:match "^%-" and { spec = line, wants = {} } or M.parse(line) end
    end
    return list
end

--- Names of an option, which may be one.
---@param o table
---@return string[]
function M.names(o)
    local names = type(o.names) == "string" and { o.names } or o.names or {}
    return o.name and { o.name, unpack(names) } or names
end

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    local names = M.names(o)
    if #names == 0 and not o.requirements then return "nothing is asked for: give names, or requirements" end
    if o.requirements and o.state == "absent" then return "requirements are for what is to be there" end
    for _, name in ipairs(names) do
        if not name:match "^[%w./]" or name:find "%c" then return ("'%s' is no package of Python"):format(name) end
        if o.state == "absent" and not M.parse(name).key then return ("'%s': give its name alone"):format(name) end
    end
end

return M
