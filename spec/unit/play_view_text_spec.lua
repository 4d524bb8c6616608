local leak = require "spec.support.leak"
local problem = require "orrery.play.views.problem"
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

leak.guard()

describe("widths", function()
    it("are columns of a terminal", function()
        assert.are.equal(5, width.of "plain")
        assert.are.equal(4, width.of "日本")
        assert.are.equal(1, width.of "e\204\129") -- a combining accent
        assert.are.equal(1, width.of "ü")
        assert.are.equal(2, width.of "🚀")
        assert.are.equal(0, width.of "\226\128\139") -- a space of no width
        assert.are.equal(2, width.of "Ａ") -- full width
        assert.are.equal(2, width.of "한")
    end)

    it("cut what is too long, and never a character in two", function()
        assert.are.equal("plain", width.cut("plain", 5))
        assert.are.equal("pla…", width.cut("plain", 4))
        assert.are.equal("日…", width.cut("日本語", 4))
        assert.are.equal("日…", width.cut("日本語", 3))
        assert.are.equal("", width.cut("plain", 0))
        assert.are.equal("日  |", width.pad("日", 4) .. "|")
        assert.are.equal("   7", width.pad("7", 4, true))
    end)

    it("wrap lines at spaces", function()
        assert.are.same({ "the quick", "brown fox", "jumps" }, width.wrap("the quick brown fox jumps", 10))
        assert.are.same({ "aaaaaaaaaa", "aaaaaaaaaa", "aa" }, width.wrap(("a"):rep(22), 10))
        for _, line in ipairs(width.wrap(("日本語 "):rep(20), 11)) do assert.is_true(width.of(line) <= 11) end
    end)
end)

describe("texts", function()
    it("leave nothing that a terminal would obey", function()
        assert.are.equal("\\x1b[31mred\\x07", text.printable "\27[31mred\7")
        assert.are.equal("a\\x00b", text.printable "a\0b")
        assert.are.equal("\\xc2\\x9b2J", text.printable "\194\1552J")
        assert.are.equal("\\xff\\xc0\\x80", text.printable "\255\192\128")
        assert.are.equal("\\xed\\xa0\\x80", text.printable "\237\160\128") -- half of a surrogate pair
        assert.are.equal("\\xe2\\x80\\xaetxt.exe", text.printable "\226\128\174txt.exe") -- from right to left
        assert.are.equal("tab\there, ©ünï 日本", text.printable "tab\there, ©ünï 日本\r")
        assert.are.equal("42", text.printable(42))
    end)

    it("are what is seen in the end of a line that overwrites itself", function()
        assert.are.equal("100%", text.flat "1%\r50%\r100%\r")
        assert.are.equal("a    b", text.flat "a\tb")
    end)

    it("become UTF-8 where they must be", function()
        assert.are.equal("a\239\191\189b", text.utf8 "a\255b")
        assert.are.equal("日本", text.utf8 "日本")
    end)

    it("say durations and sizes in few words", function()
        local shown = {}
        for i, seconds in ipairs { 0, 0.04, 0.0999, 0.3, 9.94, 9.96, 59.6, 185, 7380 } do
            shown[i] = text.duration(seconds)
        end
        assert.are.same({
            "0 ms", "40 ms", "0.1 s", "0.3 s", "9.9 s", "10 s", "1 min 00 s", "3 min 05 s", "2 h 03 min",
        }, shown)
        assert.are.equal("0.5 to 1.5 s", text.durations(0.5, 1.5))
        assert.are.equal("0.2 s", text.durations(0.1, 0.2))
        assert.are.equal("50 s to 2 min 00 s", text.durations(50, 120))
        assert.are.equal("512 B", text.bytes(512))
        assert.are.equal("1.5 KiB", text.bytes(1536))
        assert.are.equal("48 MiB", text.bytes(48 * 1024 * 1024))
    end)

    it("have colours", function()
        assert.are.equal("\27[32mok\27[0m", text.painter(true)("ok", "ok"))
        assert.are.equal("ok", text.painter(false)("ok", "ok"))
    end)

    it("know which step is past another", function()
        assert.is_true(text.is_past("4", "3"))
        assert.is_true(text.is_past("3.2", "3.1.7"))
        assert.is_true(text.is_past("10", "9"))
        assert.is_false(text.is_past("3.2", "3"))
        assert.is_false(text.is_past("3", "3.2"))
        assert.is_false(text.is_past("2", "3"))
        assert.is_false(text.is_past("restart nginx", "3"))
    end)
end)

describe("errors", function()
    local function shown(...)
        local out = {}
        for i, line in ipairs(problem.lines(...)) do out[i] = line.text end
        return out
    end

    it("are shown whole: place, causes, parts, output", function()
        local err = {
            code = "command", message = "cannot install nginx\napt-get ended with 100", at = "deploy.lua:14",
            result = { stdout = "", stderr = "E: no such package\n" },
            cause = { code = "partial", message = "two of them", errors = {
                { item = "web1", error = { message = "no\27[31m" } }, { index = 2, error = "never" },
            }, cause = "the end" },
        }
        assert.are.same({
            "cannot install nginx", "  apt-get ended with 100", "at deploy.lua:14, step 3, code command, 2 attempts",
            "stderr| E: no such package", "cause: two of them", "- web1: no\\x1b[31m", "- 2: never", "cause: the end",
        }, shown(err, { step = "3", attempts = 2 }))
    end)

    it("may be anything, and go in circles", function()
        assert.are.same({ "failed" }, shown(nil))
        assert.are.same({ "a text" }, shown "a text")
        local circle = { message = "again" }
        circle.cause = circle
        assert.is_true(#shown(circle) < 20)
    end)

    it("that differ by the host's name are the same", function()
        assert.are.equal(problem.general({ message = "web1 is gone" }, "web1"),
            problem.general({ message = "web2 is gone" }, "web2"))
        assert.are_not.equal(problem.general({ message = "web12 is gone" }, "web1"),
            problem.general({ message = "web2 is gone" }, "web2"))
    end)
end)
