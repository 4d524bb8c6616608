--- The resources cron, sysctl and mount.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "spec.support.play_system"

leak.guard()

system.each({ "h1", "foreign" }, function(target)
    local function sh(line) return system.sh(target, line) end
    local function try(line) return select(2, lab.exec(target.name, line)) end

    describe("cron", function()
        setup(function() sh "mkdir -p /var/spool/cron/crontabs" end)
        after_each(function() try "crontab -r; crontab -u deploy -r; rm -rf /etc/cron.d/spec*" end)

        it("puts a job into a table, changes it, and takes it away", function()
            try "printf '# mine\\n5 5 * * * kept\\n' | crontab -"
            system.converges(target, function(h) return h:cron { name = "spec", job = "echo a \\% b", minute = 3 } end)
            assert.matches("# mine\n5 5 * * * kept\n# orrery: spec\n3 * * * * echo a \\% b\n", try "crontab -l", 1,
                true)
            system.converges(target, function(h)
                return h:cron { name = "spec", job = "echo", schedule = "@reboot" }
            end)
            assert.matches("kept\n# orrery: spec\n@reboot echo\n", try "crontab -l", 1, true)
            system.converges(target, function(h) return h:cron { name = "spec", state = "absent" } end)
            assert.not_matches("spec", try "crontab -l")
            assert.matches("5 5 * * * kept", try "crontab -l", 1, true)
        end)

        it("begins and ends a table", function()
            system.converges(target, function(h) return h:cron { name = "spec", job = "echo", user = "deploy" } end)
            assert.matches("# orrery: spec\n* * * * * echo\n", try "crontab -u deploy -l", 1, true)
            system.converges(target, function(h) return h:cron { name = "spec", state = "absent", user = "deploy" } end)
            assert.not_matches("spec", try "crontab -u deploy -l")
        end)

        it("writes files for /etc/cron.d", function()
            system.converges(target, function(h)
                return h:cron { name = "spec", job = "echo", file = "spec", user = "deploy", variables = { A = "1" } }
            end)
            assert.are.equal("# orrery: spec\nA=1\n* * * * * deploy echo\n", system.read(target, "/etc/cron.d/spec"))
            assert.are.equal("root 644\n", sh "stat -c '%U %a' /etc/cron.d/spec")
            system.converges(target, function(h) return h:cron { name = "spec", file = "spec", state = "absent" } end)
            assert.is_nil(system.read(target, "/etc/cron.d/spec"))
        end)

        it("leaves the table as it was when cron refuses a line", function()
            if target.name ~= "h1" then return end -- busybox takes what it gets
            try "echo '5 5 * * * kept' | crontab -"
            local err = remote.failure(function() target.h:cron { name = "spec", job = "echo", minute = "77" } end)
            assert.matches("cannot write the crontab", err.message, 1, true)
            assert.matches("^5 5 %* %* %* kept\n$", try "crontab -l")
        end)

        it("wants a user who is there, but in check mode not yet", function()
            local err = system.fails(target, function(h) h:cron { name = "spec", job = "echo", user = "nobodys" } end)
            assert.matches("no user 'nobodys'", err.message, 1, true)
            local foreseen = system.unchanged_in_check_mode(target, function(h)
                return h:cron { name = "spec", job = "echo", user = "nobodys" }
            end)
            assert.is_true(foreseen.unknown)
            assert.are.equal("option", remote.failure(function() target.h:cron { name = "spec" } end).code)
        end)
    end)

    describe("sysctl", function()
        local NAME, FILE = "net.ipv4.ip_default_ttl", "/etc/sysctl.d/90-orrery.conf"
        local function now() return (sh("cat /proc/sys/net/ipv4/ip_default_ttl"):gsub("\n", "")) end
        before_each(function() sh "rm -rf /etc/sysctl.d/90-orrery.conf; echo 64 >/proc/sys/net/ipv4/ip_default_ttl" end)
        after_each(function() sh "rm -rf /etc/sysctl.d/90-orrery.conf; echo 64 >/proc/sys/net/ipv4/ip_default_ttl" end)

        it("is set now and for later", function()
            local result = system.converges(target, function(h) return h:sysctl { name = NAME, value = 65 } end)
            assert.are.equal("65", now())
            assert.are.equal("65", result.value)
            assert.are.equal(NAME .. " = 65\n", system.read(target, FILE))
            system.converges(target, function(h) return h:sysctl { name = NAME, value = "66" } end)
            assert.are.equal(NAME .. " = 66\n", system.read(target, FILE))
        end)

        it("is set only now, or only for later", function()
            target.h:sysctl { name = NAME, value = 65, persist = false }
            assert.is_nil(system.read(target, FILE))
            assert.are.equal("65", now())
            system.converges(target, function(h) return h:sysctl { name = NAME, value = 67, live = false } end)
            assert.are.equal("65", now())
            assert.are.equal(NAME .. " = 67\n", system.read(target, FILE))
            system.converges(target, function(h) return h:sysctl { name = NAME, state = "absent" } end)
            assert.are.equal("", system.read(target, FILE))
        end)

        it("is not written down when the kernel refuses it", function()
            local err = system.fails(target, function(h) h:sysctl { name = NAME, value = "many" } end)
            assert.matches("cannot set net.ipv4.ip_default_ttl to 'many'", err.message, 1, true)
            err = system.fails(target, function(h) h:sysctl { name = "net.ipv4.no_such", value = 1 } end)
            assert.matches("this kernel does not know net.ipv4.no_such", err.message, 1, true)
        end)

        it("is as before when it cannot be written down", function()
            sh "mkdir -p /etc/sysctl.d/90-orrery.conf"
            local err = remote.failure(function()
                target.h:sysctl { name = NAME, value = 65, file = FILE .. "/x/.." }
            end)
            assert.matches("90-orrery.conf", err.message, 1, true)
            assert.are.equal("64", now())
        end)
    end)

    describe("mount", function()
        local function mounts() return sh "grep -c ' /srv/spec ' /proc/mounts || true" end
        local before
        setup(function()
            sh "touch /etc/fstab; mkdir -p /srv"
            before = system.read(target, "/etc/fstab")
        end)
        after_each(function()
            try "umount /srv/spec; rmdir /srv/spec"
            system.write(target, "/etc/fstab", before)
        end)
        local TMPFS = { path = "/srv/spec", src = "tmpfs", fstype = "tmpfs", options = { "size=1m", "mode=700" } }
        local function with(more)
            local o = {}
            for key, value in pairs(TMPFS) do o[key] = value end
            for key, value in pairs(more) do o[key] = value end
            return function(h) return h:mount(o) end
        end

        it("mounts, and writes it down", function()
            local result = system.converges(target, with {})
            assert.are.equal("1\n", mounts())
            assert.are.equal(before .. "tmpfs /srv/spec tmpfs size=1m,mode=700 0 0\n",
                system.read(target, "/etc/fstab"))
            assert.is_true(result.mounted)
        end)

        it("unmounts, and forgets", function()
            with {} (target.h)
            system.converges(target, with { state = "unmounted" })
            assert.are.equal("0\n", mounts())
            assert.matches("/srv/spec", system.read(target, "/etc/fstab"))
            with {} (target.h)
            system.converges(target, with { state = "absent" })
            assert.are.equal("0\n", mounts())
            assert.are.equal(before, system.read(target, "/etc/fstab"))
        end)

        it("only writes it down", function()
            system.converges(target, with { state = "present" })
            assert.are.equal("0\n", mounts())
        end)

        it("mounts again with other options", function()
            with {} (target.h)
            system.converges(target, with { options = "size=2m,ro" })
            assert.matches("ro[^\n]*size=2048k", sh "grep ' /srv/spec ' /proc/mounts")
            assert.is_true(with { options = "size=2m,ro", state = "remounted" } (target.h).changed)
        end)

        it("is as before when mounting fails", function()
            local err = remote.failure(with { src = "/dev/none", fstype = "ext4", options = "defaults" }, target.h)
            assert.matches("cannot mount /srv/spec", err.message, 1, true)
            assert.are.equal(before, system.read(target, "/etc/fstab"))
            sh "! test -e /srv/spec"
            assert.are.equal("option", remote.failure(function() target.h:mount { path = "/srv/spec" } end).code)
        end)
    end)
end)
