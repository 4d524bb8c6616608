local block = require "orrery.play.text.block"
local glob = require "orrery.play.text.glob"
local leak = require "spec.support.leak"
local line = require "orrery.play.text.line"
local lines = require "orrery.play.text.lines"
local match = require "orrery.play.text.match"

leak.guard()

local function rx(text, opts) return assert(match.regexp(text, opts)) end

describe("match.replace", function()
    local function replaced(text, matcher, by, ...) return { match.replace(text, matcher, by, ...) } end

    it("fills in what was captured", function()
        assert.are.same({ "b=a", 1 }, replaced("a=b", rx "(.)=(.)", [[\2=\1]]))
        assert.are.same({ "[a]a1\n\\", 1 }, replaced("a", rx "a", "[\\0]\\g<0>1\\n\\\\"))
        assert.are.same({ "a2", 1 }, replaced("a", rx "(a)", [[\g<1>2]]))
        assert.are.same({ "x\\q", 1 }, replaced("a", rx "a", [[x\q]]))
        assert.are.same({ "b=a", 1 }, replaced("a=b", assert(match.pattern "(.)=(.)"), "%2=%1"))
        assert.are.same({ "100%", 1 }, replaced("a", assert(match.pattern "a"), "100%%"))
        assert.are.same({ "\\1", 1 }, replaced("a", match.literal "a", "\\1"))
    end)

    it("goes on behind what it found", function()
        assert.are.same({ "bb", 2 }, replaced("aa", rx "a", "b"))
        assert.are.same({ "-a-b-", 3 }, replaced("ab", rx "x*", "-"))
        assert.are.same({ "baa", 1 }, replaced("aaa", assert(match.pattern "^a"), "b"))
        assert.are.same({ "x\nx\n", 2 }, replaced("a\na\n", rx("^a$", { multiline = true }), "x"))
    end)

    it("stays between two places", function()
        assert.are.same({ "abba", 2 }, replaced("aaaa", rx "a", "b", 2, 3))
        assert.are.same({ "aaaa", 0 }, replaced("aaaa", rx "aaa", "b", 3, 4))
    end)

    it("needs one of three options", function()
        assert.is_nil((match.of {}))
        local _, problem = match.of { regexp = "a", pattern = "b" }
        assert.matches("cannot both", problem)
        _, problem = match.of { regexp = "" }
        assert.matches("empty", problem)
        assert.are.equal("literal", match.of({ literal = "a" }).kind)
    end)
end)

describe("lines", function()
    it("come together as they were", function()
        for _, text in ipairs { "", "a", "a\n", "a\nb", "a\r\nb\r\n", "a\r\nb\n", "\n\n", "a\r\nb" } do
            assert.are.equal(text, lines.join(lines.split(text)))
        end
    end)
end)

describe("a line", function()
    local function present(text, edit) return (line.present(text, edit)) end

    it("comes to the end", function()
        assert.are.equal("x\n", present("", { line = "x" }))
        assert.are.equal("a\nx\n", present("a", { line = "x" }))
        assert.are.equal("a\r\nx\r\n", present("a\r\n", { line = "x" }))
        assert.are.equal("a\nx\n", present("a\nx\n", { line = "x" }))
    end)

    it("takes the place of the last one that matches", function()
        local edit = { line = "P 2", matcher = rx "^#?P " }
        assert.are.equal("#P 1\nP 2\nb\n", present("#P 1\nP 1\nb\n", edit))
        edit.first = true
        assert.are.equal("P 2\nP 1\nb\n", present("#P 1\nP 1\nb\n", edit))
        assert.are.equal("b\nP 2\n", present("b\n", edit))
    end)

    it("is not inserted again where what matched is gone", function()
        local edit = { line = "P 2", matcher = rx "^#P" }
        local once = present("#P 1\n", edit)
        assert.are.equal("P 2\n", once)
        assert.are.equal(once, present(once, edit))
    end)

    it("goes where it is told", function()
        local text = "a\nb\na\n"
        assert.are.equal("a\nb\na\nx\n", present(text, { line = "x", after = rx "^a" }))
        assert.are.equal("a\nx\nb\na\n", present(text, { line = "x", after = rx "^a", first = true }))
        assert.are.equal("a\nx\nb\na\n", present(text, { line = "x", before = rx "^b" }))
        assert.are.equal("x\na\nb\na\n", present(text, { line = "x", before = "BOF" }))
        assert.are.equal("a\nb\na\nx\n", present(text, { line = "x", before = rx "^z" }))
        assert.are.equal("a\nb\na\nx\n", present(text, { line = "x", after = "EOF" }))
    end)

    it("refers to what it replaces", function()
        local edit = { line = [[\1 = 2]], matcher = rx "^(k)=", backrefs = true }
        assert.are.equal("k = 2\n", present("k=1\n", edit))
        assert.are.equal("z\n", present("z\n", edit))
    end)

    it("goes wherever it is", function()
        assert.are.same({ "b\n", 2 }, { line.absent("a\nb\na", { line = "a" }) })
        assert.are.same({ "b\n", 1 }, { line.absent("ax\nb\n", { matcher = rx "^a" }) })
        assert.are.same({ "b", 0 }, { line.absent("b", { line = "a" }) })
        assert.are.same({ "", 1 }, { line.absent("a\n", { line = "a" }) })
    end)
end)

