local html = require "orrery.play.views.html"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local play_events = require "spec.support.play_events"
local remote = require "spec.support.remote"

leak.guard()

local dir

local function browser()
    for _, name in ipairs { "chromium", "chromium-browser", "google-chrome" } do
        if os.execute("command -v " .. name .. " >/dev/null 2>&1") == 0 then return name end
    end
end

local program = browser()

-- The document as the browser has it when the script has run.
local function opened(hash, script)
    local page = remote.slurp(dir .. "/report.html")
    if script then remote.write(dir .. "/opened.html", page .. "<script>" .. script .. "</script>") end
    local file = script and "/opened.html" or "/report.html"
    local code, out, err = lab.run {
        "timeout", "60", program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-breakpad",
        "--enable-logging=stderr", "--user-data-dir=" .. dir .. "/profile", "--virtual-time-budget=3000", "--dump-dom",
        "file://" .. dir .. file .. "#" .. (hash or ""),
    }
    assert.are.equal(0, code)
    assert.is_nil(err:find "CONSOLE[^\n]*[Ee]rror", err)
    assert.is_nil(err:find "Refused to", err)
    return out
end

local function make(events)
    local view = html.new { report = dir .. "/report.html", time = false }
    play_events.feed(view, events)
    view:finish()
end

local function count(text, part) return select(2, text:gsub(part, "")) end

describe("the HTML report in a browser", function()
    if not program then
        pending "there is no Chromium"
        return
    end

    setup(function()
        dir = remote.directory()
        make(play_events.make { hosts = 200, steps = 50, failures = 0.05, lost = 0.03 })
    end)

    teardown(function() remote.remove(dir) end)

    it("shows what failed, and a row for each step", function()
        local page = opened()
        assert.are.equal(50, count(page, '<div class="row'))
        assert.is_truthy(page:find('<h1 id="title">deploy.lua</h1>', 1, true))
        assert.is_truthy(page:find("21 hosts did not get through", 1, true))
        assert.are.equal(6, count(page, '<div class="fail"'))
        assert.is_truthy(page:find("and 5 more", 1, true))
    end)

    it("shows a timeline for each host", function()
        local page = opened "tab=hosts"
        assert.are.equal(200, count(page, "<svg"))
        assert.are.equal(1, count(page, '<div class="axis"'))
    end)

    it("is filtered by status, host and text", function()
        local failed, lost = opened "tab=hosts&status=failed", opened "tab=hosts&status=lost"
        assert.are.equal(21, count(failed, "<svg") + count(lost, "<svg"))
        assert.are.equal(10, count(opened "tab=hosts&q=web17", "<svg")) -- 17, and 171 to 179: 170 is a db
        assert.are.equal(4, count(opened "q=migrate+web1", '<div class="row'))
        assert.are.equal(1, count(opened "q=migrate+%23+database%20(2)", '<div class="row'))
        assert.is_truthy(opened("q=nothing+like+that"):find("Nothing is like that.", 1, true))
    end)

    it("opens a step: equal results once, with diffs and errors", function()
        local page = opened("", "document.querySelectorAll('.row > button')[4].click()")
        local body = page:match '<div class="row bad open">(.-)<div class="row'
        assert.are.equal(3, count(body, '<div class="case"')) -- failed, changed, ok
        assert.is_truthy(body:find('<span class="del">-worker_processes 2;</span>', 1, true))
        assert.is_truthy(body:find('<pre class="error"><b>cannot write', 1, true))
    end)

    it("opens a host: its steps in order", function()
        local page = opened("tab=hosts", "document.querySelectorAll('.row > button')[0].click()")
        assert.are.equal(50, count(page:match "<table.*</table>", '<td class="status"'))
    end)

    it("stays fluid with 200 hosts and 50 steps", function()
        local page = opened("tab=hosts", "const t0 = performance.now(); for (let i = 0; i < 10; i++) show();" ..
            "document.title = 'drawn in ' + Math.round((performance.now() - t0) / 10);")
        local ms = tonumber(page:match "<title>drawn in (%d+)")
        assert.is_true(ms < 1000, ms) -- 60 on the machine that it was made on
    end)

    it("runs nothing that a run has said", function()
        local evil = "</script><script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">"
        make {
            { event = "run_start", playbook = evil, time = 1 },
            { event = "play_start", play = 1, name = evil, hosts = { evil }, time = 1 },
            { event = "step_end", play = 1, host = evil, step = "1", name = evil, status = "failed", time = 2,
                seconds = 1, error = { message = evil }, message = evil,
                diff = { { what = evil, before = evil, after = evil } } },
            { event = "host_end", play = 1, host = evil, status = "failed", error = evil, time = 2 },
        }
        local page = opened("", "for (const b of document.querySelectorAll('.row > button, .fail > button')) b.click()")
        assert.is_nil(page:find("<title>evil", 1, true))
        assert.are.equal(0, count(page, "<img"))
    end)
end)
