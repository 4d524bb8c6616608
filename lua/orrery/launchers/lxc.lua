--- lxc-attach(1).

---@class orrery.LxcOptions: orrery.LauncherOptions
---@field container string its name; it runs
---@field path? string where the containers are
---@field clear_env? boolean do not pass on this process's environment
---@field uid? integer
---@field gid? integer

---@type orrery.Launcher
return {
    name = "lxc",
    target = "container",
    options = {
        container = { type = "string", required = true }, path = "string", clear_env = "boolean", uid = "number",
        gid = "number",
    },
    argv = function(o)
        return {
            "lxc-attach", "-n", o.container, o.path and { "-P", o.path }, o.clear_env and "--clear-env",
            o.uid and { "-u", o.uid }, o.gid and { "-g", o.gid }, "--", "sh", "-c", "{}",
        }
    end,
    signs = {
        { "Failed to get init pid", "connect", "the container does not run" },
        { "Failed to attach", "connect", "the container does not run" },
        { "Insufficent privileges", "auth", "this user may not use it" },
        { "Insufficient privileges", "auth", "this user may not use it" },
    },
}
