--- unshare(1): namespaces of its own.

local NAMESPACES = { mount = "-m", uts = "-u", ipc = "-i", net = "-n", pid = "-p", user = "-U", cgroup = "-C" }

local function namespaces(list)
    for _, name in ipairs(list) do
        if not NAMESPACES[name] then return false, "must be a list of mount, uts, ipc, net, pid, user, cgroup" end
    end
    return true
end

---@class orrery.UnshareOptions: orrery.LauncherOptions
---@field namespaces? string[] default: mount, uts, ipc, pid
---@field root? string a directory to make the root
---@field map_root? boolean become root in a user namespace, which needs no privileges

---@type orrery.Launcher
return {
    name = "unshare",
    options = {
        namespaces = { type = "table", default = { "mount", "uts", "ipc", "pid" }, check = namespaces },
        root = "string", map_root = "boolean",
    },
    label = function(o) return o.root or table.concat(o.namespaces, "+") end,
    argv = function(o)
        local flags, pid = {}, false
        for i, name in ipairs(o.namespaces) do
            flags[i] = NAMESPACES[name]
            pid = pid or name == "pid"
        end
        return {
            "unshare", flags, o.map_root and "-r", pid and { "-f", "--kill-child", "--mount-proc" },
            o.root and { "-R", o.root }, "--", "sh", "-c", "{}",
        }
    end,
    signs = {
        { "Operation not permitted", "auth", "this user may not do this" },
        { "cannot change root directory", "connect", "it cannot go there" },
    },
}
