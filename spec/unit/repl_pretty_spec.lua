--- Values as text. That it runs in a child: at the end.

local ffi = require "ffi"
local orrery = require "orrery"
local pretty = require "orrery.repl.pretty"
local secret = require "orrery.secret"

local function show(value, opts) return pretty.format(value, opts) end

local function lines_of(text)
    local lines = {}
    for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
    return lines
end

describe("pretty", function()
    it("shows what is no table", function()
        for text, value in pairs {
            ["true"] = true, ["false"] = false, ["12"] = 12, ["-0"] = -0.0, ["inf"] = math.huge, ["-inf"] = -math.huge,
            ["0.1"] = 0.1, ["0.30000000000000004"] = 0.1 + 0.2, ["9007199254740991"] = 2 ^ 53 - 1, ["1e+100"] = 1e100,
            ["1700000000000000"] = 17e14, ["1.5e-07"] = 1.5e-7, ["12LL"] = 12LL, ["12ULL"] = 12ULL,
            ["function: print"] = print, ["function: string.rep"] = string.rep,
        } do
            assert.are.equal(text, show(value))
        end
        assert.are.equal("nil", show(nil))
        assert.are.equal("nan", show(0 / 0))
        assert.are.equal(12345.678901234567, tonumber(show(12345.678901234567)))
        local line = debug.getinfo(1, "l").currentline + 1
        local function here() end
        assert.are.equal(("function: %s:%d"):format(debug.getinfo(1, "S").short_src, line), show(here))
        assert.are.equal('function: [string "return 1"]', show(loadstring "return 1"))
        assert.matches("^thread: 0x%x+$", show(coroutine.create(here)))
        assert.are.equal("ctype<int>", show(ffi.typeof "int"))
    end)

    it("quotes texts, and escapes what a terminal would obey", function()
        assert.are.equal([["a\n\t\r\"\\\x1b[31m\x00\x7f"]], show 'a\n\t\r"\\\27[31m\0\127')
        assert.are.equal([["ünï 日本 😀"]], show "ünï 日本 😀")
        assert.are.equal([["\xff\xc3 \xc0\xaf \xed\xa0\x80"]], show "\255\195 \192\175 \237\160\128")
        assert.are.equal([["\xc2\x9b31m \xe2\x80\xae \xe2\x81\xa6"]], show "\194\15531m \226\128\174 \226\129\166")
        assert.are.equal([[{ ["\x1b]0;x"] = 1 }]], show { ["\27]0;x"] = 1 })
        assert.are.equal([[{ a_1 = 3, ["end"] = 1, ["ü"] = 2 }]], show { ["end"] = 1, a_1 = 3, ["ü"] = 2 })
    end)

    it("shows texts of several lines as such, where they are long and harmless", function()
        assert.are.equal([["a\nb"]], show "a\nb")
        assert.are.equal("[[\na\nb\n]]", show("a\nb\n", { width = 5 }))
        assert.are.equal("[=[\na]]\nb]=]", show("a]]\nb", { width = 5 }))
        assert.are.equal("[=[\na\nb]]=]", show("a\nb]", { width = 5 }))
        assert.are.equal([["a\nb\x1b"]], show("a\nb\27", { width = 5 }))
        assert.are.equal([["a\nb\r"]], show("a\nb\r", { width = 5 }))
        assert.are.equal([["a\nb\xff"]], show("a\nb\255", { width = 5 }))
    end)

    it("puts tables on one line where they fit", function()
        assert.are.equal("{}", show {})
        assert.are.equal([[{ 1, "b", { 3 }, x = {} }]], show { 1, "b", { 3 }, x = {} })
        local text = show { 1, "b", { 3 }, x = {} }
        assert.are.equal(text, show({ 1, "b", { 3 }, x = {} }, { width = #text }))
        assert.are.equal('{\n  1,\n  "b",\n  { 3 },\n  x = {},\n}',
            show({ 1, "b", { 3 }, x = {} }, { width = #text - 1 }))
        assert.are.equal("{\n  list = {\n    100,\n    200,\n  },\n}", show({ list = { 100, 200 } }, { width = 10 }))
    end)

    it("never makes a line of a table wider than it may be", function()
        local value = { names = { "web1", "web2", "日本日本日本", "ünïcödé" }, ports = { 80, 443 }, { { { "deep" } } } }
        local width = require "orrery.play.views.width"
        for columns = 24, 90 do
            for _, line in ipairs(lines_of(show(value, { width = columns }))) do
                assert.is_true(width.of(line) <= columns, line)
            end
        end
    end)

    it("sorts: the sequence, numbers, strings, others", function()
        local t = { "a", "b", nil, "d", [-1] = 1, [2.5] = 2, b = 1, a = 2, Z = 3, [true] = 4 }
        assert.are.equal('{ "a", "b", [-1] = 1, [2.5] = 2, [4] = "d", Z = 3, a = 2, b = 1, [true] = 4 }', show(t))
        assert.are.equal("{ [{...}] = 1 }", show { [{}] = 1 })
    end)

    it("runs no metamethod but __tostring", function()
        local function no() error "it was run" end
        local t = setmetatable({ a = 1 }, { __index = no, __pairs = no, __ipairs = no, __len = no, __eq = no,
            __call = no, __newindex = no, __metatable = "hidden" })
        assert.are.equal("{ t, a = 1 }", (show { t, a = 1 }:gsub("{ a = 1 }", "t")))
        local function object(say) return setmetatable({}, { __tostring = say, __metatable = false }) end
        assert.are.equal("{ web1 }", show { object(function() return "web1" end) })
        assert.are.equal("a\\x1b[1m\nb", show(object(function() return "a\27[1m\nb" end)))
        assert.are.equal("{ a\\nb }", show { object(function() return "a\nb" end) })
        assert.are.equal("<__tostring failed: oh>", show(object(function() error("oh", 0) end)))
        assert.are.equal("<__tostring failed: a table>", show(object(function() error {} end)))
        assert.are.equal("1", show(object(function() return 1 end)))
        assert.are.equal("<__tostring failed: a table>", show(object(function() return {} end)))
        local long = show({ object(function() return ("x"):rep(2 ^ 20) end) }, { width = 999 })
        assert.are.equal("{ " .. ("x"):rep(400) .. "... 1024 KiB more }", long)
    end)

    it("marks cycles, and tables that were there before", function()
        local t = { a = { b = {} }, list = { {}, { 1 } } }
        t.self, t.a.b.up, t.again, t.list[3] = t, t.a, t.a.b, t.list[2]
        t.a["x y"] = t.a.b
        assert.are.same({
            "{",
            '  a = { b = { up = <cycle: .a> }, ["x y"] = <same as .a.b> },',
            "  again = <same as .a.b>,",
            "  list = { {}, { 1 }, <same as .list[2]> },",
            "  self = <cycle>,",
            "}",
        }, lines_of(show(t)))
    end)
end)

describe("what pretty shows", function()
    it("is bounded in depth", function()
        local t = {}
        local inner = t
        for _ = 1, 10000 do
            inner.t = {}
            inner = inner.t
        end
        assert.are.equal("{ t = { t = { t = {...} } } }", show(t, { depth = 3 }))
        assert.are.equal(6, select(2, show(t):gsub("t =", "")))
    end)

    it("is bounded in entries", function()
        local t = {}
        for i = 1, 12 do t[i] = i end
        t.x = 1
        assert.are.equal("{ 1, 2, 3, ... 10 more }", show(t, { items = 3 }))
        assert.are.equal(101 + 2, #lines_of(show((function()
            local many = {}
            for i = 1, 1000 do many["k" .. i] = i end
            return many
        end)())))
        assert.are.equal("{ [1.5] = 1, a = 2, ... 2 more }", show({ [1.5] = 1, b = 3, c = 4, a = 2 }, { items = 2 }))
    end)

    it("is bounded in the length of texts, at a character", function()
        local text = show(("é"):rep(10000))
        assert.are.equal('"' .. ("é"):rep(2000) .. '"... 16 KiB more', text)
        assert.are.equal('"' .. "a" .. ("é"):rep(1999) .. '"... 1 byte more', show("a" .. ("é"):rep(1999) .. "b",
            { length = 3999 }))
        assert.are.equal('{ "' .. ("x"):rep(400) .. '"... 600 bytes more }', show({ ("x"):rep(1000) }, { width = 999 }))
        assert.are.equal('{ ["' .. ("x"):rep(400) .. '"... 600 bytes more] = 1 }',
            show({ [("x"):rep(1000)] = 1 }, { width = 999 }))
    end)

    it("is bounded in lines", function()
        local t = {}
        for i = 1, 50 do t[i] = { ("x"):rep(60), ("y"):rep(60) } end
        local lines = lines_of(show(t, { lines = 10 }))
        assert.are.equal(11, #lines)
        assert.are.equal("... 192 more lines", lines[11])
        lines = lines_of(pretty.values({ lines = 3 }, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
        assert.are.same({ "1", "2", "3", "... 7 more values" }, lines)
        lines = lines_of(pretty.values({ lines = 2, width = 4 }, 2, { 100 }, 2))
        assert.are.same({ "{", "  100,", "... 1 more line", "... 1 more value" }, lines)
    end)

    it("is bounded in all", function()
        local function wide(depth)
            local t = {}
            for i = 1, 100 do t[i] = depth > 0 and wide(depth - 1) or ("\1"):rep(400) end
            return t
        end
        assert.is_true(#show(wide(1), { lines = 1e9 }) < 600000)
        assert.is_true(#show(wide(2)) < 600000)
    end)

    it("takes no time for a table of a million", function()
        local names, list = {}, {}
        for i = 1, 1e6 do
            names[i + 0.5] = i
            list[i] = i
        end
        for _, t in ipairs { names, list, { names, list } } do
            local before = os.clock()
            local text = show(t, { items = 3 })
            assert.is_true(os.clock() - before < 0.5, os.clock() - before)
            assert.is_truthy(text:find("... 999997 more", 1, true))
        end
        for i = 1e6 + 1, 2e6 + 1 do list[i] = i end
        assert.are.equal("{ 1, 2, ... many more }", show(list, { items = 2 }))
        local t = {}
        for i = 1, 30 do t[i] = { names, i } end
        assert.is_truthy(show(t):find "<same as %[1%]%[1%]>")
    end)

    it("raises for options that there are none of", function()
        local ok, err = pcall(show, 1, { dept = 3 })
        assert.is_false(ok)
        assert.are.equal("pretty.format: unknown option 'dept'; did you mean 'depth'?", err.message)
        assert.is_false(pcall(show, 1, { width = 0 }))
    end)
end)

describe("pretty in colour", function()
    it("says the same", function()
        local value = { 1, "a", true, print, { x = 12LL }, ("long"):rep(200), setmetatable({}, { __tostring = error }) }
        for _, width in ipairs { 20, 80, 1000 } do
            local coloured = show(value, { colour = true, width = width })
            assert.are.equal(show(value, { width = width }), (coloured:gsub("\27%[%d*m", "")))
            for _, line in ipairs(lines_of(coloured)) do
                local _, begun = line:gsub("\27%[%d+m[^\27]+\27%[0m", "")
                assert.are.equal(2 * begun, select(2, line:gsub("\27", "")))
            end
        end
        assert.are.equal("\27[32m\"a\"\27[0m", show("a", { colour = true }))
        assert.are.equal("\27[36m1\27[0m", show(1, { colour = true }))
        assert.are.equal("\27[35mnil\27[0m", show(nil, { colour = true }))
        assert.are.equal("{ a = \27[36m1\27[0m }", show({ a = 1 }, { colour = true }))
    end)

    it("ends on each line", function()
        local lines = lines_of(show("one\ntwo", { colour = true, width = 4 }))
        assert.are.same({ "\27[32m[[\27[0m", "\27[32mone\27[0m", "\27[32mtwo]]\27[0m" }, lines)
    end)
end)

describe("pretty.values", function()
    it("shows each on its line, also nil", function()
        assert.are.equal("", pretty.values(nil, 0))
        assert.are.equal("nil", pretty.values({}, 1, nil))
        assert.are.equal('1\nnil\n{ "a" }\nnil', pretty.values({}, 4, 1, nil, { "a" }, nil))
    end)
end)

describe("a secret in what pretty shows", function()
    local text = "hunter22-pretty"

    setup(function() secret.new(text) end)

    it("is hidden, wherever it is", function()
        assert.are.equal('"postgres://app:********@db1"', show("postgres://app:" .. text .. "@db1"))
        assert.are.equal('{ "********", ******** = 1 }', (show { text, [text] = 1 }:gsub('%["(%**)"%]', "%1")))
        assert.are.equal("{ (secret) }", show { secret.new(text) })
        assert.is_nil(show(setmetatable({}, { __tostring = function() return text end })):find(text, 1, true))
        secret.new "81723645546"
        assert.are.equal("{ ******** }", show { 81723645546 })
        secret.new 'quoted"\\\n\27pretty'
        assert.are.equal('"x ******** y"', show 'x quoted"\\\n\27pretty y')
    end)

    it("is hidden where the text is cut in it", function()
        for length = 96, 120 do
            local shown = show(("x"):rep(100) .. text .. ("y"):rep(200), { length = length })
            assert.is_nil(shown:find "xh")
            assert.is_nil(shown:find "unter")
        end
    end)
end)

describe("pretty in a child", function()
    it("is there by itself", function()
        local child = orrery.localhost()
        local said = child:call("orrery.repl.pretty.values", { width = 20, colour = false }, 2, { "ü", 1 }, nil)
        assert.are.equal('{ "ü", 1 }\nnil', said)
        child:close()
    end)
end)
