local batches = require "orrery.play.batches"
local Error = require "orrery.error"
local leak = require "spec.support.leak"

leak.guard()

local function failure(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(Error.is(err), tostring(err))
    assert.are.equal("option", err.code)
    return err.message
end

describe("batches", function()
    it("are one where nothing is said", function()
        assert.are.same({ 7 }, batches.sizes(nil, 7))
        assert.are.same({}, batches.sizes(nil, 0))
        assert.are.same({}, batches.sizes(3, 0))
    end)

    it("are of a number, the last one smaller", function()
        assert.are.same({ 3, 3, 1 }, batches.sizes(3, 7))
        assert.are.same({ 7 }, batches.sizes(20, 7))
    end)

    it("are of a percentage of all, rounded down, of one host at least", function()
        assert.are.same({ 2, 2, 2, 2, 1 }, batches.sizes("25%", 9))
        assert.are.same({ 1, 1, 1 }, batches.sizes("10%", 3))
        assert.are.same({ 3 }, batches.sizes("100%", 3))
    end)

    it("grow as a list says, whose last entry stays", function()
        assert.are.same({ 1, 5, 7, 7 }, batches.sizes({ 1, 5, "35%" }, 20))
        assert.are.same({ 1, 1 }, batches.sizes({ 1, 5 }, 2))
    end)

    it("hold each host once, in order", function()
        assert.are.same({ { "a" }, { "b", "c" }, { "d" } }, batches.split({ "a", "b", "c", "d" }, { 1, 2 }))
    end)

    it("refuse what is no share", function()
        for _, wrong in ipairs { 0, -1, 1.5, "3", "101%", "x%", "%", "-5%" } do
            assert.matches("option 'serial' must be a whole number from 1 on, or a percentage", failure(
                batches.sizes, wrong, 5))
        end
        assert.matches("at least one entry", failure(batches.sizes, {}, 5))
        -- The second entry is never reached with one host, and is wrong all the same.
        failure(batches.sizes, { 1, "x" }, 1)
    end)
end)

describe("max_failures", function()
    it("is so many hosts, or a share of them", function()
        assert.are.equal(math.huge, batches.allowed(nil, 10))
        assert.are.equal(0, batches.allowed(0, 10))
        assert.are.equal(3, batches.allowed(3, 10))
        assert.are.equal(1, batches.allowed("10%", 19))
        assert.are.equal(0, batches.allowed("10%", 9))
        assert.matches("'max_failures' must be a whole number from 0 on", failure(batches.allowed, -1, 9))
    end)
end)

describe("order", function()
    local names = { "web10", "db1", "web2", "web1" }

    it("is the inventory's, or another", function()
        assert.are.same(names, batches.order(nil, names))
        assert.are.same(names, batches.order("inventory", names))
        assert.are.same({ "web1", "web2", "db1", "web10" }, batches.order("reverse", names))
        assert.are.same({ "db1", "web1", "web2", "web10" }, batches.order("sorted", names))
        assert.are.same({ "web10", "db1", "web2", "web1" }, names)
    end)

    it("is by lot", function()
        local drawn = { 2, 1, 1 }
        assert.are.same({ "web1", "web2", "web10", "db1" }, batches.order("shuffle", names,
            function() return table.remove(drawn, 1) end))
    end)

    it("is one of these", function()
        assert.matches("'order' must be one of", failure(batches.order, "random", names))
    end)
end)
