local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

-- A call that has begun there and sleeps. `begun` is told so by the function itself.
local function sleeper(ctx)
    local r = orrery.receiver()
    local future = ctx:call_async(function(begun)
        local ok, err = pcall(require("orrery").sleep, 1000)
        begun:send("woken", ok, err.code)
        error(err, 0)
    end, r:sender())
    return future, r
end

describe("a call", function()
    remote.each(function(target)
        local ctx
        setup(function() ctx = target.ctx end)

        it("passes every kind of value both ways", function()
            local function echo(...) return ... end
            for _, value in ipairs {
                true, false, 0, -0.5, 1 / 0, 2 ^ 53, "", "a\0b\255", "ünï", 12345678901LL, 3ULL,
            } do
                assert.are.equal(value, ctx:call(echo, value))
            end
            local t = { 1, { 2, x = { "deep", [3.5] = false } }, [true] = 1 }
            assert.are.same(t, ctx:call(echo, t))
            local nan = ctx:call(echo, 0 / 0)
            assert.is_true(nan ~= nan)
        end)

        it("keeps nils, and the number of values", function()
            local function count(...) return select("#", ...), ... end
            assert.are.equal(0, (ctx:call(count)))
            assert.are.equal(3, (ctx:call(count, nil, nil, nil)))
            local n, a, b, c = ctx:call(count, nil, 1, nil)
            assert.are.same({ 3, nil, 1, nil }, { n, a, b, c })
            assert.are.equal(4, select("#", ctx:call(count, nil, 1, nil)))
            assert.are.equal(0, select("#", ctx:call(function() end)))
        end)

        -- Plain values and others are written and read by different code, at either end.
        it("passes plain values alone as beside others", function()
            local values = { true, false, 0, -0.5, 2 ^ 53, 1 / 0, "", "a\0b\255", "\27", "nil" }
            for _, n in ipairs { 191, 192, 193, 8127, 8128, 8159, 8160, 8161, 70000 } do
                values[#values + 1] = ("x"):rep(n)
            end
            for _, value in ipairs(values) do
                assert.are.equal(value, ctx:call("select", 1, value))
                assert.are.equal(value, (ctx:call("select", 1, value, {})))
            end
            local nan = ctx:call("select", 1, 0 / 0)
            assert.is_true(nan ~= nan)
            assert.are.equal(5, select("#", ctx:call("select", 1, nil, 1, nil, "x", nil)))
            assert.are.same({ 1, nil, {}, n = 4 },
                (function(...) return { n = select("#", ...), ... } end)(ctx:call("select", 1, 1, nil, {}, nil)))
        end)

        it("passes as many values as there may be, and says so of more", function()
            local codec = require "orrery.codec"
            local list = {}
            for i = 1, codec.MAX_VALUES - 2 do list[i] = i end
            assert.are.equal(#list, select("#", ctx:call("select", 1, unpack(list))))
            list[#list + 1] = #list + 1
            local err = remote.failure(function() ctx:call("select", 1, unpack(list)) end)
            assert.are.equal("limit", err.code)
            assert.matches("call_spec%.lua:%d+$", err.at)
            err = remote.failure(ctx.call, ctx, function() return unpack({}, 1, 300) end)
            assert.are.equal("limit", err.code)
        end)

        it("carries large strings", function()
            for _, size in ipairs { 2 ^ 20, 32 * 2 ^ 20 } do
                local text = ("0123456789abcdef"):rep(size / 16)
                local length, back = ctx:call(function(s) return #s, s end, text)
                assert.are.equal(size, length)
                assert.is_true(text == back)
            end
        end)

        it("refuses what is over the limit, on either side, and goes on", function()
            local text = ("x"):rep(64 * 2 ^ 20 + 1)
            local err = remote.failure(function() ctx:call(function() end, text) end)
            assert.are.equal("limit", err.code)
            assert.matches("the limit is %d+", err.message)
            assert.matches("call_spec%.lua:%d+$", err.at)
            err = remote.failure(ctx.call, ctx, function() return ("x"):rep(64 * 2 ^ 20 + 1) end)
            assert.are.equal("limit", err.code)
            assert.are.equal(ctx.name, err.context)
            assert.are.equal(1, ctx:call(function() return 1 end))
        end)

        it("takes functions with their upvalues, by value", function()
            local n, list = 1, { "a" }
            local function bump()
                n = n + 1
                list[#list + 1] = "b"
                return n, #list
            end
            assert.are.same({ 2, 2 }, { ctx:call(bump) })
            assert.are.same({ 2, 2 }, { ctx:call(bump) })
            assert.are.equal(1, n)
        end)

        it("takes recursive functions and those that share variables", function()
            local function fib(k) return k < 2 and k or fib(k - 1) + fib(k - 2) end
            assert.are.equal(55, ctx:call(fib, 10))
            local count = 0
            local function up() count = count + 1 end
            local function get() return count end
            assert.are.equal(3, ctx:call(function()
                for _ = 1, 3 do up() end
                return get()
            end))
            assert.are.equal(2, ctx:call(function(a, b)
                a() a()
                return b()
            end, up, get))
        end)

        it("takes functions in tables, and modules by their name", function()
            local result = ctx:call(function(t) return t.f(20) + t.list[1](1) end, {
                f = function(x) return x + 1 end,
                list = { math.floor },
            })
            assert.are.equal(22, result)
            local s, stringy = string, string.rep
            assert.is_true(ctx:call(function() return s == string and stringy == string.rep end))
        end)

        it("takes what a function captures as it is at each call, and keeps it apart", function()
            local n, no, none = 0, false, nil
            local function keep(add)
                _G.kept_functions = _G.kept_functions or {}
                table.insert(_G.kept_functions, function() return n + add, no, none end)
                n = n + 100
                return n
            end
            for i = 1, 3 do
                n = i
                assert.are.equal(i + 100, ctx:call(keep, i * 10))
                assert.are.equal(i, n)
            end
            assert.are.same({ 111, false, 122, 133 }, { ctx:call(function()
                local f, no_there, none_there = _G.kept_functions[1](), select(2, _G.kept_functions[1]())
                assert(none_there == nil)
                return f, no_there, _G.kept_functions[2](), (_G.kept_functions[3]())
            end) })
            local a, b, c, d, e, f, g, h, i, j, k = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
            assert.are.equal(66, ctx:call(function() return a + b + c + d + e + f + g + h + i + j + k end))
            local function factorial(m) return m < 2 and 1 or m * factorial(m - 1) end
            assert.are.equal(120, ctx:call(factorial, 5))
        end)

        it("names what cannot travel by its path", function()
            local co = coroutine.create(function() end)
            local hooks = { on_exit = { io.tmpfile() } }
            for path, fn in pairs {
                ["args[2].x: a coroutine"] = function() ctx:call(print, 1, { x = co }) end,
                ["args[1].hooks.on_exit[1]: a userdata"] = function()
                    ctx:call(print, { hooks = hooks })
                end,
                ["upvalue 'co': a coroutine"] = function()
                    ctx:call(function() return co end)
                end,
            } do
                local err = remote.failure(fn)
                assert.are.equal("encode", err.code)
                assert.is_truthy(err.message:find(path, 1, true), err.message)
                assert.matches("call_spec%.lua:%d+$", err.at)
            end
            hooks.on_exit[1]:close()
        end)

        it("refuses functions as results", function()
            local err = remote.failure(ctx.call, ctx, function()
                return 1, { callback = function() end }
            end)
            assert.are.equal("encode", err.code)
            assert.are.equal(ctx.name, err.context)
            assert.matches("values%[2%]%.callback: .*a function cannot travel", err.message)
        end)

        it("finds functions by name", function()
            assert.are.equal("HI", ctx:call("string.upper", "hi"))
            assert.are.equal(target.ctx.id, ctx:call("orrery.core.self"))
            assert.are.equal("3", ctx:call("tostring", 3))
        end)

        it("says what is wrong with a name", function()
            local err = remote.failure(ctx.call, ctx, "no_such_module_here.fn")
            assert.are.equal("module", err.code)
            assert.matches("module 'no_such_module_here'", err.message)
            err = remote.failure(ctx.call, ctx, "string.no_such_function")
            assert.are.equal("no_function", err.code)
            assert.matches("'string.no_such_function'", err.message)
            err = remote.failure(ctx.call, ctx, "no_such_global")
            assert.are.equal("no_function", err.code)
            assert.are.equal(ctx.name, err.context)
            err = remote.failure(function() ctx:call(42) end)
            assert.are.equal("argument", err.code)
            assert.matches("call_spec%.lua:%d+$", err.at)
        end)

        it("brings an error with the place where it was raised", function()
            local line
            local err = remote.failure(ctx.call, ctx, function()
                local function inner()
                    local t = nil
                    return t.field
                end
                return (inner())
            end)
            line = debug.getinfo(1, "l").currentline - 4
            assert.are.equal("lua", err.code)
            assert.matches("call_spec%.lua:" .. line .. ": attempt to index", err.message)
            assert.matches("call_spec%.lua:" .. line .. ": in function 'inner'", err.traceback)
            assert.matches("call_spec%.lua:" .. line + 2 .. ": in function", err.traceback)
            assert.not_matches("orrery/", err.traceback)
            assert.are.equal(ctx.name, err.context)
            assert.are.equal(ctx.route, err.route)
        end)

        it("keeps the fields of error objects, and of thrown tables", function()
            local err = remote.failure(ctx.call, ctx, function()
                require("orrery.error").raise {
                    code = "custom", message = "a reason", detail = { 1, 2, three = 3 },
                }
            end)
            assert.are.equal("custom", err.code)
            assert.are.equal("a reason", err.message)
            assert.are.same({ 1, 2, three = 3 }, err.detail)
            assert.are.equal(ctx.name, err.context)
            err = remote.failure(ctx.call, ctx, function() error { status = 404 } end)
            assert.are.equal("lua", err.code)
            assert.are.same({ status = 404 }, err.value)
        end)

        it("survives errors that cannot travel", function()
            local err = remote.failure(ctx.call, ctx, function()
                require("orrery.error").raise { code = "custom", handler = function() end, fine = 1 }
            end)
            assert.are.equal("custom", err.code)
            assert.are.equal(1, err.fine)
            assert.matches("^function", err.handler)
            err = remote.failure(ctx.call, ctx, function()
                error(setmetatable({}, { __tostring = function() error "again" end }))
            end)
            assert.are.equal("lua", err.code)
        end)

        it("can be waited for later", function()
            local future = ctx:call_async(function(a) return a + 1, "two" end, 1)
            assert.are.same({ 2, "two" }, { future:get() })
            assert.is_true(future:done())
            assert.are.same({ 2, "two" }, { future:get() })
        end)

        it("goes on when a wait for it times out", function()
            local future, r = sleeper(ctx)
            local err = remote.failure(function() future:get(0.01) end)
            assert.are.equal("timeout", err.code)
            assert.matches("a call in " .. ctx.name, err.message)
            assert.is_false(future:done())
            future:cancel()
            r:get(10)
            r:close()
        end)

        it("ends there when it is cancelled here", function()
            local future, r = sleeper(ctx)
            ctx:call(function() end)
            assert.is_true(future:cancel())
            assert.is_false(future:cancel())
            assert.are.same({ "woken", false, "cancelled" }, { r:get(10) })
            assert.are.equal("cancelled", remote.failure(future.get, future).code)
            r:close()
        end)

        it("can be cancelled, and others run, while it waits below a C function there", function()
            local r = orrery.receiver()
            local future = ctx:call_async(function(begun)
                local ok, err
                ("x"):gsub("x", function()
                    begun:send "begun"
                    ok, err = pcall(require("orrery").sleep, 1000)
                end)
                begun:send("woken", ok, err.code)
            end, r:sender())
            assert.are.equal("begun", r:get(10))
            for i = 1, 3 do assert.are.equal(tostring(i), ctx:call("tostring", i)) end
            future:cancel()
            assert.are.same({ "woken", false, "cancelled" }, { r:get(10) })
            r:close()
        end)

        it("ends there when the task that waits for it is cancelled", function()
            local r = orrery.receiver()
            local task = orrery.spawn(function()
                ctx:call(function(to)
                    to:send "begun"
                    local ok = pcall(require("orrery").sleep, 1000)
                    to:send("woken", ok)
                end, r:sender())
            end)
            assert.are.equal("begun", r:get(10))
            task:cancel()
            assert.are.same({ "woken", false }, { r:get(10) })
            assert.are.equal("cancelled", remote.failure(task.get, task).code)
            r:close()
        end)

        it("is ended by a deadline around it", function()
            local r = orrery.receiver()
            local err = remote.failure(orrery.timeout, 0.05, function()
                ctx:call(function(to)
                    local ok = pcall(require("orrery").sleep, 1000)
                    to:send("woken", ok)
                end, r:sender())
            end)
            assert.are.equal("timeout", err.code)
            assert.are.same({ "woken", false }, { r:get(10) })
            r:close()
        end)

        it("can be one of many at the same time, answered out of order", function()
            local first = ctx:call_async(function()
                _G.release = require("orrery.sched").future("the release")
                return _G.release:get()
            end)
            local list = {}
            for i = 1, 100 do list[i] = i end
            local results = orrery.map(list, function(i)
                return ctx:call(function(n)
                    require("orrery").sleep(0)
                    return n * 2
                end, i)
            end)
            for i = 1, 100 do assert.are.equal(i * 2, results[i]) end
            assert.is_false(first:done())
            ctx:call(function() _G.release:resolve("at last") end)
            assert.are.equal("at last", first:get())
        end)

        it("can be cast, and nobody waits for it", function()
            local r = orrery.receiver()
            assert.is_nil(ctx:cast(function(to, ...) to:send("cast", ...) end, r:sender(), 1, nil))
            assert.are.same({ "cast", 1 }, { r:get(10) })
            r:close()
        end)

        it("keeps globals of the context between calls", function()
            ctx:call(function() _G.kept = 41 end)
            assert.are.equal(42, ctx:call(function() return _G.kept + 1 end))
        end)

        it("takes contexts as arguments and gives them as results", function()
            local same, name = ctx:call(function(c) return c, c.name .. " " .. tostring(c) end, ctx)
            assert.are.equal(ctx, same)
            assert.are.equal(ctx.name .. " " .. tostring(ctx), name)
            assert.are.equal(7, same:call(function() return 7 end))
        end)

        it("opens contexts there", function()
            local sum = ctx:call(function()
                local inner = require("orrery").localhost { name = "inner" }
                return inner:call(function(a, b) return a + b end, 1, 2)
            end)
            assert.are.equal(3, sum)
        end)
    end)

    it("brings what another context's call raised, as it is", function()
        local one, two = remote.open "local", remote.open "local"
        local task = orrery.spawn(function()
            return one:call(function(message) error(message) end,
                remote.failure(two.call, two, function() error "first" end).message)
        end)
        local err = remote.failure(task.get, task)
        assert.matches("call_spec%.lua:%d+: first$", err.message)
        one:close()
        two:close()
    end)
end)
