local leak = require "spec.support.leak"
require "orrery"
local once = require "orrery.play.once"
local sched = require "orrery.sched"

leak.guard()

describe("what is done once", function()
    it("is done by the first, and the others get its result", function()
        local shared, ran, got = once.new(), 0, {}
        local tasks = {}
        for i = 1, 3 do
            tasks[i] = sched.spawn(function()
                local result, mine = shared:run("key", "it", function()
                    ran = ran + 1
                    sched.sleep(0)
                    return { n = i }
                end)
                got[i] = { result.n, mine }
            end)
        end
        for _, task in ipairs(tasks) do task:get() end
        assert.are.equal(1, ran)
        assert.are.same({ { 1, true }, { 1, false }, { 1, false } }, got)
    end)

    it("fails for all", function()
        local shared = once.new()
        local function try() shared:run("key", "it", function() error("no", 0) end) end
        assert.has_error(try, "no")
        assert.has_error(try, "resource: it, which is done once for all, failed on another host: no")
    end)

    it("may have been done before", function()
        local shared = once.new()
        shared:done("key", "before")
        assert.are.same({ "before", false }, { shared:run("key", "it", function() error "again" end) })
    end)
end)

describe("a throttle", function()
    -- How many of `count` tasks ran at the same time, at most.
    local function most(throttle, count, limit, fail)
        local running, high, tasks = 0, 0, {}
        for i = 1, count do
            tasks[i] = sched.spawn(function()
                return throttle:run("key", limit, function()
                    running = running + 1
                    high = math.max(high, running)
                    sched.sleep(0)
                    running = running - 1
                    if fail then error("no", 0) end
                    return i, nil, i
                end)
            end)
        end
        local results = {}
        for i, task in ipairs(tasks) do results[i] = { pcall(task.get, task) } end
        return high, results
    end

    it("lets so many run at a time, and returns what they return", function()
        local throttle = once.throttle()
        local high, results = most(throttle, 7, 2)
        assert.are.equal(2, high)
        assert.are.same({ true, 7, nil, 7 }, results[7])
        assert.are.equal(1, (most(throttle, 3, 1)))
    end)

    it("takes back the turns of those that fail, and of those that give up", function()
        local throttle = once.throttle()
        assert.are.equal(1, (most(throttle, 3, 1, true)))
        local held = sched.future()
        local first = sched.spawn(throttle.run, throttle, "key", 1, function() return held:get() end)
        local second = sched.spawn(throttle.run, throttle, "key", 1, function() return "second" end)
        local third = sched.spawn(throttle.run, throttle, "key", 1, function() return "third" end)
        sched.sleep(0)
        second:cancel()
        sched.sleep(0)
        held:resolve "first"
        assert.are.equal("first", first:get())
        assert.are.equal("third", third:get())
        assert.has_error(function() second:get() end)
        assert.are.equal(1, (most(throttle, 3, 1)))
    end)
end)
