local orrery = require "orrery"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local LONG = 1000 -- seconds: what waits so long was not waited for

-- Threads of this process that run Lua.
local function count_threads()
    local n = 0
    for _, tid in ipairs(remote.names "/proc/self/task") do
        if tid:match "^%d+$" and remote.slurp("/proc/self/task/" .. tid .. "/comm") == "orrery-thread\n" then
            n = n + 1
        end
    end
    return n
end

-- Waits without letting the loop run.
local function busy_until(what, condition)
    local system = require "system"
    local deadline = system.monotime() + 10
    while not condition() do
        if system.monotime() > deadline then error("this did not come about: " .. what, 2) end
    end
end

describe("a thread", function()
    it("gives what its function returns", function()
        local t = orrery.thread(function(a, b, ...) return a + b, nil, { ... }, select("#", ...) end,
            1, 2, "x", nil)
        local sum, nothing, rest, n = t:get(5)
        assert.are.equal(3, sum)
        assert.is_nil(nothing)
        assert.are.same({ "x" }, rest)
        assert.are.equal(2, n)
        assert.is_true(t:done())
        assert.are.equal(3, (t:get()))
    end)

    it("has a Lua state of its own", function()
        _G.mark = "here"
        local seen, copied = orrery.thread(function(list)
            list[1] = "there"
            return tostring(_G.mark), list
        end, { "mine" }):get(5)
        _G.mark = nil
        assert.are.equal("nil", seen)
        assert.are.same({ "there" }, copied)
    end)

    it("takes upvalues along by value", function()
        local list, up = { 1, 2 }, 40
        local function add(n) return up + n end
        local t = orrery.thread(function()
            up = up + 1
            list[3] = 3
            return add(#list), list
        end)
        local sum, other = t:get(5)
        assert.are.equal(44, sum)
        assert.are.same({ 1, 2, 3 }, other)
        assert.are.equal(40, up)
        assert.are.equal(2, #list)
    end)

    it("finds modules where the script does", function()
        local dir = remote.directory()
        remote.write(dir .. "/spec_thread_module.lua", "return { answer = function(n) return n + 1 end }")
        local path = package.path
        finally(function()
            package.path = path
            package.loaded.spec_thread_module = nil
            remote.remove(dir)
        end)
        package.path = dir .. "/?.lua;" .. path
        assert.are.equal(8, orrery.thread(function()
            return require("spec_thread_module").answer(7)
        end):get(5))
        local module = require "spec_thread_module"
        assert.are.equal(9, orrery.thread(function() return module.answer(8) end):get(5))
    end)

    it("may return functions", function()
        local n = 5
        local add = orrery.thread(function() return function(m) return n + m end end):get(5)
        assert.are.equal(7, add(2))
    end)

    it("says what cannot travel to it, and does not start", function()
        local before = count_threads()
        local err = remote.failure(orrery.thread, function() end, { x = { io = newproxy() } })
        assert.are.equal("encode", err.code)
        assert.matches("args%[1%]%.x%.io", err.message)
        assert.are.equal("argument", remote.failure(orrery.thread, "os.time").code)
        assert.are.equal(before, count_threads())
    end)

    it("raises the error of its function, with the traceback", function()
        local t = orrery.thread(function() local t = nil; return t.x end)
        local err = remote.failure(t.get, t, 5)
        assert.are.equal("lua", err.code)
        assert.matches("thread_spec.lua:%d+: attempt to index", err.message)
        assert.matches("thread_spec.lua:%d+: in function", err.traceback)
        assert.is_nil(err.traceback:find("thread_main", 1, true))
        t = orrery.thread(function() error { code = 7 } end)
        assert.are.same({ code = 7 }, remote.failure(t.get, t, 5).value)
    end)

    it("reports a result that cannot travel as its error", function()
        local t = orrery.thread(function() return { co = coroutine.create(print) } end)
        local err = remote.failure(t.get, t, 5)
        assert.are.equal("encode", err.code)
        assert.matches("co", err.message)
    end)

    it("ends with the tasks that it has started", function()
        local r = orrery.receiver()
        orrery.thread(function(to)
            local api = require "orrery"
            api.spawn(function()
                api.sleep(0.01)
                to:send "task"
            end)
            to:send "function"
        end, r:sender()):get(5)
        assert.are.same({ "function", "task" }, { r:get(5), r:get(0) })
        r:close()
    end)

    it("that waits for nothing is told so", function()
        local t = orrery.thread(function()
            local f = require("orrery.sched").future "what never comes"
            f:get()
        end)
        local err = remote.failure(t.get, t, 5)
        assert.are.equal("deadlock", err.code)
        assert.matches("what never comes", err.message)
    end)

    it("runs beside a script that is busy", function()
        local path = os.tmpname()
        local t = orrery.thread(function(to)
            local file = io.open(to, "w")
            file:write "done"
            file:close()
        end, path)
        busy_until("the thread writes", function() return remote.slurp(path) == "done" end)
        os.remove(path)
        t:get(5)
    end)

    it("is waited for by tasks, which let others run", function()
        local order = {}
        local tasks = {}
        for i = 1, 3 do
            tasks[i] = orrery.spawn(function()
                local done = orrery.thread(function(n)
                    require("orrery").sleep(0.01)
                    return n
                end, i):get(5)
                order[#order + 1] = done
            end)
        end
        for i = 1, 3 do tasks[i]:get(5) end
        table.sort(order)
        assert.are.same({ 1, 2, 3 }, order)
    end)

    it("may start threads", function()
        assert.are.equal(6, orrery.thread(function()
            local api = require "orrery"
            local threads, sum = {}, 0
            for i = 1, 3 do threads[i] = api.thread(function(n) return n end, i) end
            for i = 1, 3 do sum = sum + threads[i]:get() end
            return sum
        end):get(5))
    end)
end)

describe("cancelling a thread", function()
    it("interrupts what it waits for", function()
        local t = orrery.thread(function(seconds) require("orrery").sleep(seconds) end, LONG)
        assert.is_true(t:cancel "enough")
        assert.is_false(t:cancel())
        local err = remote.failure(t.get, t, 5)
        assert.are.equal("cancelled", err.code)
        assert.matches("the thread at .*thread_spec.lua:%d+ was cancelled: enough", err.message)
        assert.are.equal(0, count_threads())
    end)

    it("lets it clean up, and waits for that", function()
        local r = orrery.receiver()
        local t = orrery.thread(function(to, seconds)
            local api = require "orrery"
            to:send "begun"
            local ok, err = pcall(api.sleep, seconds)
            to:send(ok, err.code)
            api.sleep(0.01)
            to:send "cleaned up"
        end, r:sender(), LONG)
        assert.are.equal("begun", r:get(5))
        t:cancel()
        assert.are.equal("cancelled", remote.failure(t.get, t, 5).code)
        assert.are.same({ false, "cancelled" }, { r:get(0) })
        assert.are.equal("cleaned up", r:get(0))
        r:close()
    end)

    it("gives its own error where it raises one", function()
        local r = orrery.receiver()
        local t = orrery.thread(function(to, seconds)
            to:send "begun"
            pcall(require("orrery").sleep, seconds)
            error("not so", 0)
        end, r:sender(), LONG)
        assert.are.equal("begun", r:get(5))
        r:close()
        t:cancel()
        assert.are.equal("not so", remote.failure(t.get, t, 5).message)
    end)

    it("ends its calls and its threads' waits, too", function()
        local ctx = remote.open "local"
        local r = orrery.receiver()
        local t = orrery.thread(function(c, to, seconds)
            local inner = require("orrery").thread(function(cc, too, s)
                return cc:call(function(tooo, ss)
                    tooo:send "begun"
                    local ok, err = pcall(require("orrery").sleep, ss)
                    tooo:send(ok, err.code)
                end, too, s)
            end, c, to, seconds)
            inner:take()
        end, ctx, r:sender(), LONG)
        assert.are.equal("begun", r:get(5))
        t:cancel()
        assert.are.equal("cancelled", remote.failure(t.get, t, 5).code)
        assert.are.same({ false, "cancelled" }, { r:get(5) })
        r:close()
        ctx:close()
    end)

    it("by a deadline leaves the thread to its starter, or ends it", function()
        local t = orrery.thread(function(seconds) require("orrery").sleep(seconds) end, LONG)
        assert.are.equal("timeout", remote.failure(t.get, t, 0.01).code)
        assert.is_false(t:done())
        local err = remote.failure(t.take, t, 0.01)
        assert.are.equal("timeout", err.code)
        assert.are.equal(err, remote.failure(t.get, t, 5))
    end)
end)

describe("what is passed to a thread", function()
    local ctx

    setup(function() ctx = remote.open "local" end)
    teardown(function() ctx:close() end)

    it("may be a context", function()
        local pid = ctx:info().pid
        local other, name, result, out, same = orrery.thread(function(c)
            local file = io.open("/proc/self/stat")
            local here = file:read("*n")
            file:close()
            return c:call(function() return tonumber(io.open("/proc/self/stat"):read("*n")) end), c.name,
                here, c:shell("echo $PPID").stdout, c
        end, ctx):get(5)
        assert.are.equal(pid, other)
        assert.are.equal("localhost", name)
        assert.are_not.equal(pid, result)
        assert.are.equal(pid, tonumber(out))
        assert.are.equal(ctx, same)
        assert.are.equal(ctx, orrery.context(ctx.id))
    end)

    it("may be a context that is lost meanwhile", function()
        local victim = remote.open "local"
        local r = orrery.receiver()
        local t = orrery.thread(function(c, to, seconds)
            c:call(function(too, s)
                too:send "begun"
                require("orrery").sleep(s)
            end, to, seconds)
        end, victim, r:sender(), LONG)
        assert.are.equal("begun", r:get(5))
        remote.kill(victim:info().pid)
        local err = remote.failure(t.get, t, 5)
        assert.are.equal("dead", err.code)
        assert.are.equal("localhost", err.context)
        r:close()
        victim:close()
    end)

    it("may be a sender", function()
        local r = orrery.receiver()
        orrery.thread(function(to) for i = 1, 1000 do to:send(i) end end, r:sender()):get(5)
        for i = 1, 1000 do assert.are.equal(i, (r:get(5))) end
        r:close()
    end)

    it("may be a receiver, which moves", function()
        local r = orrery.receiver()
        local to = r:sender()
        to:send(1)
        to:send("two", nil, { 2 })
        orrery.sleep(0) -- some are in its queue, some on their way
        to:send(3)
        local t = orrery.thread(function(from)
            local got = { n = 0 }
            while true do
                local n, _, more = from:get(5)
                if n == nil then break end
                got.n = got.n + 1
                got[got.n] = { n, more }
            end
            from:close()
            return got, from.handle
        end, r)
        local closed = remote.failure(r.get, r)
        assert.are.equal("closed", closed.code)
        assert.matches("moved", closed.message)
        assert.are.equal("closed", remote.failure(orrery.thread, function() end, r).code)
        to:send(4)
        to:send(nil)
        local got, handle = t:get(5)
        assert.are.same({ { 1 }, { "two", { 2 } }, { 3 }, { 4 }, n = 4 }, got)
        assert.are.equal(to.handle, handle)
        r:close()
    end)

    it("may be a receiver that is captured, or deep in a table, once", function()
        local r = orrery.receiver()
        local to = r:sender()
        local box = { deep = { r } }
        local t = orrery.thread(function(other)
            return r == box.deep[1] and r == other, r:get(5), r:sender().handle
        end, r)
        to:send "x"
        local same, value, handle = t:get(5)
        assert.is_true(same)
        assert.are.equal("x", value)
        assert.are.equal(to.handle, handle)
    end)

    -- A child sends all the time while the receiver goes from thread to thread.
    it("loses and reorders nothing of what comes to a receiver that moves", function()
        local count, hops = 20000, 20
        local r = orrery.receiver()
        ctx:cast(function(to, n) for i = 1, n do to:send(i) end end, r:sender(), count)
        local function hop(from, expected, left, last)
            local api = require "orrery"
            local stop = math.min(last, expected + math.floor(last / 40))
            while left == 0 and expected <= last or expected < stop do
                local n = from:get(10)
                if n ~= expected then error(("%d came, not %d"):format(n, expected)) end
                expected = expected + 1
            end
            if expected > last then
                from:close()
                return expected
            end
            return api.thread(debug.getinfo(1, "f").func, from, expected, left - 1, last):get()
        end
        assert.are.equal(count + 1, orrery.thread(hop, r, 1, hops, count):get(30))
    end)

    it("may be nothing that a failed start takes away", function()
        local r = orrery.receiver()
        assert.are.equal("encode", remote.failure(orrery.thread, function() end, r, newproxy()).code)
        r:sender():send "still here"
        assert.are.equal("still here", r:get(5))
        r:close()
    end)
end)

describe("a thread and contexts", function()
    it("closes the contexts that it has opened when it ends", function()
        local id, pid = orrery.thread(function()
            local c = require("orrery").localhost()
            return c.id, c:info().pid
        end):get(5)
        remote.eventually("the child's end", function() return not remote.alive(pid) end)
        assert.is_nil(orrery.context(id))
    end)

    it("ends an opening that is under way when it is cancelled", function()
        if not lab.need(2, { foreign = true, isolated = true }) then return end
        lab.cut "h1"
        finally(function() lab.heal "h1" end)
        local t = orrery.thread(function(config)
            require("orrery").ssh("h1", { config = config })
        end, lab.ssh_config())
        orrery.sleep(0.05)
        t:cancel()
        assert.are.equal("cancelled", remote.failure(t.get, t, 10).code)
    end)

    it("runs commands that its sibling's do not disturb", function()
        local ctx = remote.open "local"
        local threads = {}
        for i = 1, 8 do
            threads[i] = orrery.thread(function(c, n)
                local out = {}
                for k = 1, 10 do out[k] = c:run { "echo", n, k }.stdout end
                return table.concat(out)
            end, ctx, i)
        end
        for i = 1, 8 do
            local expected = {}
            for k = 1, 10 do expected[k] = ("%d %d\n"):format(i, k) end
            assert.are.equal(table.concat(expected), threads[i]:get(20))
        end
        ctx:close()
    end)

    it("moves files beside others", function()
        local ctx = remote.open "local"
        local dir = remote.directory()
        local threads = {}
        for i = 1, 4 do
            remote.write(dir .. "/from" .. i, ("%d\n"):format(i):rep(100000))
            threads[i] = orrery.thread(function(c, d, n)
                local sent = c:put(d .. "/from" .. n, d .. "/to" .. n)
                return sent.hash == c:get(d .. "/to" .. n, d .. "/back" .. n).hash
            end, ctx, dir, i)
        end
        for i = 1, 4 do
            assert.is_true(threads[i]:get(20))
            assert.are.equal(remote.slurp(dir .. "/from" .. i), remote.slurp(dir .. "/back" .. i))
        end
        remote.remove(dir)
        ctx:close()
    end)

    it("is at home in a child, too", function()
        local ctx = remote.open "local"
        local dir = remote.directory()
        remote.write(dir .. "/spec_thread_there.lua", "return { twice = function(n) return 2 * n end }")
        local path = package.path
        finally(function()
            package.path = path
            remote.remove(dir)
        end)
        package.path = dir .. "/?.lua;" .. path
        local sum, id = ctx:call(function(n)
            local api = require "orrery"
            local threads, total = {}, 0
            for i = 1, n do
                threads[i] = api.thread(function(k) return require("spec_thread_there").twice(k) end, i)
            end
            for i = 1, n do total = total + threads[i]:get() end
            local self = api.thread(function() return (require("orrery.core").self()) end):get()
            return total, self
        end, 4)
        assert.are.equal(20, sum)
        assert.are.equal(ctx.id, id)
        ctx:close()
    end)

    it("ends with the child that it runs in", function()
        local ctx = remote.open "local"
        local pid = ctx:info().pid
        ctx:call(function(seconds)
            local api = require "orrery"
            api.thread(function(s) api.sleep(s) end, seconds)
            api.thread(function() while true do pcall(api.sleep, 0.01) end end)
        end, LONG)
        ctx:close()
        remote.eventually("the child's end", function() return not remote.alive(pid) end)
    end)

    -- A child asks whoever is there: the main thread waits in a command, and not for messages.
    it("answers a child's question for a module where the script is busy", function()
        local ctx = remote.open "local"
        local dir = remote.directory()
        remote.write(dir .. "/spec_thread_asked.lua", "return { answer = 42 }")
        local path = package.path
        finally(function()
            package.path = path
            remote.remove(dir)
        end)
        package.path = dir .. "/?.lua;" .. path
        local out = os.tmpname()
        local t = orrery.thread(function(c, to)
            local answer = c:call(function() return require("spec_thread_asked").answer end)
            local file = io.open(to, "w")
            file:write(answer)
            file:close()
        end, ctx, out)
        busy_until("the child has its module", function() return remote.slurp(out) == "42" end)
        os.remove(out)
        t:get(5)
        ctx:close()
    end)
end)

describe("the end of a program with threads", function()
    local function run(text, ...)
        local program = remote.program(text, nil, ...)
        local said, why = program:rest(), program:stderr()
        program:finish()
        return said, why
    end

    it("tells them to end, and waits", function()
        local said, why = run [[
            local r = orrery.receiver()
            orrery.thread(function(to)
                local api = require "orrery"
                to:send "begun"
                local ok, err = pcall(api.sleep, 1000)
                io.stdout:write("one ", tostring(ok), " ", err.code, "\n")
                io.stdout:flush()
            end, r:sender())
            orrery.thread(function(to)
                to:send "begun"
                while true do pcall(require("orrery").sleep, 0.01) end
            end, r:sender())
            r:get()
            r:get()
            say "over"
        ]]
        assert.are.equal("", why)
        assert.are.equal("over\none false closed\n", said)
    end)

    it("is that of its threads where the script has ended", function()
        local dir = remote.directory()
        remote.write(dir .. "/script.lua", [[
            local orrery = require "orrery"
            orrery.thread(function() require("orrery").sleep(0.05) print "waited for" end)
            orrery.thread(function() error "unseen" end)
            print "script"
        ]])
        local command = ("%s/orrery run %s/script.lua 2>%s/stderr"):format(
            os.getenv "ORRERY_BUILD", dir, dir)
        local pipe = io.popen(command)
        local said = pipe:read("*a")
        pipe:close()
        local why = remote.slurp(dir .. "/stderr")
        remote.remove(dir)
        assert.are.equal("script\nwaited for\n", said)
        assert.matches("the thread at .*script.lua:3 failed, and nobody waits for it:\n.*unseen", why)
    end)
end)

describe("threads that know nothing of each other", function()
    it("share children: every call ends once, with its own answer or its own error", function()
        local calls = remote.sanitized and 500 or 2000
        local pipe = io.popen(("%s/orrery run spec/support/thread_stress.lua 8 %d 4 %d 2>&1"):format(
            os.getenv "ORRERY_BUILD", calls, os.time()))
        local said = pipe:read("*a")
        pipe:close()
        assert.matches("^done: %d+ calls: %d+ answers, %d+ errors, %d+ cancelled, %d+ timed out\n$", said)
        assert.is_true(tonumber(said:match "%d+") >= 8 * calls)
    end)
end)
