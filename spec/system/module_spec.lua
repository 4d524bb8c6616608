local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard()

describe("require in a child", function()
    local dir, path, requests
    local searchpath = package.searchpath

    local function module(name, text)
        remote.write(("%s/%s.lua"):format(dir, name), text)
    end

    -- The controller looks for a file each time that it is asked for a module.
    local function count_requests(name, ...)
        requests[name] = (requests[name] or 0) + 1
        return searchpath(name, ...)
    end

    setup(function()
        dir, path = remote.directory(), package.path
        package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(dir, dir, path)
        module("spec_plain", "local M = { loads = (...) } function M.twice(n) return 2 * n end return M")
        module("spec_outer", "local M = { inner = require 'spec_inner' } return M")
        module("spec_inner", "_G.inner_loads = (_G.inner_loads or 0) + 1 return { leaf = require 'spec_leaf' }")
        module("spec_leaf", "return { value = 'leaf' }")
        module("spec_syntax", "local x = = 1")
        module("spec_raises", "local t\nreturn t.field")
        module("spec_state", "local M = { n = 0 } function M.next() M.n = M.n + 1 return M.n end return M")
        module("spec_loop_a", "return { b = require 'spec_loop_b' }")
        module("spec_loop_b", "return { a = require 'spec_loop_a' }")
        module("spec_slow", "_G.slow = (_G.slow or 0) + 1 require('orrery').sleep(0.02) return { n = _G.slow }")
        module("spec_false", "return false")
        module("spec_nothing", "_G.nothing_ran = (_G.nothing_ran or 0) + 1")
        assert(require("lfs").mkdir(dir .. "/spec_pkg"))
        module("spec_pkg/init", "return { sub = require 'spec_pkg.sub' }")
        module("spec_pkg/sub", "return 'sub of ' .. (...)")
    end)
    teardown(function()
        package.path = path
        remote.remove(dir)
    end)
    before_each(function()
        requests = {}
        rawset(package, "searchpath", count_requests)
    end)
    after_each(function() rawset(package, "searchpath", searchpath) end)

    remote.each(function(target)
        local ctx
        before_each(function() ctx = remote.open(target.name) end)
        after_each(function() ctx:close() end)

        it("finds the controller's modules, and asks for each once", function()
            for _ = 1, 3 do
                assert.are.equal(8, ctx:call(function() return require("spec_plain").twice(4) end))
            end
            assert.are.equal("spec_plain", ctx:call(function() return require("spec_plain").loads end))
            assert.are.equal(6, ctx:call("spec_plain.twice", 3))
            assert.are.equal(1, requests.spec_plain)
        end)

        it("loads what a module requires", function()
            assert.are.equal("leaf", ctx:call(function()
                return require("spec_outer").inner.leaf.value
            end))
            assert.are.same({ spec_outer = 1, spec_inner = 1, spec_leaf = 1 }, requests)
            assert.are.equal("sub of spec_pkg.sub", ctx:call(function() return require("spec_pkg").sub end))
        end)

        it("serves a function that has a module as upvalue", function()
            local state = require "spec_state"
            assert.are.equal(1, ctx:call(function() return state.next() end))
            assert.are.equal(2, ctx:call(function() return state.next() end))
            assert.are.equal(3, ctx:call(state.next))
            assert.are.equal(0, state.n)
            package.loaded.spec_state = nil
        end)

        it("names the file in errors and tracebacks", function()
            local err = remote.failure(ctx.call, ctx, function() require "spec_raises" end)
            assert.matches("spec_raises%.lua:2: attempt to index", err.message)
            assert.matches("spec_raises%.lua:2: in main chunk", err.traceback)
        end)

        it("says what is wrong with a module that does not compile", function()
            for _ = 1, 2 do
                local err = remote.failure(ctx.call, ctx, function() require "spec_syntax" end)
                assert.are.equal("module", err.code)
                assert.matches("spec_syntax%.lua:1: unexpected symbol near '='", err.message)
            end
        end)

        it("says where a missing module was looked for", function()
            local err = remote.failure(ctx.call, ctx, function() require "spec.not.there" end)
            assert.matches("module 'spec%.not%.there' not found", err.message)
            assert.matches("the controller has no module", err.message)
            assert.is_truthy(err.message:find(dir .. "/spec/not/there.lua", 1, true), err.message)
        end)

        it("finds a module that was missing before", function()
            local name = "spec_later_" .. target.name
            assert.is_false(ctx:call(function(m) return (pcall(require, m)) end, name))
            module(name, "return 5")
            assert.are.equal(5, ctx:call(function(m) return require(m) end, name))
        end)

        it("takes no paths for names", function()
            for _, name in ipairs { "../etc/passwd", "/etc/passwd", "..", "a..b", "", "a\0b" } do
                local err = remote.failure(ctx.call, ctx, function(m) require(m) end, name)
                assert.matches("not a module name", err.message)
            end
        end)

        it("asks once for what two calls need at the same time, and loads it once", function()
            local function needs() return require("spec_outer").inner.leaf.value, _G.inner_loads end
            local calls = {}
            for i = 1, 10 do calls[i] = ctx:call_async(needs) end
            for i = 1, 10 do assert.are.same({ "leaf", 1 }, { calls[i]:get(10) }) end
            assert.are.same({ spec_outer = 1, spec_inner = 1, spec_leaf = 1 }, requests)
        end)

        it("waits for a module that another call is loading", function()
            local function needs() return require("spec_slow").n end
            local calls = {}
            for i = 1, 5 do calls[i] = ctx:call_async(needs) end
            for i = 1, 5 do assert.are.equal(1, calls[i]:get(10)) end
        end)

        it("does not load again what has failed for one of two", function()
            local function needs() require "spec_raises" end
            local one, two = ctx:call_async(needs), ctx:call_async(needs)
            assert.matches("attempt to index", remote.failure(one.get, one, 10).message)
            assert.matches("attempt to index", remote.failure(two.get, two, 10).message)
        end)

        it("ends with an error for modules that require each other", function()
            local err = remote.failure(ctx.call, ctx, function() require "spec_loop_a" end)
            assert.matches("loop", err.message)
            local one = ctx:call_async(function() require "spec_loop_a" end)
            local two = ctx:call_async(function() require "spec_loop_b" end)
            assert.matches("loop", remote.failure(one.get, one, 10).message)
            assert.matches("loop", remote.failure(two.get, two, 10).message)
        end)

        it("leaves a cancelled load to be begun again", function()
            local r = orrery.receiver()
            local call = ctx:call_async(function(to)
                package.preload.spec_hangs = function()
                    to:send "loading"
                    require("orrery").sleep(1000)
                end
                require "spec_hangs"
            end, r:sender())
            assert.are.equal("loading", r:get(10))
            call:cancel()
            assert.are.equal(9, ctx:call(function()
                package.preload.spec_hangs = function() return 9 end
                return require "spec_hangs"
            end))
            r:close()
        end)

        it("keeps to what require does with results", function()
            assert.is_false(ctx:call(function() return require "spec_false" end))
            assert.is_true(ctx:call(function() return require "spec_nothing" end))
            assert.is_true(ctx:call(function() return require "spec_nothing" end))
            assert.are.equal(1, ctx:call(function() return _G.nothing_ran end))
            assert.is_true(ctx:call(function() return require "string" == string end))
            local err = remote.failure(ctx.call, ctx, function() require(nil) end)
            assert.matches("bad argument #1 to 'require'", err.message)
        end)
    end)

    it("finds modules next to a playbook", function()
        remote.write(dir .. "/play.lua", [[
            local orrery = require "orrery"
            local ctx = orrery.localhost()
            local leaf = require "spec_leaf"
            print(ctx:call(function() return leaf.value .. require("spec_plain").twice(2) end))
            ctx:close()
        ]])
        local program = remote.program([[require("orrery.script").run(arg[1], {})]], nil, dir .. "/play.lua")
        assert.are.equal("leaf4\n", program:rest())
        assert.are.equal("", program:stderr())
        program:finish()
    end)
end)
