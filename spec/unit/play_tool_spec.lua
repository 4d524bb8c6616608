local Error = require "orrery.error"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

describe("several steps", function()
    local log
    before_each(function() log = {} end)
    local function step(name, undo)
        local function note(what)
            return function() log[#log + 1] = what end
        end
        return { name, note(name), undo = undo and note("undo " .. name) or nil }
    end
    local function failing()
        return { "bad", function() error(Error.new { code = "resource", message = "no" }, 0) end }
    end

    it("are done in order", function()
        tool.steps { step "a", step "b" }
        assert.are.same({ "a", "b" }, log)
    end)

    it("are undone, or named, when one fails", function()
        local ok, err = pcall(tool.steps, { step("a", true), step "b", step("c", true), failing(), step "d" })
        assert.is_false(ok)
        assert.are.same({ "a", "b", "c", "undo c", "undo a" }, log)
        assert.are.equal("no; done before that: b", err.message)
    end)
end)

describe("a command line", function()
    it("is put together of what is there", function()
        assert.are.same({ "a", "b", 1, "c" }, tool.words("a", nil, false, { "b", 1 }, {}, "c"))
    end)

    it("has failed for what it said last", function()
        assert.are.equal("b; c; d", tool.reason { code = 1, stdout = "x", stderr = "a\nb\n\n c \nd\n" })
        assert.are.equal("x", tool.reason { code = 1, stdout = "x\n", stderr = " \n" })
        assert.are.equal("status 3", tool.reason { code = 3, stdout = "", stderr = "" })
        assert.are.equal("it took too long", tool.reason { code = 143, stdout = "", stderr = "", timed_out = true })
    end)
end)

describe("lines", function()
    it("are what a file has, whether its last one ends or not", function()
        for content, lines in pairs {
            [""] = {}, ["a"] = { "a" }, ["a\n"] = { "a" }, ["\n"] = { "" }, ["a\n\nb\n\n"] = { "a", "", "b", "" },
        } do assert.are.same(lines, text.lines(content)) end
        assert.are.same({}, text.lines(nil))
        assert.are.equal("", text.join {})
        assert.are.equal("a\n\n", text.join { "a", "" })
    end)
end)
