-- The prompt on hosts: what Ctrl-C ends there, many at once, those that are lost; and in the tree of another program.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"
local now = require("orrery").now

-- Half a hundred hosts, for those who have the time.
local is_long = os.getenv "ORRERY_LONG" == "1"
local HOSTS = is_long and 50 or 6
-- From the key to the prompt; it is much less on a machine that has nothing else to do.
local AT_ONCE = 3

leak.guard { timeout = 30 }

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"
local ALL = ("h[1-%d]"):format(HOSTS)

-- Each has its line.
local LINES = 30 + HOSTS

local t

-- Starts a prompt that knows these hosts.
local function start(columns, hosts, ...)
    t = terminal.command(columns, LINES, "repl", "-F", lab.ssh_config(), "-i", hosts, ...)
    t:await "orrery>"
end

-- Nothing is on the screen but the prompt.
local function fresh(label)
    t:key "C-l"
    remote.eventually("a fresh screen with " .. label, function()
        return t:screen():gsub("%s+$", "") == label .. ">"
    end, 20)
end

-- Types an input, and waits for what comes of it and the prompt behind that.
local function input(text, expected, label)
    t:type(text .. "\n")
    t:await(("\n%s\n%s>"):format(expected, label))
end

-- Waits for a text, whose lines are broken where the screen ends.
local function says(text)
    text = text:gsub("%s", "")
    local ok = pcall(remote.eventually, text, function() return t:screen():gsub("%s", ""):find(text, 1, true) end, 20)
    if not ok then error(("%q is not on the screen:\n%s"):format(text, t:screen()), 2) end
end

local function use(hosts, label)
    t:type((":use %s\n"):format(hosts))
    t:await("\n" .. (label or hosts) .. ">")
end

-- Ctrl-C, and the prompt is there at once; everything still answers.
local function interrupt(label, answer)
    local before = now()
    t:key "C-c"
    t:await("interrupted by Ctrl-C\n" .. label .. ">")
    assert.is_true(now() - before < AT_ONCE)
    fresh(label)
    input("6 * 7", answer, label)
    fresh(label)
end

local function each_host(fn)
    for i = 1, HOSTS do fn("h" .. i) end
end

