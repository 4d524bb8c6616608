-- What resources cost where each message takes long.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local support = require "spec.support.play"

leak.guard()

local ROUND_TRIPS = 3
local DELAY = "delay 100ms"

describe("over a link with 100 ms of delay", function()
    if not lab.need(2, { foreign = true, isolated = true }) then return end

    local ctx, h, here
    before_each(function()
        here = remote.directory()
        ctx = remote.open "h1"
        h = support.host(ctx)
        lab.netem("h1", DELAY)
    end)
    after_each(function()
        lab.netem("h1")
        ctx:run { "rm", "-rf", "/srv/latency" }
        ctx:close()
        remote.remove(here)
    end)

    -- A round trip of this link, after what a context does when it is first used.
    local function round_trip()
        ctx:call("os.time")
        local start = orrery.now()
        ctx:call("os.time")
        return orrery.now() - start
    end

    -- Messages are counted, since nothing waits for more round trips than it sends messages; and the time is measured.
    local function within_bounds(fn)
        local trip = round_trip()
        local before, start = orrery.stats(), orrery.now()
        fn()
        local spent, sent = orrery.now() - start, orrery.stats(before).messages_sent
        assert.is_true(spent < ROUND_TRIPS * trip, ("%.0f ms, and a round trip takes %.0f ms"):format(spent * 1e3, trip * 1e3))
        return sent
    end

    it("40 resources of several kinds in a batch cost at most 3 round trips, the first time, too", function()
        remote.write(here .. "/conf", "a = 1\n")
        local conf = here .. "/conf"
        local function forty(host)
            host:directory { path = "/srv/latency", mode = "755" }
            for i = 1, 9 do
                local dir = "/srv/latency/" .. i
                host:directory { path = dir }
                host:copy { src = conf, dest = dir .. "/conf" }
                host:link { path = dir .. "/link", target = "conf" }
                if not host:stat(dir .. "/link").exists then error "it is not there" end
            end
            host:file { path = "/srv/latency/state", mode = "600" }
            host:command { "true" }
            host:shell { "echo x >/srv/latency/made", creates = "/srv/latency/made" }
            return "done"
        end
        local first = within_bounds(function() assert.are.equal("done", h:batch(forty)) end)
        local again = within_bounds(function() assert.are.equal("done", h:batch(forty)) end)
        assert.is_true(first <= ROUND_TRIPS, first .. " messages")
        assert.are.equal(1, again)
    end)

    it("a list costs one round trip, also with conditions", function()
        local list = {}
        for i = 1, 20 do
            list[2 * i - 1] = { "file", path = "/srv/latency-" .. i }
            list[2 * i] = {
                "file", path = "/srv/latency-" .. i, state = "absent", when = function(r) return r[#r].changed end,
            }
        end
        local sent = within_bounds(function() assert.are.equal(40, #h:apply(list)) end)
        assert.are.equal(1, sent)
    end)

    it("a resource costs one", function()
        assert.are.equal(1, within_bounds(function() h:stat "/" end))
        assert.are.equal(1, within_bounds(function() h:shell "true" end))
    end)
end)
