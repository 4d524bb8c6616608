--- Facts: is it a machine, a virtual one, a container?

local M = {}

M.doc = "whether it is a machine of its own, a virtual one, a container"

M.fields = {
    { "container",
        "\"docker\", \"podman\", \"kubernetes\", \"lxc\", \"systemd-nspawn\", \"openvz\", \"wsl\"; "
        .. "nil: none that shows" },
    { "vm",
        "the hypervisor: \"kvm\", \"qemu\", \"vmware\", \"virtualbox\", \"xen\", \"hyperv\", \"parallels\", \"bhyve\", "
        .. "\"firecracker\", \"unknown\"; nil: none that shows" },
    { "kind", "`container` or else `vm`; nil on a machine of its own" },
    { "cloud",
        "\"aws\", \"google\", \"azure\", \"digitalocean\", \"hetzner\", \"openstack\", \"oracle\"; nil: the firmware "
        .. "does not say so" },
}

-- Containers ----------------------------------------------------------------------------------------

local function of_variable(value)
    if not value then return nil end
    if value == "oci" then return "docker" end
    return (value:gsub("^lxc%-libvirt$", "lxc"))
end

local function of_control_groups(m)
    local text = (m:read "/proc/1/cgroup" or "") .. (m:read "/proc/self/cgroup" or "")
    if text:find("kubepods", 1, true) then return "kubernetes" end
    if text:find("/docker[-/]") then return "docker" end
    if text:find("libpod", 1, true) then return "podman" end
    if text:find("/lxc[./]") or text:find("/lxc.payload", 1, true) then return "lxc" end
end

local function container(m)
    if m:exists "/run/.containerenv" then return "podman" end
    if m:getenv "KUBERNETES_SERVICE_HOST" or m:is_directory "/var/run/secrets/kubernetes.io" then
        return "kubernetes"
    end
    if m:exists "/.dockerenv" then return "docker" end
    local init = m:read "/proc/1/environ" -- root's to read
    local set = init and ("\0" .. init):match "%zcontainer=([^%z]+)"
    local told = of_variable(set or m:line "/run/systemd/container" or m:getenv "container")
    if told then return told end
    local kernel = m:line "/proc/sys/kernel/osrelease" or ""
    if kernel:find "[Mm]icrosoft" then return "wsl" end
    if m:is_directory "/proc/vz" and not m:is_directory "/proc/bc" then return "openvz" end
    return of_control_groups(m)
end

-- Virtual machines ----------------------------------------------------------------------------------

-- What the firmware says, in lower case, and what that means.
local FIRMWARE = {
    { "firecracker", "firecracker" }, { "vmware", "vmware" }, { "virtualbox", "virtualbox" },
    { "innotek", "virtualbox" },
    { "parallels", "parallels" }, { "bhyve", "bhyve" }, { "xen", "xen" }, { "hvm domu", "xen" },
    { "microsoft corporation.*virtual", "hyperv" }, { "amazon ec2", "kvm" }, { "google compute engine", "kvm" },
    { "openstack", "kvm" }, { "digitalocean", "kvm" }, { "hetzner", "kvm" }, { "kvm", "kvm" }, { "qemu", "qemu" },
}

local function firmware(m)
    local texts = {}
    for _, name in ipairs { "sys_vendor", "product_name", "product_version", "board_vendor", "bios_vendor",
        "chassis_asset_tag" } do
        texts[#texts + 1] = m:line("/sys/class/dmi/id/" .. name)
    end
    return table.concat(texts, " "):lower()
end

local function hypervisor_flag(m)
    for line in m:lines "/proc/cpuinfo" do
        if line:find "^flags%s*:.* hypervisor" then return true end
    end
    return false
end

local function vm(m, said)
    local hypervisor = m:line "/sys/hypervisor/type"
    if hypervisor == "xen" then
        -- The first domain of Xen is the machine itself, as far as anybody can tell.
        local capabilities = m:line "/proc/xen/capabilities" or ""
        return not capabilities:find "control_d" and "xen" or nil
    end
    for _, each in ipairs(FIRMWARE) do
        if said:find(each[1]) then
            if each[2] == "qemu" and m:exists "/sys/module/kvm_guest" then return "kvm" end
            return each[2]
        end
    end
    local tree = (m:line "/proc/device-tree/hypervisor/compatible" or ""):lower()
    if tree:find "kvm" then return "kvm" end
    if tree:find "xen" then return "xen" end
    return hypervisor_flag(m) and "unknown" or nil
end

local CLOUDS = {
    { "amazon ec2", "aws" }, { "google", "google" }, { "7783%-7084%-3265%-9085%-8269%-3286%-77", "azure" },
    { "digitalocean", "digitalocean" }, { "hetzner", "hetzner" }, { "openstack", "openstack" },
    { "oraclecloud", "oracle" },
}

local function cloud(said)
    for _, each in ipairs(CLOUDS) do
        if said:find(each[1]) then return each[2] end
    end
end

function M.gather(m)
    local said = firmware(m)
    local inside, below = container(m), vm(m, said)
    return { container = inside, vm = below, kind = inside or below, cloud = cloud(said) }
end

return M
