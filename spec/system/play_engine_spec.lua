-- What every resource takes, and how steps are told and numbered.
local leak = require "spec.support.leak"
local orrery = require "orrery"
local play = require "orrery.play"
local remote = require "spec.support.remote"
local support = require "spec.support.play"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

describe("the engine of resources", function()
    local here, path
    setup(function()
        path, here = package.path, remote.directory()
        package.path = here .. "/?.lua;" .. path
        remote.write(here .. "/spec_note.lua", [[
            local resource = require("orrery.play").resource
            local helper = require "spec_note_helper"
            return resource.define {
                name = "note", doc = "A note is in a file.",
                options = {
                    path = { type = "path", required = true, doc = "where" },
                    text = { type = "string", required = true, doc = "what" },
                    fail = { type = "boolean", doc = "half-way" },
                },
                check = function(o, env)
                    if env.sys.read(o.path) == helper.decorate(o.text) then return nil, { length = #o.text } end
                    return { diff = { { what = "text", after = o.text } }, message = "noted" }, { length = #o.text }
                end,
                apply = function(o, plan, env)
                    if o.fail then resource.fail("the pen is broken: " .. o.path) end
                    env.say("writing " .. o.text)
                    env.progress(1, 1)
                    resource.must("write", env.sys.write_atomic(o.path, helper.decorate(o.text)))
                    return { pid = env.sys.getpid() }
                end,
            }
        ]])
        remote.write(here .. "/spec_note_helper.lua", "return { decorate = function(t) return '*' .. t .. '*' end }")
        require "spec_note"
    end)
    teardown(function()
        package.path = path
        package.loaded.spec_note, package.loaded.spec_note_helper = nil, nil
        remote.remove(here)
    end)

    support.each(function(target)
        local h, events
        before_each(function() h, events = support.host(target.ctx) end)
        local function at(name) return target.dir .. "/" .. name end
        local function seen(name) return remote.slurp(target.seen .. "/" .. name) end

        local function ends()
            local list = {}
            for _, e in ipairs(events) do
                if e.event == "step_end" then list[#list + 1] = ("%s %s"):format(e.step, e.status) end
            end
            return list
        end

        it("performs a resource of the user's own, without registering it", function()
            local result = support.converges(target, function(host) return host:note { path = at "n", text = "a" } end)
            assert.are.same({ true, 1, "noted" }, { result.changed, result.length, result.message })
            assert.is_number(result.pid)
            assert.are.equal("*a*", seen "n")
        end)

        it("performs it in a batch, and in a list", function()
            local where = at "batch"
            assert.are.same({ true, false }, { h:batch(function(host)
                local first = host:note { path = where, text = "b" }
                return first.changed, host:apply({ { "note", path = where, text = "b" } })[1].changed
            end) })
            assert.are.equal("*b*", seen "batch")
            assert.is_false(h:apply({ { "note", path = where, text = "b" } })[1].changed)
        end)

        it("performs one that the script itself defines", function()
            local marker = at "inline"
            play.resource.define {
                name = "inline", doc = "defined in no module", options = {},
                check = function(_, env) return not env.sys.stat(marker) and {} or nil end,
                apply = function(_, _, env) env.sys.write_atomic(marker, "x") end,
            }
            support.converges(target, function(host) return host:inline {} end)
            assert.is_false(h:batch(function(host) return host:inline({}).changed end))
        end)

        it("knows facts: on both sides, in conditions, for resources", function()
            local kernel = h.facts.os.kernel_release
            assert.is_string(kernel)
            assert.are.equal(kernel, h:batch(function(host) return host.facts.os.kernel_release end))
            local results = h:apply {
                { "stat", "/", when = function(_, facts) return facts.os.kernel_release == kernel end },
                { "stat", "/", when = function(_, facts) return facts.os.kernel_release ~= kernel end },
            }
            assert.are.same({ nil, true }, { results[1].skipped, results[2].skipped })
            play.resource.define {
                name = "kernel", doc = "says which it is", options = {},
                check = function(_, env) return nil, { kernel = env.facts.os.kernel_release } end,
            }
            assert.are.equal(kernel, h:kernel({}).kernel)
        end)

        it("makes tasks of steps, whose numbers do not depend on tries", function()
            local tries = 0
            local value = h:task("twice", { retries = 2, delay = 0 }, function()
                tries = tries + 1
                h:shell { tries == 1 and "exit 1" or "true" }
                return tries
            end)
            assert.are.equal(2, value)
            assert.are.same({ "1.1 failed", "1.1 changed", "1 ok" }, ends())
        end)

        it("tells the steps, with their numbers, names and places", function()
            h:note { path = at "t", text = "a", name = "write it down" }
            h:apply { { "note", path = at "t", text = "a" }, { "stat", at "t" } }
            h:batch(function(host) host:stat "/" end)
            assert.are.same({ "1 changed", "2.1 ok", "2.2 ok", "3.1 ok" }, ends())
            local first = events[1]
            assert.are.same({ "step_start", "1", "write it down", "note", target.ctx.name },
                { first.event, first.step, first.name, first.resource, first.host })
            assert.matches("play_engine_spec%.lua:%d+$", first.at)
            assert.are.equal("message", events[2].event)
            assert.are.equal("writing a", events[2].text)
            assert.are.same({ "step_progress", 1, 1 }, { events[3].event, events[3].done, events[3].total })
            assert.is_true(math.abs(events[4].time - os.time()) < 60)
            assert.are.equal("stat /", events[#events].name)
            assert.matches("play_engine_spec%.lua:%d+$", events[#events].at or events[#events - 1].at)
        end)

        it("goes on where a condition holds: of results, of a value", function()
            local results = h:apply {
                { "note", path = at "w", text = "a" },
                { "note", path = at "w2", text = "b", when = function(r) return not r[1].changed end },
                { "note", path = at "w3", text = "c", when = false },
                { "note", path = at "w4", text = "d", when = function(r) return r[1].changed and r[2].skipped end },
            }
            assert.are.same({ "1.1 changed", "1.2 skipped", "1.3 skipped", "1.4 changed" }, ends())
            assert.are.same({ nil, true, true, nil }, {
                results[1].skipped, results[2].skipped, results[3].skipped, results[4].skipped })
            assert.is_nil(seen "w2")
        end)

        it("judges by what the script says of a result", function()
            assert.is_false(h:shell({ "true", changed_when = false }).changed)
            assert.is_true(h:shell({ "echo up", changed_when = function(r) return r.stdout == "up\n" end }).changed)
            assert.are.equal(2, h:shell({ "exit 2", failed_when = function(r) return r.code > 2 end }).code)
            local err = remote.failure(h.shell, h, {
                "echo bad", failed_when = function(r) return r.stdout == "bad\n" and "it is bad" end,
            })
            assert.matches("it is bad$", err.message)
            local ignored = h:shell { "exit 1", ignore_errors = true }
            assert.are.same({ true, 1, "command" }, { ignored.failed, ignored.code, ignored.error.code })
            assert.are.equal("5 ignored", ends()[5])
        end)

        it("asks nobody about what is unknown, and says where a judge has failed", function()
            local check = support.host(target.ctx, { check = true })
            local r = check:shell {
                "exit 1", failed_when = function(x) return x.code > 0 end, until_ = function(x) return x.code == 0 end,
            }
            assert.is_true(r.unknown)
            assert.is_nil(check:shell({ "true", changed_when = false }).unknown)
            local err = remote.failure(h.shell, h, { "true", changed_when = function(x) return x.nothing.there end })
            assert.are.equal("lua", err.code)
            assert.matches("^shell true %(step 1%): .*attempt to index field 'nothing'", err.message)
            assert.matches("play_engine_spec%.lua", err.traceback)
            assert.are.same({ "1 failed" }, ends())
        end)

        it("tries again, until it holds or the tries are over", function()
            local count = 'echo x >>"$1"; test $(wc -l <"$1") -ge 3'
            local r = h:shell { count, at "tries", retries = 5, delay = 0.01 }
            assert.are.equal(3, r.attempts)
            local err = remote.failure(h.shell, h, { "exit 1", retries = 2, delay = 0 })
            assert.are.equal("command", err.code)
            r = h:shell {
                'echo x >>"$1"; wc -l <"$1"', at "until", delay = 0,
                until_ = function(result) return tonumber(result.stdout) == 2 end,
            }
            assert.are.equal(2, r.attempts)
            err = remote.failure(h.shell, h, { "true", until_ = function() return false end, retries = 1, delay = 0 })
            assert.matches("until_ did not hold in 2 tries", err.message)
        end)

        it("gives up after the time that it was given", function()
            play.resource.define {
                name = "forever", doc = "waits", options = {},
                check = function() require("orrery").sleep(1000) end,
            }
            local err = remote.failure(h.forever, h, { timeout = 0.05 })
            assert.are.equal("timeout", err.code)
        end)

        it("stops at the first failure, with what was done before", function()
            local err = remote.failure(h.apply, h, {
                { "note", path = at "s1", text = "a" }, { "note", path = at "s2", text = "b", fail = true },
                { "note", path = at "s3", text = "c" },
            })
            assert.are.same({ "1.1 changed", "1.2 failed" }, ends())
            assert.are.equal(1, #err.results)
            assert.are.same({ "resource", "1.2", "note" }, { err.code, err.step, err.resource })
            assert.matches("^note .*s2 %(step 1%.2%): the pen is broken: ", err.message)
            assert.are.equal(target.ctx.name, err.context)
            assert.is_nil(err.traceback)
            assert.is_nil(seen "s3")
        end)

        it("says where in a batch it failed, and passes other errors through", function()
            local err = remote.failure(h.batch, h, function(host) host:note { path = "/nowhere/y", text = "a" } end)
            assert.matches("play_engine_spec%.lua:%d+$", err.at)
            assert.matches("cannot write /nowhere/y: No such file", err.message)
            err = remote.failure(h.batch, h, function() error "the script's own" end)
            assert.matches("the script's own", err.message)
            assert.matches("play_engine_spec%.lua", err.traceback)
            err = remote.failure(h.batch, h, function(host) host:nothing {} end)
            assert.matches("there is no resource 'nothing'", err.message)
        end)

        it("says that the h of here is not there", function()
            local err = remote.failure(h.batch, h, function() h:stat "/" end)
            assert.are.equal("argument", err.code)
            assert.matches("h:batch: the function runs on the target, and 'h' is not there: it gets an h of its own",
                err.message)
            err = remote.failure(h.stat, h, { "/", when = function() return h.vars.x end })
            assert.matches("stat: option 'when': the function runs on the target, and 'h' is not there", err.message)
        end)

        it("guesses what was meant by a resource that is not there, in a batch, too", function()
            local text = "there is no resource 'fiel'; did you mean 'file'?"
            for _, fn in ipairs {
                function(host) host:fiel { path = "/x" } end,
                function(host) host:apply { { "fiel", path = "/x" } } end,
            } do
                for _, err in ipairs { remote.failure(fn, h), remote.failure(h.batch, h, fn) } do
                    assert.are.same({ "option", text }, { err.code, err.message })
                    assert.matches("play_engine_spec%.lua:%d+$", err.at)
                end
            end
            local err = remote.failure(h.batch, h, function(host) host:nothing_like_it {} end)
            assert.are.equal("there is no resource 'nothing_like_it'", err.message)
        end)

        it("returns from a batch what its function returns, nil too", function()
            local name, a, b, c = h:batch(function(host) return host.name, nil, { x = 1 } end)
            assert.are.same({ target.ctx.name, nil, { x = 1 }, nil }, { name, a, b, c })
            h.vars.port = 80
            assert.are.equal(81, h:batch(function(host) return host.vars.port + 1 end))
        end)

        it("keeps quiet where it is told to", function()
            h:shell { "echo hidden", no_log = true }
            local err = remote.failure(h.shell, h, { "echo hidden >&2; exit 1", no_log = true })
            assert.matches("^shell %(step 2%): failed; no_log hides how$", err.message)
            for _, event in ipairs(events) do
                for _, value in pairs(event) do assert.is_nil(tostring(value):find("hidden", 1, true)) end
            end
        end)

        it("does what must be done in check mode as well, and looks only where that is wanted", function()
            local check = support.host(target.ctx, { check = true })
            assert.are.equal("really\n", check:shell({ "echo really", check_mode = false }).stdout)
            local result = support.unchanged(target.seen, function()
                return h:note { path = at "never", text = "a", check_mode = true }
            end)
            assert.is_true(result.changed)
        end)

        it("says who is to be notified, before it changes something and after", function()
            h:note { path = at "notify", text = "a", notify = "restart" }
            assert.are.same({ "restart" }, events[1].notify)
            assert.are.same({ "restart" }, events[#events].notify)
            h:note { path = at "notify", text = "a", notify = { "restart" } }
            assert.is_nil(events[#events].notify)
        end)

        it("ends what it does when it is cancelled", function()
            local seconds = remote.seconds(21)
            local task = orrery.spawn(function() h:shell(("sleep %d"):format(seconds)) end)
            remote.eventually("the command runs", function()
                return #remote.processes(target.name, ("sleep %d"):format(seconds)) > 0
            end)
            task:cancel()
            assert.are.equal("cancelled", remote.failure(task.get, task).code)
            remote.eventually("the command has ended", function()
                return #remote.processes(target.name, ("sleep %d"):format(seconds)) == 0
            end)
        end)

        it("puts and gets files, and does not in check mode", function()
            remote.write(here .. "/put", "content")
            local function put(host) return host:put(here .. "/put", at "put") end
            local foreseen = support.unchanged_in_check_mode(target, put)
            assert.is_true(foreseen.changed)
            assert.is_true(put(h).changed)
            assert.is_false(support.unchanged_in_check_mode(target, put).changed)
            assert.is_true(h:get(at "put", here .. "/got-" .. target.name).changed)
            assert.are.equal("content", remote.slurp(here .. "/got-" .. target.name))
            assert.matches("no/such", remote.failure(h.get, h, "/no/such", here .. "/got").message)
        end)
    end)
end)
