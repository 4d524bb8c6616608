local Error = require "orrery.error"
local leak = require "spec.support.leak"

leak.guard()

local function fresh()
    for _, name in ipairs { "sched", "future", "timers", "parallel" } do
        package.loaded["orrery." .. name] = nil
    end
end

local function failure(code, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(Error.is(err), tostring(err))
    assert.are.equal(code, err.code)
    return err
end

describe("parallel", function()
    local sched, parallel, now

    before_each(function()
        fresh()
        sched, parallel, now = require "orrery.sched", require "orrery.parallel", 0
        sched.set_clock(function() return now end)
        sched.set_poll(function(timeout)
            if not timeout then return "idle" end
            now = now + timeout
        end)
        sched.on_orphan_error = function(err) error(err, 0) end
    end)

    teardown(fresh)

    it("maps in the order of the list, whoever ends first", function()
        local results, errors = parallel.map({ 3, 1, 2 }, function(item, index)
            sched.sleep(item)
            return item * 10 + index
        end)
        assert.are.same({ 31, 12, 23, n = 3 }, results)
        assert.is_nil(errors)
        assert.are.equal(3, now)
    end)

    it("gives each item and index, and returns nothing", function()
        local seen = {}
        assert.is_nil(parallel.each({ "a", "b" }, function(item, index) seen[index] = item end))
        assert.are.same({ "a", "b" }, seen)
        assert.are.same({ n = 0 }, parallel.map({}, print))
    end)

    it("runs no more than the limit at once, and starts the next at once", function()
        local running, most = 0, 0
        parallel.each({ 1, 1, 1, 1, 1, 1, 1 }, { limit = 3 }, function(item)
            running = running + 1
            most = math.max(most, running)
            sched.sleep(item)
            running = running - 1
        end)
        assert.are.equal(3, most)
        assert.are.equal(3, now)
    end)

    it("lets the others end when one fails, then names the failures", function()
        local list = {}
        for i = 1, 20 do list[i] = { name = "web" .. i } end
        local ended = 0
        local err = failure("partial", parallel.map, list, function(item, index)
            sched.sleep(index)
            ended = ended + 1
            if index % 10 == 3 then Error.raise { code = "dead", message = "lost " .. item.name } end
            return index
        end)
        assert.are.equal(20, ended)
        assert.are.equal("2 of 20 failed: web3: lost web3, web13: lost web13", err.message)
        assert.are.equal(2, #err.errors)
        assert.are.same({ 13, "web13", "dead" },
            { err.errors[2].index, err.errors[2].item, err.errors[2].error.code })
        assert.are.equal(20, err.results[20])
        assert.is_nil(err.results[3])
        assert.matches("parallel_spec.lua", err.at)
    end)

    it("shows only the first failures", function()
        local err = failure("partial", parallel.each, { 1, 2, 3, 4, 5 }, function(i) error("e" .. i, 0) end)
        assert.are.equal("5 of 5 failed: 1: e1, 2: e2, 3: e3, and 2 more", err.message)
        assert.matches("\n  5: lua: e5", err:format(), 1, true)
    end)

    it("returns the errors with raise = false", function()
        local function fn(item) if item == 2 then error("two", 0) end return item end
        local results, errors = parallel.map({ 1, 2, 3 }, { raise = false }, fn)
        assert.are.same({ 1, nil, 3, n = 3 }, results)
        assert.are.equal("two", errors[2].message)
        assert.is_nil(errors[1])
        assert.are.equal("two", parallel.each({ 1, 2 }, { raise = false }, fn)[2].message)
        assert.is_nil(parallel.each({ 1 }, { raise = false }, fn))
    end)

    it("times each item out from its start", function()
        local _, errors = parallel.map({ 1, 9, 1, 9 }, { limit = 1, timeout = 3, raise = false }, function(seconds)
            sched.sleep(seconds)
        end)
        assert.are.same({ "timeout", "timed out after 3 s" }, { errors[2].code, errors[2].message })
        assert.is_true(errors[1] == nil and errors[3] == nil and errors[4] ~= nil)
        assert.are.equal(8, now)
        assert.is_nil(require("orrery.timers").next())
    end)

    it("cancels the items with the caller, after their cleanup", function()
        local started, cleaned = 0, 0
        local task = sched.spawn(function()
            parallel.each({ 1, 2, 3, 4 }, { limit = 2 }, function()
                started = started + 1
                local ok, err = pcall(sched.sleep, 100)
                sched.sleep(1)
                assert(not ok and err.code == "cancelled")
                cleaned = cleaned + 1
                error(err, 0)
            end)
        end)
        sched.sleep(5)
        task:cancel()
        failure("cancelled", task.get, task)
        assert.are.same({ 2, 2 }, { started, cleaned })
        assert.are.equal(6, now)
        sched.drain()
    end)

    it("cancels the items when nothing can end them", function()
        failure("deadlock", parallel.each, { 1, 2 }, function() sched.future():get() end)
        sched.drain()
    end)

    it("works inside of itself", function()
        local results = parallel.map({ 1, 2 }, function(a)
            return parallel.map({ 10, 20 }, function(b) sched.sleep(b) return a * b end)
        end)
        assert.are.same({ { 10, 20, n = 2 }, { 20, 40, n = 2 }, n = 2 }, results)
        assert.are.equal(20, now)
    end)

    it("checks what it is given", function()
        failure("argument", parallel.each, 5, print)
        failure("argument", parallel.each, { 1 })
        failure("argument", parallel.map, { 1 }, {})
        assert.matches("did you mean 'limit'", failure("option", parallel.map, {}, { limt = 1 }, print).message)
        failure("option", parallel.map, {}, { limit = 0 }, print)
        failure("option", parallel.each, {}, { timeout = 0 }, print)
    end)
end)
