local declared = require "orrery.repl.declared"
local leak = require "spec.support.leak"
local tokens = require "orrery.repl.tokens"

leak.guard()

-- "kind:text kind:text ..."
local function shown(text)
    local parts = {}
    for i, token in ipairs(tokens.list(text)) do
        assert.are.equal(token.text, text:sub(token.from, token.to))
        parts[i] = token.kind .. ":" .. token.text .. (token.closed == false and "!" or "")
    end
    return table.concat(parts, " ")
end

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "*a"
    file:close()
    return text
end

describe("repl.tokens", function()
    it("knows the kinds", function()
        assert.are.equal("keyword:local name:x op:= number:1 comment:-- one", shown "local x = 1 -- one")
        assert.are.equal("name:a op:. name:b op:: name:c string:'x'", shown "a.b:c'x'")
        assert.are.equal("name:é op:= name:ü1", shown "é = ü1")
        assert.are.equal("", shown " \t\n")
        assert.is_true(tokens.keywords["while"])
    end)

    it("takes the longest operator", function()
        assert.are.equal("name:a op:... op:.. op:== op:~= op:<= op:>= op:::", shown "a .....==~=<=>=::")
        assert.are.equal("op:{ op:} op:[ op:] op:( op:) op:; op:, op:# op:% op:^", shown "{}[]();,#%^")
    end)

    it("cuts numbers as LuaJIT does", function()
        for _, number in ipairs { "1", ".5", "1.", "0x1p-3", "1e+5", "1E-2", "0xffLL", "2i", "3..4", "12x", "0xe" } do
            assert.are.equal("number:" .. number, shown(number))
        end
        assert.are.equal("number:0xe op:+ number:1", shown "0xe+1")
        assert.are.equal("name:a op:- number:1", shown "a-1")
    end)

    it("finds the ends of strings", function()
        assert.are.equal([[string:"a\"b" string:'\\' name:x]], shown [["a\"b"'\\'x]])
        assert.are.equal("string:'a\\\nb' name:x", shown "'a\\\nb'x")
        assert.are.equal("string:'a\\\r\nb'", shown "'a\\\r\nb'")
        assert.are.equal("string:'a\\z \n b'", shown "'a\\z \n b'")
        assert.are.equal("string:[[a]] string:[==[ ]] ]==] name:x", shown "[[a]][==[ ]] ]==]x")
        assert.are.equal("name:a op:[ number:1 op:]", shown "a[1]")
        assert.are.equal("string:'a\0b'", shown "'a\0b'")
    end)

    it("finds the ends of comments", function()
        assert.are.equal("comment:-- a name:b", shown "-- a\nb")
        assert.are.equal("comment:--[[ a\n]] name:b", shown "--[[ a\n]]b")
        assert.are.equal("comment:--[=[ ]] ]=] name:b", shown "--[=[ ]] ]=]b")
        assert.are.equal("comment:--[= a name:b", shown "--[= a\nb")
        assert.are.equal("comment:--", shown "--")
    end)

    it("marks what does not end", function()
        assert.are.equal('name:f op:( bad:"ab!', shown 'f("ab')
        assert.are.equal('bad:"ab! name:x', shown '"ab\nx')
        assert.are.equal("bad:[[ab!", shown "[[ab")
        assert.are.equal("bad:--[[ab\n!", shown "--[[ab\n")
        assert.are.equal("bad:'\\!", shown "'\\")
        assert.are.equal("name:x bad:[==! name:y", shown "x[==y")
        assert.are.equal("name:a bad:@ bad:! op:=", shown "a @!=")
    end)

    it("tells a goto from a name", function()
        assert.are.equal("keyword:goto name:x op::: name:x op:::", shown "goto x ::x::")
        assert.are.equal("name:goto op:= number:1", shown "goto = 1")
    end)

    it("reads this library as the compiler does", function()
        for _, name in ipairs { "repl.chunk", "error", "sched", "codec", "json", "command" } do
            local text = read(assert(package.searchpath("orrery." .. name, package.path)))
            local parts = {}
            for _, token in ipairs(tokens.list(text)) do
                if token.kind ~= "comment" then parts[#parts + 1] = token.text end
            end
            local joined = table.concat(parts, " ")
            local same = string.dump(assert(load(text)), true) == string.dump(assert(load(joined)), true)
            assert.is_true(same, name)
        end
    end)
end)

describe("repl.declared", function()
    -- "names|statement" of each declaration.
    local function found(text)
        assert(load(text))
        local list = {}
        for _, token in ipairs(tokens.list(text)) do
            if token.kind ~= "comment" then list[#list + 1] = token end
        end
        local parts = {}
        for i, each in ipairs(declared.find(list)) do
            parts[i] = table.concat(each.names, ",") .. "|" .. text:sub(1, each.to):match "^.*(local.*)$"
        end
        return parts
    end

    it("finds names and ends", function()
        assert.are.same({ "a|local a", "b,c|local b, c;" }, found "local a local b, c;")
        assert.are.same({ "a|local a = 1" }, found "local a = 1 -- x\nf()")
        assert.are.same({ "f|local function f() if x then y() end end" },
            found "local function f() if x then y() end end g()")
        assert.are.same({ "a,b|local a, b = f(1, 2).x:y{3}'z'[4], -5" },
            found "local a, b = f(1, 2).x:y{3}'z'[4], -5 f()")
        assert.are.same({ "a|local a = function() return 1 end" }, found "local a = function() return 1 end f()")
        assert.are.same({ "a|local a = not b and #c .. 'd' or {e = 1, [f] = 2}" },
            found "local a = not b and #c .. 'd' or {e = 1, [f] = 2} x.y = 1")
        assert.are.same({ "a|local a = 1" }, found "local a = 1 (f or g)()")
        assert.are.same({ "a|local a = ..." }, found "local a = ... return a")
        assert.are.same({ "a|local a = 'function'" }, found "local a = 'function' f()")
    end)

    it("leaves inner ones alone", function()
        assert.are.same({}, found "do local a = 1 end if x then local b end for i = 1, 2 do local c end")
        assert.are.same({}, found "repeat local x = f() until x while y do local z end function f() local g end")
        assert.are.same({ "a|local a" }, found "repeat local x until x local a")
        assert.are.same({}, found "f(function() local x = 1 return x end)")
    end)
end)
