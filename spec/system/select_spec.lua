local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard()

local function receivers(n)
    local list = {}
    for i = 1, n do list[i] = orrery.receiver() end
    return list
end

local function close(list)
    for _, r in ipairs(list) do r:close() end
end

describe("select", function()
    it("returns the receiver that has a message, and its values", function()
        local rs = receivers(3)
        rs[2]:sender():send("a", nil, 3)
        local function packed(...) return select("#", ...), { ... } end
        local n, got = packed(orrery.select(rs[1], rs[2], rs[3], 10))
        assert.are.equal(4, n)
        assert.are.equal(rs[2], got[1])
        assert.are.same({ "a", nil, 3 }, { got[2], got[3], got[4] })
        close(rs)
    end)

    -- Both outside of tasks and in one.
    local function in_both(name, body)
        it(name .. ", outside of tasks", body)
        it(name .. ", in a task", function() orrery.spawn(body):get(30) end)
    end

    in_both("waits for messages from contexts", function()
        local ctx = orrery.localhost()
        local rs = receivers(2)
        local call = ctx:call_async(function(a, b)
            a:send(1)
            b:send(2)
            a:close()
            b:close()
        end, rs[1]:sender(), rs[2]:sender())
        local seen = {}
        while true do
            local which, value = orrery.select(rs[1], rs[2], 10)
            if not which then break end
            seen[which == rs[1] and "a" or "b"] = value
        end
        assert.are.same({ a = 1, b = 2 }, seen)
        call:get(10)
        close(rs)
        ctx:close()
    end)

    in_both("waits for futures beside receivers", function()
        local ctx, r = orrery.localhost(), orrery.receiver()
        local call = ctx:call_async(function() return "first", "second" end)
        local which, a, b = orrery.select(r, call, 10)
        assert.are.equal(call, which)
        assert.are.same({ "first", "second" }, { a, b })
        local task = orrery.spawn(function() return 7 end)
        assert.are.same({ task, 7 }, { orrery.select(r, task, 10) })
        r:close()
        ctx:close()
    end)

    in_both("is over in time", function()
        local rs = receivers(2)
        local err = remote.failure(orrery.select, rs[1], rs[2], 0.01)
        assert.are.equal("timeout", err.code)
        assert.matches("one of 2 receivers and futures", err.message)
        assert.are.equal("timeout", remote.failure(orrery.select, rs[1], 0).code)
        rs[1]:sender():send "late"
        assert.are.same({ rs[1], "late" }, { orrery.select(rs[1], rs[2], 10) })
        close(rs)
    end)

    it("raises the error of the future that is done", function()
        local r = orrery.receiver()
        local task = orrery.spawn(function() error({ code = 1 }, 0) end)
        local ok, err = pcall(orrery.select, r, task, 10)
        assert.is_false(ok)
        assert.are.equal(1, err.value.code)
        r:close()
    end)

    it("takes turns where all have something", function()
        local rs = receivers(3)
        for _, r in ipairs(rs) do
            local to = r:sender()
            for i = 1, 30 do to:send(i) end
        end
        for _, r in ipairs(rs) do
            remote.eventually("all messages", function() return r.messages.count == 30 end)
        end
        local counts = { 0, 0, 0 }
        for _ = 1, 30 do
            local which = orrery.select(rs[1], rs[2], rs[3], 10)
            for i = 1, 3 do
                if which == rs[i] then counts[i] = counts[i] + 1 end
            end
        end
        assert.are.same({ 10, 10, 10 }, counts)
        close(rs)
    end)

    it("leaves alone what it does not return, and does not pile up", function()
        local busy, quiet = orrery.receiver(), orrery.receiver()
        local to = busy:sender()
        for i = 1, 100 do
            orrery.spawn(function() to:send(i) end)
            assert.are.same({ busy, i }, { orrery.select(busy, quiet, 10) })
        end
        -- Whoever waited for it is gone.
        local waiter = quiet.messages.waiter
        assert.is_true(not waiter or (not waiter.observer and #(waiter.observers or {}) == 0))
        quiet:sender():send "there"
        assert.are.equal("there", quiet:get(10))
        close { busy, quiet }
    end)

    it("can be waited in by several at once", function()
        local r, other = orrery.receiver(), orrery.receiver()
        local tasks = {}
        for i = 1, 4 do
            tasks[i] = orrery.spawn(function() return select(2, orrery.select(r, other, 10)) end)
        end
        orrery.sleep(0)
        for i = 1, 4 do r:sender():send(i) end
        local sum = 0
        for i = 1, 4 do sum = sum + tasks[i]:get(10) end
        assert.are.equal(10, sum)
        close { r, other }
    end)

    it("can be cancelled", function()
        local r = orrery.receiver()
        local task = orrery.spawn(function() return orrery.select(r) end)
        orrery.sleep(0)
        task:cancel "enough"
        assert.are.equal("cancelled", remote.failure(task.get, task, 10).code)
        r:sender():send "kept"
        assert.are.equal("kept", r:get(10))
        r:close()
    end)

    it("passes over receivers that are closed, and ends when all are", function()
        local rs = receivers(2)
        rs[1]:close()
        rs[2]:sender():send(1)
        assert.are.same({ rs[2], 1 }, { orrery.select(rs[1], rs[2], 10) })
        local task = orrery.spawn(function() return orrery.select(rs[1], rs[2], 10) end)
        orrery.sleep(0)
        rs[2]:close()
        assert.is_nil(task:get(10))
        assert.is_nil((orrery.select()))
    end)

    it("raises the error of a peer that was lost", function()
        local r, quiet = orrery.receiver(), orrery.receiver()
        local ctx = orrery.localhost { name = "mortal" }
        ctx:call(function(to) _G.to = to end, r:sender())
        remote.kill(ctx:info().pid)
        local err = remote.failure(orrery.select, r, quiet, 10)
        assert.are.equal("dead", err.code)
        assert.are.equal("mortal", err.context)
        close { r, quiet }
    end)

    it("takes nothing else", function()
        local err = remote.failure(function() orrery.select(orrery, 1) end)
        assert.are.equal("argument", err.code)
        assert.matches("argument 1: a receiver or a future", err.message)
        assert.matches("select_spec", err.at)
    end)

    it("does not spin while it waits", function()
        local rs = receivers(2)
        local began = os.clock()
        remote.failure(orrery.select, rs[1], rs[2], 0.3)
        assert.is_true(os.clock() - began < 0.2)
        close(rs)
    end)
end)
