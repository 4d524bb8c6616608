--- orrery version.

local args = require "orrery.cli.args"

local M = {}

local function exists(path)
    local file = io.open(path, "rb")
    if file then file:close() end
    return file ~= nil
end

---@return integer status
function M.main(_, words)
    if words[1] then args.fail("version", ("unexpected '%s'"):format(words[1])) end
    local core = require "orrery.core"
    local dir = core.agent_dir
    local missing = exists(dir .. "/agent.id") and "" or " (missing)"
    io.stdout:write(([[
orrery   %s
luajit   %s, %s
libssh2  %s
agents   %s%s
]]):format(core.version, jit.version:gsub("^LuaJIT ", ""), jit.arch, core.ssh_version, dir,
        missing))
    return 0
end

return M
