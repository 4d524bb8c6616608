-- What is left when something dies: nothing, but for commands that are to finish.
local ffi = require "ffi"
local lfs = require "lfs"
local orrery = require "orrery"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { timeout = 20 }

pcall(ffi.cdef, "int kill(int pid, int sig);")

local HANGS = 15                               -- seconds
local PROMISED = remote.sanitized and 5 or 2   -- seconds, from the death of a controller to the end of all else
local HOSTS = os.getenv "ORRERY_LONG" and 50 or 20
local KILL, STOP = 9, 19

local function signal(target, pid, sig)
    if target == "local" then
        ffi.C.kill(pid, sig)
    else
        assert.are.equal(0, (lab.exec(target, { "kill", "-" .. sig, tostring(pid) })))
    end
end

-- A command that waits for a word from outside, says more than a pipe holds, and leaves a file.
local FINISHING = [[
    mkfifo go
    echo ready
    read word <go
    head -c 300000 /dev/zero
    echo to-stderr >&2
    : >finished
]]

describe("a command that is to finish", function()
    remote.each(function(target)
        local dir
        before_each(function()
            dir = target.ctx:shell("mktemp -d /tmp/spec.XXXXXX").stdout:match("%S+")
        end)
        after_each(function() target.ctx:run { "rm", "-rf", dir } end)

        local function seen(name) return remote.seen(target.name, dir .. "/" .. name) end

        -- Starts it in a context of its own, and waits until it runs.
        local function start(text, opts)
            local ctx = remote.open(target.name, { name = "victim" })
            local ready = orrery.receiver()
            local sender = ready:sender()
            local all = { cwd = dir, on_disconnect = "finish", on_stdout = function(line) sender:send(line) end }
            for key, value in pairs(opts or {}) do all[key] = value end
            local task = orrery.spawn(ctx.shell, ctx, text, all)
            local line = ready:get(HANGS)
            ready:close()
            return ctx, task, line
        end

        local function gone(pid)
            remote.eventually("its end", function()
                return not remote.slurp(remote.seen(target.name, "/proc/" .. pid .. "/stat"))
            end)
        end

        local function finishes()
            remote.write(seen "go", "now\n")
            remote.eventually("its end", function() return lfs.attributes(seen "finished") end)
        end

        it("does so when its context is closed", function()
            local ctx, task = start(FINISHING)
            ctx:close()
            assert.are.equal("closed", remote.failure(task.get, task, HANGS).code)
            finishes()
        end)

        it("does so when its agent is killed", function()
            local ctx, task = start(FINISHING)
            signal(target.name, ctx:info().pid, KILL)
            assert.are.equal("dead", remote.failure(task.get, task, HANGS).code)
            finishes()
        end)

        it("does so when it has all of its stdin", function()
            local ctx, task = start("cat >in; " .. FINISHING, { stdin = ("x"):rep(700000) })
            ctx:close()
            assert.are.equal("closed", remote.failure(task.get, task, HANGS).code)
            finishes()
            assert.are.equal(700000, lfs.attributes(seen "in", "size"))
        end)

        it("is ended where it has not", function()
            local ctx, task, pid = start("echo $$; exec sleep 1000", { stdin = ("x"):rep(700000) })
            ctx:close()
            assert.are.equal("closed", remote.failure(task.get, task, HANGS).code)
            gone(pid)
        end)

        it("is ended all the same when it is cancelled", function()
            local _, task, pid = start("echo $$; exec sleep 1000")
            task:cancel()
            assert.are.equal("cancelled", remote.failure(task.get, task, HANGS).code)
            gone(pid)
        end)

        it("is ended when its time is over, though nobody is there", function()
            local ctx, task, pid = start("trap '' TERM; echo $$; sleep 1000; sleep 1000", { timeout = 0.5 })
            signal(target.name, ctx:info().pid, KILL)
            assert.are.equal("dead", remote.failure(task.get, task, HANGS).code)
            gone(pid)
        end)
    end)

    it("has one of two policies", function()
        local ctx = orrery.localhost()
        local err = remote.failure(ctx.run, ctx, { "true" }, { on_disconnect = "finnish" })
        assert.are.equal("option", err.code)
        assert.matches('must be one of "kill", "finish"', err.message, 1, true)
        ctx:close()
    end)
end)

