--- Unified diffs, as patch(1) takes them and people read them.

local diff = require "orrery.play.diff"

local function lines(...) return table.concat({ ... }, "\n") end

local function numbered(n, replace)
    local list = {}
    for i = 1, n do list[i] = (replace and replace[i] or "line " .. i) .. "\n" end
    return table.concat(list)
end

describe("a unified diff", function()
    it("is nothing where nothing changes", function()
        assert.is_nil(diff.unified("a\n", "a\n"))
        assert.is_nil(diff.unified("", ""))
        assert.is_nil(diff.unified(nil, nil))
    end)

    it("shows what changes, with three lines around it", function()
        assert.are.equal(lines("--- /etc/x", "+++ /etc/x (new)", "@@ -7,7 +7,7 @@", " line 7", " line 8", " line 9",
            "-line 10", "+ten", " line 11", " line 12", " line 13"),
            diff.unified(numbered(20), numbered(20, { [10] = "ten" }), { from = "/etc/x", to = "/etc/x (new)" }))
    end)

    it("joins what is near, and parts what is not", function()
        local text = diff.unified(numbered(40), numbered(40, { [3] = "c", [8] = "h", [30] = "x" }))
        local heads = {}
        for head in text:gmatch "@@[^\n]*@@" do heads[#heads + 1] = head end
        assert.are.same({ "@@ -1,11 +1,11 @@", "@@ -27,7 +27,7 @@" }, heads)
        text = diff.unified(numbered(5), numbered(5, { [3] = "c" }), { context = 0 })
        assert.are.equal(lines("--- before", "+++ after", "@@ -3 +3 @@", "-line 3", "+c"), text)
    end)

    it("shows what comes and what goes", function()
        assert.are.equal(lines("--- /dev/null", "+++ f", "@@ -0,0 +1,2 @@", "+a", "+b"),
            diff.unified(nil, "a\nb\n", { from = "f", to = "f" }))
        assert.are.equal(lines("--- f", "+++ /dev/null", "@@ -1 +0,0 @@", "-a"),
            diff.unified("a\n", nil, { from = "f" }))
        assert.are.equal(lines("--- before", "+++ after", "@@ -0,0 +1 @@", "+a"), diff.unified("", "a\n"))
    end)

    it("says where the last line has no newline", function()
        local none = "\\ No newline at end of file"
        assert.are.equal(lines("--- before", "+++ after", "@@ -1,2 +1,2 @@", " a", "-b", none, "+b"),
            diff.unified("a\nb", "a\nb\n"))
        assert.are.equal(lines("--- before", "+++ after", "@@ -1,2 +1,2 @@", "-a", "+x", " b", none),
            diff.unified("a\nb", "x\nb"))
    end)

    it("is as short as can be", function()
        assert.are.equal(lines("--- before", "+++ after", "@@ -1,5 +1,4 @@", "-a", " b", " c", "+x", " d", "-e"),
            diff.unified("a\nb\nc\nd\ne\n", "b\nc\nx\nd\n"))
    end)

    it("writes out what a terminal would obey", function()
        assert.are.equal(lines("--- before", "+++ after", "@@ -1 +1,2 @@", "-a\\x0d", "+\\x1b[31m\tred ö €",
            "+\\xe4\\xc2\\x9b\\xff"), diff.unified("a\r\n", "\27[31m\tred ö €\n\xe4\xc2\x9b\xff\n"))
        assert.are.equal("\\x00\\x7f", diff.printable "\0\127")
        assert.are.equal("\\xc0\\xafa\\xed\\xa0\\x80", diff.printable "\xc0\xafa\xed\xa0\x80")
        assert.are.equal("𝄞", diff.printable "𝄞")
    end)

    it("does not show binary files", function()
        assert.are.equal(lines("--- before", "+++ after", "Binary files differ (3 bytes, 5 bytes)"),
            diff.unified("a\0b", "abcde"))
        assert.are.equal(lines("--- /dev/null", "+++ after", "Binary files differ (nothing, 2 bytes)"),
            diff.unified(nil, "\0b"))
    end)

    it("does not show what is too large", function()
        assert.are.equal(lines("--- before", "+++ after", "They differ, and are too large to show (6 bytes, 6 bytes)"),
            diff.unified("line1\n", "line2\n", { largest = 10 }))
    end)

    it("may have colours", function()
        assert.are.equal(lines("\27[1m--- before\27[0m", "\27[1m+++ after\27[0m", "\27[36m@@ -1,2 +1,2 @@\27[0m", " a",
            "\27[31m-b\27[0m", "\27[32m+c\27[0m"), diff.unified("a\nb\n", "a\nc\n", { colour = true }))
    end)

    it("ends also where two texts have nothing in common", function()
        local a, b = {}, {}
        for i = 1, 6000 do a[i], b[i] = "a" .. i * 7 % 6000, "b" .. i * 11 % 6000 end
        b[3000] = a[3000]
        local text = diff.unified(table.concat(a, "\n"), table.concat(b, "\n"))
        local _, count = text:gsub("\n[-+]", "")
        assert.is_true(count >= 11998 + 1 and count <= 12001, tostring(count))
    end)
end)

describe("differences", function()
    it("are shown in the same style", function()
        assert.are.equal(lines("-mode: 644", "+mode: 755", "+owner: app", "-groups: wheel, adm", "+groups: none",
            "--- /etc/x", "+++ /etc/x", "@@ -1 +1 @@", "-a", "+b"), diff.format {
            { what = "mode", before = "644", after = "755" },
            { what = "owner", after = "app" },
            { what = "groups", before = { "wheel", "adm" }, after = {} },
            { path = "/etc/x", before = "a\n", after = "b\n" },
        })
        assert.are.equal("", diff.format {})
        assert.are.equal("-x: { a=1, b=false }", diff.format { { what = "x", before = { b = false, a = 1 } } })
        assert.are.equal("+x: two\\nlines \\x1b", diff.format { { what = "x", after = "two\nlines \27" } })
    end)

    it("of a file that is removed or made", function()
        assert.are.equal(lines("--- /dev/null", "+++ /x", "@@ -0,0 +1 @@", "+a"),
            diff.format { { path = "/x", after = "a\n" } })
        assert.are.equal("-/x: 12", diff.format { { path = "/x", before = 12 } })
    end)

    it("may have colours", function()
        assert.are.equal(lines("\27[31m-m: 1\27[0m", "\27[32m+m: 2\27[0m"),
            diff.format({ { what = "m", before = 1, after = 2 } }, { colour = true }))
    end)
end)
