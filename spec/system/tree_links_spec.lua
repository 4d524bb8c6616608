local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local tree = require "spec.support.tree"

leak.guard { timeout = 30 }

local chain, ended, assert_killed, route_of = tree.chain, tree.ended, tree.assert_killed, tree.route_of

describe("a link that dies", function()
    --- What a waiting call gets, and that it is all it gets.
    local function outcome(call)
        local count = 0
        call:on_done(function() count = count + 1 end)
        local err = remote.failure(call.get, call, 20)
        assert.are.equal(1, count)
        return err
    end

    for link = 1, 4 do
        it(("ends every call behind it: the %d. of 4"):format(link), function()
            local list = chain(4)
            local calls, commands = {}, {}
            for i, ctx in ipairs(list) do
                calls[i] = ctx:call_async(function() require("orrery").sleep(1000) end)
                commands[i] = orrery.spawn(ctx.run, ctx, { "sleep", tostring(remote.seconds(i)) })
                ctx:call(function() end)
            end
            remote.eventually("all commands", function()
                for i = 1, 4 do
                    if #remote.processes("local", "sleep " .. remote.seconds(i)) == 0 then return false end
                end
                return true
            end)
            remote.kill(list[link]:info().pid)
            for i = link, 4 do
                for _, waiting in ipairs { calls[i], commands[i] } do
                    local err = outcome(waiting)
                    assert.are.equal("dead", err.code)
                    assert.are.equal("c" .. i, err.context)
                    assert.are.equal(route_of(i), err.route)
                    assert_killed(err.message, i > link and ("lost with %s: "):format(route_of(link)))
                end
                local late = remote.failure(list[i].call, list[i], "os.time")
                assert.are.equal("dead", late.code)
                assert.are.equal(route_of(i), late.route)
            end
            for i = 1, link - 1 do
                assert.are.equal(i, list[i]:call(function(n) return n end, i))
                assert.is_false(calls[i]:done())
            end
            remote.eventually("the end of what ran behind it", function()
                for i = link, 4 do
                    if remote.alive(list[i]:info().pid) then return false end
                    if #remote.processes("local", "sleep " .. remote.seconds(i)) > 0 then return false end
                end
                return true
            end, 10)
            if link > 1 then list[1]:close() end
            for i = 1, link - 1 do
                remote.failure(calls[i].get, calls[i])
                remote.failure(commands[i].get, commands[i])
            end
        end)
    end

    it("takes all behind it along when it is closed", function()
        local list = chain(3)
        local calls = {}
        for i, ctx in ipairs(list) do
            calls[i] = ctx:call_async(function() require("orrery").sleep(1000) end)
            ctx:call(function() end)
        end
        list[2]:close()
        for i = 2, 3 do assert.are.equal("closed", outcome(calls[i]).code) end
        for i = 2, 3 do ended(list[i]:info().pid) end
        assert.is_false(calls[1]:done())
        assert.are.equal(1, list[1]:call(function() return 1 end))
        list[1]:close()
        assert.are.equal("closed", outcome(calls[1]).code)
    end)

    it("ends what the context that opened others was asked for", function()
        local outer = orrery.localhost()
        local r = orrery.receiver()
        local call = outer:call_async(function(to)
            local own = require("orrery").localhost { name = "own" }
            to:send(own:info().pid)
            return own:call(function() require("orrery").sleep(1000) end)
        end, r:sender())
        remote.kill((r:get(10)))
        local err = outcome(call)
        assert.are.equal("dead", err.code)
        assert.are.equal("own", err.context)
        assert.are.equal("local:localhost/local:own", err.route)
        r:close()
        outer:close()
    end)
end)

