local leak = require "spec.support.leak"
local tally = require "orrery.play.tally"

leak.guard()

local function told(...)
    local t = tally.new()
    for _, e in ipairs { ... } do t:event(e) end
    return t
end

local function start(host) return { event = "host_start", host = host } end
local function step(host, status, resource)
    return { event = "step_end", host = host, status = status, resource = resource }
end
local function over(host, status) return { event = "host_end", host = host, status = status } end

local function counts(t, host, field)
    local some, all = {}, t.hosts[host]
    for name, n in pairs(field and all[field] or all) do some[name] = n > 0 and n or nil end
    return some
end

describe("a tally", function()
    it("counts steps, and not what holds them", function()
        local t = told(start "a", step("a", "ok", "file"), step("a", "changed", "file"), step("a", "changed", "task"),
            step("a", "skipped", "user"), step("a", "unknown", "user"), step("a", "ignored", "user"), over("a", "ok"))
        assert.are.same({ ok = 1, changed = 1, skipped = 1, unknown = 1, ignored = 1 }, counts(t, "a"))
        assert.are.equal(0, t:status())
    end)

    it("counts a failure once, also one of the script's own", function()
        local t = told(start "a", step("a", "failed", "file"), step("a", "failed", "task"), over("a", "failed"),
            start "b", over("b", "failed"))
        assert.are.same({ { failed = 1 }, { failed = 1 } }, { counts(t, "a"), counts(t, "b") })
        assert.are.equal(2, t:status())
    end)

    it("takes a failure that was caught for one that is ignored, in this play only", function()
        local t = told(start "a", step("a", "failed", "file"), over("a", "ok"))
        assert.are.same({ ignored = 1 }, counts(t, "a"))
        assert.are.equal(0, t:status())
        for _, e in ipairs { start "a", step("a", "failed", "file"), over("a", "failed") } do t:event(e) end
        assert.are.same({ ignored = 1, failed = 1 }, counts(t, "a"))
        assert.are.equal(2, t:status())
    end)

    it("is what views count by, while the run goes on", function()
        local viewed = require("orrery.play.views.tally").new()
        local function tell(...)
            for _, e in ipairs { ... } do viewed:event(e) end
        end
        tell({ event = "play_start", play = 1, hosts = { "a", "b" } }, start "a", step("a", "changed", "file"),
            step("a", "changed", "task"), step("a", "failed", "file"))
        assert.are.same({ 1, 1, 0 }, { viewed:total "changed", viewed:total "failed", viewed:total "ignored" })
        tell(over("a", "ok"), start "b", over("b", "failed"))
        assert.are.same({ 1, 1 }, { viewed:total "failed", viewed:total "ignored" })
        assert.are.same({ ignored = 1, changed = 1 }, counts(viewed, "a", "counts"))
    end)

    it("has hosts that were lost go before those that failed", function()
        assert.are.equal(3, told(start "a", over("a", "failed"), start "b", over("b", "lost")):status())
    end)
end)
