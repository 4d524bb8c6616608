--- The resources user and group, with the tools of shadow and with none at all.

local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "spec.support.play_system"

leak.guard()

local HASH = "$6$saltsalt$" .. ("x"):rep(86)
local OTHER = "$6$saltsalt$" .. ("y"):rep(86)

system.each({ "h1", "foreign" }, function(target)
    local function line(file, name)
        return (system.read(target, "/etc/" .. file) or ""):match("%f[^\n%z](" .. name .. ":[^\n]*)")
    end

    local function forget(...)
        for _, name in ipairs { ... } do
            pcall(function() target.h:user { name = name, state = "absent", remove = true } end)
            pcall(function() target.h:group { name = name, state = "absent" } end)
        end
    end

    describe("group", function()
        after_each(function() forget("crew", "crew2") end)

        it("is made, and made only once", function()
            local result, foreseen = system.converges(target, function(h)
                return h:group { name = "crew", gid = 4321 }
            end)
            assert.are.equal("crew:x:4321:", line("group", "crew"))
            assert.are.equal(4321, result.gid)
            assert.are.same({ what = "group", before = "absent", after = "crew" }, system.part(foreseen, "group"))
        end)

        it("gets a free number, from the range for the system where that is asked for", function()
            local people = target.h:group { name = "crew" }
            local machines = target.h:group { name = "crew2", system = true }
            assert.is_true(people.gid >= 1000, people.gid)
            assert.is_true(machines.gid < 1000, machines.gid)
        end)

        it("changes its number and its members", function()
            target.h:group { name = "crew", gid = 4321 }
            system.converges(target, function(h)
                return h:group { name = "crew", gid = 4322, members = { "deploy", "pwuser" } }
            end)
            assert.are.equal("crew:x:4322:deploy,pwuser", line("group", "crew"))
            system.converges(target, function(h) return h:group { name = "crew", members = {} } end)
            assert.are.equal("crew:x:4322:", line("group", "crew"))
            system.stays(target, function(h) return h:group { name = "crew" } end)
        end)

        it("goes, and is not missed", function()
            target.h:group { name = "crew" }
            system.converges(target, function(h) return h:group { name = "crew", state = "absent" } end)
            assert.is_nil(line("group", "crew"))
        end)

        it("does not take another's number, nor go while it is somebody's own", function()
            local err = system.fails(target, function(h) h:group { name = "crew", gid = 1000 } end)
            assert.matches("number 1000 is that of the group deploy", err.message, 1, true)
            err = system.fails(target, function(h) h:group { name = "deploy", state = "absent" } end)
            assert.matches("primary group", err.message, 1, true)
        end)

        it("is not made half", function()
            if target.name ~= "h1" then return end
            system.stand_in(target, "gpasswd", "echo gpasswd: no >&2; exit 1")
            local err = remote.failure(function() target.h:group { name = "crew", members = { "deploy" } } end)
            system.remove_stand_ins(target, "gpasswd")
            assert.matches("cannot set the members of the group crew: gpasswd: no", err.message, 1, true)
            assert.is_nil(line("group", "crew"))
        end)

        it("has a name that files can hold", function()
            local err = remote.failure(function() target.h:group { name = "a:b" } end)
            assert.are.equal("option", err.code)
            assert.matches("no name for a user or a group", err.message, 1, true)
        end)
    end)

    describe("user", function()
        after_each(function() forget("ada", "crew", "crew2") end)

        it("is made with what was asked for", function()
            target.h:group { name = "crew" }
            local result, foreseen = system.converges(target, function(h)
                return h:user { name = "ada", uid = 4444, groups = { "crew" }, shell = "/bin/sh", comment = "Ada L.",
                    home = "/home/lovelace" }
            end)
            assert.are.equal(4444, result.uid)
            assert.are.same({ "crew" }, result.groups)
            assert.matches("^ada:x:4444:%d+:Ada L%.:/home/lovelace:/bin/sh$", line("passwd", "ada"))
            assert.are.equal("ada\n", system.sh(target, "stat -c %U /home/lovelace"))
            assert.are.same({ what = "uid", after = "4444" }, system.part(foreseen, "uid"))
            assert.matches("^ada:!:", line("shadow", "ada"), "who was given no password has none")
        end)

        it("changes, and keeps what was not asked for", function()
            target.h:user { name = "ada", comment = "Ada", shell = "/bin/sh" }
            target.h:group { name = "crew" }
            target.h:group { name = "crew2" }
            system.converges(target, function(h)
                return h:user { name = "ada", comment = "Countess", groups = { "crew" }, home = "/srv/ada",
                    move_home = true }
            end)
            assert.matches(":Countess:/srv/ada:/bin/sh$", line("passwd", "ada"))
            assert.are.equal("ada\n", system.sh(target, "stat -c %U /srv/ada"))
            system.converges(target, function(h)
                return h:user { name = "ada", groups = { "crew2" }, append = true }
            end)
            assert.matches(":ada$", line("group", "crew"))
            assert.matches(":ada$", line("group", "crew2"))
            system.converges(target, function(h) return h:user { name = "ada", groups = { "crew2" } } end)
            assert.matches(":$", line("group", "crew"))
            system.sh(target, "rm -rf /srv/ada")
        end)

        it("takes another primary group, by name or number", function()
            target.h:user { name = "ada" }
            local gid = target.h:group { name = "crew" }.gid
            system.converges(target, function(h) return h:user { name = "ada", group = "crew" } end)
            assert.matches("^ada:x:%d+:" .. gid .. ":", line("passwd", "ada"))
            system.stays(target, function(h) return h:user { name = "ada", group = gid } end)
        end)

        it("has a password, which no command line shows", function()
            local calls = target.name == "h1" and system.stand_in(target, "chpasswd", "exec /usr/sbin/chpasswd \"$@\"")
            system.converges(target, function(h) return h:user { name = "ada", password = HASH } end)
            assert.are.equal(HASH, line("shadow", "ada"):match "^ada:([^:]*)")
            local result = system.converges(target, function(h) return h:user { name = "ada", password = OTHER } end)
            assert.are.equal(OTHER, line("shadow", "ada"):match "^ada:([^:]*)")
            for _, part in ipairs(result.diff) do assert.not_matches("$6$", tostring(part.after), 1, true) end
            if calls then
                assert.are.same({ "-e", "-e" }, calls())
                system.remove_stand_ins(target, "chpasswd")
            end
        end)

        it("is locked, unlocked, and closed on a day", function()
            target.h:user { name = "ada", password = HASH }
            system.converges(target, function(h) return h:user { name = "ada", locked = true } end)
            assert.are.equal("!" .. HASH, line("shadow", "ada"):match "^ada:([^:]*)")
            system.stays(target, function(h) return h:user { name = "ada", password = HASH, locked = true } end)
            system.converges(target, function(h) return h:user { name = "ada", locked = false } end)
            assert.are.equal(HASH, line("shadow", "ada"):match "^ada:([^:]*)")
            system.converges(target, function(h) return h:user { name = "ada", expires = "2031-03-01" } end)
            assert.matches(":22339:", line("shadow", "ada"))
            system.converges(target, function(h) return h:user { name = "ada", expires = "never" } end)
        end)

        it("is not unlocked into having no password", function()
            target.h:user { name = "ada" }
            local err = system.fails(target, function(h) h:user { name = "ada", locked = false } end)
            assert.matches("could log in without one", err.message, 1, true)
        end)

        it("goes, with all that was theirs or without", function()
            target.h:user { name = "ada" }
            system.sh(target, "touch /home/ada/letters")
            system.converges(target, function(h) return h:user { name = "ada", state = "absent" } end)
            assert.is_nil(line("passwd", "ada"))
            assert.is_nil(line("shadow", "ada"))
            assert.is_nil(line("group", "ada"))
            system.sh(target, "test -e /home/ada/letters && rm -rf /home/ada")
            target.h:user { name = "ada" }
            target.h:user { name = "ada", state = "absent", remove = true }
            system.sh(target, "! test -e /home/ada")
        end)

        it("of the system has no home", function()
            target.h:user { name = "ada", system = true }
            system.sh(target, "! test -e /home/ada")
            assert.is_true(tonumber(line("passwd", "ada"):match "^ada:x:(%d+)") < 1000)
        end)

        it("is not made half", function()
            local err = system.fails(target, function(h) h:user { name = "ada", groups = { "nobodys" } } end)
            assert.matches("no group 'nobodys'", err.message, 1, true)
            err = system.fails(target, function(h) h:user { name = "ada", uid = 1000 } end)
            assert.matches("number 1000 is that of the user deploy", err.message, 1, true)
            if target.name == "h1" then
                system.stand_in(target, "chpasswd", "echo chpasswd: no >&2; exit 1")
                err = remote.failure(function() target.h:user { name = "ada", password = HASH } end)
                system.remove_stand_ins(target, "chpasswd")
                assert.matches("cannot set the password of ada: chpasswd: no", err.message, 1, true)
                assert.is_nil(line("passwd", "ada"))
                system.sh(target, "! test -e /home/ada")
            end
        end)

        it("says what was changed before a change failed", function()
            if target.name ~= "h1" then return end
            target.h:user { name = "ada" }
            system.stand_in(target, "chpasswd", "echo chpasswd: no >&2; exit 1")
            local err = remote.failure(function()
                target.h:user { name = "ada", comment = "Ada", password = HASH, locked = true }
            end)
            system.remove_stand_ins(target, "chpasswd")
            assert.matches("cannot set the password of ada: chpasswd: no; done before that: account and groups",
                err.message, 1, true)
        end)

        it("waits for what an earlier step would make, in check mode", function()
            local result = system.unchanged_in_check_mode(target, function(h)
                return h:user { name = "ada", groups = { "not-yet" }, group = "nor-this" }
            end)
            assert.is_true(result.unknown)
        end)

        it("has options that are checked before anything is asked of the host", function()
            for _, wrong in ipairs {
                { comment = "a:b" }, { expires = "soon" }, { home = "relative" }, { uid = "1" },
            } do
                wrong.name = "ada"
                assert.are.equal("option", remote.failure(function() target.h:user(wrong) end).code)
            end
        end)
    end)

    if target.name == "foreign" then
        describe("the files", function()
            it("are changed under the lock of the tools", function()
                system.sh(target, "sleep 1000 & echo $! >/etc/passwd.lock; echo $! >/tmp/holder")
                local result = require("orrery").spawn(function() return target.h:user { name = "ada" } end)
                remote.eventually("it looks for the lock", function()
                    return system.sh(target, "ls /etc"):find("shadow", 1, true)
                end)
                assert.is_false(result:done())
                system.sh(target, "kill $(cat /tmp/holder); rm /tmp/holder")
                assert.is_true(result:get(20).changed)
                assert.are.equal("", system.sh(target, "ls /etc | grep -E 'lock|[+]|orrery' || true"))
                target.h:user { name = "ada", state = "absent", remove = true }
            end)
        end)
    end
end)
