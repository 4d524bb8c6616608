--- The resource package with a real apt, on a repository that the spec makes.

local debian = require "spec.support.debian"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local system = require "spec.support.play_system"

leak.guard()

local REPOSITORY = "/srv/spec-debs"

local function packages(more)
    local list = {
        { name = "spec-lib", version = "1.0" },
        { name = "spec-extra", version = "1.0" },
        { name = "spec-hello", version = "1.0", fields = { Depends = "spec-lib", Recommends = "spec-extra" } },
        { name = "spec-conf", version = "1.0", conffiles = { "/etc/spec.conf" },
            files = { ["/etc/spec.conf"] = "one\n" } },
        { name = "spec-provider", version = "3.0", fields = { Provides = "spec-virtual" } },
        { name = "spec-broken", version = "1.0", scripts = { postinst = "echo no good >&2; exit 1" } },
        { name = "spec-slow", version = "1.0",
            scripts = {
                postinst = "touch /run/spec-slow.begun; read line </run/spec-slow.go; touch /run/spec-slow.done",
            } },
    }
    for _, deb in ipairs(more or {}) do list[#list + 1] = deb end
    return list
end

system.each({ "h1" }, function(target)
    local function version(name)
        local code, out = lab.exec(target.name, { "dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", name })
        return code == 0 and out:match "^%S* (%S+)$" and out:match "^[ih]i" and out:match "%S+$" or nil
    end
    local function publish(more) debian.repository(target, REPOSITORY, packages(more)) end
    local function update() system.sh(target, "apt-get -qq update") end
    local function want(o) return function(h) return h:package(o) end end

    setup(function()
        debian.isolate(target)
        publish()
        system.write(target, "/etc/apt/sources.list.d/spec.list",
            ("deb [trusted=yes] file:%s ./\n"):format(REPOSITORY))
        update()
    end)
    teardown(function() system.sh(target, "rm -rf " .. REPOSITORY) end)
    after_each(function()
        system.sh(target, "apt-mark unhold $(apt-mark showhold) >/dev/null 2>&1; dpkg --configure -a >/dev/null 2>&1; "
            .. "dpkg --purge --force-all $(dpkg-query -W -f '${Package}\\n' 'spec-*' 2>/dev/null) "
            .. ">/dev/null 2>&1; true")
    end)

    describe("package, by apt", function()
        it("installs with what is needed, says so beforehand, and does it once", function()
            local result, foreseen = system.converges(target, want { names = { "spec-hello" }, recommends = false })
            assert.are.equal("1.0", version "spec-hello")
            assert.are.equal("1.0", version "spec-lib")
            assert.is_nil(version "spec-extra")
            assert.are.same({ ["spec-hello"] = "1.0" }, result.packages)
            assert.are.equal("apt", result.provider)
            assert.are.same({ what = "spec-hello", before = "absent", after = "1.0" },
                system.part(foreseen, "spec-hello"))
            assert.are.same({ what = "spec-lib", before = "absent", after = "1.0" }, system.part(foreseen, "spec-lib"))
        end)

        it("takes what is recommended where that is asked for", function()
            target.h:package { name = "spec-hello", recommends = true }
            assert.are.equal("1.0", version "spec-extra")
        end)

        it("removes, also the configuration", function()
            target.h:package { names = "spec-conf" }
            system.sh(target, "echo changed >>/etc/spec.conf")
            system.converges(target, want { names = { "spec-conf" }, state = "absent" })
            assert.is_nil(version "spec-conf")
            assert.is_string(system.read(target, "/etc/spec.conf"))
            system.converges(target, want { names = { "spec-conf" }, state = "absent", purge = true })
            assert.is_nil(system.read(target, "/etc/spec.conf"))
        end)

        it("removes what only they needed", function()
            target.h:package { names = { "spec-hello" }, recommends = false }
            target.h:package { names = { "spec-hello" }, state = "absent", autoremove = true }
            assert.is_nil(version "spec-lib")
        end)

        it("takes what stands for a name", function()
            target.h:package { names = { "spec-provider" } }
            system.stays(target, want { names = { "spec-virtual" } })
        end)

        describe("with new versions", function()
            local newer = {
                { name = "spec-hello", version = "1.1", fields = { Depends = "spec-lib" } },
                { name = "spec-conf", version = "2.0", conffiles = { "/etc/spec.conf" },
                    files = { ["/etc/spec.conf"] = "two\n" } },
            }
            before_each(function()
                target.h:package { names = { "spec-hello", "spec-conf" }, recommends = false }
                publish(newer)
            end)
            after_each(function()
                publish()
                update()
            end)

            it("fetches the lists, and installs the latest", function()
                local foreseen = system.unchanged_in_check_mode(target,
                    want { names = { "spec-hello" }, state = "latest", update_cache = true })
                assert.is_true(foreseen.unknown, "without new lists nobody can tell")
                local result = target.h:package { names = { "spec-hello" }, state = "latest", update_cache = true }
                assert.is_true(result.changed)
                assert.is_true(result.cache_updated)
                assert.are.equal("1.1", version "spec-hello")
                result = target.h:package { names = { "spec-hello" }, state = "latest", update_cache = true }
                assert.is_false(result.changed)
            end)

            it("leaves what is there alone, unless a version is named", function()
                update()
                system.stays(target, want { names = { "spec-hello" } })
                system.stays(target, want { names = { "spec-hello=1.0*" } })
                system.converges(target, want { names = { "spec-hello=1.1" } })
                assert.are.equal("1.1", version "spec-hello")
                local err = system.fails(target, function(h) h:package { names = { "spec-hello=1.0" } } end)
                assert.matches("downgrade", err.message, 1, true)
                system.converges(target, want { names = { "spec-hello=1.0" }, allow_downgrade = true })
                assert.are.equal("1.0", version "spec-hello")
            end)

            it("holds back, and lets go", function()
                update()
                system.converges(target, want { names = { "spec-hello" }, held = true })
                assert.are.equal("spec-hello\n", system.sh(target, "apt-mark showhold"))
                system.stays(target, want { names = { "spec-hello" }, state = "latest" })
                target.h:package { names = { "spec-hello" }, state = "latest", held = false }
                system.stays(target, want { names = { "spec-hello" }, held = false })
            end)

            it("keeps configuration that somebody has changed, or replaces it", function()
                update()
                system.sh(target, "echo mine >/etc/spec.conf")
                target.h:package { names = { "spec-conf" }, state = "latest" }
                assert.are.equal("2.0", version "spec-conf")
                assert.are.equal("mine\n", system.read(target, "/etc/spec.conf"))
                target.h:package { names = { "spec-conf=1.0" }, allow_downgrade = true, conffiles = "new" }
                assert.are.equal("one\n", system.read(target, "/etc/spec.conf"))
            end)
        end)

        it("fetches lists that are older than they may be", function()
            system.sh(target, "touch -d '2 hours ago' /var/lib/apt/lists /var/lib/apt/lists/partial")
            local foreseen = system.unchanged_in_check_mode(target,
                want { update_cache = true, cache_valid_time = "1h" })
            assert.is_true(foreseen.unknown)
            local result = target.h:package { update_cache = true, cache_valid_time = "1h" }
            assert.is_true(result.cache_updated)
            assert.is_false(result.changed)
            result = target.h:package { update_cache = true, cache_valid_time = "1h" }
            assert.is_nil(result.cache_updated)
        end)

        it("installs a file of the target", function()
            local file = REPOSITORY .. "/spec-lib_1.0_all.deb"
            system.converges(target, want { names = { file } })
            assert.are.equal("1.0", version "spec-lib")
            local err = system.fails(target, function(h) h:package { names = { "/srv/none.deb" } } end)
            assert.matches("/srv/none.deb is not there", err.message, 1, true)
        end)

        it("says what does not exist, but in check mode not yet", function()
            local err = system.fails(target, function(h) h:package { names = { "spec-none" } } end)
            assert.matches("Unable to locate package spec-none", err.message, 1, true)
            local foreseen = system.unchanged_in_check_mode(target, want { names = { "spec-none" } })
            assert.is_true(foreseen.unknown)
        end)

        it("says what a failure has left behind", function()
            local err = remote.failure(function() target.h:package { names = { "spec-broken" } } end)
            assert.matches("cannot install spec-broken", err.message, 1, true)
            assert.matches("now spec-broken is half-configured", err.message, 1, true)
        end)

        it("has options that are checked before anything is asked of the host", function()
            for _, wrong in ipairs {
                {}, { names = { "-y" } }, { names = { "a=1" }, state = "latest" }, { name = "x", state = "new" },
            } do
                assert.are.equal("option", remote.failure(function() target.h:package(wrong) end).code)
            end
        end)

        it("finishes what was interrupted before", function()
            system.sh(target, "dpkg --unpack " .. REPOSITORY
                .. "/spec-lib_1.0_all.deb; mkdir -p /var/lib/dpkg/updates; "
                .. "touch /var/lib/dpkg/updates/0001")
            system.write(target, "/var/lib/dpkg/updates/0001", "Package: spec-lib\nStatus: install ok unpacked\n"
                .. "Architecture: all\nVersion: 1.0\nMaintainer: s\nDescription: s\n")
            target.h:package { names = { "spec-extra" } }
            assert.are.equal("1.0", version "spec-lib")
            assert.are.equal("1.0", version "spec-extra")
        end)
    end)

    describe("package, when somebody else is installing", function()
        before_each(function() system.sh(target, "rm -f /run/spec-slow.*; mkfifo /run/spec-slow.go") end)
        local function begin_elsewhere()
            lab.exec(target.name, "DEBIAN_FRONTEND=noninteractive setsid apt-get -qq install spec-slow </dev/null "
                .. ">/dev/null 2>&1 &")
            remote.eventually("it has begun", function() return system.read(target, "/run/spec-slow.begun") end, 60)
        end
        local function let_go() system.sh(target, "echo >/run/spec-slow.go") end

        it("waits, and says for whom", function()
            begin_elsewhere()
            local h, events = support.host(target.ctx)
            local step = orrery.spawn(function() return h:package { names = { "spec-lib" } } end)
            local said = remote.eventually("it says that it waits", function()
                for _, event in ipairs(events) do
                    if event.event == "message" then return event.text end
                end
            end, 60)
            assert.matches("^waiting for process %d+ %(apt%-get%), which has locked /var/lib/dpkg/lock", said)
            assert.is_nil(version "spec-lib")
            let_go()
            assert.is_true(step:get(60).changed)
            assert.are.equal("1.0", version "spec-lib")
        end)

        it("gives up in time, and says who it was", function()
            begin_elsewhere()
            local err = remote.failure(function() target.h:package { names = { "spec-lib" }, lock_timeout = 0.2 } end)
            assert.matches("cannot install spec%-lib: process %d+ %(apt%-get%) has locked /var/lib/dpkg/lock.*, "
                .. "for longer than 0.2 s", err.message)
            let_go()
            remote.eventually("the other is done", function() return version "spec-slow" end, 60)
        end)

        it("finishes what it has begun when its line is cut", function()
            local ctx = remote.open(target.name, { keepalive = 1 })
            local h = support.host(ctx)
            local step = orrery.spawn(function() return h:package { names = { "spec-slow" } } end)
            remote.eventually("it has begun", function() return system.read(target, "/run/spec-slow.begun") end, 60)
            lab.cut(target.name)
            local ok = pcall(step.get, step, 60)
            lab.heal(target.name)
            assert.is_false(ok)
            -- The agent is gone; the package manager is not.
            let_go()
            remote.eventually("it is installed", function() return version "spec-slow" end, 60)
            assert.is_string(system.read(target, "/run/spec-slow.done"))
            pcall(ctx.close, ctx)
        end)
    end)
end)
