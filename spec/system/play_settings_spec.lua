--- The resources hostname, alternatives, limits, timezone, locale and modprobe.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "spec.support.play_system"

leak.guard()

system.each({ "h1", "foreign" }, function(target)
    local function sh(line) return system.sh(target, line) end

    describe("hostname", function()
        local hosts
        setup(function() hosts = system.read(target, "/etc/hosts") end)
        after_each(function()
            sh(("hostname %s; echo %s >/etc/hostname"):format(target.name, target.name))
            system.write(target, "/etc/hosts", hosts)
        end)

        it("is set now and for later", function()
            system.converges(target, function(h) return h:hostname { name = "spec1.example.org", hosts = true } end)
            assert.are.equal("spec1.example.org\n", sh "hostname")
            assert.are.equal("spec1.example.org\n", system.read(target, "/etc/hostname"))
            assert.matches("127.0.1.1 spec1.example.org spec1\n", system.read(target, "/etc/hosts"), 1, true)
        end)

        it("is as before when it cannot be written down", function()
            sh "rm /etc/hostname; mkdir /etc/hostname"
            local err = remote.failure(function() target.h:hostname { name = "spec1" } end)
            assert.matches("/etc/hostname", err.message, 1, true)
            assert.are.equal(target.name .. "\n", sh "hostname")
            sh "rmdir /etc/hostname"
            assert.are.equal("option", remote.failure(function() target.h:hostname { name = "a b" } end).code)
        end)
    end)

    describe("limits", function()
        local FILE = "/etc/security/limits.d/90-orrery.conf"
        after_each(function() sh("rm -f " .. FILE) end)

        it("is a line", function()
            system.converges(target, function(h) return h:limits { domain = "app", item = "nofile", value = 1024 } end)
            assert.are.equal("app - nofile 1024\n", system.read(target, FILE))
            system.converges(target, function(h)
                return h:limits { domain = "app", item = "nofile", value = "unlimited" }
            end)
            system.converges(target, function(h)
                return h:limits { domain = "app", item = "nofile", state = "absent" }
            end)
            assert.are.equal("", system.read(target, FILE))
            assert.are.equal("option", remote.failure(function()
                target.h:limits { domain = "app", item = "files", value = 1 }
            end).code)
        end)
    end)

    describe("timezone", function()
        if target.name == "foreign" then
            it("wants the zones to be there", function()
                local err = system.fails(target, function(h) h:timezone { name = "Europe/Berlin" } end)
                assert.matches("there is no time zone 'Europe/Berlin'", err.message, 1, true)
                assert.is_true(system.unchanged_in_check_mode(target, function(h)
                    return h:timezone { name = "Europe/Berlin" }
                end).unknown)
            end)
            return
        end

        it("is a link, and Debian's file", function()
            sh "ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime; echo Etc/UTC >/etc/timezone"
            system.converges(target, function(h) return h:timezone { name = "Europe/Berlin" } end)
            assert.are.equal("/usr/share/zoneinfo/Europe/Berlin\n", sh "readlink /etc/localtime")
            assert.are.equal("Europe/Berlin\n", system.read(target, "/etc/timezone"))
            assert.matches("^CES?T\n$", sh "date +%Z")
            system.fails(target, function(h) h:timezone { name = "Europe/Nowhere" } end)
            sh "ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime; echo Etc/UTC >/etc/timezone"
        end)
    end)
end)

