require "orrery"
local cli = require "orrery.cli.play"
local leak = require "spec.support.leak"
local sched = require "orrery.sched"

leak.guard()

local function usage(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.are.equal("usage", err.code)
    return err.message
end

describe("the command line of orrery play", function()
    it("has variables that are text, and such that are JSON", function()
        assert.are.same({ a = "1", b = "", c = "x=y", n = 1, l = { 1, 2 }, t = true },
            cli.vars { "a=1", "b=", "c=x=y", "n:=1", "l:=[1,2]", "t:=true" })
        assert.matches("must be NAME=VALUE or NAME:=JSON, not '1=2'", usage(cli.vars, { "1=2" }))
        assert.matches("%-%-var n:1:2: ", usage(cli.vars, { "n:={" }))
    end)

    it("becomes settings", function()
        local s = cli.settings({
            inventory = { "a.ini" }, tags = { "a,b", "c" }, ["skip-tags"] = { "d" }, forks = 3, check = true,
            user = "deploy", ["ssh-config"] = "cfg", limit = "@web",
        }, "site.lua")
        assert.are.same({
            playbook = "site.lua", inventory = { "a.ini" }, tags = { "a", "b", "c" }, skip_tags = { "d" }, forks = 3,
            check = true, vars = {}, limit = "@web", ssh = { user = "deploy", config = "cfg" },
        }, s)
        assert.is_nil(cli.settings({}, "x").ssh)
        assert.is_false(cli.settings({ ["no-record"] = true }, "x").record)
    end)

    it("is said again where there is something to go on with", function()
        local called = "site.lua --inventory a.ini --inventory 'b c' --user deploy --no-cache --tags db "
            .. "--var password=... --var n:=... -- ..."
        assert.are.equal(called, cli.called({
            inventory = { "a.ini", "b c" }, user = "deploy", ["no-cache"] = true, check = true, tags = { "db" },
            var = { "password=x=y", "n:=1" },
        }, "site.lua", { "secret" }))
    end)

    it("refuses what excludes each other", function()
        assert.matches("'%-%-failed' and '%-%-start%-at' exclude", usage(cli.settings,
            { failed = true, ["start-at"] = "x" }, "p"))
        assert.matches("goes with '%-%-failed'", usage(cli.settings, { ["from-start"] = true }, "p"))
        assert.matches("'%-%-list%-hosts' and '%-%-list%-tasks'", usage(cli.settings,
            { ["list-hosts"] = true, ["list-tasks"] = true }, "p"))
    end)
end)

describe("--step", function()
    it("asks for one step at a time, until it is told to go on", function()
        local answers, asked, open = { "", "n", "what?", "y", "c" }, {}, 0
        local confirm = cli.confirmer(function(text)
            open = open + 1
            assert.are.equal(1, open)
            asked[#asked + 1] = text:match "^[^?]*"
            sched.sleep(0)
            open = open - 1
            return table.remove(answers, 1)
        end)
        local tasks, got = {}, {}
        for i, name in ipairs { "a", "b", "c", "d", "e" } do
            tasks[i] = sched.spawn(function() got[i] = confirm { id = tostring(i), name = name, host = "h1" } end)
        end
        for _, task in ipairs(tasks) do task:get() end
        assert.are.same({ true, false, true, true, true }, got)
        assert.are.same({ "h1: 1 a", "h1: 2 b", "h1: 3 c", "h1: 3 c", "h1: 4 d" }, asked)
    end)
end)
