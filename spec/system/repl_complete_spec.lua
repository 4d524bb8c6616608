--- Completion of what is on the other side.

local orrery = require "orrery"
local complete = require "orrery.repl.complete"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { timeout = 10, allow = { "thread %d+ 'orrery%-file'" } }

describe("completion in another context", function()
    local ctx, env

    setup(function()
        ctx = orrery.localhost()
        env = {
            id = "s",
            call = function(name, ...) return ctx:call_async(name, ...):take(5) end,
        }
    end)
    teardown(function() ctx:close() end)

    local function texts(line)
        local _, list = complete.at(line, #line, env)
        local found = {}
        for i, each in ipairs(list) do found[i] = each.text end
        return found
    end

    it("knows its globals and their fields", function()
        ctx:call(function() rawset(_G, "only_there", { field = 1, method = function() end }) end)
        assert.are.same({ "only_there" }, texts "only_th")
        assert.are.same({ "field", "method(" }, texts "only_there.")
        assert.are.same({ "method(" }, texts "only_there:")
    end)

    it("knows the session's locals there", function()
        ctx:call(function()
            package.loaded["orrery.repl.session"] = {
                locals = function(id) return id == "s" and { "kept" } or {} end,
                lookup = function(id, name) return id == "s" and name == "kept", { inside = 1 } end,
            }
        end)
        assert.are.same({ "kept" }, texts "kep")
        assert.are.same({ "inside" }, texts "kept.")
    end)

    it("knows its files and programs", function()
        local dir = remote.directory()
        finally(function() remote.remove(dir) end)
        remote.write(dir .. "/a file", "")
        assert.are.same({ 'a file"' }, texts('io.open("' .. dir .. "/"))
        assert.are.same({ "a\\ file" }, texts("!cat " .. dir .. "/"))
        assert.are.same({ "true", "truncate" }, texts "!tru")
        assert.are.same({ "self/" }, texts "!ls /proc/sel")
    end)

    it("knows modules that are there, and those that can be had from here", function()
        ctx:call(function() package.loaded["zz_only_there"] = {} end)
        assert.are.same({ 'zz_only_there"' }, texts 'require "zz_only_')
        assert.are.same({ "spec.support." }, texts 'require "spec.supp')
        assert.are.same({ 'orrery.play.resources.file"', 'orrery.play.resources.find"' },
            texts 'require "orrery.play.resources.fi')
    end)

    it("knows the options of what is built in there, and of what was sent there", function()
        ctx:call(function()
            rawset(_G, "orrery", require "orrery")
            rawset(_G, "h", require("orrery.play.host").new(require("orrery").Context))
        end)
        assert.are.same({ "user = " }, texts "orrery.ssh { us")
        assert.are.same({ "on_disconnect = ", "on_stderr = ", "on_stdout = " }, texts 'orrery.Context:run({}, { on_')
        assert.are.same({ "user = " }, texts "orrery.sudo { us")
        assert.are.same({ "path = " }, texts "h:file { pa")
    end)

    it("has no candidates when the context is lost", function()
        local other = orrery.localhost()
        other:close()
        local _, list = complete.at("str", 3, { call = function(...) return other:call(...) end })
        assert.are.same({}, list)
    end)
end)
