--- A real systemd on a host of the lab: process 1 of a PID namespace of its own there, since the first process of the
-- host is its sshd. It has its own cgroup. Who talks to it must be in that namespace, too.

local lab = require "spec.support.lab"
local remote = require "spec.support.remote"

local systemd = {}

-- Programs that boot as a container does; what a host of the lab cannot have is left out.
local BOOT = [[
set -e
mountpoint -q /run || {
    pid=$(cat /run/sshd.pid); mount -t tmpfs -o mode=755 tmpfs /run
    mkdir /run/sshd /run/lock; echo "$pid" >/run/sshd.pid
}
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/CGROUP
echo $$ >/sys/fs/cgroup/CGROUP/cgroup.procs
umount /sys/fs/cgroup
exec setsid unshare --pid --mount --cgroup --fork --kill-child sh -c '
    mount -t proc proc /proc
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir -p /run/systemd/system
    for unit in systemd-tmpfiles-setup systemd-tmpfiles-clean systemd-udevd systemd-logind systemd-sysctl \
        systemd-modules-load systemd-random-seed systemd-update-utmp; do
        ln -sf /dev/null /run/systemd/system/$unit.service
    done
    exec env container=lab /lib/systemd/systemd --system --unit=sysinit.target --log-target=null'
]]

local SCRIPT = "/root/boot-systemd"

local function cgroup(host) return "orrery-spec-" .. lab.name .. "-" .. host end

--- Can one run here? It needs systemd itself, and cgroups that it may have a part of.
---@param host string
---@return boolean, string? why not
function systemd.possible(host)
    local code, _, stderr = lab.exec(host, "test -x /lib/systemd/systemd || { echo no systemd >&2; exit 1; }; "
        .. "mount -t cgroup2 cgroup2 /sys/fs/cgroup && umount /sys/fs/cgroup")
    return code == 0, stderr:gsub("\n", "")
end

---@class spec.Systemd
---@field host string
---@field pid integer as the host numbers it
---@field outer string
local Systemd = {}
Systemd.__index = Systemd

--- Runs a line of sh beside it, as root.
---@param line string
---@return integer code, string stdout, string stderr
function Systemd:exec(line)
    return lab.exec(self.host, { "nsenter", "-t", self.pid, "-p", "-m", "--", "sh", "-c", line })
end

--- A context beside it.
---@return orrery.Context
function Systemd:open()
    return remote.open(self.host):nsenter { pid = self.pid, namespaces = { "mount", "pid" } }
end

--- Ends it, with all that it has started.
function Systemd:stop()
    lab.exec(self.host, ("kill -9 %s; rm -rf /run/systemd %s"):format(self.outer, SCRIPT))
    remote.eventually("its processes are gone", function()
        return #remote.processes(self.host, "/lib/systemd/systemd") == 0
    end, 30)
    lab.exec(self.host, ([[
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        find /sys/fs/cgroup/%s -depth -type d -exec rmdir {} ';'
        umount /sys/fs/cgroup]]):format(cgroup(self.host)))
end

--- Boots it, and waits until it has.
---@param host string
---@return spec.Systemd
function systemd.boot(host)
    remote.write(lab.root(host) .. SCRIPT, (BOOT:gsub("CGROUP", cgroup(host))))
    local code, outer, stderr = lab.exec(host, ("sh %s </dev/null >/root/systemd.log 2>&1 & echo $!"):format(SCRIPT))
    assert(code == 0, stderr)
    local self = setmetatable({ host = host, outer = (outer:gsub("\n", "")) }, Systemd)
    remote.eventually("systemd answers", function()
        for pid, process in pairs(lab.processes(host)) do
            if process.command:find "^/lib/systemd/systemd " then self.pid = pid end
        end
        local state = self.pid and select(2, self:exec "systemctl is-system-running 2>/dev/null") or ""
        return state:match "^running" or state:match "^degraded"
    end, 60)
    return self
end

return systemd
