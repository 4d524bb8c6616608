-- Ctrl-C at a prompt: what an input runs ends, here and there, again and again, and everything lives on.
local context = require "orrery.context"
local core = require "orrery.core"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local running = require "orrery.repl.running"
local sched = require "orrery.sched"
local terminal = require "spec.support.terminal"

leak.guard { timeout = 20, allow = { "thread %d+ 'orrery%-file'" } }

local BOUND = remote.sanitized and 10 or 1 -- seconds until the prompt must be back
local HINT = " is still busy with it; :close web1 ends it"

-- What is typed at a prompt is not compiled, there neither.
local function typed(text)
    return assert(load("local orrery, up, seconds = require 'orrery', ... io.open(up, 'w'):close() " .. text, "=stdin"))
end

local UP = "/tmp/orrery-spec-up-" .. remote.seconds(0)

-- Whether what was typed has begun on a target.
local function begun(target)
    local path = target == "local" and UP or lab.root(target) .. UP
    return function() return os.remove(path) end
end

local function await(condition)
    if condition() then return running.interrupt() end
    sched.after(0.02, function() await(condition) end)
end

-- Runs something and interrupts it as soon as it is under way.
local function interrupted(under_way, fn, ...)
    local at
    sched.after(0, function()
        await(function()
            at = sched.now()
            return under_way()
        end)
    end)
    local ok, err = running.run(fn, ...)
    assert.is_false(ok)
    assert.is_true(orrery.is_error(err), tostring(err))
    assert.are.equal("interrupted", err.code)
    assert.is_true(sched.now() - at < BOUND, ("%g s"):format(sched.now() - at))
    return err
end

local function cpu(ctx) return ctx:call(function() return os.clock() end) end

-- Nothing computes there any more, and it answers.
local function assert_quiet(ctx)
    local before = cpu(ctx)
    orrery.sleep(0.1)
    assert.is_true(cpu(ctx) - before < 0.08)
end

local COMPUTING = {
    "while true do end",
    "while true do pcall(error) end",
    "while true do pcall(function() while true do end end) end",
    "while true do xpcall(error, function(e) return e end) end",
    "while true do pcall(orrery.sleep, 0) end",
    "pcall(orrery.sleep, 1000) while true do end",
    "coroutine.wrap(function() while true do end end)()",
    "table.sort({ 3, 1, 2 }, function() while true do end end)",
    "orrery.map({ 1, 2, 3 }, function(i) if i == 2 then while true do end end orrery.sleep(1000) end)",
    "orrery.spawn(function() while true do end end):get()",
    "local function f() return f() end f()",
}
local WAITING = {
    "orrery.sleep(1000)",
    "while true do pcall(orrery.sleep, 1000) end",
    "orrery.map({ 1, 2, 3 }, function() orrery.sleep(1000) end)",
}
local PROGRAMS = {
    "os.execute('sleep ' .. seconds)",
    "while true do os.execute('sleep ' .. seconds) end",
    "return io.popen('sleep ' .. seconds .. '; echo'):read()",
}

