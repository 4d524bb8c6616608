-- orrery.testing: sandboxes, and what is said of playbooks that are not as they should be.
require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local testing = require "orrery.testing"

leak.guard { timeout = 15 }

local function failure(fn, ...) return remote.failure(fn, ...).message end

for _, kind in ipairs { "overlay", "directory" } do
    describe("a sandbox that is a " .. kind, function()
        if kind == "overlay" and not remote.slurp("/proc/self/status"):find "\nUid:\t0" then
            pending("needs root")
            return
        end

        local box
        setup(function() box = testing.sandbox { name = "box1", kind = kind } end)
        teardown(function() box:close() end)

        it("takes what is done in it, and shows it", function()
            assert.are.equal(kind, box.kind)
            local at = box.root .. "/srv/x"
            box:runs(("mkdir -p %s && cd %s && echo hello >f && chmod 640 f && ln -s f l"):format(at, at))
            box:has_file("/srv/x/f", { type = "file", mode = "640", content = "hello\n", contains = "ell" })
            box:has_file("/srv/x/l", { type = "link", target = "f" })
            box:has_no_file "/srv/x/g"
            assert.are.equal("hello\n", box:read "/srv/x/f")
            assert.is_nil(box:read "/srv/x/g")
        end)

        it("says what is different", function()
            assert.are.equal("box1: there is no /srv/x/g", failure(box.has_file, box, "/srv/x/g"))
            assert.are.equal("box1: /srv/x/f: its mode is 640, and should be 600",
                failure(box.has_file, box, "/srv/x/f", { mode = "600" }))
            assert.are.equal('box1: /srv/x/f does not contain "bye"',
                failure(box.has_file, box, "/srv/x/f", { contains = "bye" }))
            assert.are.equal("box1: there is a file /srv/x/f", failure(box.has_no_file, box, "/srv/x/f"))
            assert.are.equal("box1: exit 3 ended with status 3, and should with 0: ",
                failure(box.runs, box, "exit 3"))
            assert.are.equal('box1: echo a does not say "b" but "a\\n"',
                failure(box.runs, box, { "echo", "a" }, { contains = "b" }))
            assert.matches("service orrery%-none does not run", failure(box.has_service, box, "orrery-none"))
            box:has_service("orrery-none", { running = false, enabled = false })
        end)

        it("leaves no trace on this machine", function()
            assert.is_nil(remote.slurp "/srv/x/f")
        end)
    end)
end

describe("a playbook under test", function()
    local dir, site
    before_each(function() dir = remote.directory() end)
    after_each(function()
        site:close()
        remote.remove(dir)
    end)

    local function playbook(text)
        if site then site:close() end
        remote.write(dir .. "/site.lua", 'local play = require "orrery.play"\n' .. text)
        site = testing.playbook(dir .. "/site.lua", { inventory = { hosts = { "a", "b" } }, kind = "directory" })
        return site
    end

    it("that never comes to rest is told from one that does", function()
        playbook [[play.play { hosts = "@all", throttle = 1, run = function(h)
            h:shell { name = "again", cmd = "date" }
            h:directory { path = h.vars.root .. "/x" }
        end }]]
        assert.are.equal("the second run changed something:\n  a: again\n  b: again", failure(site.twice, site))
    end)

    it("that fails says where", function()
        playbook [[play.play { hosts = "a", run = function(h) h:shell { name = "no", cmd = "exit 3" } end }]]
        assert.matches("^the first run ended with status 2:\n  a: no: ", failure(site.twice, site))
        local run = site:run()
        assert.are.same({ 2, "partial" }, { run.status, run.error.code })
        playbook "error 'in the script'"
        assert.matches("the first run ended with status 1:.-in the script", failure(site.twice, site))
    end)

    it("has variables, tags and arguments", function()
        playbook [[play.play { hosts = "@all", run = function(h)
            h:directory { path = h.vars.root .. "/" .. h.vars.name .. arg[1], tags = "t" }
            h:directory { path = h.vars.root .. "/other" }
        end }]]
        local run = site:run { vars = { name = "n" }, tags = "t", limit = "b", args = { "x" } }
        assert.are.equal(0, run.status)
        assert.are.equal(1, #run.changed)
        site:host("b"):has_file("/nx", { type = "directory" })
        site:host("b"):has_no_file "/other"
        site:check { vars = { name = "c" }, args = { "y" } }
        site:host("a"):has_no_file "/cy"
    end)
end)
