--- runuser(1): su for root, without a password.

---@class orrery.RunuserOptions: orrery.LauncherOptions
---@field user? string default root
---@field login? boolean a login shell, in the user's home directory
---@field group? string

---@type orrery.Launcher
return {
    name = "runuser",
    target = "user",
    options = { user = { type = "string", default = "root" }, login = "boolean", group = "string" },
    argv = function(o)
        local group = o.group and { "-g", o.group }
        if o.login then return { "runuser", "-l", group, o.user, "-c", "exec sh -c '{}'" } end
        return { "runuser", group, "-u", o.user, "--", "sh", "-c", "{}" }
    end,
    signs = {
        { "does not exist", "connect", "there is no such user" },
        { "may not be used by non%-root users", "auth", "only root may use it" },
    },
}
