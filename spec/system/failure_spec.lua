local lfs = require "lfs"
local orrery = require "orrery"
local link = require "orrery.link"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

-- A server whose cable was cut only ends when TCP has tried again.
leak.guard { allow = { "thread %d+ 'orrery%-file'" }, timeout = 30 }

local HANGS = 15    -- seconds, by which even a busy machine has noticed
local ENDS = 10     -- seconds, in which nothing may be left: TERM, 3 s of grace, KILL

local LARGE = 4 * 2 ^ 30 -- bytes of a file that takes longer to move than something takes to die

local function signal(target, pid, which)
    local argv = { "kill", which, tostring(pid) }
    return target == "local" and lab.run(argv) or lab.exec(target, argv)
end

local function kill(target, pid)
    assert.are.equal(0, (signal(target, pid, "-9")))
end

-- The server process that serves the agent's session.
local function server_of(target, agent)
    local processes = lab.processes(target)
    return processes[agent].ppid
end

-- What was on its way is not there at all, or it is whole.
local function absent_or_whole(path)
    local size = lfs.attributes(path, "size")
    assert.is_true(size == nil or size == LARGE, ("%s has %s bytes"):format(path, tostring(size)))
end

-- Ways to lose a context. `strike` does it, `recover` puts right what is needed to come back.
local losses = {
    { name = "its agent is killed", strike = function(target, pid) kill(target, pid) end },
    {
        name = "its agent hangs",
        strike = function(target, pid) signal(target, pid, "-STOP") end,
        recover = function(target, pid) signal(target, pid, "-CONT") end, -- a local one was killed
    },
    {
        name = "the server's process is killed", only = "ssh",
        strike = function(target, pid) kill(target, server_of(target, pid)) end,
    },
    {
        name = "the cable is cut", only = "ssh",
        strike = function(target) lab.cut(target) end,
        heal = function(target) lab.heal(target) end,
    },
    {
        name = "its host is killed", only = "ssh", all = true,
        strike = function(target) lab.kill(target) end,
        recover = function(target) lab.start(target) end,
    },
}

-- Waits until the agent has read or written some of a file.
local function first_bytes(ctx, counter)
    remote.eventually("the first bytes", function()
        return ctx:call(function(pid, name)
            local counts = io.open("/proc/" .. pid .. "/io"):read("*a")
            return tonumber(counts:match(name .. ": (%d+)")) > 4e6
        end, ctx:info().pid, counter)
    end)
end

-- What goes on meanwhile: starts in a task, and says when it is under way.
local activities = {
    call = function(ctx)
        local r = orrery.receiver()
        local task = orrery.spawn(function()
            ctx:call(function(to)
                to:send "begun"
                require("orrery").sleep(1000)
            end, r:sender())
        end)
        r:get(HANGS)
        r:close()
        return task
    end,
    run = function(ctx)
        local begun = orrery.receiver()
        local sender = begun:sender()
        local task = orrery.spawn(function()
            ctx:shell([[
                trap "" TERM
                (sleep "$1"; sleep "$1") &
                echo ready
                sleep "$1"
                sleep "$1"
            ]], remote.seconds(71), { on_stdout = function() sender:send "begun" end })
        end)
        begun:get(HANGS)
        begun:close()
        return task
    end,
    put = function(ctx, dir, here)
        local task = orrery.spawn(function() ctx:put(here .. "/large", dir .. "/large") end)
        first_bytes(ctx, "wchar")
        return task
    end,
    get = function(ctx, dir, here)
        ctx:run { "truncate", "-s", ("%d"):format(LARGE), dir .. "/large" }
        local task = orrery.spawn(function() ctx:get(dir .. "/large", here .. "/back") end)
        first_bytes(ctx, "rchar")
        return task
    end,
}

