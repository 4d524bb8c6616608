local leak = require "spec.support.leak"
local play_events = require "spec.support.play_events"
local frame = require "orrery.play.views.frame"
local live = require "orrery.play.views.live"
local tally = require "orrery.play.views.tally"
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

leak.guard()

local function tallied(events, upto)
    local t = tally.new()
    for i = 1, upto or #events do t:event(events[i]) end
    return t
end

local function lines_of(t, columns, rows, more)
    local opts = {
        columns = columns, rows = rows, now = t.now, paint = text.painter(false), glyphs = frame.GLYPHS[true],
    }
    for key, value in pairs(more or {}) do opts[key] = value end
    return frame.lines(t, opts)
end

describe("the region of the live view", function()
    for _, hosts in ipairs { 1, 20, 200, 500 } do
        for _, size in ipairs { { 80, 24 }, { 40, 20 }, { 200, 50 }, { 20, 8 } } do
            it(("fits %d hosts into %dx%d"):format(hosts, size[1], size[2]), function()
                local events = play_events.make { hosts = hosts, failures = 0.05, lost = 0.03 }
                for part = 1, 9 do
                    local lines = lines_of(tallied(events, math.floor(#events * part / 10)), size[1], size[2])
                    assert.is_true(#lines > 0 and #lines <= frame.room(size[2]), #lines)
                    for _, line in ipairs(lines) do
                        assert.is_true(width.of(line) < size[1], line)
                        assert.is_nil(line:find "%c")
                    end
                end
            end)
        end
    end

    it("is not there where the terminal is too small, nor when the run is over", function()
        local events = play_events.make { hosts = 3 }
        assert.are.same({}, lines_of(tallied(events, 20), 80, 5))
        assert.are.same({}, lines_of(tallied(events, 20), 10, 24))
        assert.are.same({}, lines_of(tallied(events), 80, 24))
    end)

    local function one(more)
        local t = tally.new()
        local events = {
            { event = "play_start", play = 1, name = "p", hosts = { "web1", "日本1" }, time = 100 },
            { event = "host_start", play = 1, host = "web1", time = 100 },
            { event = "step_start", play = 1, host = "web1", step = "1", name = "copy app", time = 100 },
        }
        for _, e in ipairs(more) do
            e.play, e.host, e.step = 1, "web1", "1"
            events[#events + 1] = e
        end
        for _, e in ipairs(events) do t:event(e) end
        return t
    end

    it("shows bars of bytes, and the time", function()
        local t = one { { event = "step_progress", done = 24 * 2 ^ 20, total = 48 * 2 ^ 20 } }
        t.now = 165
        local lines = lines_of(t, 100, 24)
        assert.are.equal(1, lines[1]:find("── p  1 running · 1 waiting · 1:05 ──", 1, true))
        assert.is_truthy(lines[2]:find("^web1  copy app +1:05  ━"), lines[2])
        assert.is_truthy(lines[2]:find("━────────────  50%  24 MiB of 48 MiB", 1, true), lines[2])
        assert.is_truthy(lines_of(t, 100, 24, { glyphs = frame.GLYPHS[false] })[2]:find "  ====+%-%-%-%-+  50%%")
    end)

    it("shows the last line of a command, harmless", function()
        local t = one { { event = "step_line", line = "one" }, { event = "step_line", line = "10%\r20%\27[2J\tx" } }
        assert.is_truthy(lines_of(t, 100, 24)[2]:find("  20%\\x1b[2J    x", 1, true))
    end)

    it("knows the columns of wide characters", function()
        local t = one {}
        t:event { event = "host_start", play = 1, host = "日本1" }
        t:event { event = "step_start", play = 1, host = "日本1", step = "1", name = "copy app" }
        local lines = lines_of(t, 60, 24)
        local at = {}
        for i = 2, 3 do at[i] = width.of(lines[i]:match "^(.-)copy") end
        assert.are.equal(at[2], at[3])
    end)

    it("is counts of steps, and who is slowest, where hosts are many", function()
        local lines = lines_of(tallied(play_events.make { hosts = 500 }, 6000), 100, 30)
        local all = table.concat(lines, "\n")
        assert.is_truthy(all:find "\n +%d+  [%w ]+")
        assert.is_truthy(all:find("the longest at their step:", 1, true))
    end)
end)

-- A terminal that notes what is drawn on it, and a clock that goes when it is told to.
local function stage(settings)
    local s = { draws = {}, now = 1000, timers = {}, columns = 80, rows = 24, asking = false }
    s.settings = {
        colour = false, utf8 = true, capture = false, clock = function() return s.now end,
        screen = {
            size = function() return s.columns, s.rows end,
            draw = function(up, above, below, undo)
                if s.asking then return false end
                s.draws[#s.draws + 1] = { up = up, above = above, below = below, undo = undo, at = s.now }
                return true
            end,
        },
        after = function(seconds, fn)
            local timer = { at = s.now + seconds, fn = fn }
            function timer.cancel(self) self.fn = nil end
            table.insert(s.timers, timer)
            return timer
        end,
    }
    for key, value in pairs(settings or {}) do s.settings[key] = value end
    function s.go(seconds)
        local till = s.now + seconds
        while true do
            local first
            for i, timer in ipairs(s.timers) do
                if timer.fn and timer.at <= till and (not first or timer.at < s.timers[first].at) then first = i end
            end
            if not first then break end
            local timer = table.remove(s.timers, first)
            s.now = math.max(s.now, timer.at)
            timer.fn()
        end
        s.now = till
    end
    function s.above()
        local all = {}
        for i, draw in ipairs(s.draws) do all[i] = draw.above end
        return table.concat(all)
    end
    s.view = live.new(s.settings)
    return s
end

local function run(s, events, from, upto)
    for i = from or 1, upto or #events do
        s.go(math.max(0, events[i].time - events[1].time + 1000 - s.now))
        s.view:event(events[i])
    end
end

describe("the live view", function()
    it("draws at most ten times a second, and only when something has changed", function()
        local s = stage()
        local events = play_events.make { hosts = 50, failures = 0.1 }
        run(s, events, 1, #events - 2)
        for i = 2, #s.draws do
            assert.is_true(s.draws[i].at - s.draws[i - 1].at > 0.0999)
            assert.is_true(s.draws[i].below ~= s.draws[i - 1].below or s.draws[i].above ~= "")
        end
        assert.is_true(#s.draws > 20)
    end)

    it("lets the time go on, once a second", function()
        local s = stage()
        local events = play_events.make { hosts = 1 }
        run(s, events, 1, 5)
        s.go(1)
        local before = #s.draws
        s.go(10)
        assert.is_true(#s.draws - before >= 9 and #s.draws - before <= 11)
        s.view:finish()
        before = #s.draws
        s.go(10)
        assert.are.equal(before, #s.draws)
    end)

    it("says above the region what the plain view says", function()
        local s = stage()
        run(s, play_events.make { hosts = 2 })
        s.view:finish()
        assert.is_truthy(s.above():find("changed   package nginx", 1, true))
        assert.is_truthy(s.above():find("\nrecap  ok: 2 hosts", 1, true))
        assert.are.equal("", s.draws[#s.draws].below)
    end)

    it("goes up by as many rows as the terminal has made of its lines", function()
        local s = stage()
        run(s, play_events.make { hosts = 3 }, 1, 12)
        s.go(2)
        local lines = select(2, s.draws[#s.draws].below:gsub("\n", ""))
        assert.are.equal(("\27[%dA\r\27[J"):format(lines), s.draws[#s.draws].undo)
        s.columns = 40 -- narrower: its rule of 79 columns is two rows now
        local before = #s.draws
        s.go(1.1)
        assert.is_truthy(tonumber(s.draws[before + 1].up:match "^\27%[(%d+)A\r\27%[J$") > lines)
    end)

    it("waits while a question is open", function()
        local s = stage()
        local events = play_events.make { hosts = 3 }
        run(s, events, 1, 5)
        local before = #s.draws
        s.asking = true
        run(s, events, 6, 80)
        s.go(3)
        assert.are.equal(before, #s.draws)
        s.asking = false
        s.go(0.3)
        assert.are.equal(before + 1, #s.draws)
        assert.is_truthy(s.draws[#s.draws].above:find("package cache is fresh", 1, true))
    end)

    it("takes what the script prints above the region, whole lines of it", function()
        local out = { write = io.stdout.write }
        local print_before, write_before, exit_before = print, io.write, os.exit
        local s = stage { capture = true }
        finally(function() s.view:finish() end)
        run(s, play_events.make { hosts = 1 }, 1, 5)
        s.go(1)
        print("a", nil, 1)
        io.write "begun, "
        s.go(1)
        assert.is_truthy(s.above():find("a\tnil\t1\n", 1, true))
        assert.is_nil(s.above():find("begun", 1, true))
        io.stdout:write("ended\n", 2)
        io.stderr:write "of stderr\n"
        s.go(1)
        assert.is_truthy(s.above():find("begun, ended\nof stderr\n", 1, true))
        assert.has_error(function() io.write({}) end)
        s.view:finish()
        assert.is_truthy(s.above():find("\n2", 1, true))
        assert.are.equal(out.write, io.stdout.write)
        assert.is_true(print == print_before and io.write == write_before and os.exit == exit_before)
    end)

    it("steps aside when the script reads", function()
        local s = stage { capture = true }
        finally(function() s.view:finish() end)
        run(s, play_events.make { hosts = 1 }, 1, 5)
        s.go(1)
        io.write "Really? "
        os.execute "true"
        local last = s.draws[#s.draws]
        assert.are.equal("Really? ", last.above)
        assert.are.equal("", last.below)
        assert.is_truthy(last.up:find("\27[J", 1, true))
    end)
end)
