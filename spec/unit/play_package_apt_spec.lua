-- How often the resource package asks dpkg and apt, on a machine that is made up.
local apt = require "orrery.play.system.package_apt"

local ROWS = "bash\tamd64\tii \t5.2\t\n"
    .. "libc6\tamd64\tii \t2.36\t\nlibc6\ti386\trc \t2.30\t\n"
    .. "exim4\tall\tii \t4.96\tmail-transport-agent\n"
local POLICY = "mail-transport-agent:\n  Installed: (none)\n  Candidate: (none)\n"

describe("apt, asked as seldom as possible", function()
    local asked, status, journal, env

    local function answer(argv)
        local program = argv[1]:match "[^/]+$"
        asked[#asked + 1] = program
        return { code = 0, stderr = "", stdout = program == "dpkg-query" and ROWS or POLICY }
    end

    -- Each machine has a database of its own, since what was read is kept.
    local machines = 0
    before_each(function()
        machines = machines + 1
        asked, journal = {}, {}
        status = { dev = 1, ino = machines, size = 100, mtime = 1.5 }
        env = { run = answer, sys = {
            access = function() return true end,
            stat = function(path) return path == "/var/lib/dpkg/status" and status or { type = "file" } end,
            list = function() return journal end,
        } }
    end)

    local function installed(...)
        local list = {}
        for i, name in ipairs { ... } do list[i] = { name = name, spec = name } end
        return apt.installed(env, list)
    end

    it("reads the database once", function()
        assert.are.same({ bash = "5.2" }, installed("bash", "nis"))
        assert.are.same({ libc6 = "2.36", ["libc6:amd64"] = "2.36" }, installed("libc6", "libc6:amd64", "libc6:i386"))
        assert.are.same({}, apt.leftovers(env, { { name = "libc6" } }))
        assert.are.same({ ["libc6:i386"] = true }, apt.leftovers(env, { { name = "libc6:i386" } }))
        assert.are.same({ "dpkg-query" }, asked)
    end)

    it("reads it again when it has changed", function()
        installed "bash"
        status = { dev = 1, ino = status.ino, size = 100, mtime = 1.75 }
        installed "bash"
        assert.are.same({ "dpkg-query", "dpkg-query" }, asked)
    end)

    it("relies on nothing while dpkg has a journal", function()
        installed "bash"
        journal = { "0001" }
        installed "bash"
        installed "bash"
        assert.are.same({ "dpkg-query", "dpkg-query", "dpkg-query" }, asked)
    end)

    it("asks apt of a name only where something installed provides it", function()
        assert.are.same({}, installed "nis")
        assert.are.same({ "dpkg-query" }, asked)
        assert.are.same({ ["mail-transport-agent"] = "4.96" }, installed "mail-transport-agent")
        assert.are.same({ "dpkg-query", "apt-cache" }, asked)
    end)
end)
