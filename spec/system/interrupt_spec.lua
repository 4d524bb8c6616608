-- Ctrl-C: real signals, while something of each kind is under way.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"

leak.guard { timeout = 15 }

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

-- Starts `command` as a shell's job, waits until somebody has written to $dir/up, and sends SIGINT; again, as
-- soon as the first was taken, if it is to be `twice`.
local JOB = [[
set -m
[ -e $dir/up ] || mkfifo $dir/up
%s >$dir/out 2>$dir/err &
job=$!
read word <$dir/up
kill -INT -- -$job
if [ -n "%s" ]; then
    while [ $((0x$(sed -n 's/^SigCgt:\t//p' /proc/$job/status) & 2)) != 0 ]; do sleep 0.01; done
    kill -INT -- -$job
fi
wait $job
echo $? >$dir/status
]]

-- What scripts use to say that they are under way.
local PRELUDE = [[
local orrery = require "orrery"
local function up()
    local fifo = io.open(arg[1] .. "/up", "w")
    fifo:write "up\n"
    fifo:close()
end
]]

---@return { status: integer, out: string, err: string }
local function job(dir, command, twice)
    remote.write(dir .. "/job", ("dir=%s\n"):format(dir) .. JOB:format(command, twice and "twice" or ""))
    local code, _, stderr = lab.run { "timeout", "60", "bash", dir .. "/job" }
    assert.are.same({ 0, "" }, { code, (stderr:gsub("^[^\n]*Interrupt[^\n]*\n", "")) })
    return {
        status = tonumber(remote.slurp(dir .. "/status")),
        out = remote.slurp(dir .. "/out"), err = remote.slurp(dir .. "/err"),
    }
end

