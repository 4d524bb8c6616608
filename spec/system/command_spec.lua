local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard()

describe("a command", function()
    remote.each(function(target)
        local ctx
        setup(function() ctx = target.ctx end)

        -- Commands that a spec looks for in the process table are known by how long they sleep.
        local seconds = remote.seconds

        local function running(time)
            return #remote.processes(target.name, ("sleep %d"):format(time))
        end

        local function ended(time)
            remote.eventually("the end of sleep " .. time, function() return running(time) == 0 end)
        end

        -- A command with a grandchild; neither cares about TERM. Calls back when both are there.
        local function stubborn(time, on_ready, opts)
            opts.on_stdout = function(line)
                assert.are.equal("ready", line)
                on_ready()
            end
            return ctx:shell([[
                trap "" TERM
                (sleep "$1"; sleep "$1") &
                echo ready
                sleep "$1"
                sleep "$1"
            ]], time, opts)
        end

        it("gives back what it wrote and how it ended", function()
            local result = ctx:shell("echo out; echo err >&2")
            assert.are.same({ code = 0, stdout = "out\n", stderr = "err\n" }, result)
            for _, code in ipairs { 1, 3, 127, 255 } do
                result = ctx:shell("exit $1", code, { check = false })
                assert.are.same({ code = code, stdout = "", stderr = "" }, result)
            end
        end)

        it("tells by which signal it ended", function()
            for _, signal in ipairs { 1, 9, 15, 11 } do
                local result = ctx:shell("kill -$1 $$", signal, { check = false })
                assert.are.equal(signal, result.signal)
                assert.are.equal(128 + signal, result.code)
                assert.is_nil(result.timed_out)
            end
        end)

        it("gets its arguments as they are", function()
            local words = { "a b", "", "'\"$x`*", "line\nbreak", "-n", "ünï" }
            local argv = { "sh", "-c", 'for x; do printf "%s|" "$x"; done', "sh", unpack(words) }
            assert.are.equal(table.concat(words, "|") .. "|", ctx:run(argv).stdout)
            assert.are.equal("7 x\n", ctx:shell("echo $1 $2", 7, "x").stdout)
            assert.are.equal("42\n", ctx:run({ "echo", 42 }).stdout)
        end)

        it("has no stdin unless it is given one", function()
            assert.are.equal("", ctx:run({ "cat" }).stdout)
            assert.are.equal("given", ctx:run({ "cat" }, { stdin = "given" }).stdout)
            assert.are.equal("", ctx:run({ "cat" }, { stdin = "" }).stdout)
        end)

        it("reads much from stdin", function()
            local text = ("0123456789abcde\n"):rep(2 ^ 16)
            assert.is_true(ctx:run({ "cat" }, { stdin = text }).stdout == text)
        end)

        it("may leave its stdin unread", function()
            local text = ("x"):rep(2 ^ 20)
            assert.are.equal(0, ctx:run({ "true" }, { stdin = text }).code)
            assert.are.equal("x", ctx:run({ "head", "-c", "1" }, { stdin = text }).stdout)
        end)

        it("writes what is not text", function()
            local bytes = {}
            for i = 0, 255 do bytes[i + 1] = string.char(i) end
            local text = table.concat(bytes):rep(10)
            assert.is_true(ctx:run({ "cat" }, { stdin = text }).stdout == text)
        end)

        it("gives lines while it runs, to a callback that may block", function()
            local lines, fifo = {}, target.dir .. "/fifo"
            ctx:run { "mkfifo", fifo }
            local result = ctx:shell('echo one; read x <"$1"; echo two $x; printf three', fifo, {
                on_stdout = function(line)
                    lines[#lines + 1] = line
                    if line == "one" then ctx:shell('echo go >"$1"', fifo) end
                end,
            })
            assert.are.same({ "one", "two go", "three" }, lines)
            assert.are.equal("one\ntwo go\nthree", result.stdout)
            ctx:run { "rm", fifo }
        end)

        it("gives lines of stderr apart, and keeps nothing where told so", function()
            local out, err = {}, {}
            local result = ctx:shell("echo a; echo b >&2; echo; echo c", {
                on_stdout = function(line) out[#out + 1] = line end,
                on_stderr = function(line) err[#err + 1] = line end,
                capture = false,
            })
            assert.are.same({ "a", "", "c" }, out)
            assert.are.same({ "b" }, err)
            assert.are.same({ code = 0, stdout = "", stderr = "" }, result)
        end)

        it("can write both to one, in order", function()
            local result = ctx:shell("for i in 1 2 3; do echo o$i; echo e$i >&2; done", { merge = true })
            assert.are.equal("o1\ne1\no2\ne2\no3\ne3\n", result.stdout)
            assert.are.equal("", result.stderr)
        end)

        it("runs with other variables", function()
            local opts = { env = { SPEC_A = "a b", SPEC_N = 5, HOME = false } }
            local result = ctx:shell('echo "$SPEC_A $SPEC_N ${HOME-unset}"', opts)
            assert.are.equal("a b 5 unset\n", result.stdout)
            assert.are.equal("set\n", ctx:shell('echo ${HOME:+set}${SPEC_A-}').stdout)
        end)

        it("runs in another directory", function()
            assert.are.equal(target.dir .. "\n", ctx:run({ "pwd" }, { cwd = target.dir }).stdout)
        end)

        it("raises when it fails", function()
            local err = remote.failure(function() ctx:shell("echo out; echo no luck >&2; exit 3") end)
            assert.are.equal("command", err.code)
            assert.matches("exited with status 3: no luck$", err.message)
            assert.are.same({ code = 3, stdout = "out\n", stderr = "no luck\n" }, err.result)
            assert.are.equal(ctx.name, err.context)
            assert.are.equal(ctx.route, err.route)
            assert.matches("command_spec%.lua:%d+$", err.at)
            err = remote.failure(function() ctx:run { "sh", "-c", "kill -9 $$" } end)
            assert.matches("was killed by signal 9", err.message)
        end)

        it("raises when it cannot start", function()
            local err = remote.failure(function() ctx:run { "no-such-program" } end)
            assert.are.equal("command", err.code)
            assert.matches("no%-such%-program", err.message)
            assert.matches("not found in PATH", err.message)
            assert.are.equal(ctx.name, err.context)
            assert.matches("command_spec%.lua:%d+$", err.at)
            err = remote.failure(ctx.run, ctx, { "true" }, { cwd = "/no/such/dir" })
            assert.are.equal("command", err.code)
            assert.matches("/no/such/dir", err.message)
            err = remote.failure(ctx.run, ctx, { "no-such-program" }, { check = false })
            assert.are.equal("command", err.code)
            err = remote.failure(ctx.run, ctx, { target.dir })
            assert.are.equal("command", err.code)
        end)

        it("refuses wrong arguments", function()
            for _, wrong in ipairs { { "true", {} }, {}, "true", { "true", "a\0b" } } do
                local err = remote.failure(ctx.run, ctx, wrong)
                assert.are.equal("argument", err.code)
            end
            for _, opts in ipairs {
                { env = { "A=B" } }, { env = { ["A=B"] = "C" } }, { env = { [""] = "C" } },
                { env = { A = "a\0b" } }, { cwd = "/\0" },
            } do
                assert.are.equal("argument", remote.failure(ctx.run, ctx, { "true" }, opts).code)
            end
            local err = remote.failure(ctx.run, ctx, { "true" }, { timout = 1 })
            assert.are.equal("option", err.code)
            assert.matches("did you mean 'timeout'", err.message)
        end)

        it("is ended when its time is over, with all that it started", function()
            local err = remote.failure(function()
                stubborn(seconds(61), function() end, { timeout = 0.3, grace = 0.2 })
            end)
            assert.are.equal("timeout", err.code)
            assert.matches("ran longer than 0.3 s", err.message)
            assert.is_true(err.result.timed_out)
            assert.are.equal("ready\n", err.result.stdout)
            ended(seconds(61))
        end)

        it("gets TERM first, and the time to act on it", function()
            local result = ctx:shell('trap "echo bye; exit 7" TERM; echo ready; sleep $1 & wait',
                seconds(62), { timeout = 0.2, check = false })
            assert.is_true(result.timed_out)
            assert.are.equal("ready\nbye\n", result.stdout)
            ended(seconds(62))
        end)

        it("ends with the task that waits for it", function()
            local task
            task = orrery.spawn(function()
                stubborn(seconds(63), function() task:cancel() end, { grace = 0.2 })
            end)
            local err = remote.failure(task.get, task)
            assert.are.equal("cancelled", err.code)
            ended(seconds(63))
        end)

        it("ends when its callback raises", function()
            local err = remote.failure(ctx.shell, ctx, "echo x; sleep $1", seconds(64), {
                on_stdout = function() error "not what I wanted" end,
            })
            assert.matches("not what I wanted", err.message)
            assert.matches("command_spec%.lua:%d+: in function 'on_line'", err.traceback)
            ended(seconds(64))
        end)

        it("ends with its context", function()
            local other = remote.open(target.name)
            local task = orrery.spawn(function()
                other:shell("echo ready; sleep $1", seconds(65), { on_stdout = function()
                    orrery.spawn(function() other:close() end)
                end })
            end)
            local err = remote.failure(task.get, task)
            assert.are.equal("closed", err.code)
            ended(seconds(65))
        end)

        it("may leave a daemon behind", function()
            local result = ctx:shell("sleep $1 >/dev/null 2>&1 & echo $!", seconds(66))
            local pid = result.stdout:match("%d+")
            assert.are.equal(1, running(seconds(66)))
            ctx:run { "kill", pid }
            ended(seconds(66))
        end)

        it("is not waited for beyond its end by what holds its output open", function()
            local result = ctx:shell("sleep $1 & echo $!", seconds(67))
            assert.are.equal(1, running(seconds(67)))
            ctx:run { "kill", (result.stdout:match("%d+")) }
            ended(seconds(67))
        end)

        it("may write 50 MB to a slow reader, who needs little memory", function()
            local other = remote.open(target.name)
            local lines, bytes = 0, 0
            local text = ("x"):rep(999)
            collectgarbage()
            local before = collectgarbage("count")
            local most = before
            local result = other:shell('yes "$1" | head -n 50000', text, {
                capture = false,
                on_stdout = function(line)
                    lines, bytes = lines + 1, bytes + #line + 1
                    if lines % 500 == 0 then
                        orrery.sleep(0)
                        most = math.max(most, collectgarbage("count"))
                    end
                end,
            })
            assert.are.equal(0, result.code)
            assert.are.equal(50000, lines)
            assert.are.equal(50e6, bytes)
            local status = other:call(function()
                return io.open("/proc/self/status"):read("*a")
            end)
            local most_there = tonumber(status:match("VmHWM:%s*(%d+)"))
            assert.is_true(most_there < 32 * 1024 or remote.sanitized)
            assert.is_true(most - before < 32 * 1024)
            other:close()
        end)

        it("is one of fifty", function()
            local list = {}
            for i = 1, 50 do list[i] = i end
            local results = orrery.map(list, function(i)
                return ctx:shell('cat; echo " $1"', i, { stdin = ("%d"):format(i) }).stdout
            end)
            for i = 1, 50 do assert.are.equal(("%d %d\n"):format(i, i), results[i]) end
        end)

        it("leaves no descriptors open in the agent", function()
            local fds = remote.seen(target.name, ("/proc/%d/fd"):format(ctx:info().pid))
            ctx:run { "true" }
            local before = #remote.names(fds)
            for _ = 1, 10 do ctx:run({ "cat" }, { stdin = "x" }) end
            remote.eventually("the last close", function() return #remote.names(fds) <= before end)
        end)
    end)
end)
