local Error = require "orrery.error"
local leak = require "spec.support.leak"

leak.guard()

-- A world without real time: poll advances the clock to the next event, which is a timeout, or the
-- earliest of `events`, a list of { when, function }.
local function world()
    for _, name in ipairs { "sched", "future", "timers" } do package.loaded["orrery." .. name] = nil end
    local w = { now = 100, events = {}, polls = 0, sched = require "orrery.sched", orphans = {} }
    w.sched.set_clock(function() return w.now end)
    w.sched.set_poll(function(timeout)
        w.polls = w.polls + 1
        table.sort(w.events, function(a, b) return a[1] < b[1] end)
        local event = w.events[1]
        if event and (timeout == nil or event[1] <= w.now + timeout) then
            table.remove(w.events, 1)
            w.now = math.max(w.now, event[1])
            event[2]()
        elseif timeout then
            w.now = w.now + timeout
        else
            return "idle"
        end
    end)
    w.sched.on_orphan_error = function(err, what) table.insert(w.orphans, { err, what }) end
    function w.at(seconds, fn) table.insert(w.events, { 100 + seconds, fn }) end
    return w, w.sched
end

local function failure(code, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(Error.is(err), tostring(err))
    assert.are.equal(code, err.code)
    return err.message
end

describe("sched", function()
    local w, sched

    before_each(function()
        w, sched = world()
    end)

    teardown(function()
        for _, name in ipairs { "sched", "future", "timers" } do package.loaded["orrery." .. name] = nil end
    end)

    describe("future", function()
        it("gives its results, nil included, as often as asked", function()
            local f = sched.future()
            assert.is_false(f:done())
            assert.is_true(f:resolve(1, nil, 3, nil))
            assert.is_true(f:done())
            assert.are.same({ 4, 1, nil, 3 }, { select("#", f:get()), 1, nil, 3 })
            assert.are.equal(3, (select(3, f:get())))
            assert.is_false(f:resolve(2))
            assert.is_false(f:reject("x"))
            assert.is_false(f:cancel())
            assert.are.equal(0, select("#", (function(x) x:resolve() return x:get() end)(sched.future())))
        end)

        it("raises the error unchanged", function()
            local f, err = sched.future(), Error.new { code = "dead" }
            f:reject(err)
            local _, raised = pcall(f.get, f)
            assert.are.equal(err, raised)
            local g = sched.future()
            g:reject("text")
            assert.are.equal("text", failure("lua", g.get, g))
        end)

        it("times out, naming what was waited for, and can be waited for again", function()
            local f = sched.future { what = "the reply of web1" }
            w.at(10, function() f:resolve("late") end)
            assert.are.equal("timed out after 2.5 s: the reply of web1", failure("timeout", f.get, f, 2.5))
            assert.are.equal(102.5, w.now)
            assert.are.equal("late", f:get())
            failure("timeout", function() sched.future("x"):get(0) end)
        end)

        it("takes a function for what is costly to say", function()
            local f = sched.future { what = function() return "a reply" end }
            assert.matches("a reply", failure("timeout", f.get, f, 1))
        end)

        it("is cancelled once, and says why", function()
            local calls = 0
            local f
            f = sched.future { what = "a reply", on_cancel = function(self, err)
                calls = calls + 1
                assert(self == f and err.code == "cancelled" and not self:resolve(1))
            end }
            assert.is_true(f:cancel("no need"))
            assert.is_false(f:cancel())
            assert.are.equal(1, calls)
            assert.are.equal("a reply was cancelled: no need", failure("cancelled", f.get, f))
            local g, err = sched.future(), Error.new { code = "timeout" }
            g:cancel(err)
            assert.are.equal(err, select(2, pcall(g.get, g)))
            assert.are.same({}, w.orphans)
        end)

        it("calls back, at once if it is settled, and survives a callback that fails", function()
            local f, seen = sched.future(), {}
            f:on_done(function(x) table.insert(seen, x == f and 1) end)
            f:on_done(function() error "callback" end)
            f:on_done(function() table.insert(seen, 2) end)
            f:resolve()
            f:on_done(function() table.insert(seen, 3) end)
            assert.are.same({ 1, 2, 3 }, seen)
            assert.matches("callback", w.orphans[1][1].message)
        end)

        it("is cancelled with the wait of its only owner", function()
            local f = sched.future()
            failure("timeout", f.take, f, 1)
            assert.are.equal("cancelled", f.state)
            local g = sched.future()
            local task = sched.spawn(function() g:take() end)
            sched.sleep(1)
            task:cancel()
            failure("cancelled", task.get, task)
            assert.are.equal("cancelled", g.state)
            local h = sched.future()
            h:resolve(5)
            assert.are.equal(5, h:take(1))
        end)

        it("allocates nothing for a wait on the main coroutine", function()
            local f
            local function event() f:resolve(42) end
            local slot = { 0, event }
            local function wait()
                f = sched.future("a reply")
                w.events[1] = slot
                return f:get()
            end
            local function make() f = sched.future("a reply") end
            local function cost(fn)
                for _ = 1, 100 do fn() end
                collectgarbage()
                collectgarbage "stop"
                local before = collectgarbage "count"
                for _ = 1, 1000 do fn() end
                local used = collectgarbage "count" - before
                collectgarbage "restart"
                return used
            end
            w.sched.set_poll(function() w.events[1] = nil event() end)
            jit.off()
            local waiting, making = cost(wait), cost(make)
            jit.on()
            assert.is_true(waiting - making < 0.1, ("%g KB for waits, %g KB for futures"):format(waiting, making))
        end)
    end)

    describe("task", function()
        it("runs with its arguments and gives its results", function()
            local task = sched.spawn(function(a, b, c) return a, b, c, nil end, 1, nil, 3)
            assert.is_false(task:done())
            assert.are.equal(4, select("#", task:get()))
            assert.are.equal(3, (select(3, task:get())))
        end)

        it("runs in the order of spawning, and interleaves where it blocks", function()
            local order = {}
            local tasks = {}
            for i = 1, 3 do
                tasks[i] = sched.spawn(function()
                    table.insert(order, i)
                    sched.sleep(4 - i)
                    table.insert(order, i + 10)
                end)
            end
            for i = 1, 3 do tasks[i]:get() end
            assert.are.same({ 1, 2, 3, 13, 12, 11 }, order)
            assert.are.equal(103, w.now)
        end)

        it("wakes several waiters in order", function()
            local f, order = sched.future(), {}
            for i = 1, 3 do sched.spawn(function() table.insert(order, i .. f:get()) end) end
            w.at(1, function() f:resolve("x") end)
            sched.drain()
            assert.are.same({ "1x", "2x", "3x" }, order)
        end)

        it("fails with its error and its traceback", function()
            local function inner() error "boom" end
            local task = sched.spawn(function() inner() return 1 end)
            local _, err = pcall(task.get, task)
            assert.matches("sched_spec.lua:%d+: boom", err.message)
            assert.matches("in function 'inner'", err.traceback)
            assert.not_matches("orrery/sched", err.traceback)
            local object = Error.new { code = "dead" }
            local other = sched.spawn(function() error(object, 0) end)
            assert.are.equal(object, select(2, pcall(other.get, other)))
        end)

        it("blocks below pcall, metamethods and iterators", function()
            local task = sched.spawn(function()
                local ok, err = pcall(function() sched.sleep(1) error("x", 0) end)
                local lazy = setmetatable({}, { __index = function(_, key) sched.sleep(1) return key end })
                local sum = 0
                for i in function(_, last) sched.sleep(1) return last < 3 and last + 1 or nil end, nil, 0 do
                    sum = sum + i
                end
                return ok, err, lazy.field, sum
            end)
            assert.are.same({ false, "x", "field", 6 }, { task:get() })
            assert.are.equal(106, w.now)
        end)

        it("drives below a C function, and other tasks go on", function()
            local ticks = 0
            sched.spawn(function() for _ = 1, 10 do sched.sleep(0.1) ticks = ticks + 1 end end)
            local task = sched.spawn(function()
                local text = ("ab"):gsub(".", function(c) sched.sleep(0.5) return c:upper() end)
                local list = { 3, 1, 2 }
                table.sort(list, function(a, b) sched.sleep(0) return a < b end)
                return text, list[1]
            end)
            assert.are.same({ "AB", 1 }, { task:get() })
            assert.is_true(ticks >= 9)
            sched.drain()
        end)

        it("drives in a coroutine of the user, inside and outside of tasks", function()
            local f = sched.future()
            w.at(1, function() f:resolve("x") end)
            local generator = coroutine.wrap(function() coroutine.yield(f:get() .. 1) coroutine.yield(2) end)
            assert.are.equal("x1", generator())
            assert.are.equal(2, generator())
            local task = sched.spawn(function()
                local inner = coroutine.wrap(function() sched.sleep(1) coroutine.yield("in") end)
                return inner()
            end)
            assert.are.equal("in", task:get())
        end)

        it("knows the current task", function()
            assert.is_nil(sched.current())
            local task
            task = sched.spawn(function() return sched.current() == task end)
            assert.is_true(task:get())
            assert.is_nil(sched.current())
        end)

        it("takes the coroutine of one that has ended, which holds on to nothing", function()
            local held, first = setmetatable({}, { __mode = "k" }), nil
            local function hold(value)
                held[value] = true
                first = first or coroutine.running()
                sched.sleep(1)
                return value
            end
            local task = sched.spawn(hold, {})
            held[task] = true
            task:get()
            task = nil -- luacheck: ignore
            collectgarbage()
            collectgarbage()
            assert.is_nil(next(held))
            assert.are.equal(first, sched.spawn(coroutine.running):get())
            pcall(function() sched.spawn(error, "x"):get() end)
            assert.are.equal(first, sched.spawn(coroutine.running):get())
        end)

        it("takes no coroutine whose globals were changed", function()
            sched.spawn(function() setfenv(0, { mine = true }) end):get()
            local there = sched.spawn(function() return loadstring "return mine, tostring" end):get()
            assert.are.same({ nil, tostring }, { there() })
        end)

        it("can begin at once, and is told of its end by a method of its class", function()
            local order = {}
            local Mine = setmetatable({}, { __index = sched.Task })
            Mine.__index = Mine
            function Mine:ended(ok, ...)
                table.insert(order, { self.name, ok, ... })
                if self.kept then sched.Task.ended(self, ok, ...) end
            end
            local function begin(name, fn, ...)
                local task = setmetatable(require("orrery.future").new(), Mine)
                task.name = name
                sched.begin(task, fn, ...)
                return task
            end
            local one = begin("one", function(...) return ... end, 1, nil)
            assert.are.same({ { "one", true, 1, nil } }, order)
            assert.is_falsy(one.kept)
            local two = begin("two", function() sched.sleep(1) error("x", 0) end)
            assert.is_true(two.kept)
            assert.is_false(two:done())
            failure("lua", two.get, two)
            assert.are.same({ "two", false }, { order[2][1], order[2][2] })
            local three = begin("three", function() return sched.current() end)
            assert.are.equal(three, three:get())
            local four = begin("four", function() coroutine.yield() return 4 end)
            assert.is_true(sched.busy())
            sched.drain()
            assert.are.equal(4, #order)
            assert.are.equal(4, four:get())
        end)

        it("takes a plain yield as letting others run", function()
            local order = {}
            local a = sched.spawn(function() coroutine.yield() table.insert(order, "a") end)
            local b = sched.spawn(function() table.insert(order, "b") end)
            a:get()
            b:get()
            assert.are.same({ "b", "a" }, order)
        end)

        it("cannot starve the poll", function()
            local stop = false
            w.at(0, function() stop = true end)
            local task = sched.spawn(function() while not stop do coroutine.yield() end return "done" end)
            assert.are.equal("done", task:get())
        end)
    end)

    describe("cancelling a task", function()
        it("raises from its blocking primitive, and lets it clean up", function()
            local cleaned
            local task = sched.spawn(function()
                local ok, err = pcall(sched.sleep, 100)
                sched.sleep(1)
                cleaned = { ok, err.code }
                error(err, 0)
            end)
            sched.sleep(1)
            assert.is_true(task:cancel("enough"))
            assert.is_false(task:cancel())
            assert.is_false(task:done())
            local message = failure("cancelled", task.get, task)
            assert.matches("the task at .*sched_spec.lua:%d+ was cancelled: enough", message)
            assert.are.same({ false, "cancelled" }, cleaned)
            assert.are.equal(102, w.now)
            sched.drain()
            assert.are.same({}, w.orphans)
        end)

        it("is final even if the function swallows it", function()
            local task = sched.spawn(function() pcall(sched.sleep, 100) return "fine" end)
            sched.sleep(0)
            task:cancel()
            failure("cancelled", task.get, task)
        end)

        it("shows another error of the cleanup", function()
            local task = sched.spawn(function() pcall(sched.sleep, 100) error("worse", 0) end)
            sched.sleep(0)
            task:cancel()
            assert.are.equal("worse", failure("lua", task.get, task))
        end)

        it("never begins one that has not begun", function()
            local ran = false
            local task = sched.spawn(function() ran = true end)
            task:cancel()
            assert.is_true(task:done())
            failure("cancelled", task.get, task)
            sched.drain()
            assert.is_false(ran)
        end)

        it("reaches one that runs, at its next block", function()
            local task
            task = sched.spawn(function() task:cancel() sched.sleep(5) end)
            failure("cancelled", task.get, task)
            assert.are.equal(100, w.now)
        end)

        it("reaches one that drives", function()
            local task = sched.spawn(function() ("x"):gsub("x", function() sched.sleep(100) end) end)
            sched.spawn(function() sched.sleep(1) task:cancel() end)
            failure("cancelled", task.get, task)
            assert.are.equal(101, w.now)
        end)

        it("leaves nothing behind in the future and the timers", function()
            local f = sched.future()
            local a = sched.spawn(function() f:get(50) end)
            local b = sched.spawn(function() return f:get(60) end)
            sched.sleep(1)
            a:cancel()
            failure("cancelled", a.get, a)
            f:resolve("x")
            assert.are.equal("x", b:get())
            assert.is_nil(require("orrery.timers").next())
        end)
    end)

    describe("timers", function()
        it("fire in order of time, then of making, and can be taken back", function()
            local order, timers = {}, {}
            math.randomseed(3)
            for i = 1, 500 do
                local delay = math.random(1, 20)
                timers[i] = sched.after(delay, function() table.insert(order, delay * 1000 + i) end)
            end
            local taken = 0
            for i = 1, 500, 3 do
                timers[i]:cancel()
                timers[i]:cancel()
                taken = taken + 1
            end
            sched.sleep(30)
            assert.are.equal(500 - taken, #order)
            for i = 2, #order do assert.is_true(order[i - 1] < order[i]) end
        end)

        it("report callbacks that fail", function()
            sched.after(1, function() error "tick" end)
            sched.sleep(2)
            assert.matches("tick", w.orphans[1][1].message)
        end)

        it("do not loop on a callback that makes the next one for now", function()
            local n = 0
            local function again() n = n + 1 if n < 5 then sched.after(0, again) end end
            sched.after(0, again)
            sched.run_until(function() return n == 5 end)
            assert.are.equal(100, w.now)
        end)

        it("of length 0 let the others run once, and what has arrived be seen", function()
            local n = 0
            for _ = 1, 3 do sched.spawn(function() n = n + 1 coroutine.yield() n = n + 10 end) end
            sched.sleep(0)
            assert.are.equal(3, n)
            local f = sched.future()
            w.at(0, function() f:resolve("here") end)
            assert.are.equal("here", f:get(0))
            assert.are.equal(100, w.now)
        end)

        it("of waits are gone when the wait is", function()
            local f = sched.future()
            w.at(1, function() f:resolve(1) end)
            sched.spawn(function() return f:get(1000) end)
            sched.drain()
            assert.is_nil(require("orrery.timers").next())
            assert.are.equal(101, w.now)
        end)
    end)

    describe("deadlock", function()
        it("is an error rather than a hang", function()
            local message = failure("deadlock", function() sched.future("a reply"):get() end)
            assert.matches("can never end.*: a reply", message)
            failure("deadlock", sched.run_until, function() return false end)
            sched.spawn(function() sched.future("nothing"):get() end)
            assert.matches("sched_spec.lua:%d+, waiting for nothing", failure("deadlock", sched.drain))
        end)

        it("is not seen while a timer or a task can help", function()
            local f = sched.future()
            sched.after(5, function() f:resolve("timer") end)
            assert.are.equal("timer", f:get())
            local g = sched.future()
            sched.spawn(function() g:resolve("task") end)
            assert.are.equal("task", g:get())
        end)
    end)

    describe("orphan errors", function()
        it("are reported by drain, in order, once", function()
            for i = 1, 3 do sched.spawn(function() error("e" .. i, 0) end) end
            sched.drain()
            sched.drain()
            assert.are.equal(3, #w.orphans)
            for i = 1, 3 do
                assert.are.equal("e" .. i, w.orphans[i][1].message)
                assert.matches("the task at .*sched_spec", w.orphans[i][2])
            end
        end)

        it("are reported when the future is collected", function()
            sched.spawn(function() error("gone", 0) end)
            sched.sleep(0)
            sched.sleep(0)
            collectgarbage()
            collectgarbage()
            sched.sleep(0)
            assert.are.equal("gone", w.orphans[1][1].message)
        end)

        it("are no orphans when someone looks", function()
            local a = sched.spawn(function() error("a", 0) end)
            local b = sched.spawn(function() error("b", 0) end)
            b:on_done(function() end)
            pcall(a.get, a)
            sched.spawn(function() end):cancel()
            a, b = nil, nil -- luacheck: ignore
            collectgarbage()
            collectgarbage()
            sched.drain()
            assert.are.same({}, w.orphans)
        end)
    end)

    it("passes on what poll raises", function()
        sched.set_poll(function() Error.raise { code = "cancelled", message = "interrupt" } end)
        assert.are.equal("interrupt", failure("cancelled", function() sched.future():get() end))
    end)

    it("drains, but not inside of a task", function()
        local n = 0
        for i = 1, 5 do sched.spawn(function() sched.sleep(i) sched.spawn(function() n = n + 1 end) end) end
        sched.drain()
        assert.are.equal(5, n)
        local task = sched.spawn(sched.drain)
        failure("argument", task.get, task)
    end)
end)
