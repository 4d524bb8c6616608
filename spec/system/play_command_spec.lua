local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"

leak.guard()

describe("the resources command, shell and script", function()
    local here
    setup(function() here = remote.directory() end)
    teardown(function() remote.remove(here) end)

    support.each(function(target)
        local function path(name) return target.dir .. "/" .. name end
        local function seen(name) return target.seen .. "/" .. name end

        it("runs a program, and says what it said", function()
            local r = target.h:command { "sh", "-c", "echo out; echo err >&2" }
            assert.are.same({ true, 0, "out\n", "err\n" }, { r.changed, r.code, r.stdout, r.stderr })
            assert.are.equal("a b|c d", target.h:run { "printf", "%s|%s", "a b", "c d" }.stdout)
            assert.are.equal("a b-3", target.h:shell("printf '%s-%s' \"$1\" \"$2\"", "a b", 3).stdout)
        end)

        it("does nothing in check mode, and does not say that it knows", function()
            local r = support.unchanged_in_check_mode(target, function(h) return h:shell("echo >" .. path "made") end)
            assert.are.same({ true, false }, { r.unknown, r.changed })
            assert.is_nil(r.code)
        end)

        it("runs once where it says what it creates, or removes", function()
            local function make(h) return h:shell { 'echo x >"$1"', path "made", creates = path "made" } end
            support.converges(target, make, { unknown = true })
            local function clear(h) return h:command { "rm", path "made", removes = path "made" } end
            support.converges(target, clear, { unknown = true })
            assert.is_nil(remote.slurp(seen "made"))
        end)

        it("gives stdin, a directory and variables; and the C locale", function()
            local h = target.h
            assert.are.equal("text", h:command { "cat", stdin = "text" }.stdout)
            assert.are.equal(target.dir .. "\n", h:command { "pwd", chdir = target.dir }.stdout)
            assert.are.equal("v C\n", h:shell { 'echo "$MY $LC_ALL"', env = { MY = "v" } }.stdout)
        end)

        it("fails with what the program said, at the script's line", function()
            local err = support.fails(target, function(h) h:shell "echo out; echo first >&2; echo why >&2; exit 3" end)
            assert.are.equal("command", err.code)
            assert.matches("shell echo out; .*%(step %d+%): exited with status 3: why$", err.message)
            assert.matches("play_command_spec%.lua:%d+$", err.at)
            assert.are.equal(target.ctx.name, err.context)
            assert.are.same({ 3, "out\n" }, { err.result.code, err.result.stdout })
            local missing = support.fails(target, function(h) h:command { "no-such-program-here" } end)
            assert.matches("not found in PATH", missing.message)
        end)

        it("takes other statuses for good", function()
            assert.are.equal(3, target.h:shell { "exit 3", ok_codes = { 0, 3 } }.code)
            assert.are.equal(9, target.h:shell { "exit 9", ok_codes = "any" }.code)
            assert.are.equal(4, target.h:run({ "sh", "-c", "exit 4" }, { check = false }).code)
            assert.are.equal("command", remote.failure(target.h.shell, target.h, { "exit 0", ok_codes = { 1 } }).code)
        end)

        it("ends what takes too long, with all that it has started", function()
            local seconds = remote.seconds(20)
            local err = support.fails(target, function(h) h:shell { ("sleep %d"):format(seconds), timeout = 0.2 } end)
            assert.are.equal("timeout", err.code)
            remote.eventually("no process is left", function()
                return #remote.processes(target.name, tostring(seconds)) == 0
            end)
        end)

        it("tells lines while it runs", function()
            local h, events = support.host(target.ctx)
            local seen_live
            h.sink = function(event)
                events[#events + 1] = event
                -- The first line is here before the command can know that.
                if event.event == "step_line" and not seen_live then
                    seen_live = true
                    h.ctx:call(function(p) io.open(p, "w"):close() end, path "go")
                end
            end
            h:shell { 'echo first; while ! test -e "$1"; do sleep 0.02; done; echo second >&2', path "go" }
            local lines = {}
            for _, event in ipairs(events) do
                if event.event == "step_line" then lines[#lines + 1] = event.stream .. " " .. event.line end
            end
            assert.are.same({ "stdout first", "stderr second" }, lines)
            assert.are.equal("changed", events[#events].status)
            target.ctx:run { "rm", path "go" }
        end)

        it("runs a script of here, and leaves nothing of it there", function()
            remote.write(here .. "/hello.sh", "#!/bin/sh\necho \"hello $1, $(pwd)\"\n")
            local temporary = target.name == "local" and here or remote.seen(target.name, "/tmp")
            local r = support.unchanged(temporary, function()
                return target.h:script(here .. "/hello.sh", "you", { chdir = "/" })
            end, function(below) return below == "" end)
            assert.are.equal("hello you, /\n", r.stdout)
            remote.write(here .. "/plain", "echo plain $1\n")
            assert.are.equal("plain 1\n", target.h:script { here .. "/plain", 1, executable = "sh" }.stdout)
        end)

        it("says what is wrong with options", function()
            local function wrong(fn) return support.fails(target, fn).message end
            assert.matches("command: option 'argv' is missing", wrong(function(h) h:command {} end))
            assert.matches("command: option 'chdir' must be an absolute path, not \"x\"",
                wrong(function(h) h:command { "true", chdir = "x" } end))
            assert.matches("unknown option 'creats'; did you mean 'creates'", wrong(function(h)
                h:shell { "true", creats = "/x" }
            end))
            assert.matches("script: cannot read the controller's file .*/nothing.sh", wrong(function(h)
                h:script "/nothing.sh"
            end))
        end)
    end)
end)
