local leak = require "spec.support.leak"
local play_events = require "spec.support.play_events"
local plain = require "orrery.play.views.plain"
local width = require "orrery.play.views.width"

leak.guard()

local function view(settings)
    local out = {}
    settings = settings or {}
    settings.write = function(said) out[#out + 1] = said end
    local v = plain.new(settings)
    return v, function() return table.concat(out) end
end

local function shown(events, settings)
    local v, text = view(settings)
    play_events.feed(v, events)
    v:finish()
    return text()
end

local function has(text, part)
    if not text:find(part, 1, true) then error(("%q is not in:\n%s"):format(part, text), 2) end
end

local function has_not(text, part)
    if text:find(part, 1, true) then error(("%q is in:\n%s"):format(part, text), 2) end
end

local function step(host, id, name, status, more)
    local e = { event = "step_end", play = 1, host = host, step = id, name = name, resource = "file", status = status,
        seconds = 0.2 }
    for key, value in pairs(more or {}) do e[key] = value end
    return e
end

local function begun(v, hosts)
    v:event { event = "play_start", play = 1, name = "p", hosts = hosts }
    for _, host in ipairs(hosts) do v:event { event = "host_start", play = 1, host = host } end
end

describe("the plain view", function()
    it("shows a step of one host as it ends", function()
        local v, text = view()
        begun(v, { "web1" })
        v:event { event = "step_start", play = 1, host = "web1", step = "1", name = "file /srv/x" }
        has_not(text(), "file /srv/x")
        v:event(step("web1", "1", "file /srv/x", "changed", { message = "made" }))
        has(text(), "changed   file /srv/x")
        has(text(), "web1, 0.2 s: made\n")
    end)

    it("folds equal results once the step is over on all, what failed first", function()
        local v, text = view()
        local hosts = {}
        for i = 1, 20 do hosts[i] = "web" .. i end
        begun(v, hosts)
        for i = 1, 19 do v:event(step("web" .. i, "1", "link", i <= 3 and "changed" or "ok")) end
        has_not(text(), "link")
        v:event(step("web20", "1", "link", "failed", { error = { code = "file", message = "no", at = "d.lua:3" } }))
        has(text(), "failed    link")
        local failed, changed = text():find("failed    link", 1, true), text():find("changed   link", 1, true)
        assert.is_true(failed < changed and changed < text():find("ok        link", 1, true))
        has(text(), "web[1-3] (3), 0.2 s")
        has(text(), "web[4-19] (16), 0.2 s")
        has(text(), "          no\n          at d.lua:3, step 1, code file\n")
    end)

    it("holds a step to be over for a host that is past it, or has ended", function()
        local v, text = view()
        begun(v, { "a1", "a2", "a3" })
        v:event(step("a1", "2", "second", "ok"))
        v:event { event = "step_start", play = 1, host = "a2", step = "3", name = "third" }
        has_not(text(), "second")
        v:event { event = "host_end", play = 1, host = "a3", status = "ok" }
        has(text(), "ok        second")
    end)

    it("holds a task to be under way while its parts are", function()
        local v, text = view()
        begun(v, { "a1", "a2" })
        v:event(step("a1", "3", "task", "ok"))
        v:event(step("a2", "3.1", "part", "ok"))
        has_not(text(), "ok        task")
        v:event(step("a2", "3", "task", "ok"))
        has(text(), "ok        task")
    end)

    it("tells an error once, of the innermost step that failed of it", function()
        local v, text = view()
        begun(v, { "web1" })
        v:event(step("web1", "1.1", "part", "failed", { error = { message = "no room" } }))
        v:event(step("web1", "1", "task", "failed", { error = { message = "no room" } }))
        v:event { event = "host_end", play = 1, host = "web1", status = "failed", error = { message = "no room" } }
        local _, times = text():gsub("no room", "")
        assert.are.equal(1, times)
        has(text(), "failed    task")
        v:finish()
        has(text(), "failed    web1: part\n")
    end)

    it("does not wait for ever for who is slow", function()
        local now = 100
        local v, text = view { clock = function() return now end }
        begun(v, { "a1", "a2" })
        v:event(step("a1", "1", "quick", "ok"))
        now = 104
        v:tick(now)
        has_not(text(), "quick")
        now = 105
        v:tick(now)
        has(text(), "a1, 0.2 s")
        v:event(step("a2", "1", "quick", "ok"))
        has(text(), "a2, 0.2 s")
    end)

    it("shows a failure soon, and what came before it first, though nothing else happens", function()
        local now, timers = 100, {}
        local v, text = view {
            clock = function() return now end,
            after = function(seconds, fn)
                timers[#timers + 1] = { seconds = seconds, fn = fn, cancel = function() end }
                return timers[#timers]
            end,
        }
        begun(v, { "a1", "a2" })
        v:event(step("a1", "1", "first", "ok"))
        v:event { event = "step_start", play = 1, host = "a2", step = "1", name = "first" }
        assert.are.equal(5, timers[1].seconds)
        v:event { event = "host_end", play = 1, host = "a1", status = "failed", error = { message = "slip" } }
        assert.are.equal(1, timers[2].seconds)
        now = 101
        timers[2].fn()
        local first, slip = text():find("ok        first", 1, true), text():find("slip", 1, true)
        assert.is_true(first < slip)
        v:event(step("a2", "1", "first", "failed", { error = { message = "no" } }))
        v:finish()
    end)

    it("does not blame a step for what was raised after it", function()
        local v, text = view()
        begun(v, { "web1" })
        v:event(step("web1", "1", "caught", "failed", { error = { message = "no room" } }))
        v:event { event = "host_end", play = 1, host = "web1", status = "failed", error = { message = "given up" } }
        v:finish()
        has(text(), "failed    (between steps)")
        has(text(), "failed    web1\n          given up\n")
    end)

    it("shows diffs when they are wanted, once for all hosts", function()
        local events = play_events.make { hosts = 3 }
        has_not(shown(events), "worker_processes")
        local text = shown(events, { diff = true })
        has(text, "\n          -worker_processes 2;\n          +worker_processes 8;\n")
        has(text, "          mode: 700 -> 755\n")
        local _, times = text:gsub("+worker_processes 8", "")
        assert.are.equal(1, times)
    end)

    it("shows the last lines of a command that failed", function()
        local v, text = view()
        begun(v, { "web1" })
        for i = 1, 30 do
            v:event { event = "step_line", play = 1, host = "web1", step = "1", stream = "stdout", line = "line " .. i }
        end
        has_not(text(), "line 1")
        v:event(step("web1", "1", "run", "failed", { error = "exit status 1" }))
        has(text(), "          | line 21\n")
        has_not(text(), "line 20")
    end)

    it("shows lines at once, and tracebacks, when it is to say more", function()
        local v, text = view { verbosity = 1 }
        begun(v, { "web1" })
        v:event { event = "step_line", play = 1, host = "web1", step = "1", stream = "stdout", line = "a\27[31mb" }
        has(text(), "          web1 | a\\x1b[31mb\n")
        v:event(step("web1", "1", "run", "failed", { error = { message = "no", traceback = "x.lua:1: in f" } }))
        has(text(), "x.lua:1: in f")
    end)

    it("leaves out what was right when it is to say less", function()
        local text = shown(play_events.make { hosts = 3, failures = 1 }, { verbosity = -1 })
        has_not(text, "\nok ")
        has_not(text, "\nskipped ")
        has(text, "\nfailed ")
    end)

    it("folds what hosts say", function()
        local v, text = view()
        begun(v, { "a1", "a2" })
        v:event { event = "message", play = 1, host = "a1", level = "info", text = "new\nand more" }
        v:event { event = "message", play = 1, host = "a2", level = "info", text = "new\nand more" }
        has(text(), "says      new")
        has(text(), "a[1-2] (2)\n          and more\n")
        v:event { event = "message", level = "warning", text = "of nobody" }
        has(text(), "warning   of nobody")
    end)

    it("says what a host was at when it was lost", function()
        local v, text = view()
        begun(v, { "web1" })
        v:event { event = "step_start", play = 1, host = "web1", step = "1", name = "unpack" }
        v:event { event = "host_end", play = 1, host = "web1", status = "lost",
            error = { code = "dead", message = "no answer" } }
        has(text(), "lost      unpack")
        has(text(), "          no answer\n")
    end)

    it("has no colours where none are wanted, and says the same with them", function()
        local events = play_events.make { hosts = 12, failures = 0.3, lost = 0.1 }
        local bare, coloured = shown(events, { diff = true }), shown(events, { diff = true, colour = true })
        has_not(bare, "\27")
        has(coloured, "\27[1;31mfailed")
        assert.are.equal(bare, (coloured:gsub("\27%[[%d;]*m", "")))
    end)

    for _, columns in ipairs { 40, 80, 200 } do
        it(("fits a terminal of %d columns"):format(columns), function()
            local events = play_events.make { hosts = 60, failures = 0.3, lost = 0.1 }
            local text = shown(events, { diff = true, columns = function() return columns end })
            for line in text:gmatch "[^\n]+" do
                if not line:find "^go on with" and not line:find "^play" then
                    assert.is_true(width.of(line) < columns, line)
                end
            end
        end)
    end
end)

describe("the recap", function()
    it("has a row for each host, its columns aligned", function()
        local text = shown(play_events.make { hosts = 12, failures = 0.3 })
        has(text, "recap  failed: 8 of 12 hosts, 18 s")
        local rows, at = 0, nil
        for line in text:match("recap.*"):gmatch "[^\n]+" do
            local numbers = line:match "^%w+ +[%d-]+ +[%d-]+ +[%d-]+ +[%d-]+$"
            if numbers then
                rows, at = rows + 1, at or #line
                assert.are.equal(at, #line)
            end
        end
        assert.are.equal(12, rows)
    end)

    it("folds many hosts with the same counts, the exceptions first", function()
        local text = shown(play_events.make { hosts = 500, failures = 0.01 }):match "recap.*"
        local _, lines = text:gsub("\n", "")
        assert.is_true(lines < 80, text)
    end)

    it("lists who failed of what, and how to go on", function()
        local events = play_events.make { hosts = 8, failures = 0.4, lost = 0.2 }
        events[1].playbook = "my deploy.lua"
        local text = shown(events):match "recap.*"
        has(text, "cannot ")
        has(text, "(deploy.lua:")
        has(text, "go on with: orrery play --failed 'my deploy.lua'\n")
        events[1].recorded = false
        has_not(shown(events), "go on with")
        has_not(shown(play_events.make { hosts = 3 }), "go on with")
    end)

    it("knows how the run ended by its exit status", function()
        local events = play_events.make { hosts = 2 }
        events[#events].status = 130
        has(shown(events), "recap  interrupted: 2 hosts")
    end)

    it("comes although the run never ended", function()
        local events = play_events.make { hosts = 3 }
        local v, text = view()
        play_events.feed(v, events, math.floor(#events / 2))
        v:finish()
        has(text(), "recap")
    end)
end)
