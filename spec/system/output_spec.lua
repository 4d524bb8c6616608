local orrery = require "orrery"
local context = require "orrery.context"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

--- What is printed below, until `stop`.
local function listen()
    local got = { lines = {} }
    orrery.on_output(function(name, stream, line)
        got.lines[#got.lines + 1] = ("%s %s %s"):format(name, stream, line)
    end)
    function got.stop() orrery.on_output(nil) end
    --- Waits for a line that matches, and returns it.
    function got.wait(pattern)
        return remote.eventually("a line that matches " .. pattern, function()
            for _, line in ipairs(got.lines) do
                if line:find(pattern) then return line end
            end
        end)
    end
    return got
end

describe("what a child prints", function()
    remote.each(function(target)
        it("comes line by line, in the order in which it was written", function()
            local got, name = listen(), target.ctx.name
            target.ctx:call(function()
                print("one", 1)
                io.write "two"
                io.stderr:write "three\n"
                io.write " and more\nfour\nfi"
                require("orrery.core").log(1, "spec", "six")
                io.stdout:write "ve\n"
                io.stderr:write("se", "ven", "\n")
                print()
            end)
            got.stop()
            for i, line in ipairs(got.lines) do
                got.lines[i] = line:gsub("log %d+:%d+:%d+%.%d+ ", "log ")
            end
            assert.are.same({
                name .. " stdout one\t1",
                name .. " stderr three",
                name .. " stdout two and more",
                name .. " stdout four",
                name .. " log warn  spec: six",
                name .. " stdout five",
                name .. " stderr seven",
                name .. " stdout ",
            }, got.lines)
        end)

        it("comes ahead of the results of the call", function()
            local got = listen()
            for i = 1, 200 do
                assert.are.equal(i, target.ctx:call(function(n) print(n) return n end, i))
                assert.are.equal(("%s stdout %d"):format(target.ctx.name, i), got.lines[i])
            end
            got.stop()
        end)

        it("is not lost where it goes past Lua", function()
            local got = listen()
            target.ctx:call(function()
                os.execute "echo from a command; echo and its stderr >&2"
                io.popen("echo inherited >&2"):close()
            end)
            got.wait("^" .. target.ctx.name .. " stderr from a command$")
            got.wait " stderr and its stderr$"
            got.wait " stderr inherited$"
            got.stop()
        end)

        it("is harmless", function()
            local got = listen()
            target.ctx:call(function()
                print "a\27[2Jb\rc\0d\127e\194\155f\tg\195\164"
                io.stderr:write "\7\n"
                os.execute [[printf '\033[31m\n' >&2]]
            end)
            got.wait " stderr %?%[31m$"
            got.wait(" stdout a%?%[2Jb%?c%?d%?e%?%?f\tg\195\164$")
            got.wait " stderr %?$"
            got.stop()
        end)

        it("may be long, in all and in a line", function()
            local got = listen()
            local n, size = 20000, 100000
            target.ctx:call(function(lines, long)
                for i = 1, lines do print(i) end
                print(("x"):rep(long))
                print "end"
            end, n, size)
            got.wait " stdout end$"
            for i = 1, n do
                assert.are.equal(("%s stdout %d"):format(target.ctx.name, i), got.lines[i])
            end
            local prefix, long = #target.ctx.name + #" stdout ", 0
            for i = n + 1, #got.lines - 1 do long = long + #got.lines[i] - prefix end
            assert.are.equal(size, long)
            got.stop()
        end)

        it("is whole at its end", function()
            local got = listen()
            local ctx = remote.open(target.name, { name = "brief" })
            ctx:cast(function()
                for i = 1, 100 do print(i) end
                io.write "unfinished"
                os.exit(0)
            end)
            got.wait "^brief stdout unfinished$"
            assert.are.equal("brief stdout 100", got.lines[100])
            got.stop()
        end)

        it("comes from its threads, too", function()
            local got = listen()
            target.ctx:call(function()
                local threads = {}
                for i = 1, 4 do
                    threads[i] = require("orrery").thread(function()
                        for k = 1, 50 do print(("thread %d line %d"):format(i, k)) end
                    end)
                end
                for i = 1, 4 do threads[i]:get(10) end
            end)
            got.stop()
            local next_line = { 1, 1, 1, 1 }
            for _, line in ipairs(got.lines) do
                local i, k = line:match "stdout thread (%d) line (%d+)$"
                i, k = tonumber(i), tonumber(k)
                assert.are.equal(next_line[i], k)
                next_line[i] = k + 1
            end
            assert.are.same({ 51, 51, 51, 51 }, next_line)
        end)
    end)

    it("leaves Lua's libraries as they are", function()
        local ctx = orrery.localhost()
        assert.are.same({ "file", "file", true, true, 0 }, {
            ctx:call(function()
                io.stdout:setvbuf "full"
                io.stdout:write "x"
                io.stdout:flush()
                io.stdout:setvbuf "line"
                return io.type(io.stdout), io.type(io.stderr), io.output() == io.stdout,
                    io.stderr:write "" ~= nil, select("#", print())
            end),
        })
        ctx:close()
    end)

    it("waits for a function that blocks, in order, and holds up nothing else", function()
        local ctx, gate, lines = orrery.localhost(), orrery.receiver(), {}
        orrery.on_output(function(_, _, line)
            gate:get(20)
            lines[#lines + 1] = line
        end)
        ctx:call(function() for i = 1, 10 do print(i) end end)
        assert.are.equal("7", ctx:call("tostring", 7))
        assert.are.equal(0, #lines)
        for i = 1, 10 do gate:sender():send(i) end
        remote.eventually("all lines", function() return #lines == 10 end)
        for i = 1, 10 do assert.are.equal(tostring(i), lines[i]) end
        orrery.on_output(nil)
        gate:close()
        ctx:close()
    end)

    it("is taken by functions only, and in the controller", function()
        assert.are.equal("argument", remote.failure(orrery.on_output, 1).code)
        local ctx = orrery.localhost()
        local err = remote.failure(ctx.call, ctx, function() require("orrery").on_output(print) end)
        assert.are.equal("denied", err.code)
        ctx:close()
    end)

    it("that fails, is reported, and goes on", function()
        local sched = require "orrery.sched"
        local report, reported, lines = sched.on_orphan_error, {}, {}
        sched.on_orphan_error = function(err) reported[#reported + 1] = err.message end
        local ctx = orrery.localhost()
        orrery.on_output(function(_, _, line)
            if line == "bad" then error("no", 0) end
            lines[#lines + 1] = line
        end)
        ctx:call(function() print "bad" print "good" end)
        sched.on_orphan_error = report
        orrery.on_output(nil)
        assert.are.same({ "no" }, reported)
        assert.are.same({ "good" }, lines)
        ctx:close()
    end)
end)

describe("what a context in a context prints", function()
    it("comes with its own name, from any depth", function()
        local got, list = listen(), { orrery.localhost { name = "d1" } }
        for i = 2, 4 do list[i] = list[i - 1]:localhost { name = "d" .. i } end
        for _, ctx in ipairs(list) do
            ctx:call(function()
                print "out"
                io.stderr:write "err\n"
                require("orrery.core").log(1, "spec", "logged")
            end)
        end
        got.wait "^d4 log .*spec: logged$"
        for i = 1, 4 do
            local name = "d" .. i
            assert.are.equal(name .. " stdout out", got.lines[3 * i - 2])
            assert.are.equal(name .. " stderr err", got.lines[3 * i - 1])
            assert.matches(("^%s log .*spec: logged$"):format(name), got.lines[3 * i])
        end
        for i, ctx in ipairs(list) do
            ctx:call(function() os.execute "echo raw >&2" end)
            got.wait(("^d%d stderr raw$"):format(i))
        end
        for i = 4, 1, -1 do list[i]:close() end
        got.stop()
    end)
end)

describe("a child that floods", function()
    local function resident(pid)
        return tonumber(remote.slurp(("/proc/%s/status"):format(pid or "self")):match("VmRSS:%s+(%d+)"))
    end

    it("with lines is slowed down, and loses none, where they are taken", function()
        local ctx, last = orrery.localhost(), 0
        local before = resident()
        orrery.on_output(function(_, _, line)
            local n = tonumber(line:match "^%d+")
            assert(n == last + 1, line)
            last = n
        end)
        ctx:call(function() for i = 1, 200000 do print(i, ("x"):rep(100)) end end)
        remote.eventually("the last line", function() return last == 200000 end, 20)
        if not remote.sanitized then assert.is_true(resident() - before < 64 * 1024) end
        orrery.on_output(nil)
        ctx:close()
    end)

    it("loses some where they are not, and says how many; calls go on", function()
        local ctx, gate = orrery.localhost(), orrery.receiver()
        local kept, dropped, held = 0, 0, true
        orrery.on_output(function(_, stream, line)
            if held then gate:get(60) end
            local n = stream == "stderr" and line:match "^%((%d+) lines were dropped here"
            if n then dropped = dropped + tonumber(n) else kept = kept + 1 end
        end)
        local here, there = resident(), resident(ctx:info().pid)
        local call = ctx:call_async(function()
            for i = 1, 100000 do print(i, ("x"):rep(100)) end
            return "printed"
        end)
        assert.are.equal("printed", call:get(20))
        assert.are.equal("8", ctx:call("tostring", 8))
        if not remote.sanitized then
            assert.is_true(resident() - here < 32 * 1024)
            assert.is_true(resident(ctx:info().pid) - there < 8 * 1024)
        end
        held = false
        gate:sender():send(true)
        remote.eventually("all to be accounted for", function() return kept + dropped == 100000 end, 20)
        assert.is_true(dropped > 0)
        orrery.on_output(nil)
        gate:close()
        ctx:close()
    end)

    it("past Lua loses some and says so, where they are not taken", function()
        local ctx, gate = orrery.localhost(), orrery.receiver()
        local kept, dropped, held = 0, 0, true
        orrery.on_output(function(_, _, line)
            if held then gate:get(60) end
            local n = line:match "^%((%d+) lines of stderr were dropped here"
            if n then dropped = dropped + tonumber(n) else kept = kept + 1 end
        end)
        local before = resident()
        ctx:call(function(line)
            os.execute(("i=0; while [ $i -lt 30000 ]; do echo %s >&2; i=$((i + 1)); done"):format(line))
        end, ("x"):rep(100))
        if not remote.sanitized then assert.is_true(resident() - before < 32 * 1024) end
        held = false
        gate:sender():send(true)
        remote.eventually("what was kept", function() return kept > 1000 end, 20)
        ctx:call(function() os.execute "echo last >&2" end)
        remote.eventually("all to be accounted for", function() return kept + dropped == 30001 end, 20)
        assert.is_true(dropped > 0)
        orrery.on_output(nil)
        gate:close()
        ctx:close()
    end)
end)

describe("the log of a child", function()
    it("has the controller's level, and is in its log", function()
        local log = os.tmpname()
        local program = remote.program(([[
            local core = require "orrery.core"
            core.log_open "%s"
            core.log_level(2)
            local ctx = orrery.localhost { name = "web1" }
            ctx:call(function()
                local core = require "orrery.core"
                core.log(1, "spec", "a warning")
                core.log(2, "spec", "some news")
                core.log(3, "spec", "a detail")
                print "printed"
            end)
            ctx:close()
            say "done"
        ]]):format(log))
        assert.are.equal("done", program:line())
        program:rest()
        local text, errors = remote.slurp(log), program:stderr()
        assert.matches("\n%[web1%] %d%d:%d%d:%d%d%.%d%d%d warn  spec: a warning\n", "\n" .. text)
        assert.matches("info  spec: some news\n", text)
        assert.not_matches("a detail", text)
        assert.are.equal("[web1] printed\n", errors)
        program:finish()
        os.remove(log)
    end)

    it("may be at any level without an end of its own", function()
        local program = remote.program [[
            require("orrery.core").log_level(4)
            local ctx = orrery.localhost { name = "web1" }
            for i = 1, 10 do ctx:call(print, i) end
            ctx:close()
            say "done"
        ]]
        assert.are.equal("done", program:line())
        program:rest()
        local lines = select(2, program:stderr():gsub("\n", "\n"))
        assert.is_true(lines > 20 and lines < 2000, lines .. " lines")
        for i = 1, 10 do assert.matches(("\n[web1] %d\n"):format(i), program:stderr(), 1, true) end
        program:finish()
    end)
end)

describe("without a function, what children print", function()
    it("is on stderr, with the context in front", function()
        local program = remote.program [[
            local hosts = {}
            for i = 1, 3 do hosts[i] = orrery.localhost { name = "web" .. i } end
            for i, ctx in ipairs(hosts) do
                ctx:call(function(n)
                    print("line", n)
                    io.stderr:write "other\n"
                end, i)
            end
            for _, ctx in ipairs(hosts) do ctx:close() end
            say "done"
        ]]
        assert.are.equal("done", program:line())
        program:rest()
        assert.are.equal("[web1] line\t1\n[web1] other\n[web2] line\t2\n[web2] other\n[web3] line\t3\n[web3] other\n",
            program:stderr())
        program:finish()
    end)

    it("is shown by orrery run", function()
        local code, stdout, stderr = lab.run({
            (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery", "run", "-",
        }, [[
            local orrery = require "orrery"
            local ctx = orrery.localhost { name = "web1" }
            ctx:call(function() print "hello" end)
            ctx:call(function() io.stderr:write "bye\n" end)
        ]])
        assert.are.same({ 0, "", "[web1] hello\n[web1] bye\n" }, { code, stdout, stderr })
    end)
end)

describe("what a command says before its agent runs", function()
    local function open(script)
        return remote.failure(context.open, {
            name = "web1", route = "sh:web1", argv = { "sh", "-c", script .. "\n: {}" },
        })
    end

    it("is in the error, on stderr", function()
        local err = open "echo 'jail: no such jail' >&2; exit 3"
        assert.are.equal("bootstrap", err.code)
        assert.matches("stderr: jail: no such jail", err.message)
        assert.are.equal("web1", err.context)
        assert.matches("^jail: no such jail%s*$", err.stderr)
    end)

    it("is in the error, on stdout", function()
        local err = open "echo 'Your account has expired.'; exit 1"
        assert.matches("it printed: Your account has expired%.", err.message)
    end)
end)
