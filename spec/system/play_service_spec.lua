--- The resource service: with a real systemd, with real scripts in /etc/init.d, and with a stand-in for OpenRC.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "spec.support.play_system"
local systemd = require "spec.support.systemd"

leak.guard()

describe("service, by systemd", function()
    if not lab.need(2, { foreign = true, isolated = true }) then return end
    local possible, why = systemd.possible "h2"
    if not possible then
        pending("needs a systemd that can run on a host of the lab: " .. why)
        return
    end
    local manager
    setup(function() manager = systemd.boot "h2" end)
    teardown(function() manager:stop() end)

    system.each({ "h2" }, function(target)
        local function unit(name, lines, install)
            system.write(target, "/etc/systemd/system/" .. name, "[Unit]\nDescription=" .. name .. "\n[Service]\n"
                .. lines
                .. "\n" .. (install and "[Install]\nWantedBy=multi-user.target\n" or ""))
        end
        local function systemctl(line) return (select(2, manager:exec("systemctl " .. line)):gsub("\n$", "")) end

        before_each(function()
            unit("spec.service", "ExecStart=/bin/sleep 1000000\nExecReload=/bin/touch /tmp/spec.reloaded", true)
            unit("spec-broken.service", "ExecStart=/bin/sh -c 'echo \"no configuration\"; exit 7'")
            systemctl "daemon-reload"
        end)
        after_each(function()
            manager:exec("systemctl unmask spec.service; systemctl disable spec; systemctl stop spec spec-broken; "
                .. "systemctl reset-failed; rm -f /etc/systemd/system/spec*; systemctl daemon-reload")
        end)

        it("starts, enables, and does so once", function()
            local result, foreseen = system.converges(target, function(h)
                return h:service { name = "spec", state = "started", enabled = true }
            end)
            assert.are.equal("active", systemctl "is-active spec")
            assert.are.equal("enabled", systemctl "is-enabled spec")
            assert.are.equal("systemd", result.manager)
            assert.is_true(result.running)
            assert.are.same({ what = "state", before = "stopped", after = "started" }, system.part(foreseen, "state"))
        end)

        it("stops and disables", function()
            target.h:service { name = "spec", state = "started", enabled = true }
            system.converges(target, function(h)
                return h:service { name = "spec", state = "stopped", enabled = false }
            end)
            assert.are.equal("inactive", systemctl "is-active spec")
            assert.are.equal("disabled", systemctl "is-enabled spec")
        end)

        it("restarts each time, and starts what does not run", function()
            local first = target.h:service { name = "spec", state = "restarted" }
            local second = target.h:service { name = "spec", state = "restarted" }
            assert.is_true(first.changed and second.changed)
            assert.are_not.equal(first.pid, second.pid)
            assert.are.equal("active", systemctl "is-active spec")
            local pid = systemctl "show -p MainPID spec"
            local foreseen = system.unchanged_in_check_mode(target, function(h)
                return h:service { name = "spec", state = "restarted" }
            end)
            assert.is_true(foreseen.changed)
            assert.are.equal(pid, systemctl "show -p MainPID spec", "check mode restarts nothing")
        end)

        it("reloads what runs", function()
            target.h:service { name = "spec", state = "started" }
            local before = systemctl "show -p MainPID spec"
            target.h:service { name = "spec", state = "reloaded" }
            assert.are.equal(before, systemctl "show -p MainPID spec")
            system.sh(target, "rm /tmp/spec.reloaded")
        end)

        it("masks and unmasks", function()
            manager:exec "mv /etc/systemd/system/spec.service /lib/systemd/system/; systemctl daemon-reload"
            system.converges(target, function(h)
                return h:service { name = "spec", masked = true, state = "stopped" }
            end)
            assert.are.equal("masked", systemctl "is-enabled spec")
            local err = remote.failure(function() target.h:service { name = "spec", state = "started" } end)
            assert.matches("spec is masked; masked = false unmasks it", err.message, 1, true)
            system.converges(target, function(h)
                return h:service { name = "spec", masked = false, state = "started" }
            end)
            assert.are.equal("active", systemctl "is-active spec")
            manager:exec "systemctl stop spec; rm /lib/systemd/system/spec.service"
        end)

        it("reads unit files that have changed", function()
            target.h:service { name = "spec", state = "started" }
            unit("spec.service", "ExecStart=/bin/sleep 2000000", true)
            assert.are.equal("NeedDaemonReload=yes", systemctl "show -p NeedDaemonReload spec")
            system.converges(target, function(h) return h:service { name = "spec", state = "started" } end)
            assert.are.equal("NeedDaemonReload=no", systemctl "show -p NeedDaemonReload spec")
        end)

        it("says why a service does not run", function()
            local err = remote.failure(function()
                target.h:service { name = "spec-broken", state = "restarted", settle = 60 }
            end)
            assert.matches("spec-broken was started, and does not run", err.message, 1, true)
            assert.matches("status 7", err.message, 1, true)
            unit("spec-broken.service", "Type=forking\nExecStart=/bin/sh -c 'exit 8'")
            err = remote.failure(function() target.h:service { name = "spec-broken", state = "started" } end)
            assert.matches("cannot start spec-broken", err.message, 1, true)
            assert.matches("result 'exit-code'", err.message, 1, true)
            assert.is_true(target.h:service { name = "spec", state = "started", settle = 0.2 }.running)
            err = remote.failure(function() target.h:service { name = "spec-none", state = "started" } end)
            assert.matches("systemd knows no service 'spec-none'", err.message, 1, true)
        end)

        it("takes what is not there for stopped, and in check mode for not there yet", function()
            system.stays(target, function(h)
                return h:service { name = "spec-none", state = "stopped", enabled = false }
            end)
            local foreseen = system.unchanged_in_check_mode(target, function(h)
                return h:service { name = "spec-none", state = "started" }
            end)
            assert.is_true(foreseen.unknown)
        end)

        it("knows timers and other kinds of units", function()
            system.write(target, "/etc/systemd/system/spec.timer",
                "[Timer]\nOnCalendar=2099-01-01\n[Install]\nWantedBy=timers.target\n")
            systemctl "daemon-reload"
            system.converges(target, function(h)
                return h:service { name = "spec.timer", state = "started", enabled = true }
            end)
            assert.are.equal("active", systemctl "is-active spec.timer")
            systemctl "disable --now spec.timer"
        end)

        it("has options that make sense together", function()
            for _, wrong in ipairs { {}, { masked = true, state = "started" }, { state = "running" },
                { name = "-x", state = "started" }, { name = "a b", state = "started" } } do
                wrong.name = wrong.name or "spec"
                assert.are.equal("option", remote.failure(function() target.h:service(wrong) end).code)
            end
        end)
    end, function() return manager:open() end)
end)

