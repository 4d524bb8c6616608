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
        sender:send(2)
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
