local Error = require "orrery.error"
local leak = require "spec.support.leak"

leak.guard()

describe("error", function()
    it("makes and recognizes errors", function()
        local err = Error.new { code = "timeout", message = "too slow" }
        assert.is_true(Error.is(err))
        assert.is_false(Error.is { code = "timeout" })
        assert.is_false(Error.is "timeout")
        assert.are.equal(Error.codes.dead, Error.new({ code = "dead" }).message)
        assert.are.equal("lua", Error.new({}).code)
    end)

    it("raises the object itself", function()
        local ok, err = pcall(Error.raise, { code = "file", message = "gone", path = "/x" })
        assert.is_false(ok)
        assert.is_true(Error.is(err))
        assert.are.equal("/x", err.path)
    end)

    it("wraps what is no error, and keeps what is one", function()
        local err = Error.new { code = "dead" }
        assert.are.equal(err, Error.from(err))
        local text = Error.from("x.lua:1: oops", "stack traceback:\n\t[C]: in ?\n\tx.lua:1: in main chunk")
        assert.are.same({ "lua", "x.lua:1: oops" }, { text.code, text.message })
        assert.are.equal("[C]: in ?\nx.lua:1: in main chunk", text.traceback)
        local thrown = { 42 }
        local wrapped = Error.from(thrown)
        assert.are.equal("lua", wrapped.code)
        assert.are.equal(thrown, wrapped.value)
        assert.matches("a table was thrown", wrapped.message)
        assert.matches("a nil was thrown", Error.from(nil).message)
    end)

    it("survives a thrown object whose __tostring fails", function()
        local bad = setmetatable({}, { __tostring = function() error "no" end })
        assert.matches("a table was thrown: ?", Error.from(bad).message, 1, true)
    end)

    it("adds a traceback as an xpcall handler, once", function()
        local _, err = xpcall(function() error "boom" end, Error.handler)
        assert.matches("boom", err.message)
        assert.matches("error_spec", err.traceback)
        assert.not_matches("stack traceback", err.traceback)
        local remote = Error.new { code = "lua", traceback = "far.lua:1: in main chunk" }
        local _, same = xpcall(function() error(remote, 0) end, Error.handler)
        assert.are.equal(remote, same)
        assert.are.equal("far.lua:1: in main chunk", same.traceback)
    end)

    it("has a short text with the place when it is known", function()
        assert.are.equal("dead: lost", tostring(Error.new { code = "dead", message = "lost" }))
        local err = Error.new { code = "dead", message = "lost", context = "web1", route = "here > web1" }
        assert.are.equal("dead: lost [web1, here > web1]", tostring(err))
        assert.are.equal("dead: lost [web1]", tostring(Error.new {
            code = "dead", message = "lost", context = "web1",
        }))
    end)

    it("concatenates on both sides", function()
        local err = Error.new { code = "dead", message = "lost" }
        assert.are.equal("x dead: lost", "x " .. err)
        assert.are.equal("dead: lost x", err .. " x")
        assert.are.equal("dead: lostdead: lost", err .. err)
    end)

    it("formats for a terminal: message, place, causes, remote traceback", function()
        local err = Error.new {
            code = "command", message = "apt failed\nwith two lines", context = "web1", route = "here > web1",
            traceback = "far.lua:3: in f\nfar.lua:9: in main chunk", remote = true,
            cause = Error.new { code = "file", message = "disk full" },
        }
        assert.are.equal(table.concat({
            "apt failed", "with two lines", "  code:     command", "  context:  web1",
            "  route:    here > web1", "  caused by:", "    disk full", "      code:     file",
            "  remote traceback:", "    far.lua:3: in f", "    far.lua:9: in main chunk",
        }, "\n"), Error.format(err))
        assert.are.equal(Error.format(err), err:format())
    end)

    it("lists the parts of an aggregate", function()
        local part = { index = 2, item = "web2", error = Error.new { code = "dead", message = "lost" } }
        local text = Error.format(Error.new { code = "partial", message = "1 of 2 failed", errors = { part } })
        assert.matches("\n  web2: dead: lost", text, 1, true)
    end)

    it("formats whatever a peer may have sent", function()
        local err = Error.new { code = 7, message = {}, context = true, cause = 12, errors = "x", at = {} }
        err.traceback = false
        assert.is_string(Error.format(err))
        assert.is_string(tostring(err))
        err.cause = err
        assert.is_true(#Error.format(err) < 1e5)
        assert.matches("nil was thrown", Error.format(nil))
    end)

    it("finds the line of the user", function()
        assert.matches("error_spec%.lua:%d+$", Error.at())
    end)

    it("describes each code in one line", function()
        for code, text in pairs(Error.codes) do
            assert.matches("^[%a_]+$", code)
            assert.not_matches("\n", text)
        end
    end)
end)
