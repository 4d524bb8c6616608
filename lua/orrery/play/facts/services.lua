--- Facts: what starts services.

local M = {}

M.doc = "what starts services"

M.fields = {
    { "manager",
        "\"systemd\", \"openrc\", \"runit\", \"s6\", \"sysvinit\", \"upstart\", \"busybox\"; nil: none of these "
        .. "runs, as in a container that runs one program" },
    { "process", "the name of process 1" },
    { "running", "it runs as process 1, and has not only been installed" },
}

-- Where each shows that it runs.
local RUNNING = { { "systemd", "/run/systemd/system" }, { "openrc", "/run/openrc/softlevel" } }

local OF_PROCESS = {
    systemd = "systemd", ["openrc-init"] = "openrc", runit = "runit", ["runit-init"] = "runit", ["s6-svscan"] = "s6",
    upstart = "upstart",
}

local function of_init_program(m)
    local target = m:link "/sbin/init" or ""
    if target:find "busybox" then return "busybox" end
    if target:find "systemd" then return "systemd" end
    if target:find "openrc" then return "openrc" end
    if target:find "runit" then return "runit" end
    if m:exists "/etc/inittab" and m:is_directory "/etc/init.d" then return "sysvinit" end
end

function M.gather(m)
    local process = m:line "/proc/1/comm"
    for _, each in ipairs(RUNNING) do
        if m:exists(each[2]) then return { manager = each[1], process = process, running = true } end
    end
    if OF_PROCESS[process or ""] then return { manager = OF_PROCESS[process], process = process, running = true } end
    if process == "init" then
        return { manager = of_init_program(m) or "sysvinit", process = process, running = true }
    end
    return { manager = nil, process = process, running = false }
end

return M
