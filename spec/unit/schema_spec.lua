local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local schema = require "orrery.play.schema"

leak.guard()

local function octal(text) return tonumber(text, 8) end

describe("schemas", function()
    local function check(option, value) return schema.check("thing", { o = value }, { o = option }).o end
    local function wrong(option, value)
        local err = remote.failure(check, option, value)
        assert.are.equal("option", err.code)
        assert.matches("schema_spec%.lua:%d+$", err.at)
        return err.message
    end

    it("take what the type says, and name resource, option and value of what it does not", function()
        assert.are.equal("x", check({ type = "string" }, "x"))
        assert.are.equal("8080", check({ type = "string" }, 8080))
        assert.are.equal("thing: option 'o' must be a string, not true", wrong({ type = "string" }, true))
        assert.are.equal("thing: option 'o' must be a whole number, not 1.5", wrong({ type = "integer" }, 1.5))
        assert.are.equal('thing: option \'o\' must be true or false, not "yes"', wrong({ type = "boolean" }, "yes"))
        assert.are.equal("thing: option 'o' must be a number, not a table", wrong({ type = "number" }, {}))
    end)

    it("name what is missing or unknown", function()
        local spec = { path = { type = "path", required = true }, mode = { type = "mode" } }
        assert.matches("thing: option 'path' is missing", remote.failure(schema.check, "thing", {}, spec).message)
        assert.matches("thing: unknown option 'pth'; did you mean 'path'%?",
            remote.failure(schema.check, "thing", { pth = "/" }, spec).message)
        assert.matches("thing: unknown option 'zzzzzz'; it takes: mode, path",
            remote.failure(schema.check, "thing", { zzzzzz = 1 }, spec).message)
        assert.matches("options have names, but there is one at %[1%]",
            remote.failure(schema.check, "thing", { "x" }, spec).message)
    end)

    it("fill in defaults, which are checked, too", function()
        local spec = { n = { type = "size", default = "1K" }, off = { type = "boolean", default = false } }
        assert.are.same({ n = 1024, off = false }, schema.check("thing", {}, spec))
    end)

    it("check lists and maps, and say what in them is wrong", function()
        local list = { type = "list", of = "string" }
        assert.are.same({ "a", "1" }, check(list, { "a", 1 }))
        assert.are.equal("thing: option 'o' [2] must be a string, not false", wrong(list, { "a", false }))
        assert.are.equal("thing: option 'o' must be a list, not a table", wrong(list, { a = 1 }))
        assert.are.equal('thing: option \'o\' must be a list, not "a"', wrong(list, "a"))
        local map = { type = "map", of = { type = "list", of = "integer" } }
        assert.are.same({ a = { 1, 2 } }, check(map, { a = { 1, 2 } }))
        assert.are.equal('thing: option \'o\' [\'a\'] [1] must be a whole number, not "x"', wrong(map, { a = { "x" } }))
    end)

    it("take one of several types", function()
        local either = { type = { "string", "list" }, of = "string" }
        assert.are.equal("x", check(either, "x"))
        assert.are.same({ "x" }, check(either, { "x" }))
        assert.are.equal("thing: option 'o' must be a string or a list, not true", wrong(either, true))
    end)

    it("take one of some values, and guess which was meant", function()
        local enum = { enum = { "present", "absent" } }
        assert.are.equal("absent", check(enum, "absent"))
        assert.are.equal(
            'thing: option \'o\' must be one of "present", "absent" (did you mean "absent"?), not "absnt"',
            wrong(enum, "absnt"))
    end)

    it("ask the option's own check", function()
        local even = { type = "integer", check = function(n) return n % 2 == 0, "must be even" end }
        assert.are.equal(2, check(even, 2))
        assert.are.equal("thing: option 'o' must be even, not 3", wrong(even, 3))
    end)

    it("take paths that are absolute", function()
        assert.are.equal("/a/b", check({ type = "path" }, "/a/b/"))
        assert.are.equal("/", check({ type = "path" }, "/"))
        assert.are.equal("/", check({ type = "path" }, "//"))
        assert.matches("must be an absolute path", wrong({ type = "path" }, "a"))
        assert.matches("without NUL bytes", wrong({ type = "path" }, "/a\0b"))
    end)

    it("read durations and sizes", function()
        for text, seconds in pairs { ["90"] = 90, ["90s"] = 90, ["5m"] = 300, ["1h30m"] = 5400, ["500ms"] = 0.5 } do
            assert.are.equal(seconds, check({ type = "duration" }, text))
        end
        assert.are.equal(1.5, check({ type = "duration" }, 1.5))
        for _, bad in ipairs { "", "5x", "m", "-1", -1 } do wrong({ type = "duration" }, bad) end
        for text, bytes in pairs { ["10"] = 10, ["1K"] = 1024, ["1.5M"] = 1572864, ["2GiB"] = 2147483648 } do
            assert.are.equal(bytes, check({ type = "size" }, text))
        end
        for _, bad in ipairs { "1kb", "", "K", "-1", -1, 1.5 } do wrong({ type = "size" }, bad) end
    end)

    it("take users by name and by number", function()
        assert.are.equal(33, check({ type = "owner" }, "33"))
        assert.are.equal(33, check({ type = "owner" }, 33))
        assert.are.equal("www-data", check({ type = "owner" }, "www-data"))
        wrong({ type = "owner" }, "a:b")
        wrong({ type = "owner" }, "")
    end)

    it("refuse to be wrong themselves", function()
        assert.matches("option 'x' has type 'strng', which there is not",
            remote.failure(schema.validate, "thing", { x = { type = "strng" } }).message)
        assert.matches("must be described by a table",
            remote.failure(schema.validate, "thing", { x = "string" }).message)
    end)
end)

describe("modes", function()
    local function bits(text, now, directory) return schema.mode(text):of(octal(now or "0"), directory) end

    it("are read as octal digits, which are all of it", function()
        assert.are.equal(octal "644", bits "644")
        assert.are.equal(octal "4755", bits("04755", "777"))
        assert.is_nil(schema.mode "888")
        assert.is_nil(schema.mode "77777")
    end)

    it("are read as chmod does, from what is there", function()
        local cases = {
            { "u=rw,go=r", "777", "644" }, { "u+x", "644", "744" }, { "go-rwx", "777", "700" }, { "a=r", "777", "444" },
            { "+x", "644", "755" }, { "g+s", "755", "2755" }, { "u+s,o-x", "755", "4754" }, { "=", "755", "0" },
            { "+t", "777", "1777" }, { "go=rX,u=rwX", "600", "644" }, { "ug=rwx,o=", "0", "770" },
        }
        for _, case in ipairs(cases) do
            assert.are.equal(octal(case[3]), bits(case[1], case[2]), case[1])
        end
        assert.are.equal(octal "755", bits("u=rwX,go=rX", "600", true))
        assert.are.equal(octal "2755", bits("u=rwx,go=rx", "2700", true))
        for _, bad in ipairs { "u", "x=r", "u=q", "rwx", "", "u=r;g=r" } do assert.is_nil(schema.mode(bad), bad) end
    end)
end)
