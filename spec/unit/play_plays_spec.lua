-- Plays over hosts that are not there: who runs when, who is left out, what is said.
local leak = require "spec.support.leak"
local orrery = require "orrery"
local Error = require "orrery.error"
local host = require "orrery.play.host"
local play = require "orrery.play"
local session = require "orrery.play.session"

leak.guard()

describe("plays", function()
    local events, opened

    -- h:step(name, [options,] fn): a step that is a function of the spec's.
    local function step(h, name, opts, fn)
        if type(opts) == "function" then opts, fn = {}, opts end
        opts = opts or {}
        local info = { id = host.next_id(h), resource = "step", title = name, modifiers = opts }
        local function say(event)
            event.host, event.step, event.name, event.resource = h.name, info.id, name, "step"
            h.sink(event)
        end
        return host.conduct(h, info, function()
            say { event = "step_start", notify = opts.notify }
            local ok, err = pcall(fn or function() end, h)
            if not ok then
                say { event = "step_end", status = "failed" }
                error(err, 0)
            end
            say { event = "step_end", status = "changed", notify = opts.notify }
            return { changed = true, value = err }
        end)
    end

    before_each(function()
        host.Host.step = step
        session.reset()
        events, opened = {}, {}
    end)

    after_each(function()
        session.reset()
        host.Host.step = nil
    end)

    local function configure(settings)
        settings.open = settings.open or function(name)
            opened[#opened + 1] = name
            return { name = name }
        end
        settings.record = false
        settings.views = { { event = function(_, e) events[#events + 1] = e end } }
        session.configure(settings)
    end

    -- What the events of a kind say of a field.
    local function said(kind, field)
        local list = {}
        for _, e in ipairs(events) do
            if e.event == kind then list[#list + 1] = e[field] end
        end
        return list
    end

    local function failure(fn, ...)
        local ok, err = pcall(fn, ...)
        assert.is_false(ok)
        assert.is_true(Error.is(err), tostring(err))
        return err
    end

    it("run a function for each host, and return what it returns", function()
        configure { vars = { port = 81 } }
        local r = play.play {
            name = "all", hosts = { "a", "b", "a" }, vars = { port = 80, dir = "/srv" },
            run = function(h) return h.name .. h.vars.port .. h.vars.dir end,
        }
        assert.are.same({ ok = true, hosts = { "a", "b" }, results = { a = "a81/srv", b = "b81/srv" }, failed = {} }, r)
        assert.are.equal(0, play.finish())
        assert.are.same({ "run_start", "play_start", "play_end", "run_end" }, {
            events[1].event, events[2].event, events[#events - 1].event, events[#events].event })
        assert.are.same({ { "a", "b" } }, said("play_start", "hosts"))
        assert.are.same({ "ok", "ok" }, said("host_end", "status"))
        for _, e in ipairs(events) do assert.are.equal("number", type(e.time)) end
    end)

    it("open each host once in a run", function()
        configure {}
        for _ = 1, 2 do play.play { hosts = { "a", "b" }, run = function() end } end
        assert.are.same({ "a", "b" }, opened)
    end)

    it("take hosts in batches, each after the last one", function()
        configure {}
        local running, high, order = 0, 0, {}
        play.play {
            hosts = { "a", "b", "c", "d", "e" }, serial = { 1, 2 }, order = "reverse",
            run = function(h)
                running, order[#order + 1] = running + 1, h.name
                high = math.max(high, running)
                orrery.sleep(0)
                running = running - 1
            end,
        }
        assert.are.equal(2, high)
        assert.are.same({ "e", "d", "c", "b", "a" }, order)
    end)

    it("take no more hosts at a time than the throttle says", function()
        configure { forks = 3 }
        local running, high = 0, 0
        local spec = {
            hosts = { "a", "b", "c", "d", "e" },
            run = function()
                running = running + 1
                high = math.max(high, running)
                orrery.sleep(0)
                running = running - 1
            end,
        }
        play.play(spec)
        assert.are.equal(3, high)
        high, spec.throttle = 0, 2
        play.play(spec)
        assert.are.equal(2, high)
    end)

    it("go on with the others where one fails, and leave it out from then on", function()
        configure {}
        local r = play.play {
            hosts = { "a", "b", "c" },
            run = function(h) if h.name == "b" then h:step("x", function() error("no", 0) end) end end,
        }
        assert.is_false(r.ok)
        assert.are.equal("no", r.failed.b.message)
        assert.are.same({ "a", "c" }, play.play { hosts = { "a", "b", "c" }, run = function() end }.hosts)
        assert.are.equal(2, play.finish())
        local hosts = events[#events].hosts
        assert.are.same({ 0, 1, 0 }, { hosts.a.failed, hosts.b.failed, hosts.c.failed })
    end)

    it("call a host lost that cannot be opened", function()
        configure { open = function(name)
            if name == "b" then Error.raise { code = "connect", message = "no route" } end
            return {}
        end }
        play.play { hosts = { "a", "b" }, run = function() end }
        assert.are.same({ "lost", "ok" }, (function(l) table.sort(l) return l end)(said("host_end", "status")))
        assert.are.equal(3, play.finish())
    end)

    it("stop when more hosts failed than may", function()
        configure { forks = 1 }
        local ran = {}
        local err = failure(play.play, {
            name = "p", hosts = { "a", "b", "c", "d", "e" }, max_failures = "20%",
            run = function(h)
                ran[#ran + 1] = h.name
                if h.name ~= "b" then error("no " .. h.name, 0) end
            end,
        })
        assert.are.same({ "a", "b", "c" }, ran)
        assert.are.equal("partial", err.code)
        assert.are.equal("play 'p' was stopped: 2 of 5 hosts failed, and 1 may: a: no a; c: no c", err.message)
        assert.are.same({ "stopped" }, said("play_end", "status"))
        assert.are.same({ "play 'p': 2 of 5 hosts failed, and 1 may: no further host is begun" },
            said("message", "text"))
        assert.are.equal(2, session.current():finish(err))
    end)

    it("stop when all hosts of a batch failed, unless it is said how many may", function()
        configure {}
        local spec = {
            hosts = { "a", "b", "c" }, serial = 1,
            run = function(h) if h.name == "a" then error("no", 0) end end,
        }
        assert.matches("stopped: the only host of a batch failed: a: no", failure(play.play, spec).message)
        assert.are.same({ "play 'play 1': the only host of a batch failed: no further host is begun" },
            said("message", "text"))
        spec.hosts, spec.max_failures = { "x", "y" }, "50%"
        spec.run = function(h) if h.name == "x" then error("no", 0) end end
        assert.are.equal("no", play.play(spec).failed.x.message)
    end)

    it("do without the hosts that --limit leaves out", function()
        configure { limit = "b,c" }
        assert.are.same({ "b" }, play.play { hosts = { "a", "b" }, run = function() end }.hosts)
    end)

    it("run handlers at the end of each host, once", function()
        configure {}
        local ran = {}
        play.play {
            hosts = { "a", "b" },
            handlers = { restart = function(h) ran[#ran + 1] = "restart " .. h.name end },
            run = function(h)
                if h.name == "a" then
                    h:step("x", { notify = { "restart" } })
                    h:step("y", { notify = { "restart" } })
                end
                ran[#ran + 1] = "end " .. h.name
            end,
        }
        table.sort(ran)
        assert.are.same({ "end a", "end b", "restart a" }, ran)
        assert.are.same({ nil, true }, { said("step_start", "handler")[2], said("step_start", "handler")[1] })
    end)

    it("run handlers in between where they are asked to", function()
        configure {}
        local ran = {}
        play.play {
            hosts = { "a" }, handlers = { restart = function() ran[#ran + 1] = "restart" end },
            run = function(h)
                h:step("x", { notify = { "restart" } })
                play.flush_handlers(h)
                ran[#ran + 1] = "after"
            end,
        }
        assert.are.same({ "restart", "after" }, ran)
    end)

    it("run handlers on a host that failed only where that is wanted", function()
        local ran
        local function run(forced)
            ran = {}
            pcall(play.play, {
                hosts = { "a" }, force_handlers = forced, max_failures = 1,
                handlers = { restart = function() ran[#ran + 1] = "restart" end },
                run = function(h)
                    h:step("x", { notify = { "restart" } })
                    error("no", 0)
                end,
            })
            session.reset()
        end
        configure {}
        run(false)
        assert.are.same({}, ran)
        assert.are.same({ { "restart" } }, said("host_end", "owed"))
        configure {}
        run(true)
        assert.are.same({ "restart" }, ran)
    end)

    it("say when no step has a tag that is asked for", function()
        for tag, warnings in pairs { db = 0, dbb = 1 } do
            events = {}
            configure { tags = { tag } }
            play.play { hosts = { "a" }, run = function(h) h:step("x", { tags = { "db" } }) end }
            assert.are.equal(0, play.finish())
            local said_so = 0
            for _, e in ipairs(events) do
                if e.text == "no step has run: none has the tag 'dbb'" then said_so = said_so + 1 end
            end
            assert.are.equal(warnings, said_so)
            session.reset()
        end
    end)

    it("say which step it is whose other host is not reached", function()
        configure { open = function(name)
            if name == "gone" then error("no way to it", 0) end
            return { name = name }
        end }
        local r = play.play {
            hosts = { "a" }, max_failures = 1,
            run = function(h) h:step("x", { delegate_to = "gone" }) end,
        }
        assert.are.same({ { "failed" }, { "failed" } }, { said("step_end", "status"), said("host_end", "status") })
        assert.matches("^x %(step 1%): .*no way to it", r.failed.a.message)
    end)

    it("do not begin a step that notifies what is not there", function()
        configure {}
        local ran = false
        local r = play.play {
            hosts = { "a" }, max_failures = 1,
            run = function(h) h:step("x", { notify = { "nobody" } }, function() ran = true end) end,
        }
        assert.is_false(ran)
        assert.are.equal("the play has no handler 'nobody'", r.failed.a.message)
    end)

    it("start where they are told to", function()
        configure { start_at = "2:y" }
        local ran = {}
        local function steps(h)
            for _, name in ipairs { "x", "y", "z" } do
                h:step(name, function() ran[#ran + 1] = name end)
            end
        end
        assert.are.same({}, play.play { hosts = { "a" }, run = steps }.hosts)
        play.play { hosts = { "a" }, run = steps }
        assert.are.same({ "y", "z" }, ran)
        assert.are.equal(0, play.finish())
    end)

    it("give a host no more time than they say", function()
        configure {}
        local r = play.play { hosts = { "a", "b" }, timeout = "10ms", run = function(h)
            if h.name == "a" then orrery.sleep(60) end
        end }
        assert.are.same({ "timeout", nil }, { r.failed.a.code, r.failed.b })
        assert.matches("'timeout' must be seconds", failure(play.play, {
            hosts = { "a" }, run = function() end, timeout = "soon" }).message)
    end)

    it("of the same name are not taken for one another", function()
        configure {}
        local ran = {}
        for i = 1, 2 do
            play.play { name = "same", hosts = { "a", "b" }, run = function(h)
                h:task("t", { run_once = true }, function() ran[#ran + 1] = i end)
            end }
        end
        assert.are.same({ 1, 2 }, ran)
        assert.are.same({ "same #2" }, said("play_start", "key"))
    end)

    it("refuse what they do not know, and what is wrong", function()
        configure {}
        local function run() end
        assert.matches("unknown option 'host'; did you mean 'hosts'",
            failure(play.play, { host = "a", run = run }).message)
        assert.matches("option 'hosts' is missing", failure(play.play, { run = run }).message)
        assert.matches("'serial'", failure(play.play, { hosts = { "a" }, run = run, serial = "x" }).message)
        assert.matches("'max_failures'", failure(play.play, { hosts = { "a" }, run = run, max_failures = -1 }).message)
    end)

    it("are listed without being run", function()
        configure { list = "tasks", tags = { "web" } }
        local out, listing = {}, require "orrery.play.listing"
        listing.write = function(text) out[#out + 1] = text end
        local ok, err = pcall(play.play, {
            name = "p", hosts = { "a", "b" }, tags = "web", handlers = { restart = function() end },
            run = function(h)
                local r = h:file { path = "/x" }
                h:task("t", { tags = "db" }, function() h:line { name = "say " .. r.size .. h.facts.os.family } end)
                h:apply { { "user", name = "app" } }
                if r.size > 3 then h:never {} end
            end,
        })
        listing.write = nil
        assert.is_true(ok, tostring(err))
        local text = table.concat(out)
        assert.matches("^play 1: p %(2 hosts%)  %[web%]\n    file /x  %[web%]\n    t  %[db, web%]\n"
            .. "      say %?%? %(line%)  %[db, web%]\n    user app  %[web%]\n"
            .. "    %(what follows depends on what the steps return: [^\n]+%)\n    handler: restart\n$", text)
        assert.are.same({}, opened)
    end)
end)
