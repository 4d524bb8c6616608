local sgr = require "orrery.sgr"

describe("colours", function()
    it("are wanted on terminals, unless the environment says otherwise", function()
        local function wants(terminal, env) return sgr.wanted(terminal, function(name) return env[name] end) end
        assert.is_true(wants(true, {}))
        assert.is_false(wants(false, {}))
        assert.is_false(wants(true, { NO_COLOR = "1" }))
        assert.is_true(wants(true, { NO_COLOR = "" }))
        assert.is_false(wants(true, { TERM = "dumb" }))
        assert.is_false(wants(true, { CLICOLOR = "0" }))
        assert.is_true(wants(false, { CLICOLOR_FORCE = "1" }))
        assert.is_false(wants(false, { CLICOLOR_FORCE = "0" }))
        assert.is_false(wants(true, { CLICOLOR_FORCE = "1", NO_COLOR = "1" }))
    end)

    it("are around a text, if there is one", function()
        assert.are.equal("\27[1;31mlost\27[0m", sgr.paint("1;31", "lost"))
        assert.are.equal("lost", sgr.paint(false, "lost"))
        assert.are.equal("lost", sgr.paint(nil, "lost"))
        assert.are.equal("", sgr.paint("32", ""))
    end)
end)
