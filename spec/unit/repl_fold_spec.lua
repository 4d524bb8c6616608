local fold = require "orrery.repl.fold"
local secret = require "orrery.secret"
local width = require "orrery.play.views.width"

local function answers(list)
    local out = {}
    for i, each in ipairs(list) do out[i] = { name = each[1], text = each[2], kind = each[3] or "values" } end
    return out
end

local function format(list, opts) return fold.format(answers(list), opts) end

local function lines_of(text)
    local lines = {}
    for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
    return lines
end

describe("fold", function()
    it("has equal answers once, with the names of their hosts", function()
        local list = {}
        for i = 1, 48 do list[i] = { "web" .. i, "2" } end
        assert.are.equal("web[1-48]: 2", format(list))
        list[7][2] = "3"
        assert.are.equal("web7: 3\nweb[1-6,8-48]: 2", format(list))
    end)

    it("begins with the fewest hosts, and with errors among groups of the same size", function()
        assert.are.equal("db2: boom\ndb1: 1\nweb3: 3\nweb[1-2]: 2", format {
            { "db1", "1" }, { "web1", "2" }, { "web2", "2" }, { "web3", "3" }, { "db2", "boom", "error" },
        })
        assert.are.equal("a: x\nb: x", format { { "b", "x" }, { "a", "x", "error" } })
    end)

    it("puts several lines below the names", function()
        assert.are.equal("web4: x\nweb[1-3] (3 hosts):\n  a\n\n  b", format {
            { "web1", "a\n\nb" }, { "web2", "a\n\nb" }, { "web3", "a\n\nb" }, { "web4", "x" },
        })
        assert.are.equal("web1:\n  a\n  b", format { { "web1", "a\nb\n" } })
    end)

    it("puts a line below the names that does not fit behind them", function()
        assert.are.equal("web1: 日本日本", format({ { "web1", "日本日本" } }, { width = 14 }))
        assert.are.equal("web1:\n  日本日本日", format({ { "web1", "日本日本日" } }, { width = 14 }))
    end)

    it("says where there is no value, unless there is none at all", function()
        assert.are.equal("", format {})
        assert.are.equal("", format { { "a", "" }, { "b", "" } })
        assert.are.equal("b: 1\na: no value", format { { "b", "1" }, { "a", "" } })
        assert.are.equal("a: no value", format { { "a", "", "error" } })
    end)

    it("has no line that is wider than the terminal", function()
        local list = {}
        for i = 1, 30 do list[#list + 1] = { ("bühne%d"):format(i * i), "one\n" .. ("日本語 ünï "):rep(12) .. "\tend" } end
        list[#list + 1] = { "last", "\27[32m\"" .. ("日本語 "):rep(30) .. "\"\27[0m" }
        for _, columns in ipairs { 20, 40, 80 } do
            for _, colour in ipairs { true, false } do
                local text = format(list, { width = columns, colour = colour })
                for _, line in ipairs(lines_of(text)) do
                    local plain, colours = line:gsub("\27%[%d*m", "")
                    assert.is_true(width.of(plain) <= columns, line)
                    assert.are.equal(0, colours % 2)
                end
            end
        end
        local text = format({ { "a", "0123456789012345678901234" } }, { width = 20 })
        assert.are.equal("a:\n  012345678901234567\n  8901234", text)
    end)

    it("breaks a long list of names behind commas", function()
        local list = {}
        for i = 1, 12 do list[i] = { "h" .. (i * i), "1\n2" } end
        assert.are.equal("h[1,4,9,16,25,36,49,64,\n    81,100,121,\n    144] (12 hosts):\n  1\n  2",
            format(list, { width = 24 }))
    end)

    it("paints names, and what failed", function()
        assert.are.same({
            "\27[31mb:\27[0m \27[31moh\27[0m",
            "\27[1ma:\27[0m \27[36m1\27[0m",
            "\27[1mc:\27[0m \27[2mno value\27[0m",
        }, lines_of(format({ { "a", "\27[36m1\27[0m" }, { "b", "oh", "error" }, { "c", "" } }, { colour = true })))
        assert.are.equal("\27[31mb:\27[0m\n  \27[31moh\27[0m\n  \27[31mdear\27[0m",
            format({ { "b", "oh\ndear", "error" } }, { colour = true }))
    end)

    it("shows what a terminal would obey, but colours, which end on their line", function()
        assert.are.equal("a:\n  \\x1b]0;x\\x07\\x1b[2J\27[31mred\27[0m\n  \\xff",
            format { { "a", "\27]0;x\7\27[2J\27[31mred\n\255" } })
        assert.are.equal("a\\x1b: 1", format { { "a\27", "1" } })
    end)

    it("hides secrets that the host did not know as such", function()
        secret.new "hunter22-fold"
        assert.are.equal("a: ********!", format { { "a", "hunter22-fold!" } })
    end)
end)