-- What holds for a context, wherever it is. `open` makes one named web1; `target` is where its processes are.
local function behaves(target, open)
    local ctx, close
    setup(function() ctx, close = open() end)
    teardown(function()
        ctx:close()
        if close then close() end
    end)

    local function ends(text)
        local err = interrupted(begun(target), ctx.call, ctx, typed(text), UP)
        assert.are.equal("interrupted by Ctrl-C", err.message)
        assert.is_nil(err.busy)
        assert.are.equal(7, ctx:call(function() return 7 end))
    end

    for _, text in ipairs(COMPUTING) do
        it("ends what computes: " .. text, function()
            ends(text)
            assert_quiet(ctx)
        end)
    end

    for _, text in ipairs(WAITING) do
        it("ends what waits: " .. text, function() ends(text) end)
    end

    it("ends what computes, twenty times in a row", function()
        for _ = 1, 20 do
            ends "while true do end"
            ends "while true do pcall(error) end"
        end
        assert_quiet(ctx)
    end)

    it("ends a call that was begun, and not waited for", function()
        interrupted(begun(target), function()
            local call = ctx:call_async(typed "while true do end", UP)
            orrery.sleep(1000)
            call:get()
        end)
        assert.are.equal(7, ctx:call(function() return 7 end))
    end)

    it("ends a command", function()
        local seconds = tostring(remote.seconds(1))
        local function processes() return remote.processes(target, "sleep " .. seconds) end
        interrupted(function() return #processes() > 0 end, ctx.run, ctx, { "sleep", seconds })
        assert.are.same({}, processes())
    end)

    for i, text in ipairs(PROGRAMS) do
        it("ends programs that it waits for in C: " .. text, function()
            local seconds = tostring(remote.seconds(1 + i))
            local function processes() return remote.processes(target, "sleep " .. seconds) end
            local err = interrupted(function() return #processes() > 0 end, ctx.call, ctx, typed(text), UP, seconds)
            begun(target)()
            assert.is_nil(err.busy)
            remote.eventually("the end of the program", function() return #processes() == 0 end)
            assert.are.equal(7, ctx:call(function() return 7 end))
        end)
    end
end

local function mine() return orrery.localhost { name = "web1" } end

describe("Ctrl-C, in a child of this process,", function() behaves("local", mine) end)

describe("Ctrl-C, in a child of a child,", function()
    behaves("local", function()
        local between = orrery.localhost { name = "between" }
        return between:localhost { name = "web1" }, function() between:close() end
    end)
end)

describe("Ctrl-C, on a host,", function()
    if not lab.need(2, { isolated = true }) then return end
    behaves("h1", function() return orrery.ssh("h1", { config = lab.ssh_config(), name = "web1" }) end)

    it("ends a put and a get, which leave nothing on either side", function()
        local ctx = orrery.ssh("h2", { config = lab.ssh_config() })
        local dir = remote.directory()
        local there = lab.root("h2") .. "/root"
        local names = remote.names(there)
        local fill = "head -c 300M /dev/urandom >"
        assert.are.equal(0, (lab.run { "sh", "-c", fill .. dir .. "/large" }))
        local moving
        local opts = { on_progress = function() moving = true end }
        local function is_moving() return moving end
        interrupted(is_moving, ctx.put, ctx, dir .. "/large", "/root/copy", opts)
        assert.are.same(names, remote.names(there))
        ctx:shell(fill .. "/root/large")
        moving = false
        interrupted(is_moving, ctx.get, ctx, "/root/large", dir .. "/copy", opts)
        ctx:shell("rm /root/large")
        remote.eventually("the end of both", function() return #remote.names(dir) == 1 end)
        assert.are.same({ "large" }, remote.names(dir))
        ctx:close()
        remote.remove(dir)
    end)
end)

describe("Ctrl-C", function()
    it("says where something goes on that cannot be broken", function()
        local ctx = mine()
        local text = "io.open(..., 'w'):close() local n = 0 while true do n = n + 1 end"
        local compiled = assert(load(text, "@compiled.lua"))
        local err = interrupted(begun "local", ctx.call, ctx, compiled, UP)
        assert.are.equal("interrupted by Ctrl-C: web1" .. HINT, err.message)
        assert.are.same({ "web1" }, err.busy)
        ctx:close(0.1)
    end)

    it("ends a call by way of another context", function()
        local ctx = mine()
        local err = interrupted(begun "local", ctx.call, ctx, function(fn, up)
            local inner = require("orrery").localhost { name = "inner" }
            return inner:call(fn, up)
        end, typed "while true do end", UP)
        assert.is_nil(err.busy)
        ctx:close()
    end)

    it("leaves alone what other inputs have begun", function()
        local ctx = mine()
        local ok, other = running.run(function()
            return orrery.spawn(function() return ctx:call(function()
                require("orrery").sleep(0.5)
                return "through"
            end) end)
        end)
        assert.is_true(ok)
        interrupted(begun "local", ctx.call, ctx, typed "while true do pcall(error) end", UP)
        assert.are.equal("through", other:get())
        ctx:close()
    end)

    it("changes nothing where nothing runs", function()
        assert.is_false(running.interrupt())
        assert.are.same({ true, 1, nil, 3 }, { running.run(function() return 1, nil, 3 end) })
    end)
end)

describe("BREAK", function()
    it("ends only the call that it names", function()
        local ctx = mine()
        local go = ctx:call(function()
            _G.go = require("orrery").receiver()
            return _G.go:sender()
        end)
        local call = ctx:call_async(function() return _G.go:get() end)
        for _, seq in ipairs { 0, call.seq - 1, call.seq + 1 } do
            context.send(ctx, core.handle.BREAK, seq, "", true)
        end
        context.send(ctx, core.handle.BREAK, call.seq, "", false) -- of another one who asks
        context.send(ctx, core.handle.BREAK, call.seq, ("x"):rep(1e6), false)
        ctx:call(function() end)
        go:send "answer"
        assert.are.equal("answer", call:get())
        context.send(ctx, core.handle.BREAK, call.seq, "", true) -- it has ended
        assert.are.equal(1, ctx:call(function() return 1 end))
        ctx:close()
    end)
end)

-- What only a program with signals of its own can show.
local PROGRAM = [[
local ffi = require "ffi"
ffi.cdef "void *signal(int, void *); int kill(int, int); int getpid(void);"
ffi.C.signal(2, nil) -- luajit has taken it
local interrupt, running = require "orrery.interrupt", require "orrery.repl.running"
local sched = require "orrery.sched"
local watched = interrupt.watch(function() running.interrupt() end)
local function run(text, up)
    local fn = assert(load("local orrery, up = require 'orrery', ... up() " .. text, "=stdin"))
    jit.off(fn, true)
    local at
    local ok, err = running.run(fn, function()
        at = sched.now()
        up()
    end)
    return not ok and err.code == "interrupted", sched.now() - at, err
end
]]

local KILLED = [[
for line in io.lines(arg[1]) do
    for _ = 1, tonumber(arg[2]) do
        local fine, took, err = run(line, function() ffi.C.kill(ffi.C.getpid(), 2) end)
        if not fine or took > tonumber(arg[3]) then say("WRONG", line, took, tostring(err)) end
    end
end
say(tostring(watched), orrery.localhost():call(function() return "alive" end))
]]

describe("Ctrl-C, here,", function()
    local dir
    before_each(function() dir = remote.directory() end)
    after_each(function() remote.remove(dir) end)

    local function each(lines, times)
        remote.write(dir .. "/lines", "" .. table.concat(lines, "\n") .. "\n")
        local p = remote.program(PROGRAM .. KILLED, nil, dir .. "/lines", tostring(times), tostring(BOUND))
        finally(function() p:finish() end)
        assert.are.equal("true alive\n", p:rest(), p:stderr())
    end

    it("ends what computes", function() each(COMPUTING, 1) end)
    it("ends what waits", function() each(WAITING, 1) end)
    it("ends what computes, twenty times in a row", function() each({ COMPUTING[1], COMPUTING[2] }, 20) end)

    it("comes from a terminal", function()
        remote.write(dir .. "/program.lua", [[
            local orrery = require "orrery"
            local function say(...) print(...) io.stdout:flush() end
        ]] .. PROGRAM .. [[
            for i = 1, 3 do
                local fine = run("while true do end", function() say("computes " .. i) end)
                say("ended " .. i .. " " .. tostring(fine))
            end
            say "goes on"
            run("local b = 0 while true do b = b + 1 end", function() say "once more" end)
            run("string.rep('x', 1e5):find(('.-'):rep(9) .. 'y')", function() say "stuck" end)
        ]])
        local t = terminal.start([[
            os.execute(("LD_PRELOAD=%s exec luajit %s"):format(os.getenv "ORRERY_PRELOAD" or "", arg[1]))
            say "over"
        ]], dir .. "/program.lua")
        finally(function() t:finish() end)
        for i = 1, 3 do
            t:await("computes " .. i)
            t:key "C-c"
            t:await(("ended %d true"):format(i))
        end
        t:await "once more"
        t:key "C-c"
        t:await "stuck"
        t:key "C-c"
        t:key "C-c"
        t:await "what runs does not react; Ctrl-C again ends this program"
        t:key "C-c"
        t:await "it does not react: exit"
        t:await "over"
    end)
end)
