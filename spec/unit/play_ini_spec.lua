local ini = require "orrery.play.text.ini"
local leak = require "spec.support.leak"

leak.guard()

local TEXT = [[
; global
user = root

[a]
# port = 1
key = old
  more of it
list = 1
list = 2

# about b
[b]
x=1
]]

local function edit(section, option, values, more)
    local t = { section = section, option = option, values = values or {} }
    for k, v in pairs(more or {}) do t[k] = v end
    return t
end

local function present(text, ...)
    local e = edit(...)
    local after = ini.present(text, e)
    assert.are.equal(after, ini.present(after, e), "the second time")
    return after
end

local function lines_that_differ(before, after)
    local old, new, out = {}, {}, {}
    for l in before:gmatch "[^\n]+" do old[l] = true end
    for l in after:gmatch "[^\n]+" do
        new[l] = true
        if not old[l] then out[#out + 1] = "+" .. l end
    end
    for l in before:gmatch "[^\n]+" do
        if not new[l] then out[#out + 1] = "-" .. l end
    end
    return out
end

describe("an ini text", function()
    it("is left alone where it is right", function()
        assert.are.equal(TEXT, present(TEXT, "b", "x", { "1" }))
        assert.are.equal(TEXT, present(TEXT, nil, "user", { "root" }))
        assert.are.equal(TEXT, present(TEXT, "a", "list", { "1", "2" }))
        assert.are.equal(TEXT, present(TEXT, "a"))
    end)

    it("changes a value and nothing else of its line", function()
        assert.are.same({ "+x=2", "-x=1" }, lines_that_differ(TEXT, present(TEXT, "b", "x", { "2" })))
        assert.are.same({ "+user = app", "-user = root" },
            lines_that_differ(TEXT, present(TEXT, nil, "user", { "app" })))
    end)

    it("replaces a value of several lines as a whole", function()
        assert.are.same({ "+key = new", "-key = old", "-  more of it" },
            lines_that_differ(TEXT, present(TEXT, "a", "key", { "new" })))
        assert.are.same({ "-key = old", "-  more of it" },
            lines_that_differ(TEXT, ini.absent(TEXT, edit("a", "key"))))
    end)

    it("puts new options behind the others of the section, or where they stand commented", function()
        assert.truthy(present(TEXT, "a", "new", { "1" }):find("list = 2\nnew = 1\n\n# about b", 1, true))
        assert.truthy(present(TEXT, "a", "port", { "2" }):find("# port = 1\nport = 2\n", 1, true))
        assert.truthy(present(TEXT, "b", "y", { "2" }, { spaces = false }):find("x=1\ny=2\n", 1, true))
        assert.truthy(present(TEXT, nil, "g", { "1" }):find("user = root\ng = 1\n\n[a]", 1, true))
    end)

    it("makes sections", function()
        assert.are.equal("[s]\no = v\n", present("", "s", "o", { "v" }))
        assert.are.equal(TEXT .. "\n[s]\n", present(TEXT, "s"))
        assert.are.equal("o = v\n", present("", nil, "o", { "v" }))
        assert.are.equal("o = v\n[s]\n", present("[s]\n", nil, "o", { "v" }))
    end)

    it("has options of several values", function()
        assert.truthy(present(TEXT, "a", "list", { "1", "3" }):find("list = 1\nlist = 3\n\n", 1, true))
        assert.truthy(present(TEXT, "a", "list", { "2" }):find("old\n  more of it\nlist = 2\n\n", 1, true))
        assert.truthy(present(TEXT, "a", "list", { "3" }, { exclusive = false })
            :find("list = 1\nlist = 2\nlist = 3\n\n", 1, true))
        assert.are.same({ "-list = 1" }, lines_that_differ(TEXT, ini.absent(TEXT, edit("a", "list", { "1" }))))
        assert.are.same({ "-list = 1", "-list = 2" }, lines_that_differ(TEXT, ini.absent(TEXT, edit("a", "list"))))
    end)

    it("has options without a value", function()
        assert.truthy(present(TEXT, "b", "bare"):find("x=1\nbare\n", 1, true))
        assert.are.equal("[b]\nx\n", present("[b]\nx=1\n", "b", "x"))
        assert.are.equal("[b]\nx = 1\n", present("[b]\nx\n", "b", "x", { "1" }))
    end)

    it("loses what is not wanted", function()
        assert.are.equal(TEXT, ini.absent(TEXT, edit("c", "x")))
        assert.are.equal(TEXT, ini.absent(TEXT, edit("b", "z")))
        assert.is_nil(ini.absent(TEXT, edit "b"):find("[b]", 1, true))
        assert.is_nil(ini.absent(TEXT, edit "b"):find("x=1", 1, true))
    end)

    it("has values that go on behind a backslash", function()
        local text = "[s]\nExec=a \\\n  --b=c \\\n  d\nNext=1\n"
        assert.are.equal("[s]\nExec=x\nNext=1\n", present(text, "s", "Exec", { "x" }))
        assert.are.equal("[s]\nNext=1\n", ini.absent(text, edit("s", "Exec")))
        assert.are.equal(text, ini.absent(text, edit("s", "--b")))
    end)

    it("keeps its ends of lines", function()
        assert.are.equal("[b]\r\nx=2\r\n", present("[b]\r\nx=1\r\n", "b", "x", { "2" }))
    end)
end)
