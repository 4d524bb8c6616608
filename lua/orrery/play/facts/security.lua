--- Facts: what the kernel enforces.

local M = {}

M.doc = "what the kernel enforces"

M.fields = {
    { "selinux", "\"enforcing\", \"permissive\"; nil: it is off, or not there" },
    { "selinux_policy", "\"targeted\", as configured; nil where `selinux` is" },
    { "apparmor", "whether it is on" },
    { "fips", "whether the kernel is in FIPS mode" },
}

function M.gather(m)
    local enforce = m:line "/sys/fs/selinux/enforce"
    local policy = enforce and m:pairs_of("/etc/selinux/config", "=").SELINUXTYPE
    return {
        selinux = enforce and (enforce == "1" and "enforcing" or "permissive") or nil, selinux_policy = policy,
        apparmor = m:line "/sys/module/apparmor/parameters/enabled" == "Y",
        fips = m:line "/proc/sys/crypto/fips_enabled" == "1",
    }
end

return M
