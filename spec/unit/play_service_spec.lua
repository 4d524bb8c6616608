local service = require "orrery.play.system.service"
local systemd = require "orrery.play.system.service_systemd"
local sysv = require "orrery.play.system.service_sysv"

local function state(text, said) return systemd.state(systemd.parse(text), said) end

local ACTIVE = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n"
    .. "NeedDaemonReload=no\nMainPID=12\n"
local ACTIVATING = "LoadState=loaded\nActiveState=activating\nUnitFileState=\n"

describe("what systemd says of a service", function()
    it("is whether it runs and starts at boot", function()
        local now = state(ACTIVE)
        assert.are.same({ true, true, true, 12, false }, { now.exists, now.running, now.enabled, now.pid, now.stale })
        now = state "LoadState=loaded\nActiveState=failed\nUnitFileState=disabled\nNeedDaemonReload=yes\nMainPID=0\n"
        assert.are.same({ true, false, false, true }, { now.exists, now.running, now.enabled, now.stale })
        assert.is_nil(now.pid)
    end)

    it("is that it is on its way, or failing again and again", function()
        assert.is_true(state(ACTIVATING .. "SubState=start-pre\n").running)
        assert.is_false(state(ACTIVATING .. "SubState=auto-restart\n").running)
        assert.is_true(state("LoadState=loaded\nActiveState=reloading\nUnitFileState=\n").running)
    end)

    it("is that it is masked, or that there is none", function()
        assert.is_true(state("LoadState=masked\nActiveState=inactive\nUnitFileState=masked\n").masked)
        assert.is_false(state("LoadState=not-found\nActiveState=inactive\nUnitFileState=\n").exists)
        assert.is_true(state("LoadState=loaded\nActiveState=inactive\nUnitFileState=generated\n", "enabled").enabled)
        assert.are.equal("static", state("LoadState=loaded\nActiveState=active\nUnitFileState=static\n").fixed)
    end)

    it("goes by the name of its unit", function()
        assert.are.equal("nginx.service", systemd.unit "nginx")
        assert.are.equal("app.timer", systemd.unit "app.timer")
        assert.are.equal("app@web.1.service", systemd.unit "app@web.1")
    end)
end)

describe("links of /etc/rcN.d", function()
    it("start a service, or stop it", function()
        assert.is_true(sysv.starts("S01cron", "cron"))
        assert.is_false(sysv.starts("K01cron", "cron"))
        assert.is_false(sysv.starts("S01cron-apt", "cron"))
    end)
end)

describe("options of services", function()
    it("are refused where they make no sense", function()
        assert.is_nil(service.wrong { name = "app@1", state = "started" })
        assert.matches("nothing is asked for", service.wrong { name = "app" })
        assert.matches("masked cannot", service.wrong { name = "app", masked = true, enabled = true })
        for _, name in ipairs { "-h", "a b", "a;b", "", "../x" } do
            assert.matches("no name", service.wrong { name = name, state = "started" })
        end
    end)
end)
