-- reboot, with hosts of the lab, which can be killed and started again; and pause. Hosts of the lab share a kernel, so
-- that the boot id is a file here, and what reboots is this spec.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local support = require "spec.support.play"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

describe("a machine", function()
    if not lab.need(2, { foreign = true, isolated = true }) then return end

    for _, name in ipairs { "h2", not remote.sanitized and "foreign" or nil } do
        describe("[" .. name .. "]", function()
            local ctx, h, root
            local opened

            before_each(function()
                root, opened = lab.root(name), {}
                remote.write(root .. "/etc/boot-id", "first\n")
                ctx = remote.open(name)
                h = support.host(ctx, nil, {
                    reopen = function()
                        opened[#opened + 1] = remote.open(name, { connect_timeout = 2 })
                        return opened[#opened]
                    end,
                })
            end)
            after_each(function()
                lab.exec(name, { "rm", "-f", "/etc/boot-id" })
                for _, each in ipairs(opened) do each:close(0) end
                ctx:close(0)
            end)

            local OPTIONS = { boot_id = "/etc/boot-id", interval = "50ms", timeout = 60 }
            local function options(more)
                local all = {}
                for key, value in pairs(OPTIONS) do all[key] = value end
                for key, value in pairs(more) do all[key] = value end
                return all
            end

            -- Kills the host once the command runs there, and boots it.
            local function rebooter()
                return orrery.spawn(function()
                    remote.eventually("the command", function() return remote.slurp(root .. "/run/rebooting") end, 20)
                    lab.kill(name)
                    lab.start(name)
                    lab.exec(name, { "sh", "-c", "echo second >/etc/boot-id" })
                end)
            end

            it("is rebooted, and gone on with", function()
                local other = rebooter()
                local r = h:reboot(options { command = "echo x >/run/rebooting; exec sleep 1000",
                    test_command = { "test", "-e", "/etc/boot-id" } })
                other:get(20)
                assert.is_true(r.changed)
                assert.are.equal("second", r.boot_id)
                assert.are.equal("second\n", h:slurp({ path = "/etc/boot-id" }).content)
            end)

            it("is waited for while it still answers", function()
                -- The command has ended, and the machine goes on for a while, as it does when it shuts down.
                local gone = orrery.spawn(function()
                    remote.eventually("a first try", function() return #opened > 1 end, 20)
                    remote.write(root .. "/etc/boot-id", "second\n")
                end)
                local r = h:reboot(options { command = { "true" } })
                gone:get(20)
                assert.are.equal("second", r.boot_id)
            end)

            it("is not rebooted in check mode, and where there is no need", function()
                local checking = support.host(ctx, { check = true })
                local foreseen = checking:reboot(options { command = "touch /run/rebooting" })
                assert.is_true(foreseen.changed)
                local r = h:reboot(options { if_exists = "/run/reboot-required", command = "touch /run/rebooting" })
                assert.is_false(r.changed)
                assert.is_nil(remote.slurp(root .. "/run/rebooting"))
            end)

            it("that does not go down, or does not come back, is an error", function()
                local err = remote.failure(function() h:reboot(options { command = "echo not today >&2; exit 3" }) end)
                assert.matches("ended with status 3: not today", err.message)
                err = remote.failure(function() h:reboot(options { command = "true", timeout = 1 }) end)
                assert.matches("not back within 1 s: it has not gone down yet", err.message)
                local bare = support.host(opened[#opened])
                err = remote.failure(function() bare:reboot(options { command = "true" }) end)
                assert.matches("no way to connect to this host again", err.message)
            end)
        end)
    end
end)

describe("a host of a play", function()
    if not lab.need(2, { foreign = true, isolated = true }) then return end
    local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"
    local SITE = [[
        local play = require "orrery.play"
        local handlers = { seen = function(h) h:file { path = "/tmp/handled", state = "touch" } end }
        play.play { name = "reboots", hosts = "h2", become = "deploy", handlers = handlers, run = function(h)
            local r = h:sync { src = "files", dest = "/tmp/synced", notify = "seen" }
            assert(r.changed and r.created == 1)
            h:fetch { path = "/tmp/synced/a", dest = "got/" }
            h:reboot { command = "echo x >/tmp/rebooting; exec sleep 1000", boot_id = "/etc/boot-id",
                interval = "50ms", timeout = 60 }
            assert(h:slurp { path = "/etc/boot-id" }.content == "second\n")
            h:file { path = "/tmp/after", state = "touch" }
        end }
    ]]

    it("is rebooted, and is the same user's after that", function()
        local dir = remote.directory()
        local here = orrery.localhost()
        finally(function()
            here:close()
            lab.exec("h2", "rm -rf /etc/boot-id /tmp/after /tmp/rebooting /tmp/handled /tmp/synced")
            remote.remove(dir)
        end)
        remote.write(dir .. "/site.lua", SITE)
        lab.run { "mkdir", dir .. "/files" }
        remote.write(dir .. "/files/a", "alpha\n")
        lab.exec("h2", "echo first >/etc/boot-id; rm -f /tmp/rebooting")
        local running = orrery.spawn(function()
            return here:run({ program, "play", dir .. "/site.lua", "-F", lab.ssh_config() },
                { env = { XDG_STATE_HOME = dir .. "/state" }, check = false, timeout = 60 })
        end)
        local root = lab.root "h2"
        remote.eventually("the command", function() return remote.slurp(root .. "/tmp/rebooting") end, 20)
        lab.kill "h2"
        lab.start "h2"
        lab.exec("h2", "echo second >/etc/boot-id")
        local r = running:get(60)
        assert.are.equal(0, r.code, r.stdout .. r.stderr)
        assert.matches("deploy", (select(2, lab.exec("h2", "stat -c %U /tmp/after"))))
        assert.are.equal(0, (lab.exec("h2", "test -e /tmp/handled")))
        assert.are.equal("alpha\n", remote.slurp(dir .. "/got/h2/tmp/synced/a"))
    end)
end)

describe("a pause", function()
    it("takes its time, but not in check mode", function()
        local ctx = remote.open "local"
        local began = orrery.now()
        local r = support.host(ctx):pause "50ms"
        assert.is_false(r.changed)
        assert.is_true(orrery.now() - began >= 0.05)
        began = orrery.now()
        support.host(ctx, { check = true }):pause "1h"
        support.host(ctx, { check = true }):pause { prompt = "sure?" }
        assert.is_true(orrery.now() - began < 60)
        local err = remote.failure(function() support.host(ctx):pause { prompt = "a", time = 1 } end)
        assert.matches("one of time and prompt", err.message)
        ctx:close()
    end)
end)
