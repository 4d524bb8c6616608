local json = require "orrery.json"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local play_events = require "spec.support.play_events"
local remote = require "spec.support.remote"

leak.guard()

local PLAYBOOK = [[
local play = require "orrery.play"
play.play {
    name = "events", hosts = "localhost",
    handlers = { ["say so"] = function(h) h:command { argv = { "true" } } end },
    run = function(h)
        local dir = arg and arg[1] or os.getenv "PLACE"
        print "printed"
        h:say "said"
        h:warn "warned"
        h:file { path = dir .. "/d", state = "directory", mode = "700", notify = "say so" }
        h:copy { content = "one\ntwo\n", dest = dir .. "/d/f" }
        h:command { argv = { "sh", "-c", "echo a line; exit 3" }, ignore_errors = true }
        h:command { argv = { "false" }, retries = 1, delay = 0, ignore_errors = true }
        h:command { argv = { "true" }, when = function() return false end }
        h:task("a task", {}, function() h:command { argv = { "true" } } end)
        h:command { argv = { "sh", "-c", "echo wrong >&2; exit 4" } }
    end,
}
]]

describe("the events of a run", function()
    local dir, events

    setup(function()
        dir = remote.directory()
        remote.write(dir .. "/playbook.lua", PLAYBOOK)
        local program = assert(os.getenv "ORRERY_BUILD") .. "/orrery"
        local _, out, err = lab.run {
            "env", "PLACE=" .. dir, program, "play", dir .. "/playbook.lua", "--no-record", "--diff", "--output",
            "json",
        }
        events = {}
        for line in out:gmatch "[^\n]+" do events[#events + 1] = json.decode(line) end
        assert(#events > 0, err)
    end)

    teardown(function() remote.remove(dir) end)

    it("have no field that is not documented", function()
        local known, seen = play_events.documented(), {}
        for _, e in ipairs(events) do
            seen[e.event] = true
            assert.is_table(known[e.event], e.event)
            for field in pairs(e) do assert.is_true(known[e.event][field], e.event .. "." .. field) end
            local err = e.error
            while type(err) == "table" do
                for field in pairs(err) do assert.is_true(known.error[field], e.event .. ".error." .. field) end
                err = err.cause
            end
        end
        for _, name in ipairs {
            "run_start", "play_start", "host_start", "step_start", "step_line", "step_end", "message", "print",
            "host_end", "play_end", "run_end",
        } do
            assert.is_true(seen[name], name)
        end
    end)

    it("begin and end each step once, between the host's beginning and end", function()
        local open, hosts = {}, {}
        for _, e in ipairs(events) do
            if e.event == "host_start" then hosts[e.host] = true end
            if e.event == "host_end" then hosts[e.host] = nil end
            if e.event == "step_start" then
                assert.is_true(hosts[e.host])
                assert.is_nil(open[e.step])
                open[e.step] = true
            elseif e.event == "step_end" then
                assert.is_true(open[e.step])
                open[e.step] = nil
            end
        end
        assert.is_nil(next(open))
        assert.is_nil(next(hosts))
    end)
end)
