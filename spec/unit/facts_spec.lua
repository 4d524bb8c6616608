local leak = require "spec.support.leak"
require "orrery.core"
local facts = require "orrery.play.facts"
local machine = require "orrery.play.facts.machine"
local tree = require "spec.support.directories"

leak.guard()

local root

after_each(function()
    if root then tree.remove(root) end
    root = nil
end)

-- A machine whose files these are. What is no file can be given, too: uname, hostname ...
local function specimen(files, more)
    if root then tree.remove(root) end
    root = tree.make(files)
    local m = machine.new(root)
    m.uname = function() return { sysname = "Linux", release = "6.1.0", version = "#1 SMP", machine = "x86_64" } end
    m.hostname = function() return "web1" end
    m.addresses = function() return {} end
    m.getenv = function() return nil end
    m.space = function() return { size = 100, available = 40, files = 10, files_free = 5 } end
    for name, value in pairs(more or {}) do m[name] = function() return value end end
    return m
end

local function find(name, files, more) return facts.get(name, specimen(files, more)) end

local function refusal(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err.message, err
end

describe("facts of the operating system", function()
    it("are those of os-release", function()
        local found = find("os", {
            ["etc/os-release"] = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n'
                .. 'VERSION_ID="12"\n' .. 'VERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n',
            ["lib/x86_64-linux-gnu/libc.so.6"] =
                "\127ELF\0\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n",
        })
        assert.are.same({
            name = "debian", family = "debian", version = "12", major = 12, codename = "bookworm",
            pretty = "Debian GNU/Linux 12 (bookworm)", kernel = "linux", kernel_release = "6.1.0",
            kernel_version = "#1 SMP", arch = "x86_64", libc = "glibc", libc_version = "2.36",
        }, found)
    end)

    it("tell families, by what a system is like where it is not known", function()
        for text, family in pairs {
            ["ID=ubuntu\nID_LIKE=debian"] = "debian", ["ID=raspbian"] = "debian", ["ID='rocky'"] = "redhat",
            ['ID="newhat"\nID_LIKE="rhel fedora"'] = "redhat", ["ID=opensuse-leap"] = "suse", ["ID=alpine"] = "alpine",
            ["ID=arch"] = "arch", ["ID=nixos"] = "nixos",
        } do
            assert.are.equal(family, find("os", { ["etc/os-release"] = text }).family, text)
        end
    end)

    it("come from older files, and may be unknown", function()
        local found = find("os", { ["etc/redhat-release"] = "CentOS release 6.10 (Final)\n" })
        assert.are.same({ "redhat", "redhat", "6.10", 6 }, { found.name, found.family, found.version, found.major })
        found = find("os", { ["etc/alpine-release"] = "3.4.6\n", ["lib/ld-musl-x86_64.so.1"] = "" })
        assert.are.same({ "alpine", "3.4.6", "musl" }, { found.name, found.version, found.libc })
        found = find("os", {})
        assert.are.same({ nil, nil, "linux" }, { found.name, found.family, found.kernel })
        found = find("os", { ["usr/lib/os-release"] = "ID=arch\nPRETTY_NAME=\"Arch \\\"Linux\\\"\"\n" })
        assert.are.same({ 'Arch "Linux"' }, { found.pretty })
        assert.is_nil(found.version)
    end)
end)

describe("facts of the machine", function()
    it("are its processors", function()
        local files = {
            ["proc/cpuinfo"] = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) X\n"
                .. "flags\t\t: fpu vme\n\n"
                .. "processor\t: 1\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) X\n",
            ["proc/loadavg"] = "0.50 1.25 2.00 1/100 1234\n",
        }
        for i = 0, 3 do
            local base = "sys/devices/system/cpu/cpu" .. i .. "/topology/"
            files[base .. "physical_package_id"], files[base .. "core_id"] = "0\n", math.floor(i / 2) .. "\n"
        end
        assert.are.same({
            count = 2, cores = 2, sockets = 1, model = "Intel(R) X", vendor = "GenuineIntel", flags = { "fpu", "vme" },
            load = { 0.5, 1.25, 2 },
        }, find("cpu", files))
        assert.are.same({ flags = {}, load = {} }, find("cpu", {}))
    end)

    it("are its memory", function()
        local found = find("memory", {
            ["proc/meminfo"] = "MemTotal:       1000 kB\nMemFree:         400 kB\nMemAvailable:    600 kB\n"
                .. "Cached:  100 kB\n"
                .. "SwapTotal: 0 kB\nSwapFree: 0 kB\n", ["sys/fs/cgroup/memory.max"] = "max\n",
        })
        assert.are.same({
            total = 1024000, free = 409600, available = 614400, cached = 102400, swap_total = 0, swap_free = 0,
        }, found)
        assert.are.equal(4096, find("memory", { ["sys/fs/cgroup/memory.max"] = "4096\n" }).limit)
        assert.is_nil(find("memory",
            { ["sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n" }).limit)
    end)

    it("are its disks and what is mounted", function()
        assert.are.same({
            sda = {
                size = 1024000, model = "QEMU DISK", removable = false, rotational = true, read_only = false,
                partitions = { sda1 = 512000 },
            },
        }, find("disks", {
            ["sys/block/sda/size"] = "2000\n", ["sys/block/sda/device/model"] = "QEMU DISK   \n",
            ["sys/block/sda/removable"] = "0\n", ["sys/block/sda/queue/rotational"] = "1\n",
            ["sys/block/sda/ro"] = "0\n",
            ["sys/block/sda/sda1/partition"] = "1\n", ["sys/block/sda/sda1/size"] = "1000\n",
            ["sys/block/loop0/size"] = "10\n", ["sys/block/sr0/size"] = "0\n",
        }))
        assert.are.same({
            {
                path = "/", device = "/dev/sda1", type = "ext4", options = { "rw", "noatime" }, read_only = false,
                size = 100, available = 40, files = 10, files_free = 5,
            },
            { path = "/mnt/a b", device = "nas:/x", type = "nfs4", options = { "ro" }, read_only = true },
        }, find("mounts", {
            ["proc/self/mounts"] = "/dev/sda1 / ext4 rw,noatime 0 0\nproc /proc proc rw 0 0\n"
                .. "nas:/x /mnt/a\\040b nfs4 ro 0 0\n",
        }))
    end)

    it("are who and what there is", function()
        local files = {
            ["etc/passwd"] = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:The App,,:/srv/app:/bin/false\n+::::::\n",
            ["etc/group"] = "root:x:0:\nwww:x:33:app,web\napp:x:1000:\n",
            ["proc/self/status"] = "Name:\tagent\nGid:\t1000\t1000\t1000\t1000\nGroups:\t33 1000 77 \n",
        }
        assert.are.same({ uid = 1000, gid = 1000, comment = "The App,,", home = "/srv/app", shell = "/bin/false" },
            find("users", files).app)
        assert.are.same({ gid = 33, members = { "app", "web" } }, find("groups", files).www)
        assert.are.same({
            name = "app", uid = 1000, gid = 1000, home = "/srv/app", shell = "/bin/false",
            groups = { "www", "app", "77" },
        }, find("user", files, { uid = 1000 }))
        assert.are.same({ uid = 5, gid = 1000, groups = { "www", "app", "77" } }, find("user", files, { uid = 5 }))
    end)

    it("are what installs software, what starts services, what is enforced", function()
        assert.are.same({ manager = "apt", format = "deb", managers = { "apt", "dnf", "snap" } }, find("packages",
            { ["usr/bin/apt-get"] = "", ["usr/bin/dnf"] = "", ["usr/bin/snap"] = "" }))
        assert.are.same({ manager = "apk", format = "apk", managers = { "apk" } },
            find("packages", { ["sbin/apk"] = "" }))
        assert.are.same({ managers = {} }, find("packages", {}))
        assert.are.same({ manager = "systemd", process = "systemd", running = true },
            find("services", { ["proc/1/comm"] = "systemd\n", ["run/systemd/system/x"] = "" }))
        assert.are.same({ manager = "openrc", process = "init", running = true },
            find("services", { ["proc/1/comm"] = "init\n", ["run/openrc/softlevel"] = "default\n" }))
        assert.are.same({ manager = "sysvinit", process = "init", running = true },
            find("services", { ["proc/1/comm"] = "init\n", ["etc/inittab"] = "", ["etc/init.d/x"] = "" }))
        assert.are.same({ process = "sleep", running = false }, find("services", { ["proc/1/comm"] = "sleep\n" }))
        assert.are.same({ selinux = "enforcing", selinux_policy = "targeted", apparmor = false, fips = true },
            find("security", {
                ["sys/fs/selinux/enforce"] = "1",
                ["etc/selinux/config"] = "# x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
                ["proc/sys/crypto/fips_enabled"] = "1\n",
            }))
    end)

    it("are keys of its SSH server, the environment and the clock", function()
        assert.are.same({ host_keys = {
            { type = "ssh-ed25519", key = "AAAAC3", comment = "root@web1", file = "/etc/ssh/ssh_host_ed25519_key.pub" },
            { type = "ssh-rsa", key = "AAAAB3", file = "/etc/ssh/ssh_host_rsa_key.pub" },
        } }, find("ssh", {
            ["etc/ssh/ssh_host_rsa_key.pub"] = "ssh-rsa AAAAB3\n", ["etc/ssh/ssh_host_rsa_key"] = "hush",
            ["etc/ssh/ssh_host_ed25519_key.pub"] = "ssh-ed25519 AAAAC3 root@web1\n",
        }))
        assert.are.same({ A = "b=c", E = "" }, find("env", { ["proc/self/environ"] = "A=b=c\0E=\0" }))
        local found = find("time", { ["proc/uptime"] = "100.50 10.00\n", ["etc/timezone"] = "Europe/Berlin\n" },
            { time = 1000.25 })
        assert.are.same({ "1970-01-01T00:16:40Z", "Europe/Berlin", 899.75, 100.5 },
            { found.utc, found.timezone, found.boot, found.uptime })
    end)
end)

describe("facts of the network", function()
    local FILES = {
        ["etc/hosts"] = "127.0.0.1 localhost\n127.0.1.1 web1.example.com web1 # mine\n",
        ["etc/resolv.conf"] = "# made\nnameserver 10.0.0.53\nnameserver fd00::53\nsearch example.com lan\n",
        ["sys/class/net/lo/type"] = "772\n", ["sys/class/net/lo/mtu"] = "65536\n", ["sys/class/net/lo/flags"] = "0x9\n",
        ["sys/class/net/lo/address"] = "00:00:00:00:00:00\n",
        ["sys/class/net/eth0/mtu"] = "1500\n", ["sys/class/net/eth0/flags"] = "0x1003\n",
        ["sys/class/net/eth0/address"] = "52:54:00:12:34:56\n", ["sys/class/net/eth0/speed"] = "1000\n",
        ["sys/class/net/eth0/type"] = "1\n", ["sys/class/net/br0/bridge/x"] = "", ["sys/class/net/br0/mtu"] = "1500\n",
        ["sys/class/net/br0/flags"] = "0x1002\n", ["sys/class/net/br0/speed"] = "-1\n",
        ["proc/net/route"] = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
            .. "br0\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
            .. "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
            .. "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
        ["proc/net/ipv6_route"] = ("0"):rep(32) .. " 00 " .. ("0"):rep(32) .. " 00 fe80" .. ("0"):rep(24)
            .. "0001 00000400 00000001 00000000 00450003     eth0\n" .. ("0"):rep(32) .. " 00 "
            .. ("0"):rep(32) .. " 00 " .. ("0"):rep(32) .. " ffffffff 00000001 00000000 00200200       lo\n",
    }
    local ADDRESSES = {
        { interface = "lo", family = "ipv4", address = "127.0.0.1", prefix = 8 },
        { interface = "eth0", family = "ipv4", address = "192.168.1.7", prefix = 24 },
        { interface = "eth0", family = "ipv6", address = "fe80::1", prefix = 64 },
        { interface = "eth0", family = "ipv6", address = "fd00::7", prefix = 64 },
        { interface = "wg0", family = "ipv4", address = "10.9.0.1", prefix = 32 },
    }

    it("are names, interfaces, addresses and the way out", function()
        local found = find("network", FILES, { addresses = ADDRESSES })
        assert.are.same({ "web1", "web1.example.com", "example.com" }, { found.hostname, found.fqdn, found.domain })
        assert.are.same({
            up = true, mac = "52:54:00:12:34:56", mtu = 1500, speed = 1000, kind = "ethernet", addresses = {
                { family = "ipv4", address = "192.168.1.7", prefix = 24 },
                { family = "ipv6", address = "fe80::1", prefix = 64 },
                { family = "ipv6", address = "fd00::7", prefix = 64 },
            },
        }, found.interfaces.eth0)
        assert.are.same({ up = false, mtu = 1500, kind = "bridge", addresses = {} }, found.interfaces.br0)
        assert.are.same({ "loopback", nil }, { found.interfaces.lo.kind, found.interfaces.lo.mac })
        assert.are.same({ "192.168.1.7", "10.9.0.1" }, found.ipv4)
        assert.are.same({ "fd00::7" }, found.ipv6)
        assert.are.same({ interface = "eth0", gateway = "192.168.1.1", address = "192.168.1.7" }, found.default_ipv4)
        assert.are.same({ interface = "eth0", gateway = "fe80::1", address = "fd00::7" }, found.default_ipv6)
        assert.are.same({ { "10.0.0.53", "fd00::53" }, { "example.com", "lan" } }, { found.nameservers, found.search })
    end)

    it("may be none", function()
        assert.are.same({ hostname = "web1", interfaces = {}, ipv4 = {}, ipv6 = {}, nameservers = {}, search = {} },
            find("network", {}))
        assert.are.same({ "a", "a.b.c", "b.c" }, (function()
            local found = find("network", {}, { hostname = "a.b.c" })
            return { found.hostname, found.fqdn, found.domain }
        end)())
    end)
end)

describe("facts of virtualization", function()
    it("tell containers", function()
        for _, case in ipairs {
            { { [".dockerenv"] = "" }, "docker" }, { { ["run/.containerenv"] = "" }, "podman" },
            { { ["proc/1/environ"] = "A=b\0container=lxc\0" }, "lxc" },
            { { ["run/systemd/container"] = "systemd-nspawn\n" }, "systemd-nspawn" },
            { { ["proc/1/cgroup"] = "0::/kubepods/besteffort/pod1\n" }, "kubernetes" },
            { { ["proc/self/cgroup"] = "1:name=systemd:/docker/abc\n" }, "docker" },
            { { ["proc/sys/kernel/osrelease"] = "5.15.0-microsoft-standard-WSL2\n" }, "wsl" },
            { { ["proc/1/cgroup"] = "0::/init.scope\n", ["proc/1/environ"] = "mycontainer=x\0" }, nil },
        } do
            assert.are.equal(case[2], find("virtualization", case[1]).container)
        end
    end)

    it("tell virtual machines, and clouds", function()
        local dmi = "sys/class/dmi/id/"
        for _, case in ipairs {
            { { [dmi .. "sys_vendor"] = "QEMU\n", [dmi .. "product_name"] = "KVM Virtual Machine\n" }, "kvm" },
            { { [dmi .. "sys_vendor"] = "QEMU\n", [dmi .. "product_name"] = "Standard PC (Q35)\n" }, "qemu" },
            { { [dmi .. "sys_vendor"] = "VMware, Inc.\n" }, "vmware" },
            { { [dmi .. "sys_vendor"] = "innotek GmbH\n", [dmi .. "product_name"] = "VirtualBox\n" }, "virtualbox" },
            { { [dmi .. "sys_vendor"] = "Microsoft Corporation\n", [dmi .. "product_name"] = "Virtual Machine\n",
                [dmi .. "chassis_asset_tag"] = "7783-7084-3265-9085-8269-3286-77\n" }, "hyperv", "azure" },
            { { [dmi .. "sys_vendor"] = "Amazon EC2\n" }, "kvm", "aws" },
            { { ["sys/hypervisor/type"] = "xen\n" }, "xen" },
            { { ["sys/hypervisor/type"] = "xen\n", ["proc/xen/capabilities"] = "control_d\n" }, nil },
            { { ["proc/cpuinfo"] = "flags\t\t: fpu hypervisor lahf\n" }, "unknown" },
            { { [dmi .. "sys_vendor"] = "Dell Inc.\n", ["proc/cpuinfo"] = "flags : fpu\n" }, nil },
        } do
            local found = find("virtualization", case[1])
            assert.are.same({ case[2], case[3] }, { found.vm, found.cloud })
            assert.are.equal(case[2], found.kind)
        end
    end)

    it("come with what the firmware says", function()
        assert.are.same({ vendor = "Dell Inc.", product = "R640", machine_id = "abc" }, find("hardware", {
            ["sys/class/dmi/id/sys_vendor"] = "Dell Inc.\n", ["sys/class/dmi/id/product_name"] = "R640\n",
            ["etc/machine-id"] = "abc\n",
        }))
        assert.are.equal("Raspberry Pi 4",
            find("hardware", { ["proc/device-tree/model"] = "Raspberry Pi 4\0" }).product)
    end)
end)

describe("tables of facts", function()
    local asked, table_of

    before_each(function()
        asked = {}
        table_of = facts.lazy(function(names)
            asked[#asked + 1] = table.concat(names, " ")
            local found = {}
            for _, name in ipairs(names) do found[name] = { from = name, family = "x" } end
            return found
        end)
    end)

    it("fill themselves, once, with what is asked for", function()
        assert.are.equal("x", table_of.os.family)
        assert.are.equal("x", table_of.os.family)
        assert.are.same({ "os" }, asked)
        local found = table_of:get { "os", "env", "users" }
        assert.are.same({ "os", "env users" }, asked)
        assert.are.equal("users", found.users.from)
        table_of:forget "env"
        assert.are.equal("env", table_of.env.from)
        assert.are.same({ "os", "env users", "env" }, asked)
        table_of:forget()
        assert.are.equal("x", table_of.os.family)
        assert.are.equal("os", asked[4])
    end)

    it("take no slip of the finger for an answer", function()
        assert.are.equal("there is no fact 'os.famly' (did you mean 'family'?)",
            refusal(function() return table_of.os.famly end))
        assert.is_nil(table_of.os.libc)
        assert.are.equal("there are no facts 'netwrok' (did you mean 'network'?); your own would be in "
            .. "facts/netwrok.lua next to the script", refusal(facts.get, "netwrok"))
        assert.are.equal("facts: a group has a name, not 'a.b'", refusal(facts.get, "a.b"))
        assert.are.equal("facts cannot be set ('os')", refusal(function() table_of.os = 1 end))
    end)

    it("have groups of one's own", function()
        root = tree.make {
            ["facts/app_spec.lua"] =
                "return { fields = { { 'a', '' } }, gather = function(m) return { a = m:hostname() } end }",
            ["facts/broken_spec.lua"] = "return { gather = function() return nil + 1 end }",
            ["facts/empty_spec.lua"] = "return {}", ["facts/syntax_spec.lua"] = "return {",
        }
        local path = package.path
        package.path = root .. "/?.lua;" .. path
        assert.are.equal(machine.new():hostname(), facts.get "app_spec".a)
        assert.matches("^facts 'broken_spec': .*broken_spec.lua:1: attempt to perform arithmetic",
            refusal(facts.get, "broken_spec"))
        assert.are.equal("facts 'empty_spec': the module facts.empty_spec must return a table with a function 'gather'",
            refusal(facts.get, "empty_spec"))
        assert.is_false(pcall(facts.get, "syntax_spec"))
        package.path = path
    end)

    it("are documented", function()
        local file = assert(io.open "docs/inventory.md")
        local text = file:read "*a"
        file:close()
        for _, name in ipairs(facts.names()) do
            local group = facts.group(name)
            assert.is_truthy(text:find("`" .. name .. "`", 1, true), name)
            assert.are.equal("string", type(group.doc))
            for _, field in ipairs(group.fields or group.each or {}) do
                local row = ("| `%s` | %s |\n"):format(field[1], field[2]):gsub("  ", " ")
                assert.is_truthy(text:find(row, 1, true), row)
            end
        end
    end)
end)
