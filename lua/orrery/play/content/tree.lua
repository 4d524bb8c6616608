--- A directory tree of this machine, as a list: for sync, which compares two of them.

local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local M = {}

M.MOST = 500000 -- entries; more would be a mistake

---@class orrery.play.TreeEntry
---@field path string below the top
---@field type "file"|"directory"|"link"
---@field size integer
---@field mode integer
---@field mtime number
---@field target? string of a link

local function add(list, path, st)
    if #list >= M.MOST then resource.fail(("there are more than %d files in it"):format(M.MOST)) end
    list[#list + 1] = {
        path = path, type = st.type, size = st.type == "file" and st.size or 0, mode = st.mode, mtime = st.mtime,
        target = st.target,
    }
end

--- Lists what is in a directory, directories before what is in them, sorted; without devices, sockets and pipes.
---@param top string
---@param excluded fun(path: string, is_dir: boolean): boolean
---@return orrery.play.TreeEntry[] entries
---@return string[] passed over, by their paths
function M.list(top, excluded)
    local list, others = {}, {}
    local function walk(directory, below)
        local names = resource.must("list", sys.list(directory))
        table.sort(names)
        for _, name in ipairs(names) do
            local path = below == "" and name or below .. "/" .. name
            local st = resource.must("look at", sys.lstat(directory .. "/" .. name))
            local is_dir = st.type == "directory"
            local known = is_dir or st.type == "file" or st.type == "link"
            if not known then others[#others + 1] = path end
            if known and not excluded(path, is_dir) then
                add(list, path, st)
                if is_dir then walk(directory .. "/" .. name, path) end
            end
        end
    end
    walk(top, "")
    return list, others
end

return M