local function awaits_none(host, text)
    remote.eventually(text .. " ends on " .. host, function() return #remote.processes(host, text) == 0 end, 10)
end

local function computes(host)
    for _, process in pairs(lab.processes(host)) do
        if process.state == "R" and process.command:find("agent", 1, true) then return true end
    end
    return false
end

-- Files that somebody on a host has open, and that have no name, or not yet.
local function nameless(host)
    local _, out = lab.exec(host,
        "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -F ' /tmp/' | grep -F '(deleted)'; ls -A /tmp")
    return out
end

for _, columns in ipairs { 80, 40 } do
    describe(("orrery repl on hosts, at %d columns"):format(columns), function()
        if os.execute "command -v tmux >/dev/null 2>&1" ~= 0 then
            pending "there is no tmux"
            return
        end
        if not lab.need(HOSTS, { refuse = 1, dead = 2, isolated = true }) then return end

        after_each(function()
            if t then t:finish() end
            t = nil
            for _, host in ipairs(lab.list()) do
                if host.state == "killed" then lab.start(host.name) end
                if host.state == "cut" then lab.heal(host.name) end
            end
        end)

        local places = {
            { "one host", label = "h1", answer = "42", said = "\non\n" },
            { "all hosts", label = "@all", answer = ALL .. ": 42", said = "\nh2: on\n" },
        }
        for n, place in ipairs(places) do
            local hosts = place.label == "h1" and { "h1" } or {}
            if #hosts == 0 then each_host(function(name) hosts[#hosts + 1] = name end) end

            it("ends what runs on " .. place[1] .. " at Ctrl-C", function()
                start(columns, ("%s,h1"):format(ALL))
                use(place.label)
                fresh(place.label)
                t:type "print('on') while true do end\n"
                t:await(place.said)
                interrupt(place.label, place.answer)
                for _, host in ipairs(hosts) do
                    remote.eventually(host .. " rests", function() return not computes(host) end, 10)
                end
                t:type "print('on') orrery.sleep(1000)\n"
                t:await(place.said)
                interrupt(place.label, place.answer)
                local seconds = "sleep " .. remote.seconds(10 * n + columns)
                for _, text in ipairs { "!echo on; " .. seconds, ("os.execute 'echo on >&2; %s'"):format(seconds) } do
                    t:type(text .. "\n")
                    for _, host in ipairs(hosts) do
                        remote.eventually(text .. " runs on " .. host, function()
                            return #remote.processes(host, seconds) > 0
                        end, 20)
                    end
                    interrupt(place.label, place.answer)
                    for _, host in ipairs(hosts) do awaits_none(host, seconds) end
                end
            end)
        end

        it("ends a put and a get at Ctrl-C, and nothing is left of them", function()
            start(columns, ALL .. ",h1")
            local dir = t.dir .. "/files"
            assert(lab.run { "mkdir", dir } == 0)
            assert(lab.run { "truncate", "-s", "64G", dir .. "/large" } == 0)
            lab.exec("h2", "truncate -s 64G /tmp/large")
            local before = nameless "h1"
            t:type("said = function(n) if n > 1e6 and not on then on = 1 print 'on' end end\n")
            t:type(("dir = %q\n"):format(dir))
            t:type "watch = { on_progress = said }\n"
            fresh "orrery"
            for _, text in ipairs {
                "on = nil hosts.h1:put(dir .. '/large', '/tmp/copy', watch)",
                "on = nil hosts.h2:get('/tmp/large', dir .. '/copy', watch)",
                "on = nil orrery.map({ 'h1', 'h3' }, function(name) "
                    .. "hosts[name]:put(dir .. '/large', '/tmp/copy', watch) end)",
            } do
                t:type(text .. "\n")
                t:await "\non\n"
                interrupt("orrery", "42")
                assert.are.same({ "large" }, remote.names(dir))
                remote.eventually("h1 has nothing left of it", function() return nameless "h1" == before end, 10)
                remote.eventually("nothing is left here", function()
                    local _, out = lab.run { "ls", "-l", ("/proc/%d/fd"):format(t:pid()) }
                    return not out:find(dir, 1, true)
                end, 10)
            end
            input("hosts.h1:call(function() return 6 * 8 end)", "48", "orrery")
            input("hosts.h2:call(function() return 6 * 9 end)", "54", "orrery")
            lab.exec("h2", "rm /tmp/large")
        end)

        it("does not wait for a host that does not answer after Ctrl-C", function()
            start(columns, ALL .. ",h1")
            use "h[1-2]"
            fresh "h[1-2]"
            lab.cut "h2"
            t:type "return 6 * 9\n"
            t:await "return 6 * 9\n"
            local before = now()
            t:key "C-c"
            t:await "\nh[1-2]>"
            assert.is_true(now() - before < AT_ONCE)
            says "h2 is still busy with it; :close h2 ends it"
            fresh "h[1-2]"
            lab.heal "h2"
            input("return 6 * 8", "h[1-2]: 48", "h[1-2]")
        end)

        it("folds what all answer, and goes on without one that is lost", function()
            local lost, left = HOSTS - 1, ("@all %d/%d"):format(HOSTS - 1, HOSTS)
            start(columns, ALL .. ",h1")
            use "@all"
            fresh "@all"
            input("return 6 * 7", ALL .. ": 42", "@all")
            fresh "@all"
            t:type "print('grüße"
            t:await "print('grüße"
            lab.kill("h" .. lost)
            local report = ("h%d: lost: the server closed the SSH"):format(lost)
            t:await(report)
            t:await "\n@all> print('grüße"
            t:type "') return 7 * 7\n"
            t:await(("\nh[1-%d,%d]: 49\n%s>"):format(HOSTS - 2, HOSTS, left))
            assert.is_truthy(t:screen():find("h1: grüße", 1, true))
            local _, times = t:screen():gsub("lost: ", "")
            assert.are.equal(1, times)
            fresh(left)
            t:type(":hosts h1,h" .. lost .. "\n")
            t:await(("h%d"):format(lost))
            assert.matches(("h%d +lost"):format(lost), t:screen())
            assert.matches("h1 +connected", t:screen())
            lab.start("h" .. lost)
            input(":connect", "1 host connected", "@all")
            input("return 6 * 8", ALL .. ": 48", "@all")
        end)

        it("tells once of a host that is lost while an input runs there", function()
            start(columns, ALL .. ",h1")
            use "h[1-3]"
            fresh "h[1-3]"
            t:type "print 'on' orrery.sleep(2) return 8\n"
            t:await "h3: on\n"
            lab.kill "h3"
            t:await "\nh[1-2]: 8\nh[1-3] 2/3>"
            local _, times = t:screen():gsub("h3: lost: ", "")
            assert.are.same({ 1, nil }, { times, t:screen():find("code:", 1, true) })
            lab.start "h3"
            input(":connect h3", "1 host connected", "h[1-3]")
            use "h3"
            fresh "h3"
            t:type "!echo on; sleep 1000\n"
            t:await "\non\n"
            lab.kill "h3"
            t:await "\nh3 (lost)>"
            _, times = t:screen():gsub("closed the SSH", "")
            assert.are.equal(1, times)
            fresh "h3 (lost)"
            t:type "1\n"
            says "':connect' opens what was lost"
            lab.start "h3"
            input(":connect", "1 host connected", "h3")
            input("6 * 7", "42", "h3")
        end)

        it("shows outliers first, and who failed", function()
            start(columns, ALL .. ",h1")
            use "@all"
            t:type "name = io.popen('uname -n'):read()\n"
            input("return name == 'h2' and 1 or 2", ("h2: 1\nh[1,3-%d]: 2"):format(HOSTS), "@all")
            fresh "@all"
            input("if name == 'h3' then error 'no' end return 3", ("h3: stdin:1: no\nh[1-2,4-%d]: 3"):format(HOSTS),
                "@all")
            fresh "@all"
            t:type "!uname -n\n"
            t:await "\n@all>"
            each_host(function(name) assert.matches(("\n%s: +%s\n"):format(name, name), t:screen()) end)
            fresh "@all"
            t:type "!test $(uname -n) != h2\n"
            t:await "\nh2: exit status 1\n@all>"
        end)

        it("has locals of its own in each context", function()
            start(columns, ALL .. ",h1")
            t:type "local x = 10\n"
            use "h1"
            t:type "local x = 11\n"
            use "@all!h1"
            input("x", ("h[2-%d]: nil"):format(HOSTS), "@all!h1")
            t:type "local x = 12\n"
            use "h1,h2"
            input("x", "h1: 11\nh2: 12", "h1,h2")
            t:type ":here\n"
            t:await "\norrery>"
            input("x + 0", "10", "orrery")
            use "h1"
            input("x + 0", "11", "h1")
        end)

        it("says who cannot be reached, and goes on with the others", function()
            start(columns, "h1,dead1,dead2", "--connect-timeout", "2")
            t:type ":use dead[1-2]\n"
            t:await "dead2:"
            t:await "\norrery>"
            for i = 1, 2 do
                says(("dead%d: no answer from %s port 22 within 2 s"):format(i, lab.host("dead" .. i).address))
            end
            use("h1,dead1", "h1,dead1 1/2")
            fresh "h1,dead1 1/2"
            input("6 * 7", "42", "h1,dead1 1/2")
            t:type ":use dead2\n"
            says "within 2 s"
            t:await "\nh1,dead1 1/2>"
            use "h1"
        end)

        it("does not wait for who cannot be reached after Ctrl-C", function()
            start(columns, "h1,dead1,refuse1")
            use "h1"
            fresh "h1"
            t:type ":use dead1\n"
            t:await ":use dead1"
            interrupt("h1", "42")
            t:type ":use refuse1\n"
            t:await "password:"
            t:key "C-c"
            says "interrupted by Ctrl-C"
            t:await "\nh1>"
            fresh "h1"
            input("6 * 8", "48", "h1")
        end)

        it("saves what ran on hosts as a script that does it again", function()
            start(columns, "h1,h2,h3")
            use "h1"
            t:type "local n = 20 + 1\n"
            input("print(n * 2)", "42", "h1")
            use "@all"
            input("return n", "h1: 21\nh[2-3]: nil", "@all")
            t:type "!uname -n\n"
            t:await "\nh3: h3\n"
            t:type(":save ~/again.lua\n")
            t:await "4 inputs\n@all>"
            local code, out, err = lab.run { program, "run", t.dir .. "/again.lua" }
            local said = out .. err
            assert.are.equal(0, code, said)
            assert.matches("42\n", said)
            assert.matches("h3\n", said)
        end)
    end)

    describe(("orrery attach, at %d columns"):format(columns), function()
        if os.execute "command -v tmux >/dev/null 2>&1" ~= 0 then
            pending "there is no tmux"
            return
        end
        if not lab.need(2, { isolated = true }) then return end

        local dir, path, tree
        before_each(function()
            dir = remote.directory()
            path = dir .. "/socket"
            tree = remote.program([[
                local web = orrery.ssh("h1", { config = arg[2] })
                orrery.ssh("h2", { config = arg[2] })
                orrery.localhost { name = "here" }
                orrery.listen(arg[1])
                say "ready"
                while not io.open(arg[1] .. ".end") do orrery.sleep(0.01) end
                say(web:call(function() return left or "nothing" end))
            ]], nil, path, lab.ssh_config())
            assert.are.equal("ready", tree:line(), tree:stderr())
            t = terminal.command(columns, LINES, "attach", path)
            t:await "orrery>"
        end)
        after_each(function()
            if t then t:finish() end
            t = nil
            remote.write(path .. ".end", "")
            tree:finish()
            remote.remove(dir)
        end)

        it("is a prompt in the tree of a program that runs", function()
            t:type ":hosts\n"
            t:await "here"
            for _, name in ipairs { "h1", "h2", "here" } do
                assert.matches("\n +" .. name .. " +connected", t:screen())
            end
            use "h1"
            input("left = io.popen('uname -n'):read() return left", '"h1"', "h1")
            fresh "h1"
            t:type "print('on') while true do end\n"
            t:await "while true do end"
            interrupt("h1", "42")
            t:type ":close h1\n"
            says "who closes it"
            fresh "h1"
            use "@all"
            input("left ~= nil", "h1: true\nh2,here: false", "@all")
            t:key "C-d"
            t:await "ended 0"
            remote.write(path .. ".end", "")
            assert.are.equal("h1", tree:line(), tree:stderr())
        end)

        it("ends with the tree, and says so", function()
            use "h2"
            t:type "some words"
            t:await "some words"
            remote.write(path .. ".end", "")
            t:await "ended 1"
            local said = t:screen():gsub("\n", " ")
            assert.matches("has *end *ed: the *other", said)
            assert.is_nil(said:find("traceback", 1, true))
        end)

        it("ends with the tree while an input runs", function()
            use "h2"
            t:type "require('orrery').sleep(1000)\n"
            t:await "sleep(1000)\n"
            remote.write(path .. ".end", "")
            t:await "ended 1"
            assert.is_nil(t:screen():find("traceback", 1, true))
        end)
    end)
end
