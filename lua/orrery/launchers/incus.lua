--- incus exec.

---@class orrery.InstanceOptions: orrery.LauncherOptions
---@field instance string "name" or "remote:name"; it runs
---@field project? string
---@field uid? integer
---@field gid? integer
---@field cwd? string
---@field env? table<string, string> to set in it; stands on the command line, where others can read it

local launcher = require "orrery.launcher"

local M = {}

--- The same for whoever has this command line.
---@param name string
---@param program string
---@return orrery.Launcher
function M.like(name, program)
    return {
        name = name,
        target = "instance",
        options = {
            instance = { type = "string", required = true }, project = "string", uid = "number", gid = "number",
            cwd = "string", env = "table",
        },
        argv = function(o)
            return {
                program, "exec", "-T", o.project and { "--project", o.project }, o.uid and { "--user", o.uid },
                o.gid and { "--group", o.gid }, o.cwd and { "--cwd", o.cwd }, launcher.env(o.env), o.instance,
                "--", "sh", "-c", "{}",
            }
        end,
        signs = {
            { "not found", "connect", "there is no such instance" },
            { "is not running", "connect", "the instance does not run" },
            { "permission denied", "auth", "this user may not use it" },
        },
    }
end

return setmetatable(M.like("incus", "incus"), { __index = M })
