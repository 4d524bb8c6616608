-- h:task without a play: a host whose steps are functions of the spec's.
require "orrery"
local Error = require "orrery.error"
local host = require "orrery.play.host"
local leak = require "spec.support.leak"
local sched = require "orrery.sched"
require "orrery.play.task"

leak.guard()

describe("h:task", function()
    local h, events

    before_each(function()
        events = {}
        h = host.new({ name = "a" }, { sink = function(e) events[#events + 1] = e end })
    end)

    local function ends()
        local list = {}
        for _, e in ipairs(events) do
            if e.event == "step_end" then list[#list + 1] = ("%s %s %s"):format(e.step, e.name, e.status) end
        end
        return list
    end

    it("returns what its function does, and numbers what is in it", function()
        local value = h:task("outer", function(inner)
            assert.are.equal(h, inner)
            h:task("first", {}, function() end)
            return h:task("second", {}, function() return 42 end)
        end)
        assert.are.equal(42, value)
        assert.are.same({ "1.1 first ok", "1.2 second ok", "1 outer ok" }, ends())
        h:task("next", function() end)
        assert.are.equal("2", events[#events].step)
        assert.matches("play_task_spec.lua:%d+$", events[#events - 1].at)
    end)

    it("gives its tags to what is in it", function()
        h.tags = { "p" }
        h:task("outer", { tags = "a" }, function()
            h:task("inner", { tags = { "b" } }, function() assert.are.same({ "a", "b", "p" }, h.tags) end)
        end)
        assert.are.same({ "p" }, h.tags)
    end)

    it("raises what its function raises, and says so", function()
        local ok, err = pcall(h.task, h, "t", {}, function() Error.raise { code = "resource", message = "no" } end)
        assert.are.same({ false, "resource", "no" }, { ok, err.code, err.message })
        assert.are.same({ "1 t failed" }, ends())
        h:task("next", function() end)
        assert.are.equal("2", events[#events].step) -- the numbers go on where they were
    end)

    it("tries again while it fails, or is not as wanted", function()
        local n = 0
        local function try()
            n = n + 1
            if n < 3 then error "not yet" end
            return n
        end
        assert.are.equal(3, h:task("t", { retries = 2, delay = 0 }, try))
        assert.are.equal(3, events[#events].attempts)
        n = 0
        assert.has_error(function() h:task("t", { retries = 1, delay = 0 }, try) end)
        n = 0
        assert.are.equal(2, h:task("t", { delay = 0, until_ = function(v) return v == 2 end }, function()
            n = n + 1
            return n
        end))
        local never = { retries = 1, delay = 0, until_ = function() end }
        assert.has_error(function() h:task("t", never, function() end) end,
            "resource: until_ did not hold in 2 tries")
    end)

    it("has the same steps in each try", function()
        local n = 0
        h:task("t", { retries = 1, delay = 0 }, function()
            h:task("in it", function() end)
            n = n + 1
            if n == 1 then error "again" end
        end)
        assert.are.same({ "1.1 in it ok", "1.1 in it ok", "1 t ok" }, ends())
    end)

    it("does not try again what was lost or given up", function()
        for _, code in ipairs { "dead", "cancelled", "interrupted" } do
            local n = 0
            pcall(h.task, h, "t", { retries = 5, delay = 0 }, function()
                n = n + 1
                Error.raise { code = code }
            end)
            assert.are.equal(1, n)
        end
    end)

    it("goes on after a failure where that is wanted", function()
        local value, err = h:task("t", { ignore_errors = true }, function() error("no", 0) end)
        assert.are.same({ nil, "no" }, { value, err.message })
        assert.are.same({ "1 t ignored" }, ends())
    end)

    it("may depend on something", function()
        assert.is_nil(h:task("t", { when = false }, function() return 1 end))
        assert.is_nil(h:task("t", { when = function() return nil end }, function() return 1 end))
        assert.are.equal(1, h:task("t", { when = function() return true end }, function() return 1 end))
        assert.are.same({ "1 t skipped", "2 t skipped", "3 t ok" }, ends())
    end)

    it("has a limit of time for each try", function()
        local ok, err = pcall(h.task, h, "t", { timeout = 0.01 }, function() sched.sleep(60) end)
        assert.are.same({ false, "timeout" }, { ok, err.code })
    end)

    it("refuses what it does not know", function()
        assert.has_error(function() h:task("t", { retrys = 1 }, function() end) end,
            "option: h:task: unknown option 'retrys'; did you mean 'retries'?")
        assert.has_error(function() h:task "t" end)
        assert.has_error(function() h:task({}, function() end) end)
    end)
end)
