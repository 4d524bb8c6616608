--- Small text files of the system: read whole, changed in memory, written whole.

local resource = require "orrery.play.resource"

local M = {}

local LIMIT = 16 * 1024 * 1024 -- bytes; what is longer is no configuration

--- The content of a file; nil: there is none.
---@param env orrery.play.Env
---@param path string
---@return string? content
---Raises "resource".
function M.read(env, path)
    local content, why, code = env.sys.read(path, LIMIT)
    if content or code == "ENOENT" or code == "ENOTDIR" then return content end
    resource.fail(("cannot read %s"):format(why))
end

--- Lines without their ends.
---@param text? string
---@return string[]
function M.lines(text)
    local lines = {}
    for line in (text or ""):gmatch "([^\n]*)\n?" do lines[#lines + 1] = line end
    if lines[#lines] == "" then lines[#lines] = nil end -- gmatch finds nothing once more at the end
    return lines
end

---@param lines string[]
---@return string
function M.join(lines) return #lines == 0 and "" or table.concat(lines, "\n") .. "\n" end

---@param text string
---@return string
function M.trim(text) return text:match "^%s*(.-)%s*$" end

---@param text string
---@return string[]
function M.words(text)
    local words = {}
    for word in text:gmatch "%S+" do words[#words + 1] = word end
    return words
end

---@param list any[]
---@param value any
---@return boolean
function M.has(list, value)
    for _, each in ipairs(list) do
        if each == value then return true end
    end
    return false
end

--- One entry of a plan's diff.
---@param path string
---@param before? string
---@param after? string
---@return table
function M.diff(path, before, after) return { path = path, before = before or "", after = after or "" } end

-- A link that the administrator has put there stays; its target is what changes.
local function real(env, path)
    local st = env.sys.lstat(path)
    return st and st.type == "link" and env.sys.realpath(path) or path
end

--- Writes a file: it has the new content whole, or the old. Mode and owner stay.
---@param env orrery.play.Env
---@param path string
---@param content string
---@param mode? integer of a new one, default 0644
---Raises "resource".
function M.write(env, path, content, mode)
    path = real(env, path)
    local st = env.sys.stat(path)
    local attributes = st and { mode = st.mode, uid = st.uid, gid = st.gid } or { mode = mode or 0x1a4 }
    resource.must("write", env.sys.write_atomic(path, content, attributes))
end

--- Brings a file to what it had: content, or nil for none.
---@param env orrery.play.Env
---@param path string
---@param content? string
function M.restore(env, path, content)
    if content then M.write(env, path, content) else env.sys.unlink(path) end
end

--- Makes the directory of a path, and those above it.
---@param env orrery.play.Env
---@param path string
function M.make_parent(env, path)
    local directory = path:match "^(.+)/[^/]*$"
    if not directory or env.sys.stat(directory) then return end
    M.make_parent(env, directory)
    resource.must("create", env.sys.mkdir(directory, 0x1ed))
end

return M
