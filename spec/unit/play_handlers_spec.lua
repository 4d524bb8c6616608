local handlers = require "orrery.play.handlers"
local leak = require "spec.support.leak"

leak.guard()

local function nothing() end

local function flushed(pending)
    local ran = {}
    local ok, err = pcall(pending.flush, pending, function(name, fn)
        ran[#ran + 1] = name
        fn()
    end)
    return ran, not ok and err or nil
end

describe("handlers", function()
    it("run once, in the order in which they were notified", function()
        local pending = handlers.read({ a = nothing, b = nothing, c = nothing }):pending()
        assert.is_true(pending:notify "c")
        assert.is_true(pending:notify "a")
        assert.is_false(pending:notify "c")
        assert.are.same({ "c", "a" }, flushed(pending))
        assert.are.same({}, flushed(pending))
    end)

    it("of a list run in its order", function()
        local pending = handlers.read({ { "b", nothing }, { name = "a", run = nothing } }):pending()
        pending:notify "a"
        pending:notify "b"
        assert.are.same({ "b", "a" }, flushed(pending))
    end)

    it("can notify others", function()
        local pending
        pending = handlers.read({
            a = function() pending:notify "b" pending:notify "a" end, b = nothing,
        }):pending()
        pending:notify "a"
        assert.are.same({ "a", "b" }, flushed(pending))
    end)

    it("are owed from the one that failed on", function()
        local pending = handlers.read({ a = nothing, b = function() error("no", 0) end, c = nothing }):pending()
        for _, name in ipairs { "a", "b", "c" } do pending:notify(name) end
        local ran, err = flushed(pending)
        assert.are.same({ "a", "b" }, ran)
        assert.are.equal("no", err)
        assert.are.same({ "b", "c" }, pending.list)
    end)

    it("that do not exist are an error with a hint", function()
        local pending = handlers.read({ ["restart nginx"] = nothing }):pending()
        assert.has_error(function() pending:notify "restart ngnix" end,
            "argument: the play has no handler 'restart ngnix'; did you mean 'restart nginx'?")
    end)

    it("need a name and a function", function()
        for _, wrong in ipairs { { a = 1 }, { nothing }, { { "a" } }, { { "a", nothing }, { "a", nothing } } } do
            assert.has_error(function() handlers.read(wrong) end)
        end
    end)
end)
