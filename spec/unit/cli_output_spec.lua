local output = require "orrery.cli.output"
local leak = require "spec.support.leak"

leak.guard()

describe("output", function()
    it("shows what a terminal would obey", function()
        assert.are.equal("\\x1b[31mred", output.escape "\27[31mred")
        assert.are.equal("a\\x00b\\x0d\\x08c", output.escape "a\0b\r\8c\r")
        assert.are.equal("\\xc2\\x9b2J", output.escape "\194\1552J")
        assert.are.equal("tab\there, \194\169 ünï", output.escape "tab\there, \194\169 ünï")
    end)

    it("groups equal outputs, the rarest first, then by their first host", function()
        local said = {}
        for i, text in ipairs { "x", "x", "y", "x", "z" } do
            said[i] = { name = "n" .. i, text = text, note = "" }
        end
        said[6] = { name = "n6", text = "x", note = "exit status 1" }
        local shown = {}
        for i, group in ipairs(output.group(said)) do
            shown[i] = table.concat(group.names, " ") .. ": " .. group.text .. group.note
        end
        assert.are.same({ "n3: y", "n5: z", "n6: xexit status 1", "n1 n2 n4: x" }, shown)
    end)
end)
