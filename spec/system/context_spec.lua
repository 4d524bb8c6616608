local orrery = require "orrery"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

-- The thread that moves files stays, once the first has been moved.
leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

describe("a context", function()
    remote.each(function(target)
        it("has a name, a route and an id of its own", function()
            local name = target.name == "local" and "localhost" or target.name
            local way = target.name == "local" and "local:localhost" or "ssh:" .. target.name
            assert.are.equal(name, target.ctx.name)
            assert.are.equal(way, target.ctx.route)
            assert.are.equal(("context %s (%s)"):format(name, way), tostring(target.ctx))
            local other = remote.open("local")
            assert.are_not.equal(other.id, target.ctx.id)
            other:close()
        end)

        it("says what its host said", function()
            local info = target.ctx:info()
            assert.are.equal("Linux", info.kernel)
            assert.are.equal(jit.arch == "x64" and "x86_64" or "aarch64", info.machine)
            assert.are.equal(0, info.uid - target.ctx:call(function()
                return tonumber(io.open("/proc/self/status"):read("*a"):match("Uid:%s*(%d+)"))
            end))
            assert.are.equal(info.pid, target.ctx:call(function()
                return tonumber(io.open("/proc/self/stat"):read("*l"):match("^%d+"))
            end))
            if target.name ~= "local" then assert.are.equal(target.name, info.hostname) end
        end)

        it("ends its process when it is closed, and can be closed again", function()
            local ctx = remote.open(target.name)
            local pid = ctx:info().pid
            local proc = remote.seen(target.name, "/proc/" .. pid)
            assert.is_truthy(remote.slurp(proc .. "/stat"))
            ctx:close()
            remote.eventually("its end", function() return not remote.slurp(proc .. "/stat") end)
            ctx:close()
            ctx:close()
        end)

        it("ends its process when nobody has it any more", function()
            local proc = remote.seen(target.name, "/proc/" .. remote.open(target.name):info().pid)
            remote.eventually("its end", function()
                collectgarbage()
                return not remote.slurp(proc .. "/stat")
            end)
        end)

        it("cannot be used after it was closed", function()
            local ctx = remote.open(target.name, { name = "shut" })
            ctx:close()
            for _, use in ipairs {
                function() ctx:call(function() end) end,
                function() ctx:call_async(function() end) end,
                function() ctx:cast(function() end) end,
                function() ctx:run { "true" } end,
                function() ctx:shell "true" end,
                function() ctx:put("/etc/passwd", "/tmp/x") end,
                function() ctx:get("/etc/passwd", "/tmp/x") end,
                function() ctx:send(1000, 1) end,
            } do
                local err = remote.failure(use)
                assert.are.equal("closed", err.code)
                assert.are.equal("shut", err.context)
                assert.are.equal(ctx.route, err.route)
                assert.matches("shut was closed", err.message)
                assert.matches("context_spec%.lua:%d+$", err.at)
            end
        end)

        it("ends calls that run when it is closed", function()
            local ctx = remote.open(target.name)
            local waiting = ctx:call_async(function() require("orrery").sleep(1000) end)
            ctx:call(function() end)
            ctx:close()
            local err = remote.failure(waiting.get, waiting, 10)
            assert.are.equal("closed", err.code)
            assert.are.equal(ctx.name, err.context)
        end)
    end)

    it("can be one of twenty that are opened at once", function()
        local names = {}
        for i = 1, 20 do names[i] = "child" .. i end
        local ids = orrery.map(names, function(name)
            local ctx = orrery.localhost { name = name }
            local id, there = ctx.id, ctx:call(function() return require("orrery.core").self() end)
            assert.are.equal(id, there)
            ctx:close()
            return id
        end)
        local seen = {}
        for i = 1, 20 do
            assert.is_nil(seen[ids[i]])
            seen[ids[i]] = true
        end
    end)

    it("can be one of twenty sessions with one host", function()
        if not lab.is_up() then return pending("needs the lab") end
        local list = {}
        for i = 1, 20 do list[i] = i end
        local results = orrery.map(list, function(i)
            local ctx = remote.open("h1", { name = "h1." .. i })
            local result = ctx:call(function(n) return n * n end, i)
            ctx:close()
            return result
        end)
        for i = 1, 20 do assert.are.equal(i * i, results[i]) end
    end)

    it("refuses options it does not know", function()
        local err = remote.failure(function() orrery.localhost { nmae = "x" } end)
        assert.are.equal("option", err.code)
        assert.matches("did you mean 'name'", err.message)
        assert.matches("context_spec%.lua", err.at)
    end)

    it("cannot be reached where nobody listens", function()
        if not lab.is_up() then return pending("needs the lab") end
        local err = remote.failure(remote.open, "h1", { port = 1, name = "nobody" })
        assert.are.equal("connect", err.code)
        assert.are.equal("nobody", err.context)
    end)
end)

describe("a wait that nothing can end", function()
    local deadlock = "this wait can never end, as nothing else is going on"

    it("is an error for a future", function()
        local future = require("orrery.sched").future("something")
        local err = remote.failure(future.get, future)
        assert.are.equal("deadlock", err.code)
        assert.are.equal(deadlock .. ": something", err.message)
    end)

    it("is none while a receiver could get something", function()
        local r = orrery.receiver()
        local err = remote.failure(r.get, r, 0.01)
        assert.are.equal("timeout", err.code)
        r:close()
    end)

    it("is an error in a task as well, for who waits for the task", function()
        local future = require("orrery.sched").future("something")
        local task = orrery.spawn(function() return future:get() end)
        local err = remote.failure(task.get, task)
        assert.are.equal("deadlock", err.code)
        task:cancel()
        remote.failure(task.get, task)
    end)
end)
