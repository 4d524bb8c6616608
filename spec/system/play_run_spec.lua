-- `orrery play` on hosts of the lab: plays that fail, are interrupted and killed, and are gone on with.
local json = require "orrery.json"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { timeout = 15 }

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

describe("orrery play", function()
    if not lab.need(3, { isolated = true }) then return end

    local dir

    before_each(function()
        dir = remote.directory()
        for i = 1, 3 do lab.exec("h" .. i, "rm -rf /srv/t; mkdir -p /srv/t") end
    end)
    after_each(function() remote.remove(dir) end)

    local function write(text, ...)
        remote.write(dir .. "/site.lua", 'local play = require "orrery.play"\n' .. text:format(...))
    end

    local function command(...)
        return { "env", "XDG_STATE_HOME=" .. dir .. "/state", program, "play", dir .. "/site.lua",
            "-F", lab.ssh_config(), ... }
    end

    local function events_of(text)
        local events = {}
        for line in text:gmatch "[^\n]+" do events[#events + 1] = json.decode(line) end
        return events
    end

    -- Runs the playbook that was written; its status, events and stderr.
    local function play(...)
        local code, out, err = lab.run { "timeout", "60", unpack(command("--output", "json", ...)) }
        return { code = code, events = events_of(out), err = err }
    end

    -- "h1 1 changed", "h1 2 ok" ... of the steps of a host.
    local function steps(run, host, resource)
        local list = {}
        for _, e in ipairs(run.events) do
            if e.event == "step_end" and e.host == host and (not resource or e.resource == resource) then
                list[#list + 1] = e.name .. " " .. e.status
            end
        end
        return list
    end

    local function one(run, kind, host)
        local found
        for _, e in ipairs(run.events) do
            if e.event == kind and (host == nil or e.host == host) then found = e end
        end
        return found
    end

    local function there(host, path) return (lab.exec(host, { "test", "-e", path })) == 0 end

    local function record()
        local base = dir .. "/state/orrery/runs/"
        local names = remote.names(base .. remote.names(base)[1])
        return base .. remote.names(base)[1] .. "/" .. names[#names], names
    end

    it("runs on all hosts, and changes nothing the second time", function()
        write [[
            play.play {
                name = "files", hosts = "h[1-3]",
                handlers = { restart = function(h) h:file { path = "/srv/t/restarted", state = "touch" } end },
                run = function(h)
                    h:file { path = "/srv/t/a", state = "directory", notify = "restart" }
                    h:task("more", { tags = "more" }, function()
                        h:apply { { "file", path = "/srv/t/b", state = "directory" } }
                    end)
                    local name = h:batch(function(h)
                        h:file { path = "/srv/t/c", state = "directory" }
                        return h.name
                    end)
                    assert(name == h.name)
                end,
            }
        ]]
        local first = play()
        assert.are.same({ 0, "" }, { first.code, first.err })
        for i = 1, 3 do
            assert.are.same({ "file /srv/t/a changed", "file /srv/t/b changed", "more changed", "file /srv/t/c changed",
                "file /srv/t/restarted changed", "restart changed" }, steps(first, "h" .. i))
            assert.is_true(there("h" .. i, "/srv/t/restarted"))
        end
        local second = play()
        assert.are.equal(0, second.code)
        assert.are.same({ "file /srv/t/a ok", "file /srv/t/b ok", "more ok", "file /srv/t/c ok" }, steps(second, "h2"))
        local counts = one(second, "run_end").hosts.h2
        assert.are.same({ 3, 0, 0 }, { counts.ok, counts.changed, counts.failed })
        local path, names = record()
        assert.are.equal(2, #names)
        assert.are.equal("600\n", select(2, lab.run { "stat", "-c", "%a", path }))
    end)

    it("changes nothing in check mode, and keeps no such run to go on from", function()
        write [[
            play.play {
                hosts = "h1", handlers = { restart = function(h) h:file { path = "/srv/t/r", state = "touch" } end },
                run = function(h) h:file { path = "/srv/t/a", state = "directory", notify = "restart" } end,
            }
        ]]
        local r = play("--check")
        assert.are.same({ 0, "" }, { r.code, r.err })
        assert.are.same({ "file /srv/t/a changed", "file /srv/t/r changed", "restart changed" }, steps(r, "h1"))
        assert.is_false(there("h1", "/srv/t/a"))
        local failed = play("--failed")
        assert.are.equal(64, failed.code)
        assert.matches("no record of an earlier run", failed.err)
    end)

    -- All that a host's file system has beyond this machine's, but for what the way in itself leaves (sshd, the agent).
    local function everything(host)
        local upper = lab.file("host/" .. host .. "/upper")
        local _, names = lab.run { "find", upper, "-path", upper .. "/run", "-prune", "-o", "-printf",
            "%P %y %m %u %g %s %T@ %C@\\n" }
        local _, sums = lab.run { "sh", "-c", 'find "$1" -path "$1/run" -prune -o -type f -exec sha256sum {} + | sort',
            "sh", upper }
        return names .. sums
    end

    it("changes nothing at all in check mode, whatever there is to do", function()
        write [[
            local check = os.getenv "CHECK"
            play.play {
                hosts = "h1", vars = { word = check and "new" or "old" },
                handlers = { h = function(h) h:shell { cmd = "date >/srv/t/handler" } end },
                run = function(h)
                    local word = h.vars.word
                    h:directory { path = "/srv/t/" .. word .. "/deep", mode = check and "700" or "755", notify = "h" }
                    h:copy { dest = "/srv/t/copy", content = word, backup = true }
                    h:template { dest = "/srv/t/template", content = "<%%= word %%>" }
                    h:line { path = "/srv/t/copy", line = word, create = true }
                    h:link { path = "/srv/t/link", target = word }
                    h:shell { cmd = "echo >/srv/t/shell", creates = "/srv/t/" .. word .. "/shell" }
                    h:task("task", function()
                        h:file { path = "/srv/t/file", state = check and "absent" or "touch" }
                    end)
                    h:batch(function(h) h:directory { path = "/srv/t/batch" .. h.vars.word } end)
                    h:apply { { "directory", path = "/srv/t/list" .. word } }
                    h:put(arg[0], "/srv/t/put" .. word)
                end,
            }
        ]]
        local first = play()
        assert.are.equal(0, first.code, (one(first, "host_end", "h1").error or {}).message)
        local before = everything "h1"
        local code, out, err = lab.run { "env", "CHECK=1", unpack(command("--check", "--diff", "--output", "json")) }
        assert.are.same({ 0, "" }, { code, err })
        local r = { events = events_of(out) }
        local changed = 0
        for _, text in ipairs(steps(r, "h1")) do changed = changed + (text:find " changed$" and 1 or 0) end
        assert.is_true(changed >= 9, table.concat(steps(r, "h1"), "\n"))
        assert.are.equal(before, everything "h1")
    end)

    -- h2 fails until /srv/t/good is there; h3 is lost in the middle; handlers are owed to both.
    local FAILING = [[
        play.play {
            name = "one", hosts = "h1,h2,h3", max_failures = 2,
            handlers = { restart = function(h) h:shell { cmd = "date >>/srv/t/restarted" } end },
            run = function(h)
                h:shell { name = "first", cmd = "echo 1 >>/srv/t/first" }
                h:file { path = "/srv/t/conf", state = "directory", notify = "restart" }
                if h.name == "h2" then h:shell { name = "test", cmd = "test -e /srv/t/good" } end
                if h.name == "h3" then
                    h:shell { name = "long", cmd = "[ -e /srv/t/good ] || { echo up >/srv/t/up; exec sleep 1000; }" }
                end
                h:shell { name = "last", cmd = "echo 1 >>/srv/t/last" }
            end,
        }
        play.play {
            name = "two", hosts = "h1,h2,h3",
            run = function(h) h:shell { name = "after", cmd = "echo 1 >>/srv/t/after" } end,
        }
    ]]

    local function lines(host, name)
        local _, out = lab.exec(host, "cat /srv/t/" .. name .. " 2>/dev/null | wc -l")
        return tonumber(out)
    end

    local function all_lines(host)
        return { first = lines(host, "first"), restarted = lines(host, "restarted"), last = lines(host, "last"),
            after = lines(host, "after") }
    end

    -- Starts the playbook, waits until h3 is in its long step and the others have ended, does something, and waits for
    -- the end.
    local function meanwhile(what, ...)
        local fifo = lab.root "h3" .. "/srv/t/up"
        lab.exec("h3", "mkfifo /srv/t/up")
        local words = {}
        for i, word in ipairs(command("--output", "json", ...)) do words[i] = ("'%s'"):format(word) end
        remote.write(dir .. "/job", ([[
set -m
timeout 60 %s >%s/out 2>%s/err &
job=$!
read word <%s
for host in h1 h2; do
    until grep -q '"event":"host_end","host":"'$host %s/state/orrery/runs/*/*; do sleep 0.01; done
done
pid=$(pgrep -P $job)
%s
wait $job
echo $? >%s/status
]]):format(table.concat(words, " "), dir, dir, fifo, dir, what, dir))
        lab.run { "timeout", "90", "bash", dir .. "/job" }
        return {
            code = tonumber(remote.slurp(dir .. "/status")), err = remote.slurp(dir .. "/err"),
            out = remote.slurp(dir .. "/out"),
        }
    end

    -- What is left of the run that FAILING was, when it is gone on with.
    local function goes_on(also_h1)
        for _, host in ipairs { "h2", "h3" } do lab.exec(host, "touch /srv/t/good") end
        local again = play("--failed")
        assert.are.same({ 0, "" }, { again.code, again.err })
        assert.are.same(also_h1 or {}, steps(again, "h1"))
        assert.are.same({ "first skipped", "file /srv/t/conf skipped", "test changed", "last changed",
            "shell date >>/srv/t/restarted changed", "restart changed", "after changed" }, steps(again, "h2"))
        assert.are.same({ first = 1, restarted = 1, last = 1, after = 1 }, all_lines "h2")
        assert.are.same({ first = 1, restarted = 1, last = 1, after = 1 }, all_lines "h3")
        local nothing = play("--failed")
        assert.are.equal(0, nothing.code)
        assert.matches("the last run of this playbook left nothing to do", nothing.err)
    end

    it("goes on with the hosts that failed and were lost, and pays handlers that are owed", function()
        write(FAILING)
        local r = meanwhile(("ORRERY_LAB_NAME=%s spec/lab kill h3"):format(lab.name))
        lab.start "h3"
        r.events = events_of(r.out)
        assert.are.same({ 3, "" }, { r.code, r.err })
        assert.are.equal("ok", one(r, "host_end", "h1").status)
        local failed, lost = one(r, "host_end", "h2"), one(r, "host_end", "h3")
        assert.are.same({ "failed", { "restart" } }, { failed.status, failed.owed })
        assert.matches("site.lua:8$", failed.error.at)
        assert.are.same({ "lost", { "restart" }, "dead" }, { lost.status, lost.owed, lost.error.code })
        assert.are.same({ first = 1, restarted = 1, last = 1, after = 1 }, all_lines "h1")
        assert.are.same({ first = 1, restarted = 0, last = 0, after = 0 }, all_lines "h2")
        goes_on()
    end)

    it("goes on after kill -9", function()
        write(FAILING)
        local r = meanwhile "kill -9 $pid"
        assert.are.equal(137, r.code)
        remote.eventually("the end of the long step", function()
            return #remote.processes("h3", "sleep 1000") == 0 or nil
        end, 10)
        local text = remote.slurp((record()))
        assert.matches('"event":"at","host":"h3","name":"long"', text)
        goes_on { "after changed" } -- the second play had not begun
    end)

    it("ends the remote work after Ctrl-C, says so, and goes on from there", function()
        write(FAILING)
        local r = meanwhile "kill -INT $pid"
        assert.are.equal(130, r.code)
        assert.matches("^orrery: interrupted", r.err)
        r.events = events_of(r.out)
        assert.are.equal("cancelled", one(r, "host_end", "h3").status)
        assert.are.equal(130, one(r, "run_end").status)
        assert.are.same({}, remote.processes("h3", "sleep 1000"))
        goes_on { "after changed" }
    end)

    it("begins nothing more after Ctrl-C, though the script catches what steps raise", function()
        write [[
            local function go_on(h)
                for _ = 1, 3 do
                    pcall(h.shell, h, "echo >>/srv/t/more; sleep 1")
                    pcall(h.apply, h, { { "file", path = "/srv/t/more", state = "touch" } })
                    pcall(h.batch, h, function(h) h:file { path = "/srv/t/more", state = "touch" } end)
                    pcall(h.task, h, "more", function() h:call(function() io.open("/srv/t/more", "w"):close() end) end)
                end
                h:call(function() io.open("/srv/t/cleaned", "w"):close() end)
            end
            play.play {
                hosts = "h[1-3]",
                run = function(h)
                    if h.name ~= "h3" then return end
                    local cmd = "[ -e /srv/t/good ] || { echo up >/srv/t/up; sleep 1000; }"
                    pcall(h.shell, h, { name = "long", cmd = cmd })
                    go_on(h)
                end,
            }
            pcall(play.play, { hosts = "h1", run = function(h) h:file { path = "/srv/t/more", state = "touch" } end })
        ]]
        local r = meanwhile "kill -INT $pid"
        assert.are.equal(130, r.code)
        r.events = events_of(r.out)
        assert.are.same({ "cancelled", 130 }, { one(r, "host_end", "h3").status, one(r, "run_end").status })
        assert.are.same({ false, false, true },
            { there("h1", "/srv/t/more"), there("h3", "/srv/t/more"), there("h3", "/srv/t/cleaned") })
        lab.exec("h3", "touch /srv/t/good")
        assert.are.equal(0, play("--failed").code)
        assert.is_true(there("h3", "/srv/t/more"))
    end)

    it("starts at a step, and only with what is wanted", function()
        write [[
            play.play {
                name = "one", hosts = "h1,h2",
                run = function(h)
                    h:file { name = "a", path = "/srv/t/a", state = "directory" }
                    h:task("t", function() h:file { name = "b", path = "/srv/t/b", state = "directory" } end)
                    h:file { name = "c", path = "/srv/t/c", state = "directory", tags = "c" }
                    h:batch(function(h)
                        h:file { name = "d", path = "/srv/t/d", state = "directory", tags = "d" }
                        h:file { name = "e", path = "/srv/t/e", state = "directory" }
                    end)
                end,
            }
        ]]
        local r = play("--start-at", "b", "--limit", "h2")
        assert.are.same({ 0, {} }, { r.code, steps(r, "h1") })
        assert.are.same({ "a skipped", "b changed", "t changed", "c changed", "d changed", "e changed" },
            steps(r, "h2"))
        r = play("--tags", "c,d", "--limit", "h1")
        assert.are.same({ "a skipped", "b skipped", "t ok", "c changed", "d changed", "e skipped" }, steps(r, "h1"))
        r = play("--start-at", "nothing")
        assert.are.equal(1, r.code)
        assert.are.equal("there is no step 'nothing' to start at", one(r, "message").text)
    end)

    it("does things once, elsewhere, as others, few at a time", function()
        write [[
            local r = play.play {
                hosts = "h1,h2,h3", serial = 2, become = "deploy",
                run = function(h)
                    local where = h:task("once", { run_once = true, as = "root" }, function()
                        return h:shell { cmd = "echo $(uname -n) $(id -un) >>/srv/t/once; uname -n" }.stdout
                    end)
                    local line = "echo " .. h.name .. " $(id -un) >>/srv/t/elsewhere"
                    h:shell { cmd = line, delegate_to = "h1", as = "root" }
                    h:task("few", { throttle = 1 }, function() h:shell { cmd = "id -un >/tmp/who" } end)
                    return where
                end,
            }
            print(r.results.h1 == r.results.h3 and r.results.h1 == "h1\n" or r.results.h1 == "h2\n")
        ]]
        local r = play()
        assert.are.same({ 0, "" }, { r.code, r.err })
        local total = 0
        for i = 1, 3 do total = total + lines("h" .. i, "once") end
        assert.are.equal(1, total)
        local _, said = lab.exec("h1", "sort /srv/t/elsewhere")
        assert.are.equal("h1 root\nh2 root\nh3 root\n", said)
        local _, who = lab.exec("h3", "cat /tmp/who; rm -f /tmp/who")
        assert.are.equal("deploy\n", who)
        assert.are.equal("true", one(r, "print").line)
    end)

    it("pays in the next run what was owed, also where nothing changes then", function()
        write [[
            play.play {
                name = "one", hosts = "h1",
                handlers = { restart = function(h) h:shell { cmd = "date >>/srv/t/restarted" } end },
                run = function(h)
                    h:file { path = "/srv/t/a", state = "directory", notify = "restart" }
                    if os.getenv "FAIL" then error "no" end
                end,
            }
        ]]
        local code = lab.run { "env", "FAIL=1", unpack(command("--output", "json")) }
        assert.are.equal(2, code)
        assert.are.equal(0, lines("h1", "restarted"))
        local checked = play("--check")
        assert.are.same({ 0, "file /srv/t/a ok" }, { checked.code, steps(checked, "h1")[1] })
        local r = play()
        assert.are.equal(0, r.code)
        assert.are.equal("handlers that an earlier run owes: restart", one(r, "message").text)
        assert.are.equal("file /srv/t/a ok", steps(r, "h1")[1])
        assert.are.equal(1, lines("h1", "restarted"))
        play()
        assert.are.equal(1, lines("h1", "restarted"))
    end)

    it("pays once and whole what a handler has left that failed", function()
        write [[
            play.play {
                hosts = "h1",
                handlers = {
                    { "a", function(h) h:shell { cmd = "echo >>/srv/t/a" } end },
                    { "b", function(h) h:shell { name = "b", cmd = "test -e /srv/t/good && echo >>/srv/t/b" } end },
                    { "c", function(h) h:shell { cmd = "echo >>/srv/t/c" } end },
                },
                run = function(h)
                    h:shell { cmd = "echo >>/srv/t/run", notify = { "c", "b", "a" } }
                end,
            }
        ]]
        local r = play()
        assert.are.same({ 2, { "b", "c" } }, { r.code, one(r, "host_end").owed })
        lab.exec("h1", "touch /srv/t/good")
        assert.are.equal(0, play("--failed").code)
        for _, name in ipairs { "run", "a", "b", "c" } do assert.are.equal(1, lines("h1", name), name) end
    end)

    it("works by orrery run and in a stock luajit, with the same status", function()
        write([[
            play.configure { ssh = { config = %q }, vars = { dir = "/srv/t/x" } }
            play.play { hosts = "h1,h2", run = function(h)
                h:file { path = h.vars.dir, state = "directory" }
                if h.name == "h2" then error "no" end
            end }
            if not os.getenv "COMMAND" then os.exit(play.finish()) end
        ]], lab.ssh_config())
        local state = "XDG_STATE_HOME=" .. dir .. "/state"
        local code, out, err = lab.run { "env", state, "COMMAND=1", program, "run", dir .. "/site.lua" }
        assert.are.same({ 2, "" }, { code, err })
        assert.matches("\nchanged +file /srv/t/x +h%[1%-2%]", out)
        assert.matches("\nrecap  ", out)
        code, out, err = lab.run { "env", state, "luajit", dir .. "/site.lua" }
        assert.are.same({ 2, "" }, { code, err })
        assert.matches("\nok +file /srv/t/x +h%[1%-2%]", out)
        assert.matches("\nrecap  ", out)
    end)

    it("says what there is without a connection", function()
        write [[
            play.play { name = "one", hosts = "h1,h2,nowhere", tags = "x", run = function(h)
                h:file { path = "/srv/t/a", state = "directory", tags = "y" }
                for _, name in ipairs(h.facts.names) do h:file { path = name } end
                h:batch(function(h) h:file { name = "in a batch", path = "/b" } end)
            end }
        ]]
        local code, out, err = lab.run(command("--list-tasks"))
        assert.are.same({ 0, "" }, { code, err })
        assert.are.equal("play 1: one (3 hosts)  [x]\n    file /srv/t/a  [x, y]\n    in a batch (file)  [x]\n", out)
        code, out = lab.run(command("--list-hosts", "--limit", "h1"))
        assert.are.same({ 0, "play 1: one (1 host)  [x]\n  h1\n" }, { code, out })
    end)

    it("knows what is owed by a batch or a list that failed in the middle", function()
        write [[
            local function handler(name)
                return function(h) h:shell { cmd = "echo >>/srv/t/" .. name } end
            end
            play.play {
                hosts = "h1,h2", max_failures = 2, handlers = { a = handler "a", b = handler "b", c = handler "c" },
                run = function(h)
                    if h.name == "h1" then
                        h:batch(function(h)
                            h:directory { path = "/srv/t/x", notify = "a" }
                            h:directory { path = "/srv/t/x", notify = "b" }
                            h:shell { name = "good", cmd = "test -e /srv/t/good", notify = "c" }
                        end)
                    else
                        h:apply {
                            { "directory", path = "/srv/t/x", notify = { "a", "b" } },
                            { "shell", name = "good", cmd = "test -e /srv/t/good" },
                        }
                    end
                end,
            }
        ]]
        local r = play()
        assert.are.equal(2, r.code)
        assert.are.same({ { "a" }, { "a", "b" } }, { one(r, "host_end", "h1").owed, one(r, "host_end", "h2").owed })
        for _, host in ipairs { "h1", "h2" } do lab.exec(host, "touch /srv/t/good") end
        assert.are.equal(0, play("--failed").code)
        assert.are.same({ 1, 0, 1 }, { lines("h1", "a"), lines("h1", "b"), lines("h1", "c") })
        assert.are.same({ 1, 1, 0 }, { lines("h2", "a"), lines("h2", "b"), lines("h2", "c") })
    end)

    it("finds a handler that is not there before a batch changes anything", function()
        write [[
            for i, fn in ipairs {
                function(h) h:directory { path = "/srv/t/d", notify = "restrat" } end,
                function(h) h:apply { { "directory", path = "/srv/t/d" }, { "stat", "/", notify = "restrat" } } end,
            } do
                play.play {
                    hosts = "h" .. i, max_failures = 1, handlers = { restart = function() end },
                    run = function(h) h:batch(fn) end,
                }
            end
        ]]
        local r = play()
        assert.are.equal(2, r.code)
        for _, host in ipairs { "h1", "h2" } do
            assert.are.equal("the play has no handler 'restrat'; did you mean 'restart'?",
                one(r, "host_end", host).error.message)
            assert.matches(":%d+$", one(r, "host_end", host).error.at)
            assert.are.same({ {}, false }, { steps(r, host), there(host, "/srv/t/d") })
        end
    end)

    it("logs in and becomes root as the inventory says, with passwords that nobody sees", function()
        remote.write(dir .. "/hosts.lua", [[return {
            ssh = { user = "pwuser", password = "orrery-lab" }, become = { password = "orrery-lab" },
            hosts = { "h1", "h3" },
        }]])
        write([[
            play.play { hosts = "@all", become = true, run = function(h)
                h:shell { cmd = "id -un >/srv/t/root" }
                h:shell { cmd = "id -un >/srv/t/pwuser", as = "pwuser" }
                h:shell { cmd = "echo " .. h.name .. " >>%s/here", delegate_to = "localhost", as = false }
                h:as("deploy"):shell { cmd = "id -un >/tmp/who" }
            end }
        ]], dir)
        for _, host in ipairs { "h1", "h3" } do lab.exec(host, "chmod 777 /srv/t") end
        local r = play("-i", dir .. "/hosts.lua")
        assert.are.same({ 0, "" }, { r.code, r.err })
        for _, host in ipairs { "h1", "h3" } do
            local _, out = lab.exec(host, "cat /srv/t/root /srv/t/pwuser /tmp/who; rm /tmp/who")
            assert.are.equal("root\npwuser\ndeploy\n", out)
        end
        local here = remote.slurp(dir .. "/here")
        assert.is_true(here == "h1\nh3\n" or here == "h3\nh1\n")
        assert.is_nil(remote.slurp((record())):find("orrery-lab", 1, true))
    end)

    it("keeps going where it cannot keep a record", function()
        write [[play.play { hosts = "h1", run = function(h) h:file { path = "/srv/t/a", state = "directory" } end }]]
        remote.write(dir .. "/state", "a file")
        local r = play()
        assert.are.equal(0, r.code)
        assert.matches("this run is not recorded, so %-%-failed will not know of it: cannot", one(r, "message").text)
        assert.is_true(there("h1", "/srv/t/a"))
    end)
end)