describe("Ctrl-C", function()
    local dir
    before_each(function() dir = remote.directory() end)
    after_each(function() remote.remove(dir) end)

    -- Runs a script and interrupts it.
    local function run(text, twice, ...)
        remote.write(dir .. "/script.lua", PRELUDE .. text)
        return job(dir, table.concat({ program, "run", dir .. "/script.lua", dir, ... }, " "), twice)
    end

    local function one_line(text) return "orrery: interrupted:\n  " .. text .. "\n" end

    it("ends a call", function()
        local r = run [[
            local ctx = orrery.localhost { name = "web1" }
            orrery.spawn(function() ctx:call(function() end) up() end)
            ctx:call(function() require("orrery").sleep(1000) end)
            print "never"
        ]]
        assert.are.same({ status = 130, out = "", err = one_line "a call in web1" }, r)
    end)

    it("ends a command with all that it started, also what does not want to", function()
        local r = run [[
            local ctx = orrery.localhost { name = "web1" }
            ctx:shell('trap "" TERM; (sleep $1; sleep $1) & echo up >$2/up; sleep $1; sleep $1', 1000.25, arg[1])
        ]]
        assert.are.equal(130, r.status)
        assert.matches("^orrery: interrupted:\n  sh %-c 'trap.- in web1\n$",
            (r.err:gsub("orrery: interrupted, what[^\n]*\n", "")))
        assert.are.same({}, remote.processes("local", "sleep 1000.25"))
    end)

    it("ends what waits in tasks, in threads and outside of them, and says each once", function()
        local r = run [[
            local a, b = orrery.localhost { name = "a" }, orrery.localhost { name = "b" }
            local nap = function() require("orrery").sleep(1000) end
            orrery.spawn(a.call, a, nap)
            orrery.spawn(b.call, b, nap)
            orrery.spawn(b.call, b, nap)
            local r = orrery.receiver()
            local thread = orrery.thread(function(to) to:send(1) require("orrery").sleep(1000) end, r:sender())
            r:get()
            orrery.spawn(thread.get, thread)
            b:call(function() end) -- all of these are under way
            up()
            orrery.sleep(1000)
        ]]
        assert.are.equal(130, r.status)
        assert.matches("^orrery: interrupted:\n", r.err)
        assert.matches("\n  a call in a\n", r.err)
        assert.matches("\n  a call in b %(2 times%)\n", r.err)
    end)

    it("lets no further item of a parallel operation begin", function()
        local r = run [[
            local ctx = orrery.localhost()
            orrery.each({ 1, 2, 3, 4 }, { limit = 2 }, function(i)
                print("item", i)
                if i == 2 then up() end
                ctx:run { "sleep", "1000" }
            end)
        ]]
        assert.are.same({ status = 130, out = "item\t1\nitem\t2\n",
            err = one_line "sleep 1000 in localhost (2 times)" }, r)
    end)

    it("gives up a transfer, which leaves nothing", function()
        assert.are.equal(0, (lab.run { "truncate", "-s", "8G", dir .. "/large" }))
        local r = run [[
            local ctx = orrery.localhost()
            local task = orrery.spawn(ctx.put, ctx, arg[1] .. "/large", arg[1] .. "/copy")
            repeat
                local counts = ctx:call(function() return io.open("/proc/self/io"):read("*a") end)
            until tonumber(counts:match "wchar: (%d+)") > 4e6
            up()
            task:get()
        ]]
        assert.are.equal(130, r.status)
        assert.are.equal(one_line(("put %s/large to %s/copy"):format(dir, dir)), r.err)
        assert.are.same({ "err", "job", "large", "out", "script.lua", "status", "up" }, remote.names(dir))
    end)

    it("lets a script clean up", function()
        local r = run [[
            local ctx = orrery.localhost { name = "web1" }
            up()
            local ok, err = pcall(ctx.run, ctx, { "sleep", "1000" })
            print(ok, err.code, err.message, err.context)
            print(ctx:shell("echo cleaned").stdout)
        ]]
        assert.are.same({ status = 130, err = one_line "sleep 1000 in web1",
            out = "false\tinterrupted\tinterrupted by Ctrl-C: sleep 1000 in web1\tnil\ncleaned\n\n" }, r)
    end)

    it("is not to be caught for good", function()
        local r = run [[
            local ctx, n = orrery.localhost(), 0
            up()
            while true do pcall(ctx.run, ctx, { "sleep", "1000.75" }) end
        ]]
        assert.are.equal(130, r.status)
        assert.matches("orrery: interrupted, what runs is being ended; Ctrl%-C again exits now\n", r.err)
        assert.matches("orrery: interrupted, and it does not end: exit\n", r.err)
        remote.eventually("the end of the command", function()
            return #remote.processes("local", "sleep 1000.75") == 0
        end)
    end)

    it("ends a script that computes, when it comes a second time; and its commands", function()
        local r = run([[
            local ctx = orrery.localhost()
            orrery.spawn(ctx.shell, ctx, "trap '' TERM; sleep 1000.5; sleep 1000.5")
            ctx:call(function() end)
            up()
            while true do end
        ]], true)
        assert.are.same({ status = 130, out = "", err = "" }, r)
        remote.eventually("the end of the command", function()
            return #remote.processes("local", "sleep 1000.5") == 0
        end)
    end)

    it("reports what the script raises besides", function()
        local r = run [[
            up()
            pcall(orrery.sleep, 1000)
            error "cannot clean up"
        ]]
        assert.are.equal(130, r.status)
        assert.matches("^orrery: interrupted\norrery: .*: cannot clean up\n", r.err)
    end)

    it("is left alone where it was ignored", function()
        remote.write(dir .. "/script.lua", PRELUDE .. "up() orrery.sleep(0.2) print 'through'")
        local code, stdout = lab.run { "bash", "-c", ([[
            mkfifo %s/up; trap '' INT; %s run %s/script.lua %s & read word <%s/up; kill -INT $!; wait $!]])
            :format(dir, program, dir, dir, dir) }
        assert.are.same({ 0, "through\n" }, { code, stdout })
    end)

    it("says for each host of exec what it interrupted", function()
        local r = job(dir, ("%s exec -H a,b,c --local --limit 2 "
            .. "'mkdir %s/first 2>/dev/null || echo up >%s/up; sleep 1000'"):format(program, dir, dir))
        assert.are.equal(130, r.status)
        for _, host in ipairs { "a", "b" } do
            assert.matches(("\n%s: interrupted: the command was ended\n"):format(host), "\n" .. r.err)
        end
        assert.matches("\n0 of 3 ok; failed: a,b: interrupted: the command was ended; c: not begun\n$", r.err)
    end)

    it("asks for a policy that exec knows", function()
        local code, _, stderr = lab.run { program, "exec", "-Ha", "--local", "--on-disconnect", "x", "true" }
        assert.are.same({ 64, "orrery exec: option '--on-disconnect' must be kill or finish, not 'x'; "
            .. "see 'orrery exec --help'\n" }, { code, stderr })
    end)

    describe("with hosts", function()
        if not lab.need(20, { dead = 1, isolated = true }) then return end

        it("ends the opening of one that does not answer", function()
            local r = run([[
                orrery.spawn(function() orrery.sleep(0) up() end)
                orrery.ssh("dead1", { config = arg[2], connect_timeout = 100 })
            ]], false, lab.ssh_config())
            assert.are.same({ 130, "" }, { r.status, r.out }, r.err)
            assert.matches("^orrery: interrupted:\n  [^\n]*dead1\n$", r.err) -- or its ssh -G
        end)

        it("ends the commands on twenty, and says which was not reached", function()
            local target = lab.root("h20") .. "/tmp"
            assert.are.equal(0, (lab.run { "mkfifo", target .. "/up" }))
            assert.are.equal(0, (lab.run { "ln", "-s", target .. "/up", dir .. "/up" }))
            local r = job(dir, ("%s exec -F %s -H 'dead1,h[1-20]' --connect-timeout 100 "
                .. "'[ $(uname -n) != h20 ] || echo up >/tmp/up; trap \"\" TERM; sleep 1000; sleep 1000'")
                :format(program, lab.ssh_config()))
            os.remove(target .. "/up")
            assert.are.equal(130, r.status)
            assert.matches("\n0 of 21 ok; failed: ", r.err)
            assert.matches("dead1: interrupted: not connected yet", r.err)
            local _, count = r.err:gsub("h%d+: +interrupted: the command was ended\n", "")
            assert.is_true(count > 0)
            for i = 1, 20 do
                assert.are.same({}, remote.processes("h" .. i, "sleep 1000"))
            end
        end)

        it("ends a question at the terminal", function()
            local t = terminal.start([[
                local ok, err = pcall(orrery.ssh, arg[2], { config = arg[1], user = arg[3] })
                say(err.code, orrery.localhost():call(function() return "cleaned" end))
            ]], lab.ssh_config(), "h1", "pwuser")
            finally(function() t:finish() end)
            t:await "pwuser@h1's password: "
            t:key "C-c"
            t:await "interrupted cleaned\n"
            t:await "opening h1\n"
            t:await "ended 130\nthe echo is on"
        end)
    end)
end)