local SCRIPT = [[#!/bin/sh
### BEGIN INIT INFO
# Provides:          spec
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: for a spec
### END INIT INFO
pid() { cat /run/spec.pid 2>/dev/null; }
start() { setsid sleep 3000000 </dev/null >/dev/null 2>&1 & echo $! >/run/spec.pid; }
stop() { kill $(pid) 2>/dev/null; rm -f /run/spec.pid; }
case $1 in
start) start ;;
stop) stop ;;
restart) stop; start ;;
reload) touch /run/spec.reloaded ;;
status) [ -n "$(pid)" ] && kill -0 $(pid) 2>/dev/null || exit 3 ;;
*) exit 2 ;;
esac
]]

describe("service, by scripts in /etc/init.d", function()
    system.each({ "h1", "foreign" }, function(target)
        local function running() return #remote.processes(target.name, "sleep 3000000") end
        before_each(function() system.write(target, "/etc/init.d/spec", SCRIPT, "755") end)
        after_each(function()
            system.sh(target, "/etc/init.d/spec stop; rm -f /etc/init.d/spec /etc/rc?.d/*spec")
        end)

        it("starts, enables, and does so once", function()
            local result = system.converges(target, function(h)
                return h:service { name = "spec", state = "started", enabled = true }
            end)
            assert.are.equal("sysv", result.manager)
            assert.are.equal(1, running())
            assert.matches("S%d+spec", system.sh(target, "ls /etc/rc3.d"))
        end)

        it("stops and disables", function()
            target.h:service { name = "spec", state = "started", enabled = true }
            system.converges(target, function(h)
                return h:service { name = "spec", state = "stopped", enabled = false }
            end)
            remote.eventually("it ends", function() return running() == 0 end)
            assert.not_matches("S%d+spec", system.sh(target, "ls /etc/rc3.d"))
        end)

        it("restarts and reloads", function()
            target.h:service { name = "spec", state = "restarted" }
            local pid = system.read(target, "/run/spec.pid")
            target.h:service { name = "spec", state = "restarted" }
            assert.are_not.equal(pid, system.read(target, "/run/spec.pid"))
            target.h:service { name = "spec", state = "reloaded" }
            system.sh(target, "rm /run/spec.reloaded")
        end)

        it("looks into the process table for scripts that know no status", function()
            system.write(target, "/etc/init.d/spec", (SCRIPT:gsub("status%)[^\n]*\n", "")), "755")
            system.sh(target, "sed -i 's/exit 2/exit 4/' /etc/init.d/spec")
            local err = remote.failure(function() target.h:service { name = "spec", state = "started" } end)
            assert.matches("does not tell whether it runs", err.message, 1, true)
            system.converges(target, function(h)
                return h:service { name = "spec", state = "started", pattern = "sleep 3000000" }
            end)
            assert.are.equal(1, running())
        end)

        it("says what a script has said", function()
            system.write(target, "/etc/init.d/spec",
                (SCRIPT:gsub("\nstart%) start ;;", "\nstart) echo 'no disk' >&2; exit 5 ;;")), "755")
            local err = remote.failure(function()
                target.h:service { name = "spec", state = "started", enabled = true }
            end)
            assert.matches("cannot start spec: no disk; done before that: enable", err.message, 1, true)
            system.write(target, "/etc/init.d/spec", "#!/bin/sh\n[ $1 != status ] || exit 3\n", "755")
            err = remote.failure(function() target.h:service { name = "spec", state = "started" } end)
            assert.matches("spec was started, and does not run", err.message, 1, true)
        end)

        it("cannot mask", function()
            local err = remote.failure(function() target.h:service { name = "spec", masked = true } end)
            assert.matches("sysv knows no 'masked'", err.message, 1, true)
        end)
    end)
end)

