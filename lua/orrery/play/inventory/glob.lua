--- Names of files by a pattern, as in an Include of ssh_config(5).

require "orrery.core" -- it brings orrery.sys along
local sys = require "orrery.sys"

local M = {}

-- A shell's pattern for one name as a pattern of Lua's.
local function pattern_of(glob)
    local out, at = { "^" }, 1
    while at <= #glob do
        local sign = glob:sub(at, at)
        local set, behind = glob:match("^%[([!^]?[^%]]+)%]()", at)
        if sign == "*" then
            out[#out + 1] = ".*"
        elseif sign == "?" then
            out[#out + 1] = "."
        elseif set then
            out[#out + 1] = "[" .. set:gsub("^!", "^"):gsub("%%", "%%%%") .. "]"
            at = behind - 1
        else
            out[#out + 1] = (sign:gsub("[^%w]", "%%%0"))
        end
        at = at + 1
    end
    out[#out + 1] = "$"
    return table.concat(out)
end

--- Tells whether a text has a meaning as a pattern.
---@param text string
---@return boolean
function M.is_pattern(text) return text:find "[*?%[]" ~= nil end

local function matches(directory, name)
    if not M.is_pattern(name) then return { name } end
    local found, pattern = {}, pattern_of(name)
    for _, entry in ipairs(sys.list(directory == "" and "/" or directory) or {}) do
        if entry:find(pattern) and (entry:sub(1, 1) ~= "." or name:sub(1, 1) == ".") then found[#found + 1] = entry end
    end
    table.sort(found)
    return found
end

--- The files that there are.
---@param path string absolute
---@return string[] paths sorted
function M.expand(path)
    local paths = { "" }
    for name in path:gmatch "[^/]+" do
        local longer = {}
        for _, directory in ipairs(paths) do
            for _, entry in ipairs(matches(directory, name)) do longer[#longer + 1] = directory .. "/" .. entry end
        end
        paths = longer
    end
    local found = {}
    for _, each in ipairs(paths) do
        if sys.stat(each) then found[#found + 1] = each end
    end
    return found
end

return M
