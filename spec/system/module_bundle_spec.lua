-- Modules that come along with one that is asked for.
local leak = require "spec.support.leak"
local modules = require "orrery.modules"
local orrery = require "orrery"
local remote = require "spec.support.remote"

leak.guard()

describe("modules", function()
    local path, dir
    local function module(name, text) remote.write(("%s/%s.lua"):format(dir, name), text) end

    setup(function()
        path, dir = package.path, remote.directory()
        package.path = dir .. "/?.lua;" .. path
        module("bundle_top", "return { a = require 'bundle_a', b = require('bundle_b') }")
        module("bundle_a", "return { c = require \"bundle_c\" }")
        module("bundle_b", "local name = 'bundle_' .. 'd' return { c = require('bundle_c'), d = require(name) }")
        module("bundle_c", "local bit, missing = require 'bit', pcall(require, 'bundle_missing') return 'c'")
        module("bundle_d", "return 'd'")
    end)
    teardown(function()
        package.path = path
        remote.remove(dir)
    end)

    remote.each(function(target)
        local ctx
        before_each(function() ctx = remote.open(target.name) end)
        after_each(function() ctx:close() end)

        local function messages(fn)
            local before = orrery.stats()
            fn()
            return orrery.stats(before).messages_sent
        end

        it("come in one answer with those that they require by name", function()
            local value
            local sent = messages(function()
                value = ctx:call(function()
                    local top = require "bundle_top"
                    return { top.a.c, top.b.c, top.b.d }
                end)
            end)
            assert.are.same({ "c", "c", "d" }, value)
            -- The call; bundle_top with a, b, c; bundle_missing; bundle_d, whose name is made up.
            assert.are.equal(4, sent)
        end)

        it("come along with a call, and are not sent again", function()
            local bundle = modules.bundle(ctx.id, { "bundle_top" })
            assert.is_string(bundle)
            assert.is_nil(modules.bundle(ctx.id, { "bundle_top", "bundle_c" }))
            local sent = messages(function()
                ctx:call(function(b)
                    require("orrery.modules").add(b)
                    return require("bundle_a").c
                end, bundle)
            end)
            assert.are.equal(2, sent) -- bundle_missing is asked for
        end)

        it("are found where they are built into the command only", function()
            assert.are.equal("function", ctx:call(function()
                return type(require("orrery.play.schema").check)
            end))
            assert.is_false(ctx:call(function() return package.preload["orrery.play.schema"] ~= nil end))
            local err = remote.failure(ctx.call, ctx, function()
                require("orrery.play.schema").check("thing", 5, {})
            end)
            assert.matches("orrery/play/schema%.lua", err.traceback)
        end)

        it("come through a context in between", function()
            local inner = ctx:localhost { name = "inner" }
            assert.are.same({ "c", "d" }, inner:call(function()
                local top = require "bundle_top"
                return { top.a.c, top.b.d }
            end))
            inner:close()
        end)
    end)
end)
