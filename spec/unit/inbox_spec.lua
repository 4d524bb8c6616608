local inbox = require "orrery.inbox"
local sched = require "orrery.sched"
local leak = require "spec.support.leak"

leak.guard()

local function pack(...) return { n = select("#", ...), ... } end

describe("inbox", function()
    it("gives messages back in order, with all their values", function()
        local box = inbox.new "a message"
        local shapes = { pack(), pack(nil), pack(1), pack(1, nil), pack(nil, 2, nil), pack(1, 2, 3, 4, nil) }
        for round = 1, 3 do
            for i = round, #shapes do box:push(unpack(shapes[i], 1, shapes[i].n)) end
            for i = round, #shapes do assert.are.same(shapes[i], pack(box:pop())) end
            assert.is_true(box:empty())
        end
        for i = 1, 100 do
            box:push("a", i)
            box:push(i)
            assert.are.same(i % 2 == 1 and pack("a", (i + 1) / 2) or pack(i / 2), pack(box:pop()))
        end
        for _ = 1, 100 do box:pop() end
        assert.is_true(box:empty())
    end)

    it("lets the taker wait, and says when nothing comes any more", function()
        sched.set_poll(function() return "idle" end)
        local box = inbox.new "a message"
        local task = sched.spawn(function() return box:pop() end)
        sched.spawn(function() box:push("x", 2) end)
        assert.are.same({ "x", 2 }, { task:get() })
        box:push "last"
        box:close { code = "closed" }
        assert.is_true(box:wait())
        assert.are.equal("last", box:pop())
        assert.is_false(box:wait())
        assert.are.same({ code = "closed" }, select(2, pcall(box.pop, box)))
    end)

    it("keeps nothing that was taken", function()
        local box, held = inbox.new "a message", setmetatable({}, { __mode = "k" })
        for _ = 1, 5 do
            local value = {}
            held[value] = true
            box:push(value, 1, 2)
        end
        for _ = 1, 4 do box:pop() end
        collectgarbage()
        collectgarbage()
        local left = 0
        for _ in pairs(held) do left = left + 1 end
        assert.are.equal(1, left)
    end)
end)
