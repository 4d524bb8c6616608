--- su(1). Without a terminal it reads the password from stdin; root is asked for none.

---@class orrery.SuOptions: orrery.LauncherOptions
---@field user? string default root
---@field login? boolean a login shell, in the user's home directory
---@field group? string only for root
---@field shell? string instead of the user's own; only for root where that is a restricted one

---@type orrery.Launcher
return {
    name = "su",
    target = "user",
    prompts = true,
    options = { user = { type = "string", default = "root" }, login = "boolean", group = "string", shell = "string" },
    subject = function(o) return o.user end,
    argv = function(o)
        return {
            "su", o.login and "-l", o.group and { "-g", o.group }, o.shell and { "-s", o.shell }, o.user,
            "-c", "exec sh -c '{}'",
        }
    end,
    signs = {
        { "must be run from a terminal", "auth", "this su takes a password from a terminal only, and there is none" },
        { "does not exist", "connect", "there is no such user" },
        { "unknown id", "connect", "there is no such user" },
        { "Authentication failure", "auth", "it did not take the password" },
        { "not available", "auth", "the account's shell lets nobody in (option 'shell' names another)" },
        { "[Pp]ermission denied", "auth", "it did not let us in" },
    },
}
