--- chroot(8).

---@class orrery.ChrootOptions: orrery.LauncherOptions
---@field root string the directory
---@field user? string "name", "name:group", numbers

---@type orrery.Launcher
return {
    name = "chroot",
    target = "root",
    options = { root = { type = "string", required = true }, user = "string" },
    argv = function(o) return { "chroot", o.user and "--userspec=" .. o.user, o.root, "sh", "-c", "{}" } end,
    signs = {
        { "Operation not permitted", "auth", "only root may use it" },
        { "cannot change root directory", "connect", "it cannot go there" },
        { "invalid user", "connect", "there is no such user" },
    },
}
