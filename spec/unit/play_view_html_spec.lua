local html = require "orrery.play.views.html"
local json = require "orrery.json"
local leak = require "spec.support.leak"
local play_events = require "spec.support.play_events"
local remote = require "spec.support.remote"

leak.guard()

local dir

local function report(events)
    local settings = { report = dir .. "/report.html", time = false }
    local view = html.new(settings)
    play_events.feed(view, events)
    view:finish()
    local page = remote.slurp(settings.report)
    local data = assert(page:match '<script type="application/json" id="run">(.-)</script>')
    return json.decode(data), page
end

describe("the HTML report", function()
    setup(function() dir = remote.directory() end)
    teardown(function() remote.remove(dir) end)

    it("holds the whole run", function()
        local events = play_events.make { hosts = 20, failures = 0.3, lost = 0.2 }
        local data = report(events)
        local steps, ends = 0, 0
        for _, e in ipairs(events) do
            if e.event == "step_end" then steps = steps + 1 end
            if e.event == "host_end" then ends = ends + 1 end
        end
        assert.are.equal(20, #data.hosts)
        assert.are.equal(steps, #data.runs)
        assert.are.equal(ends, #data.ends)
        assert.are.equal(11, #data.steps)
        assert.are.equal("deploy.lua", data.playbook)
        for _, run in ipairs(data.runs) do
            assert.is_string(data.statuses[run[3]])
            assert.is_true(run[4] >= 0 and run[4] + run[5] <= data.last)
        end
    end)

    it("loads nothing from anywhere", function()
        local _, page = report(play_events.make { hosts = 2 })
        local bare = page:gsub('<script type="application/json".-</script>', "")
        assert.is_truthy(bare:find("default-src 'none'", 1, true))
        for _, word in ipairs { "https?://", "src=", "@import", "url%(" } do
            for found in bare:gmatch("[^\n]*" .. word .. "[^\n]*") do
                assert.is_truthy(found:find("http://www.w3.org/2000/svg", 1, true), found)
            end
        end
        assert.is_nil(bare:find "innerHTML")
    end)

    it("lets nothing of a run become markup", function()
        local evil = "</script><script>alert(1)</script><!--<b>&amp;'\"\226\128\168\255\0\27[1m"
        local data, page = report {
            { event = "run_start", playbook = evil, time = 1 },
            { event = "play_start", play = 1, name = evil, hosts = { evil }, time = 1 },
            { event = "step_line", play = 1, host = evil, step = "1", line = evil },
            { event = "step_end", play = 1, host = evil, step = "1", name = evil, status = "failed", time = 2,
                seconds = 1, error = { message = evil }, message = evil,
                diff = { { what = evil, before = evil, after = evil } } },
            { event = "message", host = evil, level = "warning", text = evil },
            { event = "host_end", play = 1, host = evil, status = "failed", error = evil, time = 2 },
        }
        assert.are.equal(1, #data.runs)
        local _, scripts = page:gsub("<script", "")
        local _, ends = page:gsub("</script", "")
        assert.are.same({ 2, 2 }, { scripts, ends })
        assert.is_nil(page:find("<b>", 1, true))
        assert.is_nil(page:find "[%z\27\255]")
        assert.is_truthy(page:find("<title>&lt;/script&gt;", 1, true))
    end)

    it("has equal texts once, and stays small", function()
        local events = play_events.make { hosts = 200, steps = 50, failures = 0.05, lost = 0.03 }
        local data, page = report(events)
        assert.is_true(#data.texts < 100)
        assert.is_true(#page < 1024 * 1024, #page)
    end)

    it("leaves out texts where there are too many, but none of what failed", function()
        local events = { { event = "play_start", play = 1, name = "p", hosts = { "h" } } }
        for i = 1, 100 do
            events[#events + 1] = { event = "step_line", host = "h", step = tostring(i),
                line = i .. ("x"):rep(100 * 1024) }
            events[#events + 1] = { event = "step_end", play = 1, host = "h", step = tostring(i), name = "s",
                status = i == 99 and "failed" or "ok", error = i == 99 and "no" or nil, time = i }
        end
        local data, page = report(events)
        assert.is_true(#page < 8 * 1024 * 1024)
        assert.are.equal("(left out: the report is too large)", data.texts[data.runs[98][9]])
        assert.are.equal("99xx", data.texts[data.runs[99][9]]:sub(1, 4))
    end)

    it("keeps the end of a long output", function()
        local events = { { event = "play_start", play = 1, name = "p", hosts = { "h" } } }
        for i = 1, 5000 do
            events[#events + 1] = { event = "step_line", host = "h", step = "1", line = "line " .. i }
        end
        events[#events + 1] = { event = "step_end", play = 1, host = "h", step = "1", name = "s", status = "ok" }
        local data = report(events)
        local text = data.texts[data.runs[1][9]]
        assert.is_truthy(text:find "^%(the beginning is left out%)\n")
        assert.is_truthy(text:find "\nline 5000$")
        assert.is_true(#text < 10000)
    end)

    it("sets the times of hosts right whose clocks are wrong", function()
        local events = {
            { event = "run_start", playbook = "p", time = 1000 },
            { event = "play_start", play = 1, name = "p", hosts = { "h" }, time = 1000 },
            { event = "step_start", play = 1, host = "h", step = "1", name = "s", time = 5001 },
            { event = "step_end", play = 1, host = "h", step = "1", name = "s", status = "ok", seconds = 2,
                time = 5003 },
        }
        local now, at = { 1000, 1000, 1001.1, 1003.01 }, 0
        local view = html.new { report = dir .. "/report.html", time = function() return now[at] end }
        for i, e in ipairs(events) do
            at = i
            view:event(e)
        end
        local run = view:data().runs[1]
        assert.is_true(math.abs(run[4] - 1010) <= 1, run[4])
    end)

    it("is there of a run that never ended", function()
        local events = play_events.make { hosts = 5 }
        for i = #events, 50, -1 do events[i] = nil end
        assert.is_false(report(events).ended)
        assert.are.same({}, report({}).runs)
    end)

    it("says at the start when it could not be written", function()
        assert.has_error(function() html.new { report = dir .. "/not/there.html" } end)
    end)

    it("has a script without a mistake in its syntax", function()
        if os.execute "command -v node >/dev/null 2>&1" ~= 0 then
            pending "there is no node"
            return
        end
        local _, page = report(play_events.make { hosts = 2 })
        remote.write(dir .. "/script.js", page:match "<script>\n(.-)</script>")
        assert.are.equal(0, os.execute("node --check " .. dir .. "/script.js"))
    end)
end)
