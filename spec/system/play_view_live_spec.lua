local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"

leak.guard()

-- A play that never was goes on in its own time, up to a moment, and stays there until it is told to end.
local PLAY = [[
local play_events = require "spec.support.play_events"
local sched = require "orrery.sched"
local views = require "orrery.play.views"
local hosts, upto = tonumber(arg[1]), tonumber(arg[2])
local view = views.open("live", { utf8 = true, colour = false })
local events = play_events.make { hosts = hosts, failures = 0.05, lost = 0.03 }
local start, at = events[1].time, 1
local function play(till)
    while events[at] and events[at].time - start <= till do
        view:event(events[at])
        at = at + 1
    end
end
play(upto)
]]
local STAY = PLAY .. "sched.sleep(1000)"

local window

local function start(columns, lines, text, ...)
    window = terminal.sized(columns, lines, text, ...)
    return window
end

local function lines_of(screen)
    local lines = {}
    for line in screen:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
    while #lines > 0 and lines[#lines] == "" do lines[#lines] = nil end
    return lines
end

-- How often the region's first line is on the screen: once, if nothing of an older one was left.
local function regions(screen) return select(2, screen:gsub("── web t", "")) end

describe("the live view on a terminal", function()
    if os.execute "command -v tmux >/dev/null 2>&1" ~= 0 then
        pending "there is no tmux"
        return
    end

    after_each(function()
        if window then window:finish() end
        window = nil
    end)

    for _, size in ipairs { { 80, 24 }, { 40, 20 }, { 200, 50 } } do
        for _, hosts in ipairs { 1, 20, 200, 500 } do
            it(("has room for %d hosts in %dx%d"):format(hosts, size[1], size[2]), function()
                start(size[1], size[2], STAY, tostring(hosts), "5")
                window:await "── web t"
                remote.eventually("the hosts that run", function() return window:screen():find "running" end)
                local screen = window:screen()
                assert.are.equal(1, regions(screen))
                assert.is_true(#lines_of(screen) <= size[2])
                assert.is_false(window:cursor())
            end)
        end
    end

    it("leaves lines alone, and the cursor shown", function()
        start(100, 50, PLAY .. "play(1000) view:finish()", "3", "1")
        window:await "ended 0"
        local screen = window:screen()
        assert.are.equal(0, regions(screen))
        assert.is_truthy(screen:find("recap  ok: 3 hosts", 1, true))
        assert.is_true(window:cursor())
    end)

    it("leaves the cursor shown after Ctrl-C, an error, an exit and a signal", function()
        for _, way in ipairs { "C-c", "error 'a slip'", "os.exit(3)", "TERM" } do
            local text = way:find " " and PLAY .. way or way:find "exit" and PLAY .. way or STAY
            start(100, 30, text, "3", "1")
            if way == "C-c" or way == "TERM" then
                window:await "running"
                remote.eventually("the cursor to be hidden", function() return not window:cursor() end)
                if way == "C-c" then window:key "C-c" else os.execute("kill " .. window:pid()) end
            end
            window:await "ended "
            assert.is_true(window:cursor(), way)
            if way:find " " then assert.is_truthy(window:screen():find("a slip", 1, true)) end
            window:finish()
            window = nil
        end
    end)

    it("leaves the cursor shown after the second Ctrl-C, too, and shows what is said after the first", function()
        start(100, 30, PLAY .. "while true do pcall(sched.sleep, 1000) end", "3", "3")
        window:await "── web tier"
        window:key "C-c"
        window:await "Ctrl-C again exits now"
        remote.eventually("the region below it", function()
            return window:screen():find "exits now\n── web tier"
        end)
        assert.are.equal(1, regions(window:screen()))
        window:key "C-c"
        window:await "ended 130"
        assert.is_true(window:cursor())
    end)

    it("follows the window's size", function()
        start(100, 30, STAY, "20", "5")
        window:await "── web tier"
        for _, size in ipairs { { 60, 20 }, { 40, 12 }, { 120, 40 } } do
            window:resize(size[1], size[2])
            remote.eventually("one region", function()
                local screen = window:screen()
                if regions(screen) ~= 1 then return false end
                for _, line in ipairs(lines_of(screen)) do
                    local rule = line:find "^── web t"
                    if rule then return #line > size[1] - 20 end
                end
            end, 10)
        end
    end)

    it("puts what the script prints above it, unbroken", function()
        start(80, 24, PLAY .. [[
            for i = 1, 30 do print("printed " .. i) sched.sleep(0.03) end
            io.write "half a "
            sched.sleep(0.3)
            io.write "line\n"
            sched.sleep(1000)]], "2", "3")
        window:await "half a line"
        local screen = window:screen()
        assert.is_truthy(screen:find("printed 29\nprinted 30\nhalf a line\n── web tier", 1, true), screen)
        assert.are.equal(1, regions(screen))
    end)

    it("goes away while a question is asked, and is not drawn over it", function()
        start(80, 24, PLAY .. [[
            sched.spawn(function()
                local ask = require "orrery.ask"
                local answer = ask.person { kind = "password", host = "web1", subject = "x", text = "The word: ",
                    detail = "", echo = false, attempt = 1 }
                print("it was " .. answer)
            end)
            for i = 1, 40 do
                sched.sleep(0.05)
                play(3 + i / 20)
            end
            sched.sleep(1000)]], "3", "3")
        window:await "The word:"
        assert.are.equal(0, regions(window:screen()))
        assert.is_true(window:cursor())
        local lines = lines_of(window:screen())
        assert.is_truthy(lines[#lines]:find "^The word:")
        window:type "abra\n"
        window:await "it was abra"
        window:await "── web tier"
        assert.are.equal(1, regions(window:screen()))
        assert.is_nil(window:screen():find("abra\nabra", 1, true))
    end)

    it("goes away while the script reads a line", function()
        start(80, 24, PLAY .. [[
            sched.sleep(0.3)
            io.write "Name? "
            print("Hello, " .. io.read() .. ".")
            sched.sleep(1000)]], "3", "3")
        window:await "Name?"
        assert.are.equal(0, regions(window:screen()))
        window:type "Ann\n"
        window:await "Hello, Ann."
        window:await "── web tier"
    end)

    it("is drawn anew after it was stopped", function()
        start(80, 24, STAY, "3", "3")
        window:await "── web tier"
        local pid = window:pid()
        os.execute(("kill -TSTP %d"):format(pid))
        remote.eventually("the cursor to be shown", function() return window:cursor() end)
        os.execute(("kill -CONT %d"):format(pid))
        remote.eventually("the cursor to be hidden", function() return not window:cursor() end)
    end)
end)