describe("service, by a stand-in for OpenRC", function()
    system.each({ "h1" }, function(target)
        local service, update
        before_each(function()
            service = system.stand_in(target, "rc-service", [[
                case "$*" in
                "-e app") exit 0 ;;
                "app status") test -e /run/app.up || exit 3 ;;
                "app start" | "app restart") touch /run/app.up ;;
                "app stop") rm -f /run/app.up ;;
                *) exit 1 ;;
                esac]])
            update = system.stand_in(target, "rc-update", [[
                mkdir -p /etc/runlevels/default
                case "$1" in
                add) ln -s /etc/init.d/$2 /etc/runlevels/$3/$2 ;;
                del) rm /etc/runlevels/$3/$2 ;;
                esac]])
        end)
        after_each(function()
            system.remove_stand_ins(target, "rc-service", "rc-update")
            system.sh(target, "rm -rf /etc/runlevels /run/app.up")
        end)

        it("starts, enables, stops, disables", function()
            system.converges(target, function(h)
                return h:service { name = "app", state = "started", enabled = true }
            end)
            assert.are.same({ "add app default" }, update())
            local calls = table.concat(service(), "|")
            assert.matches("app start", calls, 1, true)
            system.converges(target, function(h)
                return h:service { name = "app", state = "stopped", enabled = false }
            end)
            assert.are.same({ "del app default" }, update())
            local err = remote.failure(function() target.h:service { name = "other", state = "started" } end)
            assert.matches("openrc knows no service 'other'", err.message, 1, true)
        end)
    end)
end)
