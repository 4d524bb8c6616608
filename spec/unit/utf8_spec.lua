local leak = require "spec.support.leak"
local utf8 = require "orrery.utf8"

leak.guard()

describe("UTF-8", function()
    it("is told from what is none", function()
        for _, good in ipairs { "", "abc", "\194\128", "\223\191", "\224\160\128", "\237\159\191", "\238\128\128",
            "\240\144\128\128", "\244\143\191\191", "gr\195\188n" } do
            assert.is_nil(utf8.invalid(good), good)
        end
        for text, at in pairs {
            ["\128"] = 1, ["a\255b"] = 2, ["\192\128"] = 1, ["\193\191"] = 1, ["\195"] = 1, ["\195\195\188"] = 1,
            ["\224\159\191"] = 1, ["\237\160\128"] = 1, ["\240\143\191\191"] = 1, ["\244\144\128\128"] = 1,
            ["\195\188\240\159\152"] = 3, ["\245\128\128\128"] = 1,
        } do
            assert.are.equal(at, utf8.invalid(text))
        end
    end)

    it("is made of what is none", function()
        assert.are.equal("abc", utf8.scrub "abc")
        assert.are.equal("a\239\191\189b\239\191\189", utf8.scrub "a\255b\195")
        assert.are.equal("\239\191\189\195\188", utf8.scrub "\195\195\188")
        local noise = {}
        for i = 1, 20000 do noise[i] = string.char(i * 7919 % 256) end
        assert.is_nil(utf8.invalid(utf8.scrub(table.concat(noise))))
    end)

    it("has each character", function()
        assert.are.equal("A\195\188\226\130\172\240\159\152\128",
            utf8.char(65) .. utf8.char(252) .. utf8.char(0x20AC) .. utf8.char(0x1F600))
        for code = 0, 0x10FFFF, 61 do
            if code < 0xD800 or code > 0xDFFF then assert.is_nil(utf8.invalid(utf8.char(code)), code) end
        end
    end)
end)
