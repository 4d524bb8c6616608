-- `busted --lua=/usr/bin/luajit examples/resources`, with Orrery's module in LUA_PATH and LUA_CPATH.
local testing = require "orrery.testing"

describe("examples/resources/site.lua", function()
    local site

    setup(function()
        site = testing.playbook("examples/resources/site.lua", { inventory = { hosts = { "web1", "web2" } } })
    end)
    teardown(function() site:close() end)

    it("says what it would do, and does nothing, in check mode", function()
        local run = site:check { limit = "web1" }
        assert.is_true(#run.changed > 0)
        assert.is_not.equal("This is web1, number 1.\n", site:host("web1"):read "/etc/motd")
    end)

    it("changes nothing the second time", function()
        site:twice()
        site:host("web1"):has_file("/etc/motd", { content = "This is web1, number 1.\n", mode = "644" })
        site:host("web2"):has_file("/etc/motd", { contains = "number 2" })
        site:host("web2"):runs({ "nice", "-n", "5", "nice" }, { stdout = "5\n" })
    end)

    it("mends what somebody has changed", function()
        local box = site:host "web1"
        box:runs(("echo mine >%s/etc/motd"):format(box.root))
        assert.are.same({ "web1: motd" }, site:run().changed)
        box:has_file("/etc/motd", { contains = "number 1" })
    end)
end)
