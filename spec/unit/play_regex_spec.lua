local leak = require "spec.support.leak"
local regex = require "orrery.play.text.regex"

leak.guard()

local function find(pattern, text, init, opts)
    return { assert(regex.compile(pattern, opts)):find(text, init) }
end

local function whole(pattern, text, opts)
    local first, last = assert(regex.compile(pattern, opts)):find(text)
    return first and text:sub(first, last)
end

describe("a regular expression", function()
    it("finds what it says", function()
        for _, case in ipairs {
            { "abc", "xabcx", "abc" }, { "a.c", "abc", "abc" }, { "a.c", "a\nc", nil },
            { "(?s)a.c", "a\nc", "a\nc" }, { "", "x", "" }, { "^b", "ab", nil }, { "b$", "ab", "b" },
            { "b$", "b\n", "b" }, { "b\\z", "b\n", nil }, { "a*", "aaab", "aaa" }, { "a+?", "aaab", "a" },
            { "a{2}", "aaab", "aa" }, { "a{2,}", "aaab", "aaa" }, { "a{,2}b", "aaab", "aab" },
            { "a{x}", "a{x}", "a{x}" }, { "{% if %}", "{% if %}", "{% if %}" }, { "colou?r", "color", "color" },
            { "(a|ab)(c|bcd)", "abcd", "abcd" }, { "a|b|", "c", "" }, { "[a-c]+", "xabcd", "abc" },
            { "[^a-c]+", "abxyc", "xy" }, { "[]a]+", "a]b", "a]" }, { "[a-]+", "-a", "-a" },
            { "[\\]\\-x]+", "x-]", "x-]" }, { "[\\w.]+", " a_1.b ", "a_1.b" }, { "[[:upper:]]+", "aBCd", "BC" },
            { "[^[:space:]#]+", " ab#", "ab" }, { "[\\d\\s]+", "a1 2b", "1 2" }, { "\\d+", "a12b", "12" },
            { "\\S+", "  ab ", "ab" }, { "\\bfoo\\b", "afoo foo", "foo" }, { "\\<b", "ab b", "b" },
            { "\\x41\\t", "A\t", "A\t" }, { "\\.\\*\\/", ".*/", ".*/" }, { "(?i)aBc[d]", "AbCD", "AbCD" },
            { "(?i)[^a]", "Ab", "b" }, { "(?i)[^A]", "ab", "b" }, { "x(?=y)", "xz xy", "x" },
            { "x(?!z)", "xz xy", "x" }, { "(?<=a)b", "bab", "b" }, { "(?<!a)b", "abb", "b" },
            { "(?>a*)a", "aaa", nil }, { "a*+a", "aaa", nil }, { "(?:ab)++c", "ababc", "ababc" },
            { "(a)\\1", "abaa", "aa" }, { "(?<q>['\"])x\\k<q>", "'x\" 'x'", "'x'" }, { "(?i)(a)\\1", "aA", "aA" },
            { "(?#note)a", "a", "a" }, { "é+", "caféé!", "éé" }, { "(a*)*b", "aab", "aab" },
            { "(a|b)*c", "abac", "abac" }, { "(?:a|b)*?b", "aab", "aab" }, { "^(?:x|y)$", "y", "y" },
            { "(a?){3}b", "aab", "aab" }, { "()*a", "a", "a" },
        } do
            assert.are.equal(case[3], whole(case[1], case[2]), case[1] .. " in " .. case[2])
        end
    end)

    it("captures", function()
        assert.are.same({ 1, 3, "b", "c" }, find("a(b)(c)", "abc"))
        assert.are.same({ 1, 1, false, "c" }, find("(b)?(c)", "c"))
        assert.are.same({ 1, 4, "cd" }, find("(?:a|b)*(cd)", "abcd"))
        assert.are.same({ 1, 3, "c" }, find("(a|b|c)*", "abc"))
        assert.are.same({ 1, 3, "abc", "b" }, find("(a(b)c)", "abc"))
        assert.are.same({ 1, 4, "ab", "b" }, find("(a(b))+", "abab"))
        assert.are.same({ 1, 2, false, "b" }, find("a(?:(x)|(b))", "ab"))
    end)

    it("begins where it is told, and sees what is before that", function()
        assert.are.same({ 3, 3 }, find("^b", "a\nb", 2, { multiline = true }))
        assert.are.same({}, find("^b", "ab", 2, { multiline = true }))
        assert.are.same({}, find("\\bb", "ab", 2))
        assert.are.same({ 3, 2 }, find("$", "ab", 3))
        assert.are.same({ 2, 2 }, find("a$", "\na\n", 1, { multiline = true }))
    end)

    it("is an error where it is none", function()
        for text, why in pairs {
            ["(a"] = "not closed", ["a)"] = "not opened", ["[a"] = "not closed", ["*a"] = "nothing in front of the *",
            ["a**"] = "nothing in front", ["a\\"] = "at the end", ["\\q"] = "no \\q", ["[z-a]"] = "before it begins",
            ["(?x)a"] = "only i, m and s", ["\\2(a)"] = "no group 2", ["a{3,2}"] = "fewer",
            ["^*"] = "cannot be repeated",
            ["[[:foo:]]"] = "no class",
            ["(?<=a*)b"] = "one length", ["a{2000}"] = "more than 1000", ["(?P=x)"] = "there is no", ["[é]"] = "ASCII",
        } do
            local compiled, problem = regex.compile(text)
            assert.is_nil(compiled, text)
            assert.truthy(problem:find(why, 1, true), text .. ": " .. problem)
        end
    end)

    it("gives up on what would never end", function()
        local hopeless = assert(regex.compile "(a*)*c")
        local ok, err = pcall(hopeless.find, hopeless, ("a"):rep(40))
        assert.is_false(ok)
        assert.matches("%(a%*%)%*c.*too long", err)
    end)

    it("goes through a large text", function()
        local text = ("some line of text = 1\n"):rep(20000) .. "key = 2\n"
        local first = assert(regex.compile("^key\\s*=\\s*(\\d+)$", { multiline = true })):find(text)
        assert.are.equal(#text - 7, first)
        assert.are.equal(text, whole("(?s).*", text))
        assert.are.equal(22 * 1000, #whole("(?:[^\\n]*\\n){1000}", text))
        local many = assert(regex.compile "(?:[^\\n]*\\n)*")
        local ok, err = pcall(many.find, many, text)
        assert.is_false(ok)
        assert.matches("repeated too many times", err)
    end)
end)
