local buffer = require "string.buffer"
local ffi = require "ffi"
local Error = require "orrery.error"
local codec = require "orrery.codec"
local leak = require "spec.support.leak"

leak.guard()

local function failure(code, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(Error.is(err), tostring(err))
    assert.are.equal(code, err.code)
    return err.message
end

local function pack(...) return { n = select("#", ...), ... } end

local function roundtrip(...) return codec.decode(codec.encode(...)) end

local function nested(depth)
    local value = {}
    for _ = 2, depth do value = { value } end
    return value
end

describe("codec", function()
    it("keeps values and their number, nil included", function()
        assert.are.same(pack(), pack(roundtrip()))
        assert.are.same(pack(nil), pack(roundtrip(nil)))
        assert.are.same(pack(nil, nil), pack(roundtrip(nil, nil)))
        assert.are.same(pack(1, nil, "x", false, nil), pack(roundtrip(1, nil, "x", false, nil)))
        assert.are.same({ 1, 2, { a = { b = 0.5 } }, [-1] = "x", [1.5] = true },
            (roundtrip { 1, 2, { a = { b = 0.5 } }, [-1] = "x", [1.5] = true }))
    end)

    it("carries 64-bit integers, complex numbers, NULL, and bytes", function()
        local a, b, c = roundtrip(-5LL, 2 ^ 63 + 0ULL, 3i)
        assert.is_true(a == -5LL and b == 2 ^ 63 + 0ULL and c.im == 3 and c.re == 0)
        assert.is_true(ffi.istype("int64_t", a) and ffi.istype("uint64_t", b))
        local bytes = {}
        for i = 0, 255 do bytes[i] = string.char(i) end
        local all = table.concat(bytes, "", 0, 255):rep(300)
        assert.is_true(roundtrip(all) == all)
    end)

    it("carries strings and tables of every length class", function()
        for _, n in ipairs { 0, 1, 191, 192, 193, 223, 224, 225, 8127, 8128, 8160, 8161, 70000 } do
            local text, list, map = ("x"):rep(n), {}, {}
            for i = 1, n do
                list[i], map["k" .. i] = i, i
            end
            local a, b, c = roundtrip(text, list, map)
            assert.is_true(a == text and #b == n and b[n] == list[n] and c["k" .. n] == map["k" .. n])
        end
    end)

    it("carries typed values with their metatable, and drops others", function()
        local context = codec.typed "context"
        local a, b = roundtrip(setmetatable({ id = 3 }, context), setmetatable({ 1 }, { __index = {} }))
        assert.are.equal(context, getmetatable(a))
        assert.are.equal(3, a.id)
        assert.is_nil(getmetatable(b))
        failure("argument", codec.typed, "nonsense")
    end)

    it("lets a module bring its own metatable for a kind", function()
        local before, mine = codec.typed "blob", {}
        assert.are.equal(mine, codec.typed("blob", mine))
        assert.are.equal(mine, getmetatable((roundtrip(setmetatable({}, mine)))))
        assert.is_nil(getmetatable((roundtrip(setmetatable({}, before)))))
        codec.typed("blob", before)
    end)

    it("carries errors as errors", function()
        local err = roundtrip(Error.new {
            code = "dead", message = "lost", cause = Error.new { code = "connect" }, errors = { { index = 1 } },
        })
        assert.is_true(Error.is(err) and Error.is(err.cause))
        assert.are.same({ { index = 1 } }, err.errors)
    end)

    it("names the path to what cannot travel", function()
        local udata = newproxy()
        assert.are.equal("args[2].hooks.on_exit: a userdata cannot travel",
            failure("encode", codec.encode, 1, { hooks = { on_exit = udata } }))
        assert.are.equal("args[1]: a coroutine cannot travel",
            failure("encode", codec.encode, coroutine.create(print)))
        assert.are.equal('args[1][2]["odd key"]: a cdata cannot travel',
            failure("encode", codec.encode, { 1, { ["odd key"] = ffi.new("int[2]") } }))
        assert.are.equal("args[1][true]: a userdata cannot travel",
            failure("encode", codec.encode, { [true] = udata }))
        assert.are.equal("args[2]: a userdata cannot travel",
            failure("encode", codec.encode_call, "mod.fn", 1, udata))
        assert.are.equal("values[1].x: a userdata cannot travel",
            failure("encode", codec.encode_data, { x = udata }))
    end)

    it("says where in the script it was", function()
        local _, err = pcall(codec.encode, newproxy())
        assert.matches("codec_spec%.lua", err.at)
    end)

    it("refuses cycles, but copies what is only shared", function()
        local loop = {}
        loop.self = loop
        assert.are.equal("args[1].self: a table that contains itself cannot travel",
            failure("encode", codec.encode, loop))
        failure("encode", codec.encode, function() end, loop)
        local shared = { 1 }
        local copy = roundtrip { shared, shared }
        assert.are.same({ { 1 }, { 1 } }, copy)
        assert.are_not.equal(copy[1], copy[2])
    end)

    it("bounds the depth, the same at both ends", function()
        assert.are.same(nested(100), (roundtrip(nested(100))))
        local message = failure("encode", codec.encode, nested(101))
        assert.matches("nested more than 100 deep", message)
        assert.is_true(#message < 200)
        failure("encode", codec.encode, function() end, nested(101))
        failure("encode", codec.encode_data, nested(101))
    end)

    it("bounds the number of values", function()
        local many = {}
        for i = 1, codec.MAX_VALUES do many[i] = i end
        assert.are.equal(codec.MAX_VALUES, select("#", roundtrip(unpack(many))))
        assert.are.equal(codec.MAX_VALUES + 1, select("#", print,
            codec.decode(codec.encode(print, unpack(many, 2)), { code = true })))
        many[#many + 1] = 1
        failure("limit", codec.encode, unpack(many))
        failure("limit", codec.decode, ("\0"):rep(1e6))
    end)

    it("works again after a failure in the middle of a message", function()
        failure("encode", codec.encode, "abc", newproxy())
        assert.are.same(pack("x"), pack(roundtrip "x"))
        failure("decode", codec.decode, "\7")
        assert.are.same(pack("x"), pack(roundtrip "x"))
    end)

    it("can be used by a finalizer that runs while it works", function()
        local runs = 0
        local function litter()
            getmetatable(newproxy(true)).__gc = function()
                runs = runs + 1
                assert(roundtrip("other", { runs }) == "other")
            end
        end
        for i = 1, 2000 do
            litter()
            if i % 100 == 0 then collectgarbage "step" end
            local a, b, c = roundtrip({ i, { i } }, "text" .. i, i)
            assert(a[1] == i and a[2][1] == i and b == "text" .. i and c == i)
        end
        collectgarbage()
        assert.is_true(runs > 0)
    end)

    it("lets large buffers go", function()
        local payload = codec.encode(("x"):rep(2 ^ 24))
        payload = #payload -- luacheck: ignore
        collectgarbage()
        collectgarbage()
        local before = collectgarbage "count"
        codec.encode(1)
        assert.is_true(before < 16 * 1024)
    end)

    it("refuses malformed payloads", function()
        for _, payload in ipairs {
            "\7", "\6\0\0\0", "\33", "\224", "\255\1\0\0", "\255\255\255\255\255", "\9\1", "\9\1\33a",
            "\10\2\0", "\11\1", "\12\0", "\12", "\13\0\0", "\14", "\14\0", "\14\0\33a", "\14\99\8", "\15",
            "\15\255", "\15\200", "\19", "\31", "\16\0", "\18\0\0\0\0\0\0\0\0", "\4\1\2\3\4",
            "\5\1\2\3\4\5\6\7\8", "\9\1\0\1", "\9\2\33a\1\33a\1",
        } do
            failure("decode", codec.decode, payload)
        end
        failure("decode", codec.decode, nil)
        failure("decode", codec.decode, {})
        failure("decode", codec.decode, codec.encode({ 1, 2, 3 }):sub(1, -2))
        failure("decode", codec.decode, codec.encode("x") .. "\30")
    end)

    it("allocates no more than a payload's size, whatever it claims", function()
        collectgarbage()
        collectgarbage "stop"
        local before = collectgarbage "count"
        for _, tag in ipairs { "\9", "\10", "\12" } do
            failure("decode", codec.decode, tag .. "\255\255\255\255\7")
            failure("decode", codec.decode, tag .. "\255\0\0\0\1" .. ("\1"):rep(100))
        end
        assert.is_true(collectgarbage "count" - before < 256)
        collectgarbage "restart"
        failure("decode", codec.decode, ("\10\1"):rep(1e6))
    end)

    it("survives random and damaged payloads", function()
        math.randomseed(7)
        local good = codec.encode({ a = { 1, 2, 3 }, name = "x", [2] = 5LL }, Error.new {}, nil, 1.5,
            function() return good end) -- luacheck: ignore
        for i = 1, 30000 do
            local payload
            if i % 2 == 0 then
                local at = math.random(#good)
                payload = good:sub(1, at - 1) .. string.char(math.random(0, 255)) .. good:sub(at + 1)
                if i % 3 == 0 then payload = payload:sub(1, math.random(#payload)) end
            else
                local bytes = {}
                for k = 1, math.random(1, 24) do bytes[k] = string.char(math.random(0, i % 5 == 0 and 255 or 36)) end
                payload = table.concat(bytes)
            end
            local ok, err = pcall(codec.decode, payload)
            if not ok then assert(Error.is(err), err) end
        end
    end)

    it("raises from a loop that is hot enough to be compiled", function()
        local refused = 0
        for i = 1, 1000 do
            local payload = codec.encode({ 1 }, 2, { 3 })
            if i > 300 then payload = "\8\8\9\1\0\1\8" end
            if not pcall(codec.decode, payload) then refused = refused + 1 end
            if not pcall(codec.encode, 1, { 2 }, i > 300 and io.stdout or 1, { ffi.new("int[1]") }) then
                refused = refused + 1
            end
        end
        assert.are.equal(1700, refused)
    end)

    it("agrees with string.buffer about every value it takes", function()
        for _, value in ipairs { {}, { 1 }, { [0] = 1 }, { nil, 2 }, { a = 1 }, { [0] = 1, 2, x = 3 }, "", 0, -1.5 } do
            assert.are.same(value, (codec.decode(buffer.encode(value))))
        end
    end)

    describe("encode_error", function()
        it("always gives something that arrives", function()
            local err = Error.new { code = "dead", message = "lost", sock = newproxy(), fn = print, n = 5 }
            local got = codec.decode(codec.encode_error(err))
            assert.is_true(Error.is(got))
            assert.are.same({ "dead", "lost", 5 }, { got.code, got.message, got.n })
            assert.matches("^userdata: ", got.sock)
            assert.is_true(type(err.sock) == "userdata")
        end)

        it("keeps causes, and ends where they bite their tail", function()
            local err = Error.new { code = "dead", cause = Error.new { code = "file", value = print } }
            local got = codec.decode(codec.encode_error(err))
            assert.is_true(Error.is(got.cause))
            assert.are.equal("file", got.cause.code)
            err.cause.cause = err
            assert.is_true(Error.is((codec.decode(codec.encode_error(err)))))
        end)

        it("wraps what is no error", function()
            assert.are.equal("boom", codec.decode(codec.encode_error "boom").message)
            assert.matches("a function was thrown", codec.decode(codec.encode_error(print)).message)
        end)
    end)
end)
