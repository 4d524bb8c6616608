local leak = require "spec.support.leak"
local json = require "orrery.json"

leak.guard()

local function refusal(code, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok, "nothing was raised")
    assert.are.equal(code, err.code)
    return err.message, err
end

describe("json.decode", function()
    it("reads every kind of value", function()
        assert.are.same({ a = { 1, 2.5, -3e2, "x" }, b = true, c = false, d = {} },
            json.decode ' {"a" : [1, 2.5,-3E2, "x"],\r\n\t"b":true,"c":false,"d":{}} ')
        assert.are.equal(json.null, json.decode "null")
        assert.are.equal("x", json.decode '"x"')
        assert.are.equal(0, json.decode "-0")
        assert.are.equal(2 ^ 53, json.decode "9007199254740993")
        assert.are.same({ false }, json.decode("[null]", { null = false }))
        assert.are.equal(1, json.decode "\239\187\1911")
    end)

    it("reads escapes", function()
        assert.are.equal('"\\/\b\f\n\r\t', json.decode [["\"\\\/\b\f\n\r\t"]])
        assert.are.equal("\0\195\188\226\130\172\240\159\152\128", json.decode [["\u0000\u00fc\u20AC\uD83D\uDE00"]])
        assert.are.equal("\239\191\191\127", json.decode '"\\uffff\127"')
    end)

    it("says where the mistake is, and what was expected", function()
        for text, message in pairs {
            [""] = "1:1: a value was expected, not the end",
            ["[1,2"] = "1:5: ',' or ']' was expected, not the end",
            ["[1 2]"] = "1:4: ',' or ']' was expected, not '2'",
            ["[1,]"] = "1:3: nothing follows this ','",
            ['{"a":1,}'] = "1:7: nothing follows this ','",
            ['{\n  "a": 1\n  "b": 2\n}'] = "3:3: ',' or '}' was expected, not '\"'",
            ["{a:1}"] = "1:2: a key in quotes was expected, not 'a'",
            ["{'a':1}"] = "1:2: a key in quotes was expected, not '''",
            ['{"a" 1}'] = "1:6: ':' was expected, not '1'",
            ['{"a":1,"b":2,"a":3}'] = "1:14: the key \"a\" is there already",
            ["1 2"] = "1:3: the value has ended, and there is more: '2'",
            ["nul"] = "1:1: a value was expected, not 'nul'",
            ["nulls"] = "1:1: a value was expected, not 'nulls'",
            ["NaN"] = "1:1: a value was expected, not 'NaN'",
            ["-"] = "1:1: not a number of JSON's: '-'",
            ["-x"] = "1:1: not a number of JSON's: '-x'",
            ["[ 01]"] = "1:3: not a number of JSON's: '01'",
            ["1."] = "1:1: not a number of JSON's: '1.'",
            [".5"] = "1:1: a value was expected, not '.5'",
            ["0x10"] = "1:1: not a number of JSON's: '0x10'",
            ["1e999"] = "1:1: the number is too large: '1e999'",
            ['"abc'] = "1:1: the string has no end",
            ['"abc\\'] = "1:5: the string has no end",
            ['"\195\188\\x"'] = "1:3: there is no escape \\x",
            ['"\\u12g4"'] = "1:2: \\u needs four hexadecimal digits",
            ['"\\ud800"'] = "1:2: \\ud800 is half of a surrogate pair, and the other half is missing",
            ['"\\ud800\\u0041"'] = "1:2: \\ud800 is half of a surrogate pair, and the other half is missing",
            ['"\\udc00"'] = "1:2: \\udc00 is half of a surrogate pair, and the other half is missing",
            ['"a\nb"'] = "1:3: a string cannot contain the byte 0x0a; \\u000a can be written",
            ["[\195\188]"] = "1:2: a value was expected, not '\195\188'",
            ['["\195\188", "\255"]'] = "1:8: not UTF-8: the byte 0xff",
            ["[1]\0"] = "1:4: the value has ended, and there is more: the byte 0x00",
            ["// no\n1"] = "1:1: a value was expected, not '/'",
        } do
            assert.are.equal("JSON:" .. message, refusal("decode", json.decode, text))
        end
        local message, err = refusal("decode", json.decode, "[\n\n x", { name = "hosts.json" })
        assert.are.equal("hosts.json:3:2: a value was expected, not 'x'", message)
        assert.are.same({ 3, 2 }, { err.line, err.column })
    end)

    it("has a limit for levels", function()
        local deep = ("["):rep(100) .. ("]"):rep(100)
        assert.are.equal(deep, json.encode(json.decode(deep)))
        assert.matches("too many levels", refusal("decode", json.decode, "[" .. deep .. "]"))
        assert.matches("too many levels", refusal("decode", json.decode, ('{"a":'):rep(1e6)))
        assert.matches("1:3: too many levels", refusal("decode", json.decode, "[[[]]]", { depth = 2 }))
    end)
end)

describe("json.encode", function()
    it("writes every kind of value, always in the same order", function()
        assert.are.equal('{"a":[1,2.5,"x",[]],"b":{},"c":null,"d":false}',
            json.encode { d = false, c = json.null, b = {}, a = { 1, 2.5, "x", json.array {} } })
        assert.are.equal("null", json.encode(nil))
        assert.are.equal("[0.1,1e+100,9007199254740992,-5,1e-07,123456789012]",
            json.encode { 0.1, 1e100, 2 ^ 53, -5, 1e-7, 123456789012 })
    end)

    it("writes strings that anything can read", function()
        assert.are.equal([["\"\\\b\f\n\r\t\u0000\u001f\u007f/]] .. "\195\188\"",
            json.encode "\"\\\b\f\n\r\t\0\31\127/\195\188")
        assert.are.equal('"a\239\191\189b"', json.encode "a\255b")
        assert.are.equal([["\u003c/script\u003e\u0026\u2028\u2029"]],
            json.encode("</script>&\226\128\168\226\128\169", { html = true }))
    end)

    it("indents", function()
        assert.are.equal('{\n  "a": [\n    1,\n    {}\n  ],\n  "b": []\n}',
            json.encode({ a = { 1, {} }, b = json.array {} }, { indent = 2 }))
    end)

    it("asks an object what stands for it", function()
        local secret = setmetatable({ "hush" }, { __json = function() return "(secret)" end })
        assert.are.equal('{"password":"(secret)"}', json.encode { password = secret })
    end)

    it("names what cannot be written", function()
        local loop = {}
        loop.x = loop
        for message, value in pairs {
            ["a%.b%[2%]: a function"] = { a = { b = { 1, print } } },
            ["x: the number nan"] = { x = 0 / 0 },
            ["%[1%]: the number %-inf"] = { -math.huge },
            ["x: a table that is neither a list without gaps nor has names only"] = { x = { 1, nil, 3 } },
            ["a table that is neither a list"] = { 1, a = 2 },
            ["written as JSON: a key of type boolean"] = { [true] = 1 },
            ["more than 100 levels, or a table in itself"] = loop,
        } do
            assert.matches(message, refusal("encode", json.encode, value))
        end
    end)

    it("gives back what was read", function()
        local text = '{"a":["\\u0001",[],{"x":[[]]}],"b":null,"c":-1.25e-05}'
        assert.are.equal(text, json.encode(json.decode(text)))
    end)
end)
