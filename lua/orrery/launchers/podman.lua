--- podman-exec(1).

---@class orrery.ContainerOptions: orrery.LauncherOptions
---@field container string its name or id; it runs
---@field user? string "name", "name:group", numbers
---@field workdir? string
---@field env? table<string, string> to set in it; stands on the command line, where others can read it
---@field privileged? boolean
---@field args? string[] for the command itself, in front of exec: { "--connection", "build" }

local launcher = require "orrery.launcher"

local M = {}

--- The same for whoever has the command line of docker.
---@param program string
---@return orrery.Launcher
function M.like(program)
    return {
        name = program,
        target = "container",
        options = {
            container = { type = "string", required = true }, user = "string", workdir = "string", env = "table",
            privileged = "boolean", args = "table",
        },
        argv = function(o)
            return {
                program, o.args, "exec", "-i", o.privileged and "--privileged", o.user and { "--user", o.user },
                o.workdir and { "--workdir", o.workdir }, launcher.env(o.env), o.container, "sh", "-c", "{}",
            }
        end,
        signs = {
            { "[Nn]o such container", "connect", "there is no such container" },
            { "no container with name or ID", "connect", "there is no such container" },
            { "is not running", "connect", "the container does not run" },
            { "container state improper", "connect", "the container does not run" },
            { "permission denied while trying to connect", "auth", "this user may not use it" },
            { "Cannot connect to the Docker daemon", "connect", "its daemon is not there" },
            { "unable to find user", "connect", "there is no such user in it" },
        },
    }
end

return setmetatable(M.like "podman", { __index = M })
