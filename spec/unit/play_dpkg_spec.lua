local dpkg = require "orrery.play.system.dpkg"
local package_logic = require "orrery.play.system.package"

describe("what dpkg says", function()
    local rows = dpkg.parse(table.concat({
        "hello\tamd64\tii \t2.10-3\t",
        "libc6\tamd64\tii \t2.36-9\tlibc6-2.13",
        "libc6\ti386\trc \t2.35-1\t",
        "mawk\tamd64\thi \t1.3.4\tawk, other (= 2.0), and.more",
        "broken\tall\tiF \t1.0\t",
        "triggers\tall\tit \t1.0\t",
        "unknown\t\tun \t\t", "",
    }, "\n"))

    it("is read line by line", function()
        assert.are.equal(7, #rows)
        assert.are.same({ name = "hello", arch = "amd64", status = "i", installed = true, held = false,
            version = "2.10-3", provides = "" }, rows[1])
        assert.is_true(dpkg.find(rows, "mawk").held)
        assert.is_false(dpkg.find(rows, "broken").installed)
        assert.is_true(dpkg.find(rows, "triggers").installed)
        assert.is_false(dpkg.find(rows, "unknown").installed)
    end)

    it("has a name for each architecture", function()
        assert.are.equal("2.36-9", dpkg.find(rows, "libc6").version)
        assert.are.equal("c", dpkg.find(rows, "libc6:i386").status)
        assert.are.equal("F", dpkg.find(rows, "broken:amd64").status, "all is every architecture")
        assert.is_nil(dpkg.find(rows, "libc6:arm64"))
    end)

    it("tells what stands for other names", function()
        assert.are.same({ ["libc6-2.13"] = "2.36-9", awk = "1.3.4", other = "1.3.4", ["and.more"] = "1.3.4" },
            dpkg.provided(rows))
    end)
end)

describe("what apt says", function()
    it("about candidates", function()
        assert.are.same({ hello = "2.10-3", ["mail-transport-agent"] = "" }, dpkg.parse_policy(table.concat({
            "hello:", "  Installed: (none)", "  Candidate: 2.10-3", "  Version table:", "     2.10-3 500",
            "mail-transport-agent:", "  Installed: (none)", "  Candidate: (none)", "  Version table:", "",
        }, "\n")))
        assert.are.same({}, dpkg.parse_policy "")
    end)

    it("about what it would do", function()
        assert.are.same({
            { what = "new", before = "absent", after = "1.0" },
            { what = "old", before = "1.0", after = "1.1" },
            { what = "gone", before = "2.0", after = "absent" },
        }, dpkg.parse_simulation(table.concat({
            "NOTE: This is only a simulation!", "Reading package lists...",
            "Inst new (1.0 Debian:12/stable [amd64])", "Inst old [1.0] (1.1 Debian:12/stable [all])",
            "Remv gone [2.0]", "Conf new (1.0 Debian:12/stable [amd64])", "",
        }, "\n")))
    end)

    it("when it fails", function()
        assert.are.equal("Unable to locate package x; Sub-process /usr/bin/dpkg returned an error code (1)",
            dpkg.reason {
            code = 100, stdout = "Reading...", stderr = "W: something\nE: Unable to locate package x\n"
                .. "E: Sub-process /usr/bin/dpkg returned an error code (1)\n",
        })
        assert.are.equal("status 3", dpkg.reason { code = 3, stdout = "", stderr = "" })
    end)
end)

describe("who holds a lock", function()
    it("is in /proc/locks", function()
        local locks = "1: POSIX  ADVISORY  WRITE 812 00:1f:4711 0 EOF\n"
            .. "1: -> POSIX ADVISORY WRITE 900 00:1f:4712 0 EOF\n"
            .. "2: FLOCK  ADVISORY  WRITE 77 08:01:12 0 EOF\n"
        assert.are.equal(812, dpkg.holder(locks, 4711))
        assert.are.equal(77, dpkg.holder(locks, 12))
        assert.is_nil(dpkg.holder(locks, 4712), "who waits for it does not hold it")
    end)
end)

describe("names of packages", function()
    it("may have a version, or be a file", function()
        assert.are.same({ spec = "nginx", name = "nginx" }, package_logic.parse "nginx")
        assert.are.same({ spec = "nginx=1.2-3", name = "nginx", version = "1.2-3" }, package_logic.parse "nginx=1.2-3")
        assert.are.same({ spec = "/a.deb", name = "/a.deb", file = "/a.deb" }, package_logic.parse "/a.deb")
    end)

    it("match versions", function()
        assert.is_true(package_logic.matches("1.2*", "1.2.3-4"))
        assert.is_false(package_logic.matches("1.2*", "1.1"))
        assert.is_true(package_logic.matches("1.2", "1.2"))
        assert.is_false(package_logic.matches("1.2", "1.2.3"))
    end)

    it("must not be options, nor tell apt to remove", function()
        local function wrong(o) return package_logic.wrong(o) end
        for _, name in ipairs { "-o", "nginx-", "a b", "a;b", "", "a\nb" } do
            assert.matches("is no name of a package", wrong { names = { name }, state = "present" }, 1, true)
        end
        for _, name in ipairs { "g++", "libstdc++6:i386", "a=1:2.0~rc1-1", "python3.11", "/srv/a_1.deb", "@tools" } do
            assert.is_nil(wrong { names = { name }, state = "present" })
        end
        assert.matches("not the latest", wrong { names = { "a=1" }, state = "latest" })
        assert.matches("by its name alone", wrong { names = { "a=1" }, state = "absent" })
        assert.matches("give names", wrong { state = "present" })
        assert.is_nil(wrong { state = "present", update_cache = true })
    end)
end)