describe("the loss of a context", function()
    local here, bystander
    setup(function()
        here = remote.directory()
        assert.are.equal(0, (lab.run { "truncate", "-s", ("%d"):format(LARGE), here .. "/large" }))
        bystander = remote.open "local"
    end)
    teardown(function()
        bystander:close()
        remote.remove(here)
    end)

    local function count_deaths(id)
        local count = 0
        local stop = link.on_dead(function(dead) if dead == id then count = count + 1 end end)
        return function()
            stop()
            return count
        end
    end

    local function nothing_left(target, dir, pid)
        remote.eventually("the end of the commands", function()
            return #remote.processes(target, ("sleep %d"):format(remote.seconds(71))) == 0
        end, ENDS)
        remote.eventually("the end of the agent", function()
            return not remote.slurp(remote.seen(target, ("/proc/%d/stat"):format(pid)))
        end, ENDS)
        local seen = remote.seen(target, dir)
        for _, name in ipairs(lfs.attributes(seen) and remote.names(seen) or {}) do
            assert.are.equal("large", name)
        end
        absent_or_whole(seen .. "/large")
    end

    local function lose(target, loss, activity)
        local ctx = remote.open(target, { keepalive = 0.3, name = "victim" })
        local pid = ctx:info().pid
        local dir = ctx:shell("mktemp -d /tmp/spec.XXXXXX").stdout:match("%S+")
        local deaths = count_deaths(ctx.id)
        local task = activities[activity](ctx, dir, here)
        local repaired = false
        local function repair(how)
            if loss[how] then loss[how](target, pid) end
        end
        finally(function() -- for a host that others need, too
            if not repaired then
                pcall(repair, "recover")
                pcall(repair, "heal")
            end
        end)
        local calls = {}
        for i = 1, 3 do
            calls[i] = ctx:call_async(function() require("orrery").sleep(1000) end)
        end
        loss.strike(target, pid)
        for _, future in ipairs { task, unpack(calls) } do
            local err = remote.failure(future.get, future, HANGS)
            assert.are.equal("dead", err.code, tostring(err))
            assert.are.equal("victim", err.context)
            assert.are.equal(ctx.route, err.route)
            assert.are_not.equal("", err.message)
        end
        assert.are.equal("dead", remote.failure(ctx.call, ctx, function() end).code)
        assert.are.equal(1, deaths())
        assert.are.equal(5, bystander:call(function() return 5 end))
        for _, name in ipairs(remote.names(here)) do
            assert.is_truthy(name == "large" or name == "back", name)
        end
        absent_or_whole(here .. "/back")
        os.remove(here .. "/back")
        repair "recover"
        if not loss.all then nothing_left(target, dir, pid) end -- before it is healed
        repair "heal"
        repaired = true
        ctx:close()

        local again = remote.open(target)
        assert.are.equal(6, again:call(function() return 6 end))
        nothing_left(target, dir, pid)
        again:run { "rm", "-rf", dir }
        again:close()
    end

    for _, target in ipairs(remote.targets) do
        describe("[" .. target .. "]", function()
            if target ~= "local" and not lab.need(2, { foreign = true, isolated = true }) then return end
            for _, loss in ipairs(losses) do
                for activity in pairs(activities) do
                    if not (loss.only and target == "local") then
                        it(("ends a %s when %s"):format(activity, loss.name), function()
                            lose(target, loss, activity)
                        end)
                    end
                end
            end
        end)
    end

    it("ends the opening of another one on the same host, in time", function()
        if not lab.is_up() then return pending("needs the lab") end
        lab.cut("h1")
        local err = remote.failure(remote.open, "h1", { connect_timeout = 0.3 })
        lab.heal("h1")
        assert.are.equal("timeout", err.code)
        assert.are.equal("h1", err.context)
    end)

    it("does not keep an opening from being cancelled", function()
        if not lab.is_up() then return pending("needs the lab") end
        lab.cut("h1")
        local task = orrery.spawn(remote.open, "h1")
        orrery.sleep(0)
        task:cancel()
        local err = remote.failure(task.get, task, HANGS)
        lab.heal("h1")
        assert.are.equal("cancelled", err.code)
    end)
end)

