local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

describe("a receiver", function()
    remote.each(function(target)
        it("gets what its sender sends there, in order", function()
            local r = orrery.receiver()
            target.ctx:cast(function(to)
                for i = 1, 1000 do to:send(i, nil, { i }) end
            end, r:sender())
            for i = 1, 1000 do
                local n, none, t = r:get(10)
                assert.are.equal(i, n)
                assert.is_nil(none)
                assert.are.equal(i, t[1])
            end
            r:close()
        end)

        it("gets messages of every shape", function()
            local r = orrery.receiver()
            target.ctx:call(function(to)
                to:send()
                to:send(nil)
                to:send(1, nil, "three", nil)
                to:send({ 4 }, nil)
            end, r:sender())
            local function count(...) return select("#", ...), ... end
            assert.are.same({ 0 }, { count(r:get(10)) })
            assert.are.same({ 1 }, { count(r:get(10)) })
            assert.are.same({ 4, 1, nil, "three", nil }, { count(r:get(10)) })
            assert.are.same({ 2, { 4 } }, { count(r:get(10)) })
            r:close()
        end)

        it("gets messages while the call that sends them runs", function()
            local to_here = orrery.receiver()
            local future = target.ctx:call_async(function(to)
                local r = require("orrery").receiver()
                to:send(r:sender())
                local total = 0
                for n in r:each(3) do total = total + n end
                r:close()
                return total
            end, to_here:sender())
            local there = to_here:get(10)
            for i = 1, 3 do there:send(i) end
            assert.are.equal(6, future:get(10))
            to_here:close()
        end)

        it("works through a sender that was sent back", function()
            local r = orrery.receiver()
            local sender = target.ctx:call(function(s) return s end, r:sender())
            sender:send "to myself"
            assert.are.equal("to myself", r:get(10))
            r:close()
        end)

        it("takes no functions from below", function()
            local r = orrery.receiver()
            local err = remote.failure(target.ctx.call, target.ctx, function(to)
                to:send(function() end)
            end, r:sender())
            assert.are.equal("encode", err.code)
            r:close()
        end)
    end)

    it("can be iterated over until it is closed", function()
        local r = orrery.receiver()
        local ctx = remote.open "local"
        ctx:call(function(to) for i = 1, 3 do to:send(i) end end, r:sender())
        local got = {}
        for n in r:each() do
            got[#got + 1] = n
            if n == 3 then r:close() end
        end
        assert.are.same({ 1, 2, 3 }, got)
        r:close()
        ctx:close()
    end)

    it("wakes who waits for it when it is closed", function()
        local r = orrery.receiver()
        local task = orrery.spawn(function() return r:get() end)
        orrery.sleep(0)
        r:close()
        assert.are.equal("closed", remote.failure(task.get, task).code)
    end)

    it("ends the iteration of a task when it is closed meanwhile", function()
        local r = orrery.receiver()
        local task = orrery.spawn(function()
            local count = 0
            for _ in r:each() do count = count + 1 end
            return count
        end)
        orrery.sleep(0)
        r:close()
        assert.are.equal(0, task:get())
    end)

    it("lets several tasks wait", function()
        local r = orrery.receiver()
        local tasks = {}
        for i = 1, 3 do tasks[i] = orrery.spawn(function() return r:get() end) end
        local sender = r:sender()
        for i = 1, 3 do sender:send(i) end
        local sum = 0
        for i = 1, 3 do sum = sum + tasks[i]:get(5) end
        assert.are.equal(6, sum)
        r:close()
    end)

    it("gets nothing after it was closed", function()
        local r = orrery.receiver()
        local sender = r:sender()
        sender:send(1)
        r:close()
        local err = remote.failure(sender.send, sender, 2)
        assert.are.equal("closed", err.code)
        assert.are.equal("the receiver was closed", err.message)
        local other = orrery.receiver()
        other:sender():send(3)
        assert.are.equal(3, other:get(5))
        other:close()
    end)

    it("says that a context is lost to who sends there", function()
        local ctx = remote.open "local"
        local there = ctx:call(function()
            _G.r = require("orrery").receiver()
            return _G.r:sender()
        end)
        there:send(1)
        ctx:close()
        assert.are.equal("closed", remote.failure(there.send, there, 2).code)
    end)
end)

describe("the end of a receiver", function()
    remote.each(function(target)
        it("is seen by its senders", function()
            local r, done = orrery.receiver(), orrery.receiver()
            local call = target.ctx:call_async(function(to, begun)
                to:send "first"
                begun:send(true)
                local ok, err = true, nil
                while ok do
                    ok, err = pcall(to.send, to, ("x"):rep(1000))
                    require("orrery").sleep(0)
                end
                return err.code, err.message, err.context
            end, r:sender(), done:sender())
            done:get(10)
            r:close()
            assert.are.same({ "closed", "the receiver was closed", "controller" }, { call:get(10) })
            -- One that had not sent before knows as well, by its second message at the latest.
            local code = target.ctx:call(function(to)
                local ok, err = pcall(function()
                    for _ = 1, 1000 do
                        to:send(2)
                        require("orrery").sleep(0.001)
                    end
                end)
                return not ok and err.code
            end, r:sender())
            assert.are.equal("closed", code)
            done:close()
        end)

        it("is seen by this script, where it is there", function()
            local there = target.ctx:call(function()
                _G.mine = require("orrery").receiver()
                return _G.mine:sender()
            end)
            there:send(1)
            target.ctx:call(function() _G.mine:close() end)
            local err = remote.failure(there.send, there, 2)
            assert.are.equal("closed", err.code)
            assert.are.equal(target.ctx.name, err.context)
            assert.are.equal("closed", remote.failure(there.send, there, 3).code)
        end)

        it("wakes senders that wait for room", function()
            local r, begun = orrery.receiver(), orrery.receiver()
            local call = target.ctx:call_async(function(to, tell)
                tell:send(true)
                local ok, err = pcall(function()
                    for _ = 1, 400 do to:send(("x"):rep(100000)) end
                end)
                return ok, err and err.code
            end, r:sender(), begun:sender())
            begun:get(10)
            remote.eventually("a full window", function() return r.messages.count >= 10 end)
            r:close()
            assert.are.same({ false, "closed" }, { call:get(10) })
            begun:close()
        end)
    end)
end)

describe("iterating over a receiver", function()
    remote.each(function(target)
        it("ends when its sender is closed, after all that was sent", function()
            local r = orrery.receiver()
            target.ctx:cast(function(to)
                for i = 1, 2000 do to:send(i, ("x"):rep(1000)) end
                to:close()
            end, r:sender())
            local n = 0
            for i in r do
                n = n + 1
                assert.are.equal(n, i)
            end
            assert.are.equal(2000, n)
            local err = remote.failure(r.get, r)
            assert.are.equal("closed", err.code)
            assert.are.equal("every sender of this receiver was closed", err.message)
            r:close()
        end)

        it("ends with the error of a peer that was lost", function()
            local r = orrery.receiver()
            local ctx = remote.open(target.name, { name = "mortal" })
            ctx:call(function(to)
                _G.to = to
                for i = 1, 3 do to:send(i) end
            end, r:sender())
            local seen = {}
            local err = remote.failure(function()
                for i in r do
                    seen[#seen + 1] = i
                    if i == 3 then ctx:cast(function() os.exit(3) end) end
                end
            end)
            assert.are.equal("dead", err.code)
            assert.are.equal("mortal", err.context)
            assert.are.same({ 1, 2, 3 }, seen)
            r:close()
        end)

        it("ends with the error that its sender was closed with", function()
            local r = orrery.receiver()
            target.ctx:cast(function(to)
                to:send(1)
                to:close(require("orrery.error").new { code = "file", message = "the log is gone" })
                to:close()
            end, r:sender())
            local seen = {}
            local err = remote.failure(function()
                for i in r:each() do seen[#seen + 1] = i end
            end)
            assert.are.same({ 1 }, seen)
            assert.are.same({ "file", "the log is gone", target.ctx.name }, { err.code, err.message, err.context })
            r:close()
        end)
    end)

    local function open(n)
        local list = {}
        for i = 1, n do list[i] = orrery.localhost { name = "web" .. i } end
        return list
    end

    local function close(list) for _, ctx in ipairs(list) do ctx:close() end end

    it("goes on until the last of several senders is closed", function()
        local hosts, r = open(3), orrery.receiver()
        for i, ctx in ipairs(hosts) do
            ctx:cast(function(to, n)
                for _ = 1, n do to:send(n) end
                to:close()
            end, r:sender(), i * 10)
        end
        local counts = {}
        for n in r do counts[n] = (counts[n] or 0) + 1 end
        assert.are.same({ [10] = 10, [20] = 20, [30] = 30 }, counts)
        r:close()
        close(hosts)
    end)

    it("tells of a lost one when the others have finished", function()
        local hosts, r = open(2), orrery.receiver()
        hosts[1]:call(function(to) _G.to = to to:send "one" end, r:sender())
        hosts[2]:call(function(to) _G.to = to to:send "two" end, r:sender())
        local seen = {}
        local err = remote.failure(function()
            for word in r do
                seen[#seen + 1] = word
                if #seen == 2 then
                    remote.kill(hosts[1]:info().pid)
                    hosts[2]:cast(function()
                        require("orrery").sleep(0.05)
                        _G.to:send "three"
                        _G.to:close()
                    end)
                end
            end
        end)
        assert.are.same({ "one", "two", "three" }, seen)
        assert.are.equal("dead", err.code)
        assert.are.equal("web1", err.context)
        r:close()
        close(hosts)
    end)

    it("ends quietly when the script closes the context", function()
        local hosts, r = open(1), orrery.receiver()
        hosts[1]:call(function(to) _G.to = to to:send(1) end, r:sender())
        local n = 0
        for _ in r do
            n = n + 1
            hosts[1]:close()
        end
        assert.are.equal(1, n)
        r:close()
    end)

    it("counts each sender that was handed out", function()
        local hosts, r = open(1), orrery.receiver()
        hosts[1]:call(function(a, b)
            a:send "a"
            a:close()
            _G.b = b
        end, r:sender(), r:sender())
        assert.are.equal("a", r:get(10))
        assert.are.equal("timeout", remote.failure(r.get, r, 0.05).code)
        hosts[1]:call(function() _G.b:send "b" _G.b:close() end)
        local seen = {}
        for word in r do seen[#seen + 1] = word end
        assert.are.same({ "b" }, seen)
        -- It goes on where one is handed out again.
        hosts[1]:call(function(to) to:send "again" to:close() end, r:sender())
        for word in r do seen[#seen + 1] = word end
        assert.are.same({ "b", "again" }, seen)
        r:close()
        close(hosts)
    end)

    it("counts those that captured functions and nested values have", function()
        local hosts, r = open(1), orrery.receiver()
        local to = r:sender()
        local box = { list = { to } }
        hosts[1]:call(function()
            to:send "captured"
            to:close()
        end)
        hosts[1]:call(function(b)
            b.list[1]:send "nested"
            b.list[1]:close()
        end, box)
        local seen = {}
        for word in r do seen[#seen + 1] = word end
        assert.are.same({ "captured", "nested" }, seen)
        r:close()
        close(hosts)
    end)

    it("ends for senders of this process that are closed", function()
        local r = orrery.receiver()
        local to = r:sender()
        local task = orrery.spawn(function()
            local n = 0
            for _ in r do n = n + 1 end
            return n
        end)
        for i = 1, 5 do to:send(i) end
        to:close()
        assert.are.equal(5, task:get(10))
        assert.are.equal("closed", remote.failure(to.send, to, 1).code)
        r:close()
    end)

    it("moves to a thread with what it knows of its senders", function()
        local hosts, r = open(1), orrery.receiver()
        hosts[1]:call(function(to) _G.to = to to:send(1) end, r:sender())
        local thread = orrery.thread(function()
            local n = 0
            for _ in r do n = n + 1 end
            return n
        end)
        hosts[1]:call(function() _G.to:send(2) _G.to:close() end)
        assert.are.equal(2, thread:get(10))
        close(hosts)
    end)
end)

describe("a sender that is handed over", function()
    local a, b, c

    setup(function()
        a, b, c = orrery.localhost { name = "a" }, orrery.localhost { name = "b" }, orrery.localhost { name = "c" }
    end)

    teardown(function()
        for _, ctx in ipairs { a, b, c } do ctx:close() end
    end)

    -- A new receiver in a context; returns its sender.
    local function receiver_in(ctx)
        return ctx:call(function()
            _G.r = require("orrery").receiver()
            return _G.r:sender()
        end)
    end

    local function get_in(ctx) return ctx:call(function() return _G.r:get(10) end) end

    local function close_in(ctx) ctx:call(function() _G.r:close() end) end

    local ways = {
        ["an argument of a call"] = function(to) b:call(function(s) s:send "hello" end, to) end,
        ["a value inside of an argument"] = function(to)
            b:call(function(t) t.deep[1].er:send "hello" end, { deep = { { er = to } } })
        end,
        ["a captured variable"] = function(to) b:call(function() to:send "hello" end) end,
        ["an argument of a cast"] = function(to) b:cast(function(s) s:send "hello" end, to) end,
        ["a message to a receiver"] = function(to)
            local there = b:call(function()
                _G.senders = require("orrery").receiver()
                return _G.senders:sender()
            end)
            there:send(to)
            b:call(function()
                _G.senders:get(10):send "hello"
                _G.senders:close()
            end)
        end,
        ["a result of a service"] = function(to)
            local service = orrery.service("senders", { get = function() return to end })
            b:call(function() require("orrery").service("senders").get():send "hello" end)
            service:close()
        end,
    }
    for name, hand_over in pairs(ways) do
        it("as " .. name .. " can be used by its new holder", function()
            local to = receiver_in(a)
            hand_over(to)
            assert.are.equal("hello", get_in(a))
            close_in(a)
        end)
    end

    it("makes the receiver count its new holder, and not this script", function()
        local to = receiver_in(a)
        local finished = a:call_async(function()
            local n = 0
            for _ in _G.r do n = n + 1 end
            _G.r:close()
            return n
        end)
        b:call(function(s) _G.s = s s:send(1) end, to)
        c:call(function(s) s:send(2) s:close() end, to)
        to:send(3)
        to:close()
        b:call(function() _G.s:send(4) _G.s:close() end)
        assert.are.equal(4, finished:get(10))
    end)

    it("is of no use to another one", function()
        local to = receiver_in(a)
        b:call(function(s) s:send(1) end, to)
        -- A stranger has its numbers by other ways, and was never given it.
        local stranger = orrery.localhost { name = "stranger" }
        local code, message = stranger:call(function(context, handle)
            local sender = setmetatable({ context = context, handle = handle },
                require("orrery.codec").typed "sender")
            local ok, err = pcall(function()
                for _ = 1, 1000 do
                    sender:send(2)
                    require("orrery").sleep(0.001)
                end
            end)
            return not ok and err.code, not ok and err.message
        end, to.context, to.handle)
        assert.are.equal("denied", code)
        assert.matches("refused on its way: see orrery%.allow", message)
        assert.are.equal(1, get_in(a))
        assert.are.equal("timeout", a:call(function() return select(2, pcall(_G.r.get, _G.r, 0.05)).code end))
        stranger:close()
        close_in(a)
    end)

    it("cannot be made up by a child", function()
        local to = receiver_in(a)
        local forger = orrery.localhost { name = "forger" }
        local err = remote.failure(forger.call, forger, function(context, handle)
            return { setmetatable({ context = context, handle = handle }, require("orrery.codec").typed "sender") }
        end, to.context, to.handle)
        assert.are.equal("denied", err.code)
        assert.matches("which it was never given", err.message)
        forger:close()
        -- What was given comes back.
        local back = b:call(function(s) return s end, to)
        back:send "home"
        assert.are.equal("home", get_in(a))
        close_in(a)
    end)

    it("slows down its holder when its receiver does not read, and nobody else", function()
        local to = receiver_in(a)
        local call = b:call_async(function(s)
            for i = 1, 300 do s:send(i, ("x"):rep(100000)) end
            s:close()
            return "sent"
        end, to)
        to:close() -- this script's
        local err = remote.failure(call.get, call, 0.3)
        assert.are.equal("timeout", err.code)
        assert.are.equal("5", a:call("tostring", 5))
        assert.are.equal("6", b:call("tostring", 6))
        assert.are.equal(300, a:call(function()
            local n = 0
            for i in _G.r do
                n = n + 1
                assert(i == n)
            end
            return n
        end))
        assert.are.equal("sent", call:get(10))
        close_in(a)
    end)

    it("can be used from anywhere in the tree", function()
        local deep = a:localhost { name = "deep" }
        local deepest = deep:localhost { name = "deepest" }
        local beside = a:localhost { name = "beside" }
        local to = receiver_in(deepest)
        local users = { a, deep, beside, b }
        for _, ctx in ipairs(users) do
            ctx:call(function(s)
                s:send(1)
                s:close()
            end, to)
        end
        to:close()
        assert.are.equal(#users, deepest:call(function()
            local n = 0
            for i in _G.r do n = n + i end
            _G.r:close()
            return n
        end))
        for _, ctx in ipairs { beside, deepest, deep } do ctx:close() end
    end)

    it("tells its holder that the receiver's context is lost", function()
        local mortal = orrery.localhost { name = "mortal" }
        local to = receiver_in(mortal)
        b:call(function(s) _G.s = s s:send(1) end, to)
        remote.kill(mortal:info().pid)
        remote.eventually("its end", function() return not require("orrery.core").context(mortal.id) end)
        local code, context = b:call(function()
            local _, err = pcall(_G.s.send, _G.s, 2)
            return err.code, err.context
        end)
        assert.are.same({ "dead", "mortal" }, { code, context })
    end)

    it("tells the receiver that its holder is lost", function()
        local mortal = orrery.localhost { name = "mortal" }
        local to = receiver_in(a)
        local iterating = a:call_async(function()
            local ok, err = pcall(function() for _ in _G.r do _ = nil end end)
            _G.r:close()
            return ok, err.code, err.context
        end)
        mortal:call(function(s) s:send(1) end, to)
        to:close()
        remote.kill(mortal:info().pid)
        assert.are.same({ false, "dead", "mortal" }, { iterating:get(10) })
    end)
end)
