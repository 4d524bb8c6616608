--- Directories with files in them, for a spec.

local lfs = require "lfs"

local M = {}

local function write(path, content)
    local file = assert(io.open(path, "wb"))
    file:write(content)
    file:close()
end

--- Makes a temporary directory. A file that begins with "#!" can be executed.
---@param files table<string, string> contents by path
---@return string directory
function M.make(files)
    local root = os.tmpname()
    os.remove(root)
    assert(lfs.mkdir(root))
    for path, content in pairs(files) do
        local directory = root
        for part in path:gmatch "([^/]+)/" do
            directory = directory .. "/" .. part
            lfs.mkdir(directory)
        end
        write(root .. "/" .. path, content)
        if content:find "^#!" then os.execute(("chmod +x '%s/%s'"):format(root, path)) end
    end
    return root
end

--- Removes it.
---@param root string
function M.remove(root)
    assert(root:find "^/tmp/")
    os.execute(("rm -rf '%s'"):format(root))
end

return M
