--- What the runtime counts, and how it is told to wait.

local leak = require "spec.support.leak"
local orrery = require "orrery"
local core = require "orrery.core"
local remote = require "spec.support.remote"

leak.guard()

describe("orrery.stats", function()
    local ctx
    setup(function() ctx = orrery.localhost { keepalive = 0 } end)
    teardown(function() ctx:close() end)

    it("has a number for each counter, and each counter has a text", function()
        local stats, count = orrery.stats(), 0
        for _, counter in ipairs(core.counters()) do
            local name, text = unpack(counter)
            assert.is_number(stats[name], name)
            assert.matches("^%l.*%w$", text)
            count = count + 1
        end
        for _ in pairs(stats) do count = count - 1 end
        assert.are.equal(0, count)
    end)

    it("counts what is done here, and from an earlier result on", function()
        local before = orrery.stats()
        for _ = 1, 10 do ctx:call("os.time") end
        local stats = orrery.stats(before)
        assert.are.equal(10, stats.messages_sent)
        assert.are.equal(10, stats.messages_received)
        assert.are.equal(0, stats.messages_dropped)
        assert.is_true(stats.bytes_sent > 320 and stats.bytes_received > 320)
        assert.is_true(orrery.stats().messages_sent >= before.messages_sent + 10)
    end)

    it("counts in a child what is done there", function()
        local before = ctx:call("orrery.stats")
        local stats = ctx:call("orrery.stats", before)
        -- The answer that carried the first result, and the call for the second.
        assert.are.equal(1, stats.messages_sent)
        assert.are.equal(1, stats.messages_received)
    end)

    it("tells the calling thread's own from the process's", function()
        local mine, all = core.stats(true), orrery.stats()
        for name, number in pairs(mine) do assert.is_true(number <= all[name], name) end
    end)
end)

describe("orrery.configure", function()
    after_each(function() orrery.configure { spin = 50e-6, attend = true } end)

    local function counts_of_calls(ctx)
        local here, there = orrery.stats(), ctx:call("orrery.stats")
        for _ = 1, 20 do ctx:call("os.time") end
        return orrery.stats(here), ctx:call("orrery.stats", there)
    end

    local function each_end(check)
        local ctx = orrery.localhost { keepalive = 0 }
        local all = { counts_of_calls(ctx) }
        ctx:close()
        for _, stats in ipairs(all) do check(stats) end
    end

    it("lets waiting threads run the loop, or does not, here and in children", function()
        -- The broker may be at it just now, for other threads that wait.
        local function each_takes_it()
            local ctx = orrery.localhost { keepalive = 0 }
            remote.eventually("both ends take the role", function()
                local here, there = counts_of_calls(ctx)
                return here.role_taken > 0 and there.role_taken > 0
            end)
            ctx:close()
        end
        each_takes_it()
        orrery.configure { attend = false }
        each_end(function(stats) assert.are.equal(0, stats.role_taken) end)
        orrery.configure { attend = true }
        each_takes_it()
    end)

    it("turns spinning off, here and in children", function()
        orrery.configure { spin = 0 }
        each_end(function(stats) assert.are.equal(0, stats.spins_won + stats.spins_lost) end)
    end)

    it("leaves children as they are that are there already", function()
        local ctx = orrery.localhost { keepalive = 0 }
        finally(function() ctx:close() end)
        orrery.configure { attend = false }
        remote.eventually("the child takes its role", function()
            local here, there = counts_of_calls(ctx)
            assert.are.equal(0, here.role_taken)
            return there.role_taken > 0
        end)
        ctx:call("orrery.configure", { attend = false })
        local here, there = counts_of_calls(ctx)
        assert.are.same({ 0, 0 }, { here.role_taken, there.role_taken })
    end)

    it("refuses what it does not know", function()
        assert.are.equal("option", remote.failure(orrery.configure, { spin = -1 }).code)
        assert.are.equal("option", remote.failure(orrery.configure, { spin = 0 / 0 }).code)
        assert.matches("did you mean 'attend'", remote.failure(orrery.configure, { atend = true }).message)
    end)
end)
