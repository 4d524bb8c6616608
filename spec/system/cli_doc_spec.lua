local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local support = require "spec.support.play"

leak.guard()

local command = os.getenv "ORRERY_BUILD" .. "/orrery"

describe("orrery doc", function()
    local function doc(...) return lab.run { command, "doc", ... } end

    it("lists resources, and says all of one", function()
        local status, list = doc()
        assert.are.equal(0, status)
        assert.matches("\n  file +A path is a file", list)
        local _, file = doc("file", "stat")
        assert.matches("^file: A path is a file", file)
        assert.matches("\n  path: absolute path, required\n", file)
        assert.matches("\nstat: What is at a path", file)
        assert.matches("\n  until_: function\n", (select(2, doc "--modifiers")))
        assert.matches("^%-%-%-@meta\n", (select(2, doc "--types")))
        assert.matches("\n| `file` | A path", (select(2, doc "--markdown")))
    end)

    it("guesses what was meant", function()
        local status, _, err = doc "fiel"
        assert.are.equal(64, status)
        assert.are.equal(
            "orrery doc: there is no resource 'fiel' (did you mean 'file'?); see 'orrery doc --help'\n", err)
    end)

    describe("of one's own", function()
        local dir, path
        setup(function()
            path, dir = package.path, remote.directory()
            package.path = dir .. "/?.lua;" .. path
            local page = remote.slurp "docs/resources.md"
            remote.write(dir .. "/motd.lua", page:match "```lua\n(%-%- motd%.lua\n.-)```")
        end)
        teardown(function()
            package.path, package.loaded.motd = path, nil
            remote.remove(dir)
        end)

        it("reads the file that defines it", function()
            local status, text = doc(dir .. "/motd.lua")
            assert.are.equal(0, status)
            assert.matches("^motd: What is said to those who log in%.", text)
            assert.matches('\n  path: absolute path, default "/etc/motd"\n', text)
        end)

        it("works as docs/resources.md says", function()
            local ctx = orrery.localhost()
            require "motd"
            local target = { ctx = ctx, dir = dir, seen = dir, h = support.host(ctx) }
            support.converges(target, function(h) return h:motd { text = "hello", path = dir .. "/motd" } end)
            assert.are.equal("hello\n", remote.slurp(dir .. "/motd"))
            ctx:close()
        end)
    end)
end)
