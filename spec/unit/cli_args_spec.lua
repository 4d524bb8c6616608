local args = require "orrery.cli.args"
local Error = require "orrery.error"
local leak = require "spec.support.leak"

leak.guard()

local KNOWN = {
    { name = "hosts", short = "H", value = "text", many = true },
    { name = "limit", value = "count" },
    { name = "timeout", short = "t", value = "seconds" },
    { name = "port", short = "p", value = "port" },
    { name = "fold" },
    { name = "verbose", short = "v", many = true },
}

local function read(...)
    local words, opts = { ... }, {}
    local at = args.read(words, 1, KNOWN, opts, "exec")
    return opts, args.rest(words, at)
end

local function refusal(...)
    local ok, err = pcall(read, ...)
    assert.is_false(ok)
    assert.is_true(Error.is(err), tostring(err))
    assert.are.equal("usage", err.code)
    assert.not_matches("\n", err.message)
    return err.message
end

describe("command line arguments", function()
    it("take values in every usual form", function()
        for _, words in ipairs {
            { "--hosts", "a" }, { "--hosts=a" }, { "-H", "a" }, { "-Ha" },
        } do
            assert.are.same({ hosts = { "a" } }, (read(unpack(words))))
        end
        assert.are.same({ hosts = { "a", "b=c" }, fold = true, limit = 3, timeout = 0.5, port = 22 },
            (read("-Ha", "--fold", "--hosts=b=c", "--limit", "3", "-t.5", "-p22")))
    end)

    it("count flags, and take several in one word", function()
        assert.are.same({ verbose = 3 }, (read("-vv", "--verbose")))
        assert.are.same({ verbose = 2, hosts = { "a" } }, (read("-vvHa")))
    end)

    it("end at the first word, or behind --", function()
        local opts, rest = read("-v", "ls", "-v", "--", "-H")
        assert.are.same({ verbose = 1 }, opts)
        assert.are.same({ "ls", "-v", "--", "-H" }, rest)
        opts, rest = read("-v", "--", "-v")
        assert.are.same({ { verbose = 1 }, { "-v" } }, { opts, rest })
        opts, rest = read("-", "x")
        assert.are.same({ {}, { "-", "x" } }, { opts, rest })
    end)

    it("name the option that was probably meant", function()
        assert.are.equal("orrery exec: unknown option '--fodl' (did you mean '--fold'?); "
            .. "see 'orrery exec --help'", refusal "--fodl")
        assert.are.equal("orrery exec: unknown option '--zzzzzz'; see 'orrery exec --help'",
            refusal "--zzzzzz=1")
        assert.matches("unknown option '%-x'", refusal "-vx")
    end)

    it("refuse values that cannot be", function()
        assert.matches("option '%-%-limit' must be a whole number, 1 or more, not '0'", refusal "--limit=0")
        assert.matches("not '1.5'", refusal("--limit", "1.5"))
        assert.matches("seconds greater than 0, not 'soon'", refusal "-tsoon")
        assert.matches("1 to 65535, not '65536'", refusal "-p65536")
        assert.matches("'%-%-hosts' must not be empty", refusal "--hosts=")
        assert.matches("'%-H' needs a value", refusal "-H")
        assert.matches("'%-%-fold' takes no value", refusal "--fold=yes")
    end)
end)

describe("help", function()
    local help = require "orrery.cli.help"

    it("fits a terminal of 80 columns", function()
        for topic, text in pairs(help) do
            for line in text:gmatch("[^\n]+") do
                assert.is_true(#line <= 80, ("%s: %s"):format(topic, line))
            end
            assert.matches("^usage: orrery", text)
            assert.are.equal("\n", text:sub(-1))
        end
    end)

    it("says every option of exec, and no other", function()
        local known = { help = true, log = true, verbose = true }
        for _, option in ipairs(require("orrery.cli.exec").options) do
            known[option.name] = true
            assert.matches("--" .. option.name, help.exec, 1, true)
            if option.short then
                assert.matches(("-%s, --%s"):format(option.short, option.name), help.exec, 1, true)
            end
        end
        for name in help.exec:gmatch("%-%-(%a[%a-]*)") do assert.is_true(known[name], name) end
    end)
end)
