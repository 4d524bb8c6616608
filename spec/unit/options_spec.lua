local Error = require "orrery.error"
local options = require "orrery.options"
local leak = require "spec.support.leak"

leak.guard()

local function failure(...)
    local ok, err = pcall(options.check, ...)
    assert.is_false(ok)
    assert.is_true(Error.is(err))
    return err
end

describe("options", function()
    local schema = {
        timeout = "number", name = { type = { "string", "table" } }, limit = { type = "number", default = 5 },
        mode = { enum = { "fast", "slow" } }, on = { type = "boolean", default = false },
    }

    it("returns a new table with defaults", function()
        local given = { timeout = 3 }
        local checked = options.check("f", given, schema)
        assert.are.same({ timeout = 3, limit = 5, on = false }, checked)
        assert.are.same({ timeout = 3 }, given)
        assert.are.same({ limit = 5, on = false }, options.check("f", nil, schema))
        assert.are.same({}, options.check("f", nil, {}))
    end)

    it("keeps a false that was given", function()
        local checked = options.check("f", { x = false }, { x = { type = "boolean", default = true } })
        assert.is_false(checked.x)
    end)

    it("suggests the nearest option", function()
        local err = failure("each", { tiemout = 3 }, schema)
        assert.are.equal("option", err.code)
        assert.are.equal("each: unknown option 'tiemout'; did you mean 'timeout'?", err.message)
        assert.matches("did you mean 'limit'", failure("each", { Limit = 3 }, schema).message)
        assert.matches("did you mean 'on'", failure("each", { no = 3 }, { on = "any" }).message)
    end)

    it("lists the options where none is near", function()
        local err = failure("each", { become = true }, schema)
        assert.matches("known options: limit, mode, name, on, timeout", err.message, 1, true)
        assert.matches("it takes none", failure("f", { x = 1 }, {}).message)
        assert.matches("one at [1]", failure("f", { "x" }, schema).message, 1, true)
    end)

    it("checks types", function()
        assert.are.equal("f: option 'timeout' must be a number, not \"5\"",
            failure("f", { timeout = "5" }, schema).message)
        assert.matches("must be a string or table, not true", failure("f", { name = true }, schema).message)
        options.check("f", { name = {} }, schema)
        options.check("f", { x = print }, { x = "any" })
    end)

    it("takes a list of types as shorthand", function()
        options.check("f", { x = 1 }, { x = { "string", "number" } })
        assert.matches("string or number", failure("f", { x = {} }, { x = { "string", "number" } }).message)
    end)

    it("checks enumerations, required options and conditions", function()
        assert.matches('must be one of "fast", "slow", not "x"', failure("f", { mode = "x" }, schema).message)
        assert.matches("option 'a' is missing", failure("f", nil, { a = { required = true } }).message)
        local even = { type = "number", check = function(v) return v % 2 == 0, "must be even" end }
        options.check("f", { a = 2 }, { a = even })
        assert.are.equal("f: option 'a' must be even, not 3", failure("f", { a = 3 }, { a = even }).message)
    end)

    it("refuses options that are no table", function()
        local err = failure("f", 5, schema)
        assert.are.equal("argument", err.code)
        assert.are.equal("f: options must be a table, not 5", err.message)
    end)

    it("knows the line of the user", function()
        assert.matches("options_spec%.lua:%d+$", failure("f", { x = 1 }, schema).at)
    end)

    it("measures distance with swaps, and is not fooled by long words", function()
        assert.are.equal("timeout", options.nearest("tmieout", { "limit", "timeout" }))
        assert.is_nil(options.nearest("xyz", { "timeout" }))
        assert.is_nil(options.nearest("", { "timeout" }))
        failure("f", { [("x"):rep(1e5)] = 1 }, schema)
    end)
end)
