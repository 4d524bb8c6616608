require "orrery"
local core = require "orrery.core"
local leak = require "spec.support.leak"

leak.guard()

describe("compressed bundles", function()
    local function random_text(size, letters)
        local parts = {}
        for i = 1, size do parts[i] = string.char(math.random(letters) - 1) end
        return table.concat(parts)
    end

    it("come back as they were: texts that repeat, texts that do not, and none", function()
        math.randomseed(7)
        local file = assert(io.open("lua/orrery/sched.lua", "rb"))
        local source = file:read "*a"
        file:close()
        local texts = {
            "", "a", ("ab"):rep(70000), source, source:rep(3), random_text(100000, 256), ("\0"):rep(300000),
        }
        for i = 1, 200 do texts[#texts + 1] = random_text(i * 7, 1 + i % 9) end
        for _, text in ipairs(texts) do
            assert.is_true(core.expand(core.compress(text), #text) == text)
        end
        assert.is_true(#core.compress(source) < #source / 2)
    end)

    it("are refused where they are malformed, or of another size", function()
        math.randomseed(8)
        local text = ("the same words, the same words again and 123 "):rep(40)
        local data = core.compress(text)
        assert.is_nil(core.expand(data, #text - 1))
        assert.is_nil(core.expand(data, #text + 1))
        assert.is_nil(core.expand("", 5))
        assert.is_nil(core.expand(data, -1))
        assert.is_nil(core.expand(data, 2 ^ 40))
        for n = 0, #data - 1 do assert.is_nil(core.expand(data:sub(1, n), #text)) end
        for _ = 1, 5000 do
            local at = math.random(#data)
            local changed = data:sub(1, at - 1) .. string.char(math.random(256) - 1) .. data:sub(at + 1)
            local back = core.expand(changed, #text)
            assert.is_true(back == nil or #back == #text)
        end
        for _ = 1, 5000 do core.expand(random_text(math.random(60), 256), math.random(500)) end
    end)
end)