describe("a context whose agent is stopped", function()
    remote.each(function(target)
        it("is closed when its time is over", function()
            local ctx = remote.open(target.name)
            local pid = ctx:info().pid
            local call = ctx:call_async(function() end)
            call:get(HANGS)
            signal(target.name, pid, STOP)
            local task = orrery.spawn(ctx.close, ctx, 0.3)
            task:get(HANGS)
            if target.name == "local" then
                remote.eventually("its end", function() return not remote.alive(pid) end)
            else
                signal(target.name, pid, KILL) -- nobody else can reach it
            end
        end)
    end)

    it("does not keep a program from its end", function()
        local p = remote.program [[
            local a, b = orrery.localhost(), orrery.localhost()
            orrery.spawn(a.run, a, { "sleep", "1000.125" })
            a:call(function() end)
            require("ffi").cdef "int kill(int pid, int sig);"
            require("ffi").C.kill(a:info().pid, 19)
            say(a:info().pid, b:info().pid)
        ]]
        local a, b = p:line():match("(%d+) (%d+)")
        p:rest()
        p:finish()
        assert.is_false(remote.alive(tonumber(a)))
        assert.is_false(remote.alive(tonumber(b)))
        remote.eventually("the end of the command", function()
            return #remote.processes("local", "sleep 1000.125") == 0
        end)
    end)
end)

-- For each target a command that does not want to end, one that ends when it is told to, and one that is to
-- finish; and a call.
local CONTROLLER = [[
    local config, time, targets = arg[1], arg[2], { unpack(arg, 3) }
    local ready = orrery.receiver()
    local sender = ready:sender()
    orrery.each(targets, function(target)
        local ctx
        if target:match "^local" then
            ctx = orrery.localhost { name = target }
        else
            ctx = orrery.ssh(target, { config = config })
        end
        local function begin(text, opts)
            opts.on_stdout = function(line) sender:send(target, line) end
            orrery.spawn(ctx.shell, ctx, text, time, opts)
        end
        begin('trap "" TERM; (sleep $1; sleep $1) & echo stubborn; sleep $1; sleep $1', {})
        begin("echo tame; exec sleep $1", {})
        begin("echo $$; exec sleep ${1}1", { on_disconnect = "finish" })
        orrery.spawn(ctx.call, ctx, function() require("orrery").sleep(1000) end)
    end)
    for target, line in ready:each(3 * #targets) do
        if tonumber(line) then say(target, line) end
    end
    say "all"
    orrery.sleep(1000)
]]

describe("a controller that is killed", function()
    if not lab.need(HOSTS, { isolated = true }) then return end

    -- Processes of a host, or with the environment of this run here, by pid.
    local function processes(root)
        local found = {}
        for pid in lfs.dir(root .. "/proc") do
            local status = pid:match "^%d+$" and remote.slurp(("%s/proc/%s/status"):format(root, pid))
            if status and status:match("\nState:%s*(%S)") ~= "Z" then
                local line = remote.slurp(("%s/proc/%s/cmdline"):format(root, pid)) or ""
                found[pid] = { name = status:match("^Name:%s*([^\n]*)"), line = line:gsub("%z", " ") }
            end
        end
        return found
    end

    it(("takes all along that it ran on %d hosts, but what is to finish"):format(HOSTS), function()
        local time = remote.seconds(74)
        local targets, roots, before = { "local1", "local2", "local3" }, {}, {}
        for i = 1, HOSTS do
            local name = "h" .. i
            targets[#targets + 1], roots[name] = name, lab.root(name)
            before[name] = processes(roots[name])
        end
        local p = remote.program(CONTROLLER, nil, lab.ssh_config(), time, unpack(targets))
        local finishing, count = {}, 0
        for line in p.line, p do
            local target, pid = line:match("^(%S+) (%d+)$")
            if not target then break end
            finishing[target], count = tonumber(pid), count + 1
        end
        assert.are.equal(#targets, count)

        local function left(name)
            local names = {}
            for pid, process in pairs(processes(roots[name])) do
                local stays = before[name][pid] or process.name == "orrery-finisher" or tonumber(pid) == finishing[name]
                if not stays then names[#names + 1] = ("%s %s: %s"):format(name, pid, process.line) end
            end
            return names
        end

        local killed = orrery.now()
        remote.kill(p.pid)
        local leaks
        repeat
            leaks = {}
            for name in pairs(roots) do
                for _, text in ipairs(left(name)) do leaks[#leaks + 1] = text end
            end
            for _, pid in ipairs(remote.processes("local", ("sleep %d "):format(time))) do
                local line = remote.slurp(("/proc/%d/cmdline"):format(pid))
                leaks[#leaks + 1] = ("here %d: %s"):format(pid, line and line:gsub("%z", " ") or "?")
            end
        until #leaks == 0 or orrery.now() - killed > PROMISED
        assert.are.same({}, leaks)

        for target, pid in pairs(finishing) do
            local root = roots[target] or ""
            local line = assert(remote.slurp(("%s/proc/%d/cmdline"):format(root, pid)), target)
            assert.matches(("sleep%%z%d1"):format(time), line)
            signal(roots[target] and target or "local", pid, KILL)
        end
        p:finish()
    end)
end)
