--- doas(1). It takes passwords from a terminal only, so it must need none: `permit nopass` in doas.conf.

---@class orrery.DoasOptions: orrery.LauncherOptions
---@field user? string default root

---@type orrery.Launcher
return {
    name = "doas",
    target = "user",
    options = { user = { type = "string", default = "root" } },
    argv = function(o) return { "doas", "-n", "-u", o.user, "--", "sh", "-c", "{}" } end,
    signs = {
        { "Authori[sz]ation required", "credentials",
            "it wants a password, which it takes from a terminal only; there is none (nopass in doas.conf)" },
        { "Authentication required", "credentials",
            "it wants a password, which it takes from a terminal only; there is none (nopass in doas.conf)" },
        { "a tty is required", "credentials",
            "it wants a password, which it takes from a terminal only; there is none (nopass in doas.conf)" },
        { "not enabled", "auth", "it has no doas.conf" },
        { "Operation not permitted", "auth", "this user may not do this" },
        { "unknown user", "connect", "there is no such user" },
    },
}
