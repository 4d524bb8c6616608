local alternatives = require "orrery.play.system.alternatives"
local hostname = require "orrery.play.system.hostname"
local limits = require "orrery.play.system.limits"
local locale = require "orrery.play.system.locale"
local modprobe = require "orrery.play.system.modprobe"
local timezone = require "orrery.play.system.timezone"

describe("alternatives", function()
    it("are what update-alternatives says", function()
        local output = table.concat({
            "Name: editor", "Link: /usr/bin/editor", "Slaves:", " editor.1.gz /usr/share/man/man1/editor.1.gz",
            "Status: manual", "Best: /bin/vim", "Value: /bin/nano", "", "Alternative: /bin/nano", "Priority: 40",
            "Slaves:", " editor.1.gz /usr/share/man/man1/nano.1.gz", "", "Alternative: /bin/vim", "Priority: 50", "",
        }, "\n")
        assert.are.same({ link = "/usr/bin/editor", mode = "manual", best = "/bin/vim", value = "/bin/nano",
            choices = { ["/bin/nano"] = 40, ["/bin/vim"] = 50 } }, alternatives.parse(output))
    end)

    it("are what chkconfig's program says", function()
        assert.are.same({ mode = "auto", value = "/bin/a", choices = { ["/bin/a"] = 10, ["/bin/b"] = 5 } },
            alternatives.parse_display("x - status is auto.\n link currently points to /bin/a\n/bin/a - priority 10\n"
                .. "/bin/b - family b priority 5\n slave y: /bin/c\nCurrent `best' version is /bin/a.\n"))
    end)
end)

describe("modules of the kernel", function()
    it("are loaded, or built in", function()
        local modules = "br_netfilter 32768 0 - Live 0x0\nbridge 311296 1 br_netfilter, Live 0x0\n"
        assert.is_true(modprobe.is_loaded(modules, "br-netfilter"))
        assert.is_false(modprobe.is_loaded(modules, "netfilter"))
        assert.is_true(modprobe.is_built_in("kernel/fs/ext4/ext4.ko\nkernel/net/ipv6/ip-v6.ko\n", "ip_v6"))
        assert.is_false(modprobe.is_built_in("kernel/fs/ext4/ext4.ko\n", "ext"))
    end)
end)

describe("names of hosts", function()
    it("are checked", function()
        for _, name in ipairs { "web1", "web-1.example.org", "A" } do assert.is_nil(hostname.wrong { name = name }) end
        for _, name in ipairs { "", "-a", "a.", "a..b", "a b", "a_b", ("a"):rep(65), "a;b" } do
            assert.is_string(hostname.wrong { name = name })
        end
    end)

    it("are in /etc/hosts", function()
        assert.are.equal("127.0.0.1 localhost\n127.0.1.1 web1.example.org web1\n::1 localhost\n",
            hostname.hosts("127.0.0.1 localhost\n127.0.1.1 old\n::1 localhost\n", "web1.example.org"))
        assert.are.equal("127.0.0.1 localhost\n127.0.1.1 web1\n10.0.0.1 db1\n",
            hostname.hosts("127.0.0.1 localhost\n10.0.0.1 db1\n", "web1"))
        local same = "127.0.1.1\tweb1 alias\n"
        assert.are.equal(same, hostname.hosts(same, "web1"))
    end)
end)

describe("limits", function()
    it("are lines", function()
        local o = { domain = "app", kind = "soft", item = "nofile", value = 100, state = "present" }
        assert.are.same({ "# x", "app soft nofile 100" }, limits.merge({ "# x" }, o))
        assert.are.same({ "app\tsoft nofile  100 # why" }, limits.merge({ "app\tsoft nofile  100 # why" }, o))
        assert.are.same({ "app soft nofile 100", "app hard nofile 9" },
            limits.merge({ "app soft nofile 5", "app hard nofile 9", "app soft nofile 6" }, o))
        o.state = "absent"
        assert.are.same({ "app hard nofile 9" }, limits.merge({ "app soft nofile 5", "app hard nofile 9" }, o))
        o.kind, o.state = "-", "present"
        assert.are.same({ "app - nofile 100" }, limits.merge({ "app soft nofile 5", "app hard nofile 9" }, o))
    end)

    it("are checked", function()
        assert.is_nil(limits.wrong { domain = "@crew", item = "core", value = "unlimited", state = "present" })
        assert.is_string(limits.wrong { domain = "a b", item = "core", value = 1, state = "present" })
        assert.is_string(limits.wrong { domain = "a", item = "core", value = "many", state = "present" })
        assert.is_string(limits.wrong { domain = "a", item = "core", state = "present" })
    end)
end)

describe("locales", function()
    it("have several spellings", function()
        assert.are.same({ "fr_FR.UTF-8" }, locale.missing({ "de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8", "de_AT@euro" },
            "C\nC.utf8\nde_DE.utf8\nde_AT@euro\nPOSIX\n"))
    end)

    it("are switched on in their list", function()
        assert.are.same({ "# text of several words here", "de_DE.UTF-8 UTF-8", "# fr_FR.UTF-8 UTF-8",
            "xx_XX ISO-8859-1" },
            locale.enable({ "# text of several words here", "# de_DE.UTF-8 UTF-8", "# fr_FR.UTF-8 UTF-8" },
                { "de_DE.UTF-8", "xx_XX" }))
    end)

    it("are set by variables", function()
        assert.are.equal("# x\nLANG=de_DE.UTF-8\nLC_TIME=C\n",
            locale.set("# x\nLANG=C\n", { LANG = "de_DE.UTF-8", LC_TIME = "C" }))
        assert.are.equal("LANG=\"C.UTF-8\"\n", locale.set("LANG=\"C.UTF-8\"\n", { LANG = "C.UTF-8" }))
        assert.are.equal("LANG=C\n", locale.set(nil, { LANG = "C" }))
    end)
end)

describe("time zones", function()
    it("are what the link means", function()
        assert.are.equal("Europe/Berlin", timezone.zone "/usr/share/zoneinfo/Europe/Berlin")
        assert.are.equal("UTC", timezone.zone "../usr/share/zoneinfo/UTC")
        assert.is_nil(timezone.zone "/etc/elsewhere")
        assert.is_string(timezone.wrong { name = "../passwd" })
        assert.is_nil(timezone.wrong { name = "Etc/GMT+1" })
    end)
end)
