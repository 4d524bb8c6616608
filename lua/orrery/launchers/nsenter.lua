--- nsenter(1): the namespaces of a process.

local NAMESPACES = { mount = "-m", uts = "-u", ipc = "-i", net = "-n", pid = "-p", user = "-U", cgroup = "-C",
    time = "-T" }

local function namespaces(list)
    for _, name in ipairs(list) do
        if not NAMESPACES[name] then return false, "must be a list of mount, uts, ipc, net, pid, user, cgroup, time" end
    end
    return true
end

local function pid(value) return tostring(value):find "^%d+$", "must be the id of a process" end

---@class orrery.NsenterOptions: orrery.LauncherOptions
---@field pid integer|string of the process
---@field namespaces? string[] default: mount, uts, ipc, net, pid
---@field root? boolean its root directory, too
---@field uid? integer
---@field gid? integer

---@type orrery.Launcher
return {
    name = "nsenter",
    target = "pid",
    options = {
        pid = { type = { "number", "string" }, required = true, check = pid },
        namespaces = { type = "table", default = { "mount", "uts", "ipc", "net", "pid" }, check = namespaces },
        root = "boolean", uid = "number", gid = "number",
    },
    argv = function(o)
        local flags = {}
        for i, name in ipairs(o.namespaces) do flags[i] = NAMESPACES[name] end
        return {
            "nsenter", "-t", o.pid, flags, o.root and "-r", o.uid and { "-S", o.uid }, o.gid and { "-G", o.gid },
            "--", "sh", "-c", "{}",
        }
    end,
    signs = {
        { "cannot open /proc/", "connect", "there is no such process, or it may not be looked at" },
        { "Operation not permitted", "auth", "this user may not do this" },
    },
}
