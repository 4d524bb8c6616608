--- Files of reports: whole, or not there.

local Error = require "orrery.error"
require "orrery.core" -- brings orrery.sys along
local sys = require "orrery.sys"

local M = {}

--- Writes a file beside the one that is meant, and renames it.
---@param path string
---@param content string
---Raises "file".
function M.write(path, content)
    local ok, why = sys.write_atomic(path, content, { mode = 420 }) -- 0644
    if not ok then
        Error.raise { code = "file", message = ("cannot write the report %s: %s"):format(path, tostring(why)) }
    end
end

--- Makes sure, before there is anything to report, that it can be written.
---@param path string
---Raises "file".
function M.check(path)
    local dir = path:match "^(.*)/[^/]*$" or "."
    if dir == "" then dir = "/" end
    local stat, why = sys.stat(dir)
    if stat and stat.type ~= "directory" then why = "not a directory" end
    if not stat or stat.type ~= "directory" then
        Error.raise { code = "file", message = ("the report %s cannot be there: %s: %s"):format(path, dir, why) }
    end
end

return M
