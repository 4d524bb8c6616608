local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

--- Calls a function of a service from a context.
local function from(ctx, service, fn, ...)
    return ctx:call(function(name, key, ...)
        return require("orrery").service(name)[key](...)
    end, service, fn, ...)
end

describe("a service", function()
    remote.each(function(target)
        it("runs functions for children, here", function()
            local kept, callers = {}, {}
            local store = orrery.service("store", {
                put = function(caller, key, value)
                    callers[#callers + 1] = caller
                    kept[key] = value
                end,
                get = function(_, key) return kept[key], nil, "more" end,
            })
            from(target.ctx, "store", "put", "x", { 1, 2, { y = true } })
            assert.are.same({ x = { 1, 2, { y = true } } }, kept)
            assert.are.equal(1, #callers)
            assert.are.equal(target.ctx.id, callers[1].id)
            assert.are.equal(target.ctx.name, callers[1].name)
            assert.are.same({ { 1, 2, { y = true } }, nil, "more" }, { from(target.ctx, "store", "get", "x") })
            store:close()
        end)

        it("can call back who called", function()
            local service = orrery.service("back", {
                ask = function(caller, n) return caller:call(function(k) return k + 1 end, n) end,
            })
            assert.are.equal(8, from(target.ctx, "back", "ask", 7))
            service:close()
        end)

        it("gives errors whole", function()
            local service = orrery.service("faulty", {
                fail = function() error "no luck" end,
                refuse = function() error(require("orrery.error").new { code = "file", message = "full" }, 0) end,
                odd = function() return function() end end,
            })
            local err = remote.failure(from, target.ctx, "faulty", "fail")
            assert.are.equal("lua", err.code)
            assert.matches("service_spec%.lua:%d+: no luck", err.message)
            assert.matches("service_spec", err.traceback)
            local code, message, context = target.ctx:call(function()
                local _, err_there = pcall(require("orrery").service("faulty").refuse)
                return err_there.code, err_there.message, err_there.context
            end)
            assert.are.same({ "file", "full", "controller" }, { code, message, context })
            assert.are.equal("encode", remote.failure(from, target.ctx, "faulty", "odd").code)
            service:close()
        end)
    end)

    local ctx, other

    setup(function()
        ctx, other = orrery.localhost { name = "web1" }, orrery.localhost { name = "web2" }
    end)

    teardown(function()
        ctx:close()
        other:close()
    end)

    it("that nobody has is an error, and so is a function that it has not", function()
        local err = remote.failure(from, ctx, "nothing", "f")
        assert.are.equal("no_service", err.code)
        assert.are.equal("no service 'nothing': none of the contexts above this one has it", err.message)
        local service = orrery.service("some", { f = function() end })
        err = remote.failure(from, ctx, "some", "g")
        assert.are.equal("no_function", err.code)
        assert.are.equal("service 'some' has no function 'g'", err.message)
        assert.are.equal("no_service", remote.failure(from, ctx, "nothing", "f").code)
        service:close()
        assert.are.equal("no_service", remote.failure(orrery.service("some").f).code)
    end)

    it("can be removed, and come again", function()
        local service = orrery.service("brief", { f = function() return 1 end })
        assert.are.equal(1, from(ctx, "brief", "f"))
        service:close()
        service:close()
        assert.are.equal("no_service", remote.failure(from, ctx, "brief", "f").code)
        service = orrery.service("brief", { f = function() return 2 end })
        assert.are.equal(2, from(ctx, "brief", "f"))
        service:close()
    end)

    it("lets calls that run go on when it is removed", function()
        local begun, go = orrery.receiver(), orrery.receiver()
        local service = orrery.service("slow", {
            f = function()
                begun:sender():send(true)
                return go:get(10)
            end,
        })
        local call = ctx:call_async(function() return require("orrery").service("slow").f() end)
        begun:get(10)
        service:close()
        go:sender():send "done"
        assert.are.equal("done", call:get(10))
        begun:close()
        go:close()
    end)

    it("is for whom its policy says", function()
        local asked = {}
        local services = {
            orrery.service("listed", { f = function() return "yes" end }, { allow = { ctx } }),
            orrery.service("asked", { f = function() return "yes" end, g = function() end }, {
                allow = function(caller, name)
                    asked[#asked + 1] = caller.name .. "." .. name
                    return caller == ctx and name == "f"
                end,
            }),
        }
        for _, name in ipairs { "listed", "asked" } do
            assert.are.equal("yes", from(ctx, name, "f"))
            local err = remote.failure(from, other, name, "f")
            assert.are.equal("denied", err.code)
            assert.are.equal(("service '%s': web2 may not call 'f'"):format(name), err.message)
        end
        assert.are.equal("denied", remote.failure(from, ctx, "asked", "g").code)
        assert.are.same({ "web1.f", "web2.f", "web1.g" }, asked)
        for _, service in ipairs(services) do service:close() end
    end)

    it("knows who calls by the way the message came", function()
        local service = orrery.service("who", { am_i = function(caller) return caller.name end })
        -- A child that says it is another one: the message is dropped, and its call has no answer.
        local claimed = ctx:call(function(name)
            local core, codec = require "orrery.core", require "orrery.codec"
            local parent = require("orrery").context(core.parent())
            local future = require("orrery.context").ask(parent, core.handle.SERVICE, "who", "am_i", name)
            return future:get(10), codec ~= nil
        end, "web2")
        assert.are.equal("web1", claimed)
        service:close()
    end)

    it("refuses a flood", function()
        local go = orrery.receiver()
        local service = orrery.service("narrow", { f = function() return go:get(20) end }, { limit = 3 })
        local refused = ctx:call(function(n)
            local inner = require "orrery"
            local codes = {}
            local tasks = {}
            for i = 1, n do
                tasks[i] = inner.spawn(function()
                    local ok, err = pcall(inner.service("narrow").f)
                    if not ok then codes[err.code] = (codes[err.code] or 0) + 1 end
                    return true
                end)
            end
            for i = 4, n do tasks[i]:get(10) end
            _G.left = { tasks[1], tasks[2], tasks[3] }
            return codes
        end, 200)
        assert.are.same({ limit = 197 }, refused)
        -- Others are not concerned.
        local call = other:call_async(function() return require("orrery").service("narrow").f() end)
        for i = 1, 4 do go:sender():send(i) end
        assert.is_number(call:get(10))
        ctx:call(function() for _, task in ipairs(_G.left) do task:get(10) end end)
        service:close()
        go:close()
    end)

    it("ends what a context asked for that is lost, or does not wait any more", function()
        local begun, ended = orrery.receiver(), orrery.receiver()
        local service = orrery.service("patient", {
            wait = function(caller)
                begun:sender():send(caller.id)
                local ok, err = pcall(orrery.sleep, 1000)
                ended:sender():send(caller.name, ok, err.code)
                error(err, 0)
            end,
        })
        local mortal = orrery.localhost { name = "mortal" }
        mortal:cast(function() require("orrery").service("patient").wait() end)
        assert.are.equal(mortal.id, begun:get(10))
        remote.kill(mortal:info().pid)
        assert.are.same({ "mortal", false, "dead" }, { ended:get(10) })
        ctx:cast(function()
            local inner = require "orrery"
            pcall(inner.timeout, 0.05, inner.service("patient").wait)
        end)
        assert.are.equal(ctx.id, begun:get(10))
        assert.are.same({ "web1", false, "cancelled" }, { ended:get(10) })
        service:close()
        begun:close()
        ended:close()
    end)

    it("is all of the parent that a child can reach by it", function()
        local service = orrery.service("small", { f = function() return "f" end })
        for _, name in ipairs { "__index", "close", "functions", "os.execute" } do
            assert.are.equal("no_function", remote.failure(from, ctx, "small", name).code)
        end
        -- What is no request is refused.
        local codes = ctx:call(function()
            local core = require "orrery.core"
            local parent = require("orrery").context(core.parent())
            local seen = {}
            local ask = require("orrery.context").ask
            for _, values in ipairs { {}, { 1 }, { "small" }, { "small", {} }, { {}, "f" } } do
                local ok, err = pcall(function()
                    return ask(parent, core.handle.SERVICE, values[1], values[2]):get(10)
                end)
                seen[#seen + 1] = not ok and err.code
            end
            return seen
        end)
        assert.are.same({ "decode", "decode", "decode", "decode", "decode" }, codes)
        -- No function travels upwards.
        assert.are.equal("encode", remote.failure(ctx.call, ctx, function()
            require("orrery").service("small").f(function() end)
        end).code)
        service:close()
    end)

    it("is that of the nearest context above that has it", function()
        local inner = ctx:localhost { name = "inner" }
        local service = orrery.service("near", {
            f = function(caller) return "controller", caller.name, caller.route end,
        })
        local function ask() return inner:call(function() return require("orrery").service("near").f() end) end
        assert.are.same({ "controller", "inner", "local:web1/local:inner" }, { ask() })
        ctx:call(function()
            _G.near = require("orrery").service("near", { f = function(caller) return "web1", caller.name end })
        end)
        assert.are.same({ "web1", "inner" }, { ask() })
        assert.are.equal("controller", (from(ctx, "near", "f")))
        ctx:call(function() _G.near:close() end)
        assert.are.equal("controller", (ask()))
        service:close()
        assert.are.equal("no_service", remote.failure(ask).code)
        inner:close()
    end)

    it("must have functions, and a name of its own", function()
        local service = orrery.service("taken", {})
        for _, case in ipairs {
            { "argument", "there is a service 'taken' already", "taken", {} },
            { "argument", "'f' is a number", "x", { f = 1 } },
            { "argument", "service%(name", 1, {} },
            { "option", "must be 'children'", "x", {}, { allow = "all" } },
            { "option", "did you mean 'allow'", "x", {}, { alow = "children" } },
            { "option", "at least 1", "x", {}, { limit = 0 } },
        } do
            local err = remote.failure(function() orrery.service(case[3], case[4], case[5]) end)
            assert.are.equal(case[1], err.code)
            assert.matches(case[2], err.message)
            assert.matches("service_spec", err.at)
        end
        service:close()
    end)

    it("is called from threads, and offered by one of them", function()
        local service = orrery.service("shared", { f = function(caller, n) return caller.name, n end })
        local name, n = ctx:call(function()
            return require("orrery").thread(function() return require("orrery").service("shared").f(5) end):get(10)
        end)
        assert.are.same({ "web1", 5 }, { name, n })
        local thread = orrery.thread(function() require("orrery").service("mine", {}) end)
        local err = remote.failure(thread.get, thread, 10)
        assert.are.equal("denied", err.code)
        assert.matches("another thread of this process has services", err.message)
        service:close()
    end)
end)