system.each({ "h1" }, function(target)
    local function sh(line) return system.sh(target, line) end

    describe("alternatives", function()
        setup(function()
            sh "mkdir -p /opt/spec; for i in a b; do echo '#!/bin/sh' >/opt/spec/$i; chmod 755 /opt/spec/$i; done"
        end)
        after_each(function() lab.exec("h1", "update-alternatives --remove-all spec; rm -f /usr/bin/spec") end)
        teardown(function() sh "rm -r /opt/spec" end)
        local function want(o)
            o.name = "spec"
            return function(h) return h:alternatives(o) end
        end

        it("are added and chosen", function()
            system.converges(target, want { path = "/opt/spec/a", link = "/usr/bin/spec" })
            assert.are.equal("/etc/alternatives/spec\n", sh "readlink /usr/bin/spec")
            assert.are.equal("/opt/spec/a\n", sh "readlink -f /usr/bin/spec")
            system.converges(target, want { path = "/opt/spec/b", link = "/usr/bin/spec", priority = 10,
                state = "present" })
            assert.are.equal("/opt/spec/a\n", sh "readlink -f /usr/bin/spec")
            local result = system.converges(target, want { path = "/opt/spec/b" })
            assert.are.equal("/opt/spec/b", result.path)
            assert.are.equal("/opt/spec/b\n", sh "readlink -f /usr/bin/spec")
        end)

        it("are left to priorities, and go", function()
            target.h:alternatives { name = "spec", path = "/opt/spec/a", link = "/usr/bin/spec" }
            target.h:alternatives { name = "spec", path = "/opt/spec/b", priority = 10 }
            system.converges(target, want { state = "auto" })
            assert.are.equal("/opt/spec/a\n", sh "readlink -f /usr/bin/spec")
            system.converges(target, want { path = "/opt/spec/a", state = "absent" })
            assert.are.equal("/opt/spec/b\n", sh "readlink -f /usr/bin/spec")
        end)

        it("must be there", function()
            local err = system.fails(target, function(h) h:alternatives { name = "spec", path = "/opt/spec/a" } end)
            assert.matches("with `link` it is added", err.message, 1, true)
            err = system.fails(target, function(h)
                h:alternatives { name = "spec", path = "/opt/spec/none", link = "/usr/bin/spec" }
            end)
            assert.matches("/opt/spec/none is not there", err.message, 1, true)
            assert.are.equal("option", remote.failure(function() target.h:alternatives { name = "spec" } end).code)
        end)
    end)

    describe("locale", function()
        it("is made, and is what programs speak", function()
            local before = system.read(target, "/etc/default/locale")
            sh "localedef --delete-from-archive eo.utf8 2>/dev/null; sed -i '/^eo/d' /etc/locale.gen"
            system.converges(target, function(h) return h:locale { names = { "eo.UTF-8" } } end)
            assert.matches("eo.utf8", sh "locale -a", 1, true)
            assert.matches("\neo.UTF%-8 UTF%-8", "\n" .. system.read(target, "/etc/locale.gen"))
            system.converges(target, function(h)
                return h:locale { lang = "eo.UTF-8", variables = { LC_TIME = "C.UTF-8" } }
            end)
            assert.matches("LANG=eo.UTF-8\n", system.read(target, "/etc/default/locale"), 1, true)
            if before then system.write(target, "/etc/default/locale", before) else sh "rm /etc/default/locale" end
        end)

        it("that there is not leaves all as it was", function()
            local list = system.read(target, "/etc/locale.gen")
            local err = remote.failure(function()
                target.h:locale { names = { "xx_XX.UTF-8" }, lang = "xx_XX.UTF-8" }
            end)
            assert.matches("xx_XX", err.message, 1, true)
            assert.are.equal(list, system.read(target, "/etc/locale.gen"))
            assert.not_matches("xx_XX", system.read(target, "/etc/default/locale") or "")
            assert.are.equal("option", remote.failure(function() target.h:locale {} end).code)
        end)
    end)

    describe("modprobe, by a stand-in (no module can be loaded into the lab's kernel)", function()
        local calls
        before_each(function()
            calls = system.stand_in(target, "modprobe", "[ $1 != spec_bad ] || { echo no >&2; exit 1; }")
        end)
        after_each(function()
            system.remove_stand_ins(target, "modprobe")
            sh "rm -f /etc/modules-load.d/orrery-* /etc/modprobe.d/orrery-*"
        end)

        it("loads, and writes it down", function()
            local foreseen = system.unchanged_in_check_mode(target, function(h)
                return h:modprobe { name = "spec-mod", params = "a=1 b=2" }
            end)
            assert.is_true(foreseen.changed)
            target.h:modprobe { name = "spec-mod", params = "a=1 b=2" }
            assert.are.same({ "spec-mod a=1 b=2" }, calls())
            assert.are.equal("spec-mod\n", system.read(target, "/etc/modules-load.d/orrery-spec-mod.conf"))
            assert.are.equal("options spec-mod a=1 b=2\n", system.read(target, "/etc/modprobe.d/orrery-spec-mod.conf"))
            system.converges(target, function(h) return h:modprobe { name = "spec-mod", state = "absent" } end)
            assert.is_nil(system.read(target, "/etc/modules-load.d/orrery-spec-mod.conf"))
        end)

        it("writes nothing down that cannot be loaded", function()
            local err = system.fails(target, function(h) h:modprobe { name = "spec_bad" } end)
            assert.matches("cannot load the module spec_bad: no", err.message, 1, true)
        end)

        it("knows what is a part of the kernel", function()
            local name = sh "ls /sys/module | grep -vxF \"$(cut -d' ' -f1 /proc/modules)\" | head -n 1":gsub("\n", "")
            local result = target.h:modprobe { name = name, persist = false }
            assert.is_false(result.changed)
            assert.is_true(result.built_in)
            local err = system.fails(target, function(h) h:modprobe { name = name, state = "absent" } end)
            assert.matches("is a part of this kernel", err.message, 1, true)
        end)
    end)
end)
