--- What facts are gathered from: files, links and what the kernel says of the machine that this runs on. A specimen in
--- a directory can take its place, for specs.

require "orrery.core" -- it brings orrery.sys along
local sys = require "orrery.sys"

local M = {}

---@class orrery.facts.Machine
---@field root string in front of every path
local Machine = {}
Machine.__index = Machine

---@param root? string
---@return orrery.facts.Machine
function M.new(root)
    return setmetatable({ root = root or "" }, Machine)
end

--- The content of a file.
---@param path string
---@return string? nil: it is not there, or may not be read
function Machine:read(path) return (sys.read(self.root .. path)) end

--- A file's first line, without white space around it.
---@param path string
---@return string? nil where that is empty, too
function Machine:line(path)
    local text = self:read(path)
    text = text and text:match "^%s*([^\n]-)%s*\n" or text and text:match "^%s*([^\n]-)%s*$"
    return text ~= "" and text or nil
end

---@param path string
---@return number?
function Machine:number(path) return tonumber(self:line(path) or "") end

--- The lines of a file; none where it cannot be read.
---@param path string
---@return fun(): string?
function Machine:lines(path) return ((self:read(path) or ""):gmatch "[^\n]+") end

--- The names in a directory, sorted.
---@param path string
---@return string[]
function Machine:list(path)
    local names = sys.list(self.root .. path) or {}
    table.sort(names)
    return names
end

---@param path string
---@return boolean
function Machine:exists(path) return sys.stat(self.root .. path) ~= nil end

---@param path string
---@return boolean
function Machine:is_directory(path) return (sys.stat(self.root .. path) or {}).type == "directory" end

--- Where a symbolic link points.
---@param path string
---@return string?
function Machine:link(path) return (sys.readlink(self.root .. path)) end

--- Values of lines "key<separator>value".
---@param path string
---@param separator string a pattern: ":", "="
---@return table<string, string>
function Machine:pairs_of(path, separator)
    local found = {}
    for line in self:lines(path) do
        local key, value = line:match("^%s*([^#][^" .. separator .. "]-)%s*" .. separator .. "%s*(.-)%s*$")
        if key and found[key] == nil then found[key] = value end
    end
    return found
end

--- A variable of the environment of this process.
---@param name string
---@return string?
function Machine.getenv(_, name) return os.getenv(name) end

---@return { sysname: string, nodename: string, release: string, version: string, machine: string }
function Machine.uname(_) return sys.uname() or {} end

---@return string?
function Machine.hostname(_) return (sys.hostname()) end

---@return number seconds since the epoch
function Machine.time(_) return sys.time() end

---@return integer uid of this process
function Machine.uid(_) return sys.getuid() end

---@return table[] as sys.addresses
function Machine.addresses(_) return sys.addresses() or {} end

---@param path string
---@return table? as sys.space
function Machine:space(path) return (sys.space(self.root .. path)) end

return M
