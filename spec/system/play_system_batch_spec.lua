--- The resources about the system in one list: one message, and in check mode a host that stays as it is.

local leak = require "spec.support.leak"
local system = require "spec.support.play_system"

leak.guard()

local function steps()
    return {
        { "group", "spec-crew" },
        { "user", name = "spec-ada", groups = { "spec-crew" }, comment = "Ada" },
        { "authorized_key", user = "spec-ada", keys = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" .. ("A"):rep(43) },
        { "cron", name = "spec", job = "true", user = "spec-ada", schedule = "@daily" },
        { "limits", domain = "spec-ada", item = "nofile", value = 1024 },
        { "sysctl", "net.ipv4.ip_default_ttl", 65 },
        { "mount", path = "/srv/spec-batch", src = "tmpfs", fstype = "tmpfs" },
        { "hostname", "spec-batch" },
    }
end

system.each({ "h1", "foreign" }, function(target)
    describe("a list of resources about the system", function()
        setup(function()
            system.sh(target, "mkdir -p /var/spool/cron/crontabs /srv; touch /etc/fstab")
        end)
        teardown(function()
            target.h:apply {
                { "mount", path = "/srv/spec-batch", state = "absent" }, { "hostname", target.name },
                { "cron", name = "spec", user = "spec-ada", state = "absent" },
                { "user", name = "spec-ada", state = "absent", remove = true },
                { "group", name = "spec-crew", state = "absent" },
                { "limits", domain = "spec-ada", item = "nofile", state = "absent" },
                { "sysctl", "net.ipv4.ip_default_ttl", 64 },
            }
            system.sh(target, "rmdir /srv/spec-batch; rm -f /etc/sysctl.d/90-orrery.conf")
        end)

        it("is foreseen as a whole, also what depends on an earlier step", function()
            local results = system.unchanged_in_check_mode(target, function(h) return h:apply(steps()) end)
            for i, result in ipairs(results) do
                assert.is_true(result.changed or result.unknown or false, i .. ": " .. result.resource)
            end
            assert.is_true(results[2].unknown, "the group is not there yet")
        end)

        it("is brought about, and then nothing is left to do", function()
            for i, result in ipairs(target.h:apply(steps())) do
                assert.is_true(result.changed, i .. ": " .. result.resource)
            end
            for i, result in ipairs(target.h:apply(steps())) do
                assert.is_false(result.changed, i .. ": " .. result.resource)
            end
        end)

        it("works in a function that runs there", function()
            local changed = target.h:batch(function(h)
                local first = h:user { name = "spec-ada", comment = "Countess" }
                local second = h:user { name = "spec-ada", comment = "Countess" }
                return { first.changed, second.changed, h:group("spec-crew").changed }
            end)
            assert.are.same({ true, false, false }, changed)
        end)
    end)
end)
