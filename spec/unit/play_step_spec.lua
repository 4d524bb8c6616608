local events = require "orrery.play.events"
local files = require "orrery.play.files"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local resource = require "orrery.play.resource"
local sources = require "orrery.play.sources"
local steps = require "orrery.play.step"
local sys = require "orrery.sys"

leak.guard()

describe("steps", function()
    local function make(name, ...) return steps.make(resource.find(name), steps.given(...), "x.lua:1") end

    it("take what stands without a name", function()
        assert.are.same({ "tar", "xzf", "5" }, make("command", { "tar", "xzf", 5 }).options.argv)
        assert.are.same({ "a", "b" }, make("command", { argv = { "a", "b" } }).options.argv)
        local shell = make("shell", "echo $1", "a", 3, { creates = "/x" }).options
        assert.are.same({ "echo $1", { "a", "3" }, "/x" }, { shell.cmd, shell.args, shell.creates })
        assert.are.equal("/etc", make("stat", "/etc").options.path)
        assert.are.equal("/etc", make("stat", { "/etc", follow = true }).options.path)
        local function wrong(...) return remote.failure(make, ...).message end
        assert.matches("options have names, but there is one at %[2%]", wrong("stat", "/a", "/b"))
        assert.matches("options have names, but there is one at %[1%]", wrong("file", "/a"))
    end)

    it("are entries of lists", function()
        local name, given = steps.entry({ "command", "tar", "x", creates = "/y" }, "x.lua:1")
        assert.are.same({ "command", { "tar", "x", creates = "/y" } }, { name, given })
        assert.matches("there is no resource '5'", remote.failure(steps.entry, { 5 }, "x.lua:1").message)
    end)

    it("are called as they are told, or by what they are about", function()
        assert.are.equal("stat /etc", make("stat", "/etc").title)
        assert.are.equal("look", make("stat", { "/etc", name = "look" }).title)
        assert.are.equal("command tar xzf x", make("command", { "tar", "xzf", "x" }).title)
        assert.are.equal("shell", make("shell", { "echo secret", no_log = true }).title)
    end)

    it("divide options from what every resource takes", function()
        local step = make("command", {
            "x", when = false, env = { A = "b" }, timeout = "1m", tags = "t", notify = "n",
        })
        assert.are.equal(60, step.options.timeout)
        assert.are.same({ when = false, env = { A = "b" }, tags = { "t" }, notify = { "n" } }, step.modifiers)
        assert.are.equal(60, make("stat", { "/", timeout = "1m" }).modifiers.timeout)
        local err = remote.failure(make, "stat", { "/", retries = "x" })
        assert.are.equal('stat: option \'retries\' must be a whole number, not "x"', err.message)
        assert.are.equal("x.lua:1", err.at)
    end)
end)

