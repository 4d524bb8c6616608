local json = require "orrery.json"
local json_view = require "orrery.play.views.json"
local leak = require "spec.support.leak"
local play_events = require "spec.support.play_events"

leak.guard()

local function shown(events)
    local out = {}
    local view = json_view.new { write = function(said) out[#out + 1] = said end, stream = true }
    play_events.feed(view, events)
    view:finish()
    return table.concat(out)
end

describe("the JSON view", function()
    it("writes an event a line", function()
        local events = play_events.make { hosts = 5, failures = 0.4, lost = 0.2 }
        local n = 0
        for line in shown(events):gmatch "([^\n]*)\n" do
            n = n + 1
            local e = json.decode(line)
            assert.are.equal(events[n].event, e.event)
            assert.are.equal(events[n].host, e.host)
            assert.are.same(events[n].diff, e.diff)
        end
        assert.are.equal(#events, n)
    end)

    it("writes nothing that is not documented", function()
        local known = play_events.documented()
        local events = play_events.make { hosts = 20, failures = 0.4, lost = 0.2 }
        for _, e in ipairs(events) do
            assert.is_table(known[e.event], e.event)
            for field in pairs(json_view.plain(e)) do
                assert.is_true(known[e.event][field], e.event .. "." .. field)
            end
            for field in pairs(type(e.error) == "table" and e.error or {}) do
                assert.is_true(known.error[field], "error." .. field)
            end
        end
        for _, name in ipairs {
            "run_start", "run_end", "play_start", "play_end", "host_start", "host_end", "step_start", "step_line",
            "step_progress", "step_end", "message", "print",
        } do
            assert.is_table(known[name], name)
        end
    end)

    it("survives whatever there is in an event", function()
        local circle = { message = "\255\0\27" }
        circle.cause = circle
        local line = shown { {
            event = "step_end", error = circle, diff = { { before = 0 / 0, after = math.huge } }, notify = {},
            odd = print,
        } }
        local e = json.decode((line:gsub("\n$", "")))
        assert.are.equal("step_end", e.event)
        assert.is_nil(line:find "[%z\27\255]")
        assert.are.equal('{"event":"play_start","hosts":[]}\n', shown { { event = "play_start", hosts = {} } })
    end)

    it("makes events of what the script prints", function()
        local out = {}
        local write = io.stdout.write
        local view = json_view.new { write = function(said) out[#out + 1] = said end }
        print "one\ntwo"
        io.write "three"
        view:finish()
        assert.are.equal(write, io.stdout.write)
        for i, line in ipairs { "one", "two", "three" } do
            assert.are.same({ event = "print", line = line }, json.decode((out[i]:gsub("\n", ""))))
        end
    end)
end)