describe("the death of a controller", function()
    local PROMISED = 5 -- seconds

    local text = [[
        local config, time, targets = arg[1], arg[2], { unpack(arg, 3) }
        orrery.each(targets, function(name)
            local ctx
            if name == "local" then
                ctx = orrery.localhost()
            else
                ctx = orrery.ssh(name, { config = config })
            end
            orrery.spawn(function() ctx:put(os.getenv "SPEC_LARGE", "/tmp/spec-large-" .. time) end)
            ctx:shell('trap "" TERM; (sleep $1; sleep $1) & echo ready; sleep $1; sleep $1', time, {
                on_stdout = function() say("ready", name, ctx:info().pid) end,
            })
        end)
    ]]

    local function die(targets)
        local here = remote.directory()
        assert.are.equal(0, (lab.run { "truncate", "-s", ("%d"):format(LARGE), here .. "/large" }))
        local config = lab.is_up() and lab.ssh_config() or ""
        local program = remote.program(text, { "env", "SPEC_LARGE=" .. here .. "/large" }, config,
            remote.seconds(72), unpack(targets))
        local agents = {}
        for _ = 1, #targets do
            local name, pid = assert(program:line()):match("^ready (%S+) (%d+)")
            agents[name] = pid
        end
        remote.kill(program.pid)
        for _, name in ipairs(targets) do
            remote.eventually("the end of the commands on " .. name, function()
                return #remote.processes(name, ("sleep %d"):format(remote.seconds(72))) == 0
            end, PROMISED)
            remote.eventually("the end of the agent on " .. name, function()
                return not remote.slurp(remote.seen(name, "/proc/" .. agents[name] .. "/stat"))
            end, PROMISED)
            local moved = remote.seen(name, "/tmp/spec-large-" .. remote.seconds(72))
            absent_or_whole(moved)
            os.remove(moved)
        end
        program:finish()
        remote.remove(here)
    end

    it("ends what it ran in a child process", function() die { "local" } end)

    describe("with hosts", function()
        if not lab.need(2, { foreign = true, isolated = true }) then return end
        it("ends what it ran there", function() die { "h2", unpack(remote.targets) } end)
    end)

    it("by an error of its script ends its children", function()
        local program = remote.program([[
            local ctx = orrery.localhost()
            say(ctx:info().pid)
            error "oops"
        ]])
        local pid = tonumber(program:line())
        program:rest()
        assert.matches("oops", program:stderr())
        remote.eventually("the end of the agent", function() return not remote.alive(pid) end)
        program:finish()
    end)

    it("by os.exit ends its children", function()
        local program = remote.program([[
            local ctx = orrery.localhost()
            orrery.spawn(function() ctx:run { "sleep", arg[1] } end)
            ctx:call(function() end)
            say(ctx:info().pid)
            os.exit(3)
        ]], nil, remote.seconds(73))
        local pid = tonumber(program:line())
        program:rest()
        remote.eventually("the end of the agent", function() return not remote.alive(pid) end)
        remote.eventually("the end of the command", function()
            return #remote.processes("local", ("sleep %d"):format(remote.seconds(73))) == 0
        end)
        program:finish()
    end)
end)

describe("a context that is to leave nothing", function()
    if not lab.need(2, { foreign = true, isolated = true }) then return end
    for _, target in ipairs { unpack(remote.targets, 2) } do
        it("leaves nothing on " .. target, function()
            local places = { "/root", "/root/.cache", "/tmp", "/var/tmp", "/run", "/dev/shm" }
            assert.are.equal(0, (lab.exec(target, { "rm", "-rf", "/root/.cache/orrery" })))
            local function list()
                local found = {}
                for _, place in ipairs(places) do
                    local path = remote.seen(target, place)
                    if lfs.attributes(path) then
                        for _, name in ipairs(remote.names(path)) do
                            found[#found + 1] = place .. "/" .. name
                        end
                    end
                end
                return found
            end
            local before = list()
            local ctx = remote.open(target, { no_cache = true })
            assert.is_true(ctx:info().uploaded > 0)
            assert.are.equal(1, ctx:call(function() return 1 end))
            assert.are.same(before, list())
            ctx:close()
            assert.are.same(before, list())
            ctx = remote.open(target, { no_cache = true })
            kill(target, ctx:info().pid)
            remote.failure(ctx.call, ctx, function() require("orrery").sleep(1000) end)
            assert.are.same(before, list())
        end)
    end
end)