describe("events of a target", function()
    it("are kept for the answer where nothing takes them", function()
        local e = events.new(nil, { host = "web1" })
        e:emit { event = "step_start", step = "1" }
        e:line("1", "stdout", "text")
        local kept = e:stop()
        assert.are.same({ "step_start", "step_line" }, { kept[1].event, kept[2].event })
        assert.are.same({ "web1", "web1", "text" }, { kept[1].host, kept[2].host, kept[2].line })
        assert.is_number(kept[1].time)
        assert.are.same({}, e:stop())
    end)

    it("are sent together, and the rest goes with the answer", function()
        local sent = {}
        local sender = { send = function(_, list) sent[#sent + 1] = list end }
        local e = events.new(sender)
        e:emit { event = "a" }
        e:emit { event = "b" }
        e:flush()
        e:flush()
        e:emit { event = "c" }
        assert.are.equal(1, #sent)
        assert.are.same({ "a", "b" }, { sent[1][1].event, sent[1][2].event })
        assert.are.equal("c", e:stop()[1].event)
    end)

    it("say how many lines were too many, and cut long ones", function()
        local e = events.new()
        e:line("1", "stdout", ("x"):rep(10000))
        for i = 1, 600 do e:line("1", "stdout", tostring(i)) end
        local kept = e:stop()
        assert.are.equal(500, #kept)
        assert.is_true(#kept[1].line < 5000)
        assert.are.equal("499\n(101 lines were dropped here: they came faster than they were taken)", kept[500].line)
        e:line("1", "stdout", "again")
        assert.are.equal("again", e:stop()[1].line)
    end)
end)

describe("files of the controller", function()
    local dir
    before_each(function()
        dir = remote.directory()
        sources.base = dir
    end)
    after_each(function()
        sources.base = nil
        remote.remove(dir)
    end)

    it("are beside the script, unless their names say otherwise", function()
        assert.are.equal(dir .. "/a/b", sources.path "a/b")
        assert.are.equal("/a/b", sources.path "/a/b")
        assert.are.equal(os.getenv "HOME" .. "/b", sources.path "~/b")
    end)

    it("go along where they are small, and else say what they are", function()
        remote.write(dir .. "/small", "abc")
        remote.write(dir .. "/large", ("x"):rep(files.SMALL + 1))
        local gathered = sources.gather()
        sources.add(gathered, "small")
        assert.is_true(gathered.complete)
        assert.are.same({ "abc", 3 }, { gathered.files.small.content, gathered.files.small.size })
        sources.add(gathered, "large")
        assert.is_false(gathered.complete)
        assert.is_nil(gathered.files.large.content)
        assert.are.equal(sys.hash(dir .. "/large", "blake2b"), gathered.files.large.hash)
        assert.matches("cannot read the controller's file .*/none: No such file", sources.describe("none", 0).missing)
        assert.matches("is a directory, and not a file", sources.describe("/", 0).missing)
    end)

    it("are as many in one message as there is room", function()
        local gathered = sources.gather()
        for i = 1, 6 do
            remote.write(dir .. "/" .. i, ("x"):rep(200 * 1024))
            sources.add(gathered, tostring(i))
        end
        assert.is_string(gathered.files["5"].content)
        assert.is_nil(gathered.files["6"].content)
    end)

    it("are those that a function names: in its text, in its tables, in what it captures", function()
        local captured, inner = { deep = { "captured.conf" } }, function() return "inner.conf" end
        local function fn()
            local t = { src = "table.conf", list = { "list.conf" } }
            return t, captured, inner, function() return "made.conf" end, "di" .. "rect.conf"
        end
        local found = sources.literals(fn).all
        for _, name in ipairs { "table.conf", "list.conf", "captured.conf", "inner.conf", "made.conf" } do
            assert.is_true(found[name], name)
        end
        assert.is_nil(found["other.conf"])
        local h = {}
        local words = sources.literals(function()
            h:file { path = "/x", group = "user", state = { "link" } }
            h:apply { { "copy", service = "cron" } }
            return h.facts.os
        end).words
        for _, name in ipairs { "file", "copy", "facts", "os" } do assert.is_true(words[name], name) end
        for _, name in ipairs { "group", "user", "service", "cron" } do assert.is_nil(words[name], name) end
    end)

    it("are, on the target, what came along", function()
        local there = files.new { f = { content = "abc", size = 3, mode = 0x1a4 } }
        local source = there:source "f"
        assert.are.same({ 3, sys.digest("abc", "blake2b") }, { source.size, source.hash })
        assert.are.equal("abc", there:content "f")
        assert.is_false(source:same_as(dir .. "/f"))
        source:save(dir .. "/f", { mode = 0x180 })
        assert.is_true(source:same_as(dir .. "/f"))
        assert.are.equal(0x180, sys.stat(dir .. "/f").mode)
        assert.are.equal("given", there:content { content = "given" })
        assert.matches("the controller did not send the file g", remote.failure(there.source, there, "g").message)
    end)
end)
