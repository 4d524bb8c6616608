local lfs = require "lfs"
local orrery = require "orrery"
local context = require "orrery.context"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local nested = require "orrery.nested"
local remote = require "spec.support.remote"
local tree = require "spec.support.tree"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local chain, ended, assert_killed, route_of = tree.chain, tree.ended, tree.assert_killed, tree.route_of

local function children_of(pid)
    local children = {}
    for name in lfs.dir "/proc" do
        local stat = name:match("^%d+$") and remote.slurp("/proc/" .. name .. "/stat")
        if stat and stat:match("^.*%) %S (%d+)") == tostring(pid) then children[#children + 1] = name end
    end
    return children
end

describe("a child of a child", function()
    local list, deep, dir

    setup(function()
        list, dir = chain(3), remote.directory()
        deep = list[3]
    end)
    teardown(function()
        list[1]:close()
        remote.remove(dir)
    end)

    it("is named by the way to it", function()
        assert.are.equal("c3", deep.name)
        assert.are.equal("local:c1/local:c2/local:c3", deep.route)
        assert.are.equal(deep:info().pid, deep:call(function()
            return tonumber(io.open("/proc/self/stat"):read("*l"):match("^%d+"))
        end))
        local known = orrery.context(deep.id)
        assert.are.equal(deep.route, known.route)
        assert.are.equal(3, known:call(function(n) return n end, 3))
    end)

    it("is a child of that one's process", function()
        local parent = remote.slurp(("/proc/%d/stat"):format(deep:info().pid)):match("^.*%) %S (%d+)")
        assert.are.equal(list[2]:info().pid, tonumber(parent))
    end)

    it("runs calls", function()
        local id, up = deep:call(function()
            local core = require "orrery.core"
            return core.self(), core.parent()
        end)
        assert.are.equal(deep.id, id)
        assert.are.equal(list[2].id, up)
        assert.are.same({ 1, nil, { 2 } }, { deep:call(function(...) return ... end, 1, nil, { 2 }) })
    end)

    it("raises errors with its route", function()
        local err = remote.failure(deep.call, deep, function() error "no" end)
        assert.are.equal("lua", err.code)
        assert.are.equal("c3", err.context)
        assert.are.equal(deep.route, err.route)
        assert.is_true(err.remote)
    end)

    it("ends calls that nobody waits for", function()
        local r = orrery.receiver()
        local call = deep:call_async(function(to)
            local ok = pcall(require("orrery").sleep, 1000)
            to:send(ok)
        end, r:sender())
        deep:call(function() end)
        call:cancel()
        assert.is_false(r:get(10))
        r:close()
    end)

    it("takes large values, which pass as pieces", function()
        local text = ("0123456789abcdef"):rep(2 ^ 16)
        assert.are.equal(text, deep:call(function(t) return t end, text))
    end)

    it("finds the script's modules", function()
        package.path = dir .. "/?.lua;" .. package.path
        remote.write(dir .. "/tree_spec_module.lua", "return { name = 'found' }")
        local name = deep:call(function() return require("tree_spec_module").name end)
        package.path = package.path:sub(#dir + 8)
        assert.are.equal("found", name)
    end)

    it("runs commands", function()
        local lines = {}
        local result = deep:run({ "sh", "-c", "echo one; cat; echo two >&2; exit 3" }, {
            stdin = "input\n", check = false, on_stdout = function(line) lines[#lines + 1] = line end,
        })
        assert.are.equal(3, result.code)
        assert.are.equal("one\ninput\n", result.stdout)
        assert.are.equal("two\n", result.stderr)
        assert.are.same({ "one", "input" }, lines)
    end)

    it("takes and gives files", function()
        local piece = ("%d\n"):rep(1000):format(unpack((function()
            local numbers = {}
            for i = 1, 1000 do numbers[i] = i end
            return numbers
        end)()))
        remote.write(dir .. "/from", piece:rep(500))
        assert.is_true(deep:put(dir .. "/from", dir .. "/there").changed)
        assert.is_false(deep:put(dir .. "/from", dir .. "/there").changed)
        deep:get(dir .. "/there", dir .. "/back")
        assert.are.equal(remote.slurp(dir .. "/from"), remote.slurp(dir .. "/back"))
    end)

    it("sends to receivers, and receives", function()
        local r = orrery.receiver()
        deep:cast(function(to)
            for i = 1, 2000 do to:send(i, ("x"):rep(2000)) end
        end, r:sender())
        for i = 1, 2000 do assert.are.equal(i, (r:get(10))) end
        local there = deep:call(function()
            _G.inbox = require("orrery").receiver()
            return _G.inbox:sender()
        end)
        there:send("hello", { 1 })
        assert.are.same({ "hello", { 1 } }, { deep:call(function() return _G.inbox:get(10) end) })
        deep:call(function() _G.inbox:close() end)
        r:close()
    end)

    it("can be called from the context that opened it, and can call nobody above", function()
        local sum = list[2]:call(function(ctx) return ctx:call(function(n) return n + 1 end, 1) end, deep)
        assert.are.equal(2, sum)
        local err = remote.failure(deep.call, deep, function(ctx) return ctx:call "os.time" end, list[1])
        assert.are.equal("denied", err.code)
    end)

    it("opens children by itself", function()
        local id, name, route = deep:call(function()
            local own = require("orrery").localhost { name = "own" }
            local id = own:call(function() return (require("orrery.core").self()) end)
            own:close()
            return id, own.name, own.route
        end)
        assert.is_number(id)
        assert.are.equal("own", name)
        assert.are.equal(deep.route .. "/local:own", route)
        remote.eventually("the news of its end", function() return not orrery.context(id) end)
    end)

    it("cannot be reached once it is closed, and says so", function()
        local ctx = deep:localhost { name = "shut" }
        local pid = ctx:info().pid
        ctx:close()
        ended(pid)
        local err = remote.failure(ctx.call, ctx, function() end)
        assert.are.equal("closed", err.code)
        assert.are.equal("shut was closed", err.message)
        assert.are.equal("shut", err.context)
        assert.are.equal(deep.route .. "/local:shut", err.route)
        ctx:close()
    end)

    it("is closed when nobody has it any more", function()
        local pid = deep:localhost():info().pid
        remote.eventually("its end", function()
            collectgarbage()
            return not remote.alive(pid)
        end)
    end)

    it("keeps the context that it was opened in", function()
        local ctx = orrery.localhost():localhost()
        collectgarbage()
        collectgarbage()
        assert.are.equal(7, ctx:call(function() return 7 end))
    end)
end)

describe("opening a child of another context", function()
    local outer, dir

    setup(function() outer, dir = orrery.localhost { name = "outer" }, remote.directory() end)
    teardown(function()
        outer:close()
        remote.remove(dir)
    end)

    --- A child by way of a command, as launchers make them.
    local function by_command(script, more)
        local plan = { name = "inner", route = "sh:inner", argv = { "sh", "-c", script }, cache = dir }
        for key, value in pairs(more or {}) do plan[key] = value end
        return plan
    end

    it("sends its own program to it", function()
        local first = nested.open(outer, by_command "exec sh -c '{}'")
        assert.are.equal("local:outer/sh:inner", first.route)
        assert.is_true(first:info().uploaded > 100000)
        local second = nested.open(outer, by_command "exec sh -c '{}'")
        assert.are.equal(0, second:info().uploaded)
        assert.are.equal(7, second:call(function() return 7 end))
        first:close()
        second:close()
    end)

    it("has a program to send also where its file is gone", function()
        local gone = context.open(by_command("exec sh -c '{}'", { no_cache = true }))
        local exe = lfs.symlinkattributes(("/proc/%d/exe"):format(gone:info().pid), "target")
        assert.matches("%(deleted%)$", exe)
        local child = gone:localhost()
        local sent = nested.open(child, by_command("exec sh -c '{}'", { no_cache = true }))
        assert.is_true(sent:info().uploaded > 100000)
        assert.are.equal("sh:inner/local:localhost/sh:inner", sent.route)
        assert.are.equal(7, sent:call(function() return 7 end))
        gone:close()
        ended(sent:info().pid)
    end)

    it("fails as it fails here", function()
        for _, plan in ipairs {
            by_command "echo 'no such luck' >&2; exit 3 # {}",
            by_command("exec sleep 1000 # {}", { bootstrap_timeout = 0.3 }),
            { name = "inner", route = "x:inner", argv = { "/nonexistent/program", "{}" } },
            { name = "inner", route = "x:inner", argv = {} },
        } do
            local here = remote.failure(context.open, plan)
            local there = remote.failure(function() nested.open(outer, plan) end)
            for _, field in ipairs { "code", "message", "stderr", "context", "traceback", "remote" } do
                assert.are.equal(here[field], there[field])
            end
            assert.are.equal("local:outer/" .. here.route, there.route)
            assert.matches("tree_spec%.lua:%d+$", there.at)
        end
    end)

    it("lets the plan explain its errors", function()
        local word = "because"
        local plan = by_command("exit 3 # {}", { explain = function(err)
            err.message = word
            return err
        end })
        assert.are.equal("because", remote.failure(nested.open, outer, plan).message)
    end)

    it("raises for options as it does here", function()
        local err = remote.failure(function() outer:localhost { nmae = "x" } end)
        assert.are.equal("option", err.code)
        assert.matches("did you mean 'name'", err.message)
        assert.matches("tree_spec%.lua", err.at)
    end)

    it("can be given up, and leaves nothing", function()
        local seconds = tostring(remote.seconds(1))
        local task = orrery.spawn(nested.open, outer, by_command("exec sleep " .. seconds .. " # {}"))
        remote.eventually("its start", function()
            return #remote.processes("local", "sleep " .. seconds) > 0
        end)
        task:cancel()
        assert.are.equal("cancelled", remote.failure(task.get, task).code)
        remote.eventually("its end", function()
            return #remote.processes("local", "sleep " .. seconds) == 0
        end)
    end)

    it("closes what has come up although it was given up", function()
        local ends = {}
        for _ = 1, 10 do -- whatever it is that comes first
            local task = orrery.spawn(outer.localhost, outer)
            orrery.sleep(0)
            outer:call(function() end)
            task:cancel()
            ends[#ends + 1] = task
        end
        for _, task in ipairs(ends) do
            local ok, ctx = pcall(task.get, task)
            if ok then ctx:close() end -- it was faster
        end
        remote.eventually("their ends", function()
            collectgarbage()
            return #children_of(outer:info().pid) == 0
        end)
    end)

    -- A command that asks for a password as ssh(1) does.
    local ASKS = [[pw=$("$SSH_ASKPASS" "root@inner's password: ") && [ "$pw" = "open sesame" ] || exit 3; ]]
        .. "exec sh -c '{}'"

    it("types the password that it was given", function()
        local ctx = nested.open(outer, by_command(ASKS, { asking = { askpass = true, password = "open sesame" } }))
        assert.are.equal(7, ctx:call(function() return 7 end))
        ctx:close()
    end)

    it("asks the script that wants it", function()
        local asked
        local ctx = nested.open(outer, by_command(ASKS, {
            asking = { askpass = true },
            ask = function(question)
                asked = question
                return "open sesame"
            end,
        }))
        assert.are.equal(7, ctx:call(function() return 7 end))
        assert.are.equal("password", asked.kind)
        assert.are.equal("root@inner's password: ", asked.text)
        ctx:close()
        local err = remote.failure(nested.open, outer, by_command(ASKS, {
            asking = { askpass = true }, ask = function() error "I do not know" end,
        }))
        assert.are.equal("bootstrap", err.code)
    end)

    it("stops where contexts nest too deeply", function()
        local list = chain(16)
        local deepest = list[16]
        assert.are.equal(route_of(16), deepest.route)
        assert.are.equal(16, deepest:call(function(n) return n end, 16))
        assert.are.equal("yes\n", deepest:run({ "echo", "yes" }).stdout)
        local err = remote.failure(deepest.localhost, deepest, { name = "c17" })
        assert.are.equal("limit", err.code)
        assert.are.equal(route_of(17) .. ": contexts nest at most 16 deep", err.message)
        assert.are.equal("c17", err.context)
        assert.are.equal(route_of(17), err.route)
        assert.are.equal(16, deepest:call(function(n) return n end, 16))
        list[1]:close()
        for _, ctx in ipairs(list) do ended(ctx:info().pid) end
    end)
end)

describe("a child of a host", function()
    it("is on that host", function()
        if not lab.need(2, { isolated = true }) then return end
        local host = remote.open "h1"
        local inner = host:localhost { name = "inner" }
        assert.are.equal("ssh:h1/local:inner", inner.route)
        assert.are.equal("h1", inner:call(function()
            return io.open("/proc/sys/kernel/hostname"):read("*l")
        end))
        assert.are.equal("h1\n", inner:run({ "hostname" }).stdout)
        local dir = remote.directory()
        remote.write(dir .. "/from", ("some text\n"):rep(100000))
        inner:put(dir .. "/from", "/tmp/tree_spec_file")
        inner:get("/tmp/tree_spec_file", dir .. "/back")
        assert.are.equal(remote.slurp(dir .. "/from"), remote.slurp(dir .. "/back"))
        inner:run { "rm", "/tmp/tree_spec_file" }
        remote.remove(dir)
        -- Its own program goes on from there.
        local third = nested.open(inner, {
            name = "third", route = "sh:third", argv = { "sh", "-c", "exec sh -c '{}'" }, no_cache = true,
        })
        assert.is_true(third:info().uploaded > 100000)
        assert.are.equal("h1\n", third:run({ "hostname" }).stdout)
        local call = third:call_async(function() require("orrery").sleep(1000) end)
        third:call(function() end)
        host:run { "kill", "-9", tostring(inner:info().pid) }
        local err = remote.failure(call.get, call, 20)
        assert_killed(err.message, "lost with ssh:h1/local:inner: ")
        assert.are.equal("ssh:h1/local:inner/sh:third", err.route)
        host:close()
    end)
end)
