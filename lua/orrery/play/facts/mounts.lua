--- Facts: what is mounted.

local M = {}

M.doc = "list of what is mounted, in the order in which it was, without the kernel's own (proc, sysfs ...)"

M.each = {
    { "path", "\"/srv\"" },
    { "device", "\"/dev/sda1\", \"server:/export\"" },
    { "type", "\"ext4\", \"overlay\", \"nfs4\"" },
    { "options", "list" },
    { "read_only", "" },
    { "size", "bytes; nil of file systems over a network, which may never answer" },
    { "available", "bytes that users other than root can have; nil as above" },
    { "files", "how many files it can have; nil as above, 0 where there is no such limit" },
    { "files_free", "" },
}

local KERNELS = {}
for name in ([[proc sysfs devpts devtmpfs cgroup cgroup2 pstore bpf tracefs debugfs securityfs configfs mqueue hugetlbfs
    autofs binfmt_misc fusectl rpc_pipefs nsfs efivarfs selinuxfs]]):gmatch "%S+" do
    KERNELS[name] = true
end

local function is_remote(kind)
    return kind:find "^nfs" or kind:find "^fuse" or kind:find "^cifs" or kind:find "^smb" or kind == "9p"
        or kind == "ceph" or kind == "afs" or kind == "glusterfs" or kind == "lustre"
end

-- Spaces in names are octal: "a\040b".
local function unescape(text)
    return (text:gsub("\\(%d%d%d)", function(octal) return string.char(tonumber(octal, 8)) end))
end

local function mount(m, device, path, kind, options)
    local list, read_only = {}, false
    for option in options:gmatch "[^,]+" do
        list[#list + 1] = option
        read_only = read_only or option == "ro"
    end
    local space = not is_remote(kind) and m:space(path) or {}
    return {
        path = path, device = device, type = kind, options = list, read_only = read_only, size = space.size,
        available = space.available, files = space.files, files_free = space.files_free,
    }
end

function M.gather(m)
    local mounts = {}
    for line in m:lines "/proc/self/mounts" do
        local device, path, kind, options = line:match "^(%S+) (%S+) (%S+) (%S+)"
        if kind and not KERNELS[kind] then
            mounts[#mounts + 1] = mount(m, unescape(device), unescape(path), kind, options)
        end
    end
    return mounts
end

return M
