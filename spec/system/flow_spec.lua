local core = require "orrery.core"
local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard()

local KIB = 1024
local CHUNK = ("x"):rep(100000)

local function resident()
    local file = io.open("/proc/self/status")
    local text = file:read("*a")
    file:close()
    return tonumber(text:match("VmRSS:%s+(%d+)"))
end

--- Asserts that this process and a child have not grown by more than so much since the call of `since`.
local function growth(ctx)
    local here, there = resident(), ctx:call(resident)
    return function(limit)
        if remote.sanitized then return end -- a sanitizer keeps what is freed
        assert.is_true(resident() - here < limit * KIB, "the controller has grown too much")
        assert.is_true(ctx:call(resident) - there < limit * KIB, "the child has grown too much")
    end
end

local function is_limit_of_time(task, seconds)
    local ok, err = pcall(task.get, task, seconds)
    assert.is_false(ok)
    assert.are.equal("timeout", err.code)
end

describe("a receiver that does not read", function()
    remote.each(function(target)
        -- In the child; returns its sender.
        local function open_there()
            return target.ctx:call(function()
                _G.idle = require("orrery").receiver()
                return _G.idle:sender()
            end)
        end

        it("makes its sender wait, and nobody else", function()
            local to = open_there()
            local grown = growth(target.ctx)
            local sent = 0
            local task = orrery.spawn(function()
                for i = 1, 400 do
                    to:send(i, CHUNK)
                    sent = i
                end
            end)
            is_limit_of_time(task, 0.3)
            local stuck_at = sent
            assert.is_true(stuck_at > 0 and stuck_at * #CHUNK < 4 * 2 ^ 20)
            for i = 1, 100 do assert.are.equal(tostring(i), target.ctx:call("tostring", i)) end
            assert.are.equal(stuck_at, sent)
            grown(32)
            assert.is_true(target.ctx:call(function(n, size)
                for i = 1, n do
                    local k, s = _G.idle:get(10)
                    assert(k == i and #s == size)
                end
                _G.idle:close()
                return true
            end, 400, #CHUNK))
            task:get(10)
            grown(32)
        end)

        it("wakes it when it is closed", function()
            local to = open_there()
            local task = orrery.spawn(function()
                for _ = 1, 400 do to:send(CHUNK) end
            end)
            is_limit_of_time(task, 0.2)
            target.ctx:call(function() _G.idle:close() end)
            local ok, err = pcall(task.get, task, 10)
            assert.is_false(ok)
            assert.are.equal("closed", err.code)
            assert.are.equal(target.ctx.name, err.context)
        end)

        it("can be given up on", function()
            local to = open_there()
            local task = orrery.spawn(function()
                for _ = 1, 400 do to:send(CHUNK) end
            end)
            is_limit_of_time(task, 0.2)
            task:cancel()
            local ok, err = pcall(task.get, task, 10)
            assert.is_false(ok)
            assert.are.equal("cancelled", err.code)
            target.ctx:call(function() _G.idle:close() end)
        end)

        it("makes the child wait where the script does not read", function()
            local r = orrery.receiver()
            local grown = growth(target.ctx)
            local call = target.ctx:call_async(function(to, n, chunk)
                for i = 1, n do to:send(i, chunk) end
                return "sent"
            end, r:sender(), 400, CHUNK)
            is_limit_of_time(call, 0.3)
            grown(32)
            for i = 1, 400 do
                local k, s = r:get(10)
                assert.are.equal(i, k)
                assert.are.equal(#CHUNK, #s)
            end
            assert.are.equal("sent", call:get(10))
            grown(32)
            r:close()
        end)
    end)

    it("is an error for who waits, when its context is lost", function()
        local child = orrery.localhost { name = "mortal" }
        local to = child:call(function()
            _G.idle = require("orrery").receiver()
            return _G.idle:sender()
        end)
        local task = orrery.spawn(function()
            for _ = 1, 400 do to:send(CHUNK) end
        end)
        is_limit_of_time(task, 0.2)
        child:close()
        local ok, err = pcall(task.get, task, 10)
        assert.is_false(ok)
        assert.are.equal("closed", err.code)
    end)
end)

describe("a busy script", function()
    it("is not filled with answers", function()
        local child = orrery.localhost()
        local grown = growth(child)
        local calls = {}
        for i = 1, 200 do
            calls[i] = child:call_async(function(n) return n, ("x"):rep(2 ^ 20) end, i)
        end
        local till = orrery.now() + 0.5
        while orrery.now() < till do end
        if not remote.sanitized then assert.is_true(resident() < 2 ^ 17) end
        for i = 1, 200 do
            local n, s = calls[i]:get(10)
            calls[i] = nil
            assert.are.equal(i, n)
            assert.are.equal(2 ^ 20, #s)
        end
        collectgarbage()
        collectgarbage()
        grown(64) -- Lua gives memory back late
        child:close()
    end)
end)

describe("a child that ignores its windows", function()
    it("is cut off, by an error that names it", function()
        local r = orrery.receiver()
        local wild = orrery.localhost { name = "wild" }
        -- An answer is sent whatever the window is, also where nobody has asked.
        local call = wild:call_async(function(to, chunk)
            local its_core, codec = require "orrery.core", require "orrery.codec"
            local payload = codec.encode_data(chunk)
            for _ = 1, 200 do its_core.reply(to.context, to.handle, 0, payload, false) end
        end, r:sender(), ("x"):rep(2 ^ 20))
        local ok, err = pcall(call.get, call, 30)
        assert.is_false(ok)
        assert.are.equal("limit", err.code)
        assert.are.equal("wild", err.context)
        assert.is_truthy(err.message:find("floods", 1, true), err.message)
        r:close()
        assert.is_nil((core.context(wild.id)))
    end)
end)
