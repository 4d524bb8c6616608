--- fstab(5) and mountinfo.

local text = require "orrery.play.system.text"

local M = {}

-- Blanks and such are written as octal numbers in both.
local function encode(word)
    return (word:gsub("[ \t\n\\#]", function(c) return ("\\%03o"):format(c:byte()) end))
end

local function decode(word)
    return (word:gsub("\\(%d%d%d)", function(digits) return string.char(tonumber(digits, 8)) end))
end

---@class orrery.play.Mount
---@field src string
---@field path string
---@field fstype string
---@field options string

--- Reads a line of fstab.
---@param line string
---@return orrery.play.Mount? mount with dump and pass; nil: none
function M.parse(line)
    if line:match "^%s*#" then return nil end
    local words = text.words(line)
    if #words < 3 then return nil end
    return {
        src = decode(words[1]), path = decode(words[2]), fstype = words[3], options = words[4] or "defaults",
        dump = tonumber(words[5]) or 0, pass = tonumber(words[6]) or 0,
    }
end

---@param m table
---@return string
function M.format(m)
    return ("%s %s %s %s %d %d"):format(encode(m.src), encode(m.path), m.fstype, m.options, m.dump, m.pass)
end

--- The options, as the fourth field has them.
---@param options string|string[]
---@return string
function M.options(options) return type(options) == "table" and table.concat(options, ",") or options end

local function same(a, b)
    return a.src == b.src and a.fstype == b.fstype and a.options == b.options and a.dump == b.dump and a.pass == b.pass
end

--- The lines with an entry as wanted for a path, all others as they are.
---@param lines string[]
---@param path string
---@param wanted? table nil: none
---@return string[]
function M.merge(lines, path, wanted)
    local result, placed = {}, false
    for _, line in ipairs(lines) do
        local entry = M.parse(line)
        if not entry or entry.path ~= path then
            result[#result + 1] = line
        elseif wanted and not placed then
            placed = true
            result[#result + 1] = same(entry, wanted) and line or M.format(wanted)
        end
    end
    if wanted and not placed then result[#result + 1] = M.format(wanted) end
    return result
end

--- What is mounted at a path: the last that was put there.
---@param mountinfo string
---@param path string
---@return orrery.play.Mount?
function M.mounted(mountinfo, path)
    local found
    for line in mountinfo:gmatch "[^\n]+" do
        local where, options, rest = line:match "^%d+ %d+ %S+ %S+ (%S+) (%S+) .-%- (.+)$"
        if where and decode(where) == path then
            local fstype, src = rest:match "^(%S+) (%S+)"
            found = { path = path, fstype = fstype, src = decode(src or ""), options = options }
        end
    end
    return found
end

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    local needs = o.state == "mounted" or o.state == "present" or o.state == "remounted"
    if needs and not (o.src and o.fstype) then return ("state '%s' needs src and fstype"):format(o.state) end
    for _, field in ipairs { "fstype", "src" } do
        if o[field] and (o[field] == "" or o[field]:find "\n") then return ("option '%s' is wrong"):format(field) end
    end
    if o.fstype and not o.fstype:match "^[%w._,-]+$" then return ("'%s' is no kind of file system"):format(o.fstype) end
    if not M.options(o.options):match "^[^%s]+$" then return "option 'options' must have no blanks" end
    if o.path == "/" and (o.state == "absent" or o.state == "unmounted") then return "'/' stays" end
end

return M
