--- A machine that systemd knows: its first process is asked for, and entered as nsenter does. (machinectl shell
--- itself wants a terminal.)

local SCRIPT = [[leader=$(machinectl show --property=Leader --value -- "$1") || exit
exec nsenter -t "$leader" -m -u -i -n -p -r -- sh -c "$2"]]

---@class orrery.MachinectlOptions: orrery.LauncherOptions
---@field machine string

---@type orrery.Launcher
return {
    name = "machinectl",
    target = "machine",
    options = { machine = { type = "string", required = true } },
    argv = function(o) return { "sh", "-c", SCRIPT, "machinectl", o.machine, "{}" } end,
    signs = {
        { "machinectl: .*not found", "connect", "machinectl is not installed here, or not in the PATH" },
        { "No machine", "connect", "there is no such machine" },
        { "[Aa]ccess denied", "auth", "this user may not use it" },
    },
}
