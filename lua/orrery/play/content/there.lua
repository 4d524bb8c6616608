--- What steps of the controller ask of the target: see orrery.play.here.

local sys = require "orrery.sys"

local M = {}

--- What is at a path; of a file also its hash.
---@param path string
---@param limit? integer bytes up to which the content comes along
---@return table? found stat, hash, content
---@return string? why
---@return string? code "ENOENT"
function M.describe(path, limit)
    local st, why, code = sys.stat(path)
    if not st then return nil, why, code end
    if st.type ~= "file" then return { stat = st } end
    local hash
    hash, why, code = sys.hash(path, "blake2b")
    if not hash then return nil, why, code end
    return { stat = st, hash = hash, content = limit and st.size <= limit and sys.read(path) or nil }
end

--- The hash of a file.
---@param path string
---@param kind string
---@return string?
function M.hash(path, kind) return (sys.hash(path, kind)) end

--- What tells one boot of a machine from the next.
---@param path string
---@return string? id
---@return string? why
function M.boot_id(path)
    local text, why = sys.read(path, 4096)
    return text and text:match "%S+", why
end

return M
