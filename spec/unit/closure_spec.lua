local buffer = require "string.buffer"
local Error = require "orrery.error"
local codec = require "orrery.codec"
local closure = require "orrery.closure"
local leak = require "spec.support.leak"

leak.guard()

local CODE = { code = true }

local function send(...) return codec.decode(codec.encode(...), CODE) end

local function failure(code, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(Error.is(err), tostring(err))
    assert.are.equal(code, err.code)
    return err.message
end

describe("function travel", function()
    local module

    before_each(function()
        module = { state = {} }
        module.split = function() return module.state end
        package.loaded["spec.util"] = module
    end)

    after_each(function()
        package.loaded["spec.util"], package.preload["spec.util"] = nil, nil
    end)

    it("carries a function with its captured values", function()
        local prefix, list, absent, no = "x", { 1, { 2 } }, nil, false
        local fn = send(function(n) return prefix .. list[2][1] + n, absent, no end)
        assert.are.same({ "x5", nil, false }, { fn(3) })
        list[2][1] = 100
        assert.are.equal("x5", (fn(3)))
    end)

    it("keeps file and line", function()
        local fn = send(function() error "boom" end)
        local info = debug.getinfo(fn, "S")
        assert.matches("closure_spec%.lua$", info.short_src)
        local _, message = pcall(fn)
        assert.matches("closure_spec%.lua:" .. info.linedefined .. ": boom", message)
    end)

    it("carries functions anywhere in the values", function()
        local a, b, c = send("name", { hooks = { on = function() return 7 end } }, nil)
        assert.are.equal("name", a)
        assert.are.equal(7, b.hooks.on())
        assert.is_nil(c)
        assert.are.equal(3, select("#", send("name", print, nil)))
        local key = next(send({ [function() return 1 end] = 5 }))
        assert.are.equal(1, key())
    end)

    it("carries recursive functions", function()
        local function factorial(n) return n < 2 and 1 or n * factorial(n - 1) end
        assert.are.equal(120, send(factorial)(5))
        local even
        local function odd(n) return n ~= 0 and even(n - 1) end
        function even(n) return n == 0 or odd(n - 1) end
        assert.is_true(send(even)(10))
        assert.is_false(send(odd)(10))
    end)

    it("keeps a variable shared that two functions share", function()
        local count = 0
        local function up() count = count + 1 end
        local function get() return count end
        local up2, get2 = send(up, get)
        up2()
        up2()
        assert.are.equal(2, get2())
        assert.are.equal(0, get())
    end)

    it("keeps separate variables apart", function()
        local function counter() local n = 0 return function() n = n + 1 return n end end
        local a, b = send(counter(), counter())
        a()
        assert.are.equal(2, a())
        assert.are.equal(1, b())
    end)

    it("keeps one function one function", function()
        local fn = function() return module end
        local a, list = send(fn, { fn, fn })
        assert.is_true(a == list[1] and a == list[2])
    end)

    it("carries a table of functions that refer to it", function()
        local M = { n = 1 }
        function M.a() return M.b() end
        function M.b() return M end
        local a = send(M.a)
        local copy = a()
        assert.is_true(copy ~= M and copy.a == a and copy.b() == copy and copy.n == 1)
        local list = send(M)
        assert.is_true(list.a() == list.b())
    end)

    it("keeps the identity of captured tables, cycles included", function()
        local shared = { 1 }
        local loop = { shared, shared }
        loop.self = loop
        local f, g = send(function() return loop end, function() return shared end)
        assert.is_true(f().self == f() and f()[1] == f()[2] and f()[1] == g())
    end)

    it("keeps typed metatables below a function's values", function()
        local context = codec.typed "context"
        local web1 = setmetatable({ id = 4 }, context)
        local fn, arg = send(function() return web1 end, web1)
        assert.is_true(getmetatable(fn()) == context and getmetatable(arg) == context)
        assert.are.equal(4, fn().id)
    end)

    describe("names", function()
        it("sends modules, requiring them at the other side", function()
            local payload = codec.encode(function() return module end)
            local other = { other = true }
            package.loaded["spec.util"] = nil
            package.preload["spec.util"] = function() return other end
            assert.are.equal(other, codec.decode(payload, CODE)())
        end)

        it("sends modules among the arguments", function()
            local fn, arg = send(function() end, { module })
            assert.are.equal("function", type(fn))
            assert.are.equal(module, arg[1])
        end)

        it("sends a module's function as its name", function()
            local split = module.split
            assert.are.equal(split, send(function() return split end)())
            assert.are.equal(split, send(split))
        end)

        it("sends builtin functions, libraries, files and _G", function()
            local all = { print, string.format, io.open, math.deg, string.len, table.remove, io.stdout, string, _G }
            local got = { send(unpack(all)) }
            for i = 1, #all do assert.are.equal(all[i], got[i]) end
            assert.are.equal(io.stderr, send(function() return io.stderr end)())
        end)

        it("sends a user's global function by value", function()
            rawset(_G, "spec_global", function() return "mine" end)
            package.loaded["spec.other"] = {} -- so that names are made anew
            local payload = codec.encode(rawget(_G, "spec_global"))
            rawset(_G, "spec_global", nil)
            package.loaded["spec.other"] = nil
            assert.are.equal("mine", codec.decode(payload, CODE)())
        end)

        it("does not send a name that means something else by now", function()
            local split = module.split
            send(split)
            module.split = function() return "new" end
            local copy = send(split)
            assert.are_not.equal("new", copy())
        end)

        it("says which module does not load, and why", function()
            local payload = codec.encode(function() return module end)
            local split = codec.encode(module.split)
            package.loaded["spec.util"] = nil
            assert.matches("module 'spec.util', which a function needs, does not load",
                failure("module", codec.decode, payload, CODE))
            package.preload["spec.util"] = function() error "in the loader" end
            assert.matches("in the loader", failure("module", codec.decode, payload, CODE))
            failure("module", codec.decode, payload, CODE) -- package.loaded holds require's mark now
            package.loaded["spec.util"] = {}
            assert.matches("'spec.util' has no 'split' here", failure("module", codec.decode, split, CODE))
        end)
    end)

    it("passes on a cancellation that comes while a module loads", function()
        local payload = codec.encode(function() return module end)
        package.loaded["spec.util"] = nil
        package.preload["spec.util"] = function() Error.raise { code = "cancelled" } end
        failure("cancelled", codec.decode, payload, CODE)
    end)

    it("names the path to what cannot travel", function()
        local sock = newproxy()
        local line = debug.getinfo(1, "l").currentline + 1
        local function deploy() return sock end
        assert.matches(("^args%%[1%%] %%(function at .*closure_spec%%.lua:%d%%), upvalue 'sock': "):format(line)
            .. "a userdata cannot travel$", failure("encode", codec.encode, deploy))
        local options = { hooks = { deploy } }
        assert.matches("^fn %(function at .*%), upvalue 'options'%.hooks%[1%] %(function at .*%), upvalue 'sock': a",
            failure("encode", codec.encode_call, function() return options end))
        assert.matches("args[2]: a C function that is no field of a loaded module cannot travel",
            failure("encode", codec.encode, 1, coroutine.wrap(print)), 1, true)
    end)

    it("refuses what is nested without end through functions", function()
        local fn = function() end
        for _ = 1, 2000 do
            local inner = fn
            fn = function() return inner end
        end
        assert.matches("deep cannot travel", failure("encode", codec.encode, fn))
    end)

    describe("downwards only", function()
        it("refuses functions that come from elsewhere", function()
            failure("denied", codec.decode, codec.encode(function() end))
            failure("denied", codec.decode, codec.encode(print), {})
            failure("denied", codec.decode, codec.encode({ print }), { code = 1 })
        end)

        it("does not send them", function()
            assert.are.equal("values[1].f: code goes from parent to child only: a function cannot travel",
                failure("encode", codec.encode_data, { f = print }))
        end)

        it("leaves a bundle or a ref alone that stands elsewhere", function()
            local bundle = setmetatable({ functions = { { string.dump(function() end) } }, cells = {}, tables = {} },
                closure.Bundle)
            local ref = setmetatable({ m = "os", k = "execute" }, closure.Ref)
            local a, b, c = codec.decode(codec.encode_data(1, { bundle }, { ref }))
            assert.are.equal(1, a)
            assert.are.equal("table", type(b[1].functions[1]))
            assert.are.equal("os", c[1].m)
        end)

        it("survives malformed bundles", function()
            local code = string.dump(function() return codec end)
            local function bundle(fields) return setmetatable(fields, closure.Bundle) end
            local function ref(fields) return setmetatable(fields, closure.Ref) end
            for _, values in ipairs {
                { bundle {} }, { bundle { functions = 1, cells = 2, tables = 3 } },
                { bundle { functions = { 1 }, cells = {}, tables = {} } },
                { bundle { functions = { { 1 } }, cells = {}, tables = {} } },
                { bundle { functions = { { "return 1" } }, cells = {}, tables = {} } },
                { bundle { functions = { { code, 1, 2 } }, cells = { 1, 2 }, tables = {} } },
                { bundle { functions = { { code, 1, 1 } }, cells = { 1, 2 }, tables = {} } },
                { bundle { functions = { { code, {} }, { code, 1 } }, cells = 5, tables = {} } },
                { bundle { functions = {}, cells = {}, tables = {} }, ref { f = 1 } },
                { bundle { functions = {}, cells = {}, tables = {} }, ref { t = "x" } },
                { bundle { functions = {}, cells = {}, tables = {} }, ref {} },
            } do
                failure("decode", codec.decode, codec.encode_data(unpack(values)), CODE)
            end
        end)
    end)

    it("loads the same function once, and keeps the number of those bounded", function()
        local payload = codec.encode(function() return 1 end)
        local fn = codec.decode(payload, CODE)
        assert.are.equal(fn, codec.decode(payload, CODE))
        local loaded = setmetatable({}, { __mode = "k" })
        for i = 1, 1000 do
            loaded[send(loadstring("return " .. i))] = true
        end
        collectgarbage()
        collectgarbage()
        local kept = 0
        for _ in pairs(loaded) do kept = kept + 1 end
        assert.is_true(kept <= 256, kept)
        assert.are.equal(1, codec.decode(payload, CODE)())
    end)

    it("is not confused by the same code with other values", function()
        local function make(x) return function() return x end end
        assert.are.equal(1, send(make(1))())
        assert.are.equal(2, send(make(2))())
    end)

    it("does not touch what it sends", function()
        local fn = function() return 1 end
        local value = { fn, { fn } }
        codec.encode(value)
        assert.is_true(value[1] == fn and value[2][1] == fn)
        assert.are.same({ 1 }, (codec.decode(buffer.encode({ 1 }))))
    end)
end)
