local Error = require "orrery.error"
local orrery = require "orrery"
local session = require "orrery.repl.session"
local leak = require "spec.support.leak"

leak.guard()

local id = 0

-- The text of an input's values.
local function values(text)
    local outcome = session.eval("s" .. id, text, {})
    assert.are.equal("values", outcome.kind, outcome.message or tostring(outcome.error))
    return outcome.text, outcome.n, outcome.hidden
end

local function mistake(text)
    local outcome = session.eval("s" .. id, text)
    assert.are.equal("syntax", outcome.kind, text)
    return outcome
end

local function failure(text)
    local outcome = session.eval("s" .. id, text)
    assert.are.equal("error", outcome.kind)
    assert.is_true(Error.is(outcome.error))
    return outcome.error, outcome
end

-- What the input returns, without a printer between.
local function value(text)
    values(text)
    return select(2, session.lookup("s" .. id, "_"))
end

describe("repl.session", function()
    before_each(function() id = id + 1 end)
    after_each(function() session.forget("s" .. id) end)

    it("tells expressions from statements", function()
        assert.are.equal(2, value "1+1")
        assert.are.equal(2, value "=1+1")
        assert.are.equal(2, value "  = 1+1 -- two")
        assert.are.equal(2, value "return 1+1")
        assert.are.equal(3, value "#'abc'")
        assert.are.same({ "", 0 }, { values "" })
        assert.are.same({ "", 0 }, { values "-- nothing" })
        assert.are.same({ "", 0 }, { values "for i = 1, 3 do end" })
        assert.are.equal(0, (select(2, values "(function() end)()")))
        assert.are.equal(3, (select(2, values "1, nil, nil")))
        assert.are.equal(4, value "#!/usr/bin/env orrery\nreturn 4")
        assert.are.equal(5, value "\239\187\191return 5")
    end)

    it("hides what ends in a semicolon", function()
        assert.are.same({ "", 1, true }, { values "5;" })
        assert.are.equal(5, value "_")
        assert.are.same({ "", 1, true }, { values "6; -- hidden" })
        assert.is_nil((select(3, values "';'")))
        assert.is_nil((select(3, values "7 -- ;")))
    end)

    it("keeps locals", function()
        values "local n = 0  function inc() n = n + 1 end"
        values "inc()"
        assert.are.equal(1, value "n")
        values "n = n + 5"
        assert.are.equal(7, value "inc() return n")
        values "local n = 'new'"
        values "inc()"
        assert.are.equal("new", value "n")
        assert.are.same({ "_", "_1", "n", "orrery" }, session.locals("s" .. id))
        rawset(_G, "inc", nil)
        session.forget("s" .. id)
        assert.are.same({}, session.locals("s" .. id))
        assert.is_nil(value "n")
    end)

    it("keeps each declaration, however the input ends", function()
        failure "local a, b = 1, 2 error 'no' local c = 3"
        assert.are.equal(3, value "a + b")
        assert.is_false((session.lookup("s" .. id, "c")))
        values "local d = 4 if d then return end local e"
        assert.are.equal(4, value "d")
        values "local f = 5 goto done do local x = 6 end ::done::"
        assert.are.equal(5, value "f")
        assert.are.equal(9, value "local g = 9 return g -- the end")
        values "local h = 1 ::again:: h = h + 1 if h < 5 then goto again end"
        assert.are.equal(5, value "h")
        values "goto out local k = 1 ::out::"
        assert.is_false((session.lookup("s" .. id, "k")))
        values "local m = 1;(function() m = m + 1 end)()"
        assert.are.equal(2, value "m")
        values "local function fact(n) return n < 2 and 1 or n * fact(n - 1) end"
        assert.are.equal(120, value "fact(5)")
        values "local p = 1 local p = p + 1"
        assert.are.equal(2, value "p")
    end)

    it("shares a variable with functions in functions", function()
        values "local n = 0"
        values "local function outer() return function() n = n + 1 return n end end"
        values "local f = outer()"
        assert.are.equal(1, value "f()")
        assert.are.equal(1, value "n")
        values "n = 10"
        assert.are.equal(11, value "f()")
    end)

    it("keeps results", function()
        values "1, nil, 'c'"
        assert.are.equal("c", value "_3")
        values "1, false"
        assert.are.equal(false, value "_2")
        assert.is_nil(value "_2")
        values "42"
        values "x_of_spec = 1"
        rawset(_G, "x_of_spec", nil)
        assert.are.equal(42, value "_")
        values "local _, two = 1, 2"
        assert.are.equal(1, value "_")
        values "unpack({}, 1, 200)"
        assert.is_true((session.lookup("s" .. id, "_50")))
        assert.is_false((session.lookup("s" .. id, "_51")))
    end)

    it("says when an input goes on", function()
        for _, text in ipairs {
            "for i = 1, 3 do", "1 +", "f(", "x = {", "function f()", "if x then", "local s = [[a", "--[[ a",
            "'a\\", "'a\\z", "x =", "(", "repeat", "return function()", "=1 +", "a.b.", "f() g", "not",
        } do
            local outcome = session.eval("s" .. id, text)
            assert.are.equal("incomplete", outcome.kind, text)
            assert.are.equal("incomplete", (session.ready(text)))
            assert.are.equal(#text + 1, outcome.at)
        end
        assert.are.equal("complete", (session.ready "for i = 1, 3 do\nend"))
        assert.are.equal("syntax", (session.ready "x = = 1"))
        assert.are.equal("<eof>", select(2, session.ready "f(").near)
    end)

    it("points at mistakes", function()
        for _, case in ipairs {
            { "x = = 1", 1, 5, "unexpected symbol", "=" },
            { "  x = = 1", 1, 7, "unexpected symbol", "=" },
            { "=1 + + 2", 1, 6, "unexpected symbol", "+" },
            { "1 + + 2", 1, 5, "unexpected symbol", "+" },
            { "1 2", 1, 3, "unexpected symbol", "2" },
            { "x = 1 end", 1, 7, "unexpected symbol", "end" },
            { "f(1,,2)", 1, 5, "unexpected symbol", "," },
            { "f(x x x)", 1, 5, "')' expected", "x" },
            { "a b", 1, 3, "'=' expected", "b" },
            { "x != 1", 1, 3, "'=' expected", "!" },
            { "x = {\n  1,\n  2 3,\n}", 3, 5, "'}' expected (to close '{' at line 1)", "3" },
            { "x = { a b }", 1, 9, "'}' expected", "b" },
            { "x = 'é' 5", 1, 9, "unexpected symbol", "5" },
            { "é = = 1", 1, 5, "unexpected symbol", "=" },
            { "x = 'abc", 1, 5, "unfinished string", "'abc" },
            { "x = 'abc\ny = 1", 1, 5, "unfinished string", "'abc" },
            { "f('a\\qb')", 1, 5, "invalid escape sequence", "\\q" },
            { "f('a\\300b')", 1, 5, "invalid escape sequence", "\\300" },
            { "x = 1 + 12x + 3", 1, 9, "malformed number", "12x" },
            { "x = 3..4", 1, 5, "malformed number", "3..4" },
            { "x = [=a", 1, 5, "invalid long string delimiter", "[=" },
            { "x = @", 1, 5, "unexpected symbol", "@" },
            { "x = \1", 1, 5, "unexpected symbol", "char(1)" },
            { "for 1", 1, 5, "'<name>' expected", "1" },
            { "function f(1) end", 1, 12, "<name> or '...' expected", "1" },
            { "function f() return ... end", 1, 21, "cannot use '...' outside a vararg function", "..." },
            { "f\n(g)()", 2, 1, "ambiguous syntax (function call x new statement)", "(" },
            { "return 1 x = 2", 1, 10, "unexpected symbol", "x" },
            { "if x then\n  y()\nelse\n  z()\nelse end", 5, 1, "'end' expected (to close 'if' at line 1)", "else" },
            { "break", 1, 1, "no loop to break" },
            { "for i = 1, 2 do break end break", 1, 27, "no loop to break" },
            { "if x then break end for i = 1, 2 do break end", 1, 11, "no loop to break" },
            { "do goto x end\nf()", 1, 4, "undefined label 'x'" },
            { "do goto x local y ::x:: f() end", 1, 4, "<goto x> jumps into the scope of local 'y'" },
            { "::a:: f() ::a::", 1, 11, "duplicate label 'a'" },
            { "goto x", 1, 1, "undefined label 'x'" },
            { "= x = 1", 1, 5, "unexpected symbol", "=" },
            { "x = 1 -- a\r\ny = = 2", 2, 5, "unexpected symbol", "=" },
            { "\27LJ", 1, 1, "unexpected symbol", "char(27)" },
        } do
            local found = mistake(case[1])
            local text = ("%s: %d:%d %s"):format(case[1], found.line, found.column, found.message)
            assert.are.equal(("%s: %d:%d %s"):format(unpack(case, 1, 4)), text)
            assert.are.equal(case[5], found.near, case[1])
        end
        local found = mistake "x = 'é' 5"
        assert.are.same({ 10, 10 }, { found.byte, found.at })
        found = mistake("x = 1\nx = = '" .. ("é"):rep(100) .. "'")
        assert.are.same({ 5, 11 }, { found.byte, found.at })
        assert.is_true(#mistake("x = 5 '" .. ("é"):rep(100) .. "'").near < 50)
    end)

    it("gives what is raised, with the user's frames", function()
        local err = failure "local function f()\n  error 'boom'\nend\nf() return 1"
        assert.are.equal("stdin:2: boom", err.message)
        assert.are.equal("[C]: in function 'error'\nstdin:2: in function 'f'", err.traceback:match "^[^\n]*\n[^\n]*")
        assert.not_matches("session", err.traceback)
        assert.matches("\nstdin:4: in function <stdin:1>$", err.traceback)
        assert.not_matches("session", failure("local function g() return g() + 1 end g()").traceback or "")
        assert.are.equal("named:1: x", session.eval("s" .. id, "error 'x' return 1", { name = "=named" }).error.message)
    end)

    it("gives whatever is raised, and it can travel", function()
        local codec = require "orrery.codec"
        for _, text in ipairs { "error()", "error({ f = print })", "error(print)", "error(5)", "error(false)" } do
            local err, outcome = failure(text)
            assert.are.equal("lua", err.code)
            assert.has_no.errors(function() codec.encode_data(outcome) end)
        end
        assert.is_string(select(2, failure "error({ 1 })").thrown)
        values "local mine = require('orrery.error').new { code = 'file', message = 'gone', value = print }"
        local err = failure "error(mine)"
        assert.are.same({ "file", "gone" }, { err.code, err.message })
        assert.are.equal(print, value "mine.value")
        assert.are.equal("lua", failure("local s = 'x' error(s, 0) return 1").code)
        failure "local E = require 'orrery.error' local e = E.new { value = 1 } e.message = 5 error(e)"
        assert.is_not_nil(failure("local e = require('orrery.error').new {} e.cause = e error(e)").cause)
        assert.are.equal("far.lua:1: x", failure(
            "error(require('orrery.error').new { remote = true, traceback = 'far.lua:1: x' })").traceback)
    end)

    it("names Lua's limits", function()
        local names = {}
        for i = 1, 200 do names[i] = "v" .. i end
        for from = 1, 200, 20 do values("local " .. table.concat(names, ",", from, from + 19) .. " = 1") end
        local err = failure("return " .. table.concat(names, "+", 1, 61))
        assert.are.equal("limit", err.code)
        assert.matches("more than 60 locals", err.message)
        assert.are.equal("limit", failure("return " .. table.concat(names, "+", 1, 195)).code)
        assert.matches("names 195 locals", failure("return {" .. table.concat(names, ",", 1, 195) .. "}").message)
        assert.are.equal(60, (select(2, values("return " .. table.concat(names, ",", 1, 60)))))
        session.forget("s" .. id)
        values("local " .. table.concat(names, ",") .. " = 7")
        assert.are.equal(7, value "v1")
    end)

    it("takes large inputs", function()
        local big = ("x"):rep(2 ^ 20)
        values("local big = [[" .. big .. "]]")
        assert.are.equal(#big, value "#big")
        assert.are.equal(5, mistake("x = = '" .. big .. "'").column)
    end)

    it("interprets what inputs make", function()
        values "local function f() for _ = 1, 1000 do end end"
        local seen = 0
        debug.sethook(function() seen = seen + 1 end, "", 100)
        values "f()"
        debug.sethook()
        assert.is_true(seen > 10)
    end)

    it("lets inputs block", function()
        local task = orrery.spawn(session.eval, "s" .. id, "local x = 1 orrery.sleep(0.001) return x + 1")
        assert.are.equal(1, task:get().n)
        assert.are.equal(2, select(2, session.lookup("s" .. id, "_")))
    end)

    it("shows and takes locals from outside", function()
        session.define("s" .. id, "answer", 42)
        assert.are.equal(43, value "answer + 1")
        assert.are.same({ true, 42 }, { session.lookup("s" .. id, "answer") })
        assert.are.same({ false }, { session.lookup("nobody", "answer") })
        assert.are.equal("option", select(2, pcall(session.eval, "s" .. id, "1", { nmae = "x" })).code)
    end)

    it("works in another context, by name", function()
        local ctx = orrery.localhost()
        local function eval(text) return ctx:call("orrery.repl.session.eval", "s", text, {}) end
        assert.are.equal(0, eval("local n = 1 function inc() n = n + 1 return n end").n)
        assert.are.same({ "values", 1 }, { eval("inc()").kind, eval("n").n })
        assert.are.equal(1, eval("orrery.sleep(0.001) return n").n)
        local outcome = eval("error({ print })")
        assert.are.equal("error", outcome.kind)
        assert.is_true(Error.is(outcome.error))
        assert.not_matches("session", eval("n.x.y = 1").error.traceback)
        assert.are.equal(5, eval("n = = 1").column)
        assert.are.equal("incomplete", (ctx:call("orrery.repl.session.ready", "f(")))
        assert.are.same({ "_", "_1", "n", "orrery" }, ctx:call("orrery.repl.session.locals", "s"))
        ctx:close()
    end)
end)