describe("a block", function()
    local function edit(text, more)
        local t = { first_mark = "# BEGIN", last_mark = "# END", block = text }
        for k, v in pairs(more or {}) do t[k] = v end
        return t
    end

    it("comes, changes and goes", function()
        local one = block.present("a\n", edit "x\ny")
        assert.are.equal("a\n# BEGIN\nx\ny\n# END\n", one)
        assert.are.equal(one, block.present(one, edit "x\ny\n"))
        assert.are.equal("a\n# BEGIN\nz\n# END\n", block.present(one, edit "z\n"))
        assert.are.equal("a\n", block.absent(one, edit ""))
        assert.are.equal("a\n", block.absent("a\n", edit ""))
    end)

    it("stays where it is when it changes", function()
        assert.are.equal("# BEGIN\n2\n# END\nz\n", block.present("# BEGIN\n1\n# END\nz\n", edit "2"))
        assert.are.equal("# BEGIN\n1\n# END\nz\n", block.present("z\n", edit("1", { before = "BOF" })))
        assert.are.equal("a\n# BEGIN\n1\n# END\nz\n", block.present("a\nz\n", edit("1", { after = rx "^a" })))
    end)

    it("has the ends of lines of its file", function()
        assert.are.equal("a\r\n# BEGIN\r\nx\r\n# END\r\n", block.present("a\r\n", edit "x\n"))
    end)

    it("needs marks in order", function()
        for text, why in pairs {
            ["# BEGIN\nx\n"] = "line 1: '# BEGIN' without '# END'",
            ["# END\n# BEGIN\n"] = "line 1: '# END' without",
            ["# BEGIN\n# BEGIN\n# END\n"] = "line 2: '# BEGIN' is there a second time",
        } do
            local after, problem = block.present(text, edit "y")
            assert.is_nil(after)
            assert.matches(why, problem)
            assert.is_nil((block.absent(text, edit "")))
        end
        local _, problem = block.present("", edit "a\n# END\n")
        assert.matches("line 2 of the block", problem)
    end)
end)

describe("globs", function()
    it("match as a shell's do", function()
        for _, case in ipairs {
            { "*.conf", "a.conf", true }, { "*.conf", "d/a.conf", false }, { "?.c", "a.c", true },
            { "[ab]*", "bx", true }, { "[!ab]*", "bx", false }, { "**/x", "x", true }, { "**/x", "a/b/x", true },
            { "a/**", "a/b/c", true }, { "*.{c,h}", "x.h", true }, { "*.{c,h}", "x.o", false },
            { "a+b.txt", "a+b.txt", true }, { "\\*", "*", true }, { "\\*", "a", false }, { "[", "[", true },
        } do
            assert.are.equal(case[3], glob.any { case[1] }(case[2]), case[1] .. " " .. case[2])
        end
    end)

    it("exclude as rsync's do", function()
        local out = glob.excluder { "*.pyc", "/build", "docs/*.tmp", "cache/" }
        assert.is_true(out("a/b.pyc", false))
        assert.is_true(out("build", true))
        assert.is_false(out("a/build", true))
        assert.is_true(out("docs/x.tmp", false))
        assert.is_true(out("a/cache", true))
        assert.is_false(out("a/cache", false))
    end)
end)