describe("contexts beside each other", function()
    local a, b, a1, a2, b1, a11

    setup(function()
        a, b = orrery.localhost { name = "a" }, orrery.localhost { name = "b" }
        a1, a2, b1 = a:localhost { name = "a1" }, a:localhost { name = "a2" }, b:localhost { name = "b1" }
        a11 = a1:localhost { name = "a11" }
    end)
    teardown(function()
        a:close()
        b:close()
    end)

    local function receiver_in(ctx)
        return ctx:call(function()
            _G.inbox = require("orrery").receiver()
            return _G.inbox:sender()
        end)
    end

    local function take_in(ctx)
        local value = ctx:call(function() return _G.inbox:get(10) end)
        ctx:call(function() _G.inbox:close() end)
        return value
    end

    local function send_from(ctx, sender, value)
        ctx:call(function(to, v) to:send(v) end, sender, value)
    end

    -- Without being handed the sender, which would let it.
    local function sneak_from(ctx, sender, value)
        ctx:call(function(context, handle, v)
            local to = setmetatable({ context = context, handle = handle }, require("orrery.codec").typed "sender")
            pcall(to.send, to, v)
        end, sender.context, sender.handle, value)
    end

    local function is_empty(ctx)
        local err = remote.failure(ctx.call, ctx, function() return _G.inbox:get(0.05) end)
        ctx:call(function() _G.inbox:close() end)
        return err.code == "timeout"
    end

    -- Two of one parent, cousins, an uncle: at each level of the tree.
    local pairs_of = {
        { "a", "b" }, { "a1", "a2" }, { "a1", "b1" }, { "a11", "b1" }, { "a11", "a2" }, { "a11", "b" },
    }

    for _, pair in ipairs(pairs_of) do
        it(("do not talk until they may: %s and %s"):format(pair[1], pair[2]), function()
            local all = { a = a, b = b, a1 = a1, a2 = a2, b1 = b1, a11 = a11 }
            local one, other = all[pair[1]], all[pair[2]]
            sneak_from(one, receiver_in(other), "early")
            assert.is_true(is_empty(other))
            orrery.allow(one, other)
            local there = receiver_in(other)
            send_from(one, there, "now")
            assert.are.equal("now", take_in(other))
            there = receiver_in(one)
            send_from(other, there, "and back")
            assert.are.equal("and back", take_in(one))
        end)
    end

    it("still may not call each other", function()
        orrery.allow(a1, b1)
        local err = remote.failure(a1.call, a1, function(ctx) return ctx:call "os.time" end, b1)
        assert.are.equal("denied", err.code)
    end)

    it("hear of each other's end", function()
        local x, y = a1:localhost { name = "x" }, b1:localhost { name = "y" }
        orrery.allow(x, y)
        local there = receiver_in(y)
        local full = x:call_async(function(to)
            for _ = 1, 100 do to:send(("x"):rep(100000)) end -- until nobody takes it
        end, there)
        x:call(function() end)
        local heard = x:call_async(function(id)
            local sched, link = require "orrery.sched", require "orrery.link"
            local future = sched.future()
            link.on_dead(function(lost, err) if lost == id then future:resolve(err.message) end end)
            return future:get(10)
        end, y.id)
        x:call(function() end)
        remote.kill(y:info().pid)
        assert_killed(heard:get(10))
        pcall(full.get, full, 10)
        assert.is_true(full:done())
        x:close()
    end)
end)

-- 10 children with 10 children each, which have 10 each.
describe("a thousand contexts", function()
    it("come up, answer, and go", function()
        local memory = tonumber(remote.slurp("/proc/meminfo"):match("MemAvailable:%s*(%d+)")) / 1024
        local needed = remote.sanitized and 60000 or 6000
        if memory < needed then return pending(("1,110 contexts need %d MB of memory"):format(needed)) end
        local ten = {}
        for i = 1, 10 do ten[i] = i end
        local function ten_of(parent)
            return orrery.map(ten, function(i)
                local opts = { name = tostring(i) }
                return parent and parent:localhost(opts) or orrery.localhost(opts)
            end)
        end
        local top, all = ten_of(nil), {}
        local function keep(list)
            for _, ctx in ipairs(list) do all[#all + 1] = ctx end
            return list
        end
        keep(top)
        local level = {}
        for i, list in ipairs(orrery.map(top, function(ctx) return ten_of(ctx) end)) do
            level[i] = keep(list)
        end
        orrery.each(level, { limit = 2 }, function(list)
            for _, ctx in ipairs(list) do keep(ten_of(ctx)) end
        end)
        assert.are.equal(1110, #all)
        local ids = orrery.map(all, function(ctx)
            return (ctx:call(function() return require("orrery.core").self() end))
        end)
        for i, ctx in ipairs(all) do assert.are.equal(ctx.id, ids[i]) end

        local lost = top[3]
        remote.kill(lost:info().pid)
        local behind, answered = 0, 0
        local results = orrery.map(all, { raise = false }, function(ctx)
            return ctx:call(function() return 1 end)
        end)
        for i, ctx in ipairs(all) do
            if ctx == lost or ctx.route:find(lost.route .. "/", 1, true) == 1 then
                behind = behind + 1
                assert.is_nil(results[i])
            else
                answered = answered + 1
                assert.are.equal(1, results[i])
            end
        end
        assert.are.equal(111, behind)
        assert.are.equal(#all - behind, answered)
        orrery.each(top, function(ctx) ctx:close(20) end)
        for _, ctx in ipairs(all) do assert.is_nil(orrery.context(ctx.id)) end
        remote.eventually("the end of all processes", function()
            for _, ctx in ipairs(all) do
                if remote.alive(ctx:info().pid) then return false end
            end
            return true
        end, 30)
    end)
end)
