-- The prompt: without a terminal, and with somebody who types at one.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"

leak.guard { timeout = 20 }

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

describe("orrery repl without a terminal", function()
    local home
    setup(function() home = remote.directory() end)
    teardown(function() remote.remove(home) end)

    local function repl(stdin, ...)
        return lab.run({ "env", "HOME=" .. home, "XDG_STATE_HOME=", "XDG_CONFIG_HOME=", "timeout", "60", program,
            "repl", ... }, stdin)
    end

    local function shows(expected, stdin, ...)
        local code, out, err = repl(stdin, ...)
        assert.are.same({ 0, expected, "" }, { code, out, err })
    end

    it("prints what a return gives, and ends", function() shows("2\n", "return 1+1\n") end)

    it("prints what an expression gives", function()
        shows('2\n"a"\n3\n', "1+1\n= 'a'\n_1 and 3\n")
    end)

    it("takes inputs of several lines, each when it is whole", function()
        shows("hello\n6\n", "function f(n)\n  print 'hello'\n  return n * 2\nend\nf(\n3)")
    end)

    it("shows nothing where the input ends in a semicolon", function() shows("3\n", "1+1;\n_ + 1\n") end)

    it("keeps locals, and what closures share with them", function()
        shows("2\n2\n", "local n = 0\nlocal function inc() n = n + 1 end\ninc() inc()\nn\nlocal n = n\nn")
    end)

    it("has orrery, inventory and hosts", function()
        shows('"table"\nnil\n"table"\n', "type(orrery)\ninventory\ntype(hosts)\n")
    end)

    it("runs what -e gives, in order", function()
        shows("1\n3\n", nil, "-e", "local a = 1 return a", "-e", "a + 2")
    end)

    it("ends at the first error, which is on stderr", function()
        local code, out, err = repl("1\nerror 'no'\n3\n")
        assert.are.same({ 1, "1\n" }, { code, out })
        assert.matches("no", err, 1, true)
        assert.is_nil(err:find("orrery.repl", 1, true))
    end)

    it("points at the column of a syntax error", function()
        local code, out, err = repl("local x = = 2\n")
        assert.are.same({ 1, "" }, { code, out })
        assert.matches("line 1, column 11", err, 1, true)
        assert.matches("\n            ^\n", err, 1, true)
    end)

    it("says that an input is not whole", function()
        local code, _, err = repl("for i = 1, 3 do\n")
        assert.are.equal(1, code)
        assert.matches("end", err, 1, true)
    end)

    it("runs inputs in a context", function()
        shows("true\n7\n", ":use local\nrequire('orrery.core').parent() ~= nil\nlocal x = 7\nx\n")
    end)

    it("has locals of its own in each context", function()
        shows("1\nnil\n1\n", "x = 1\nx\n:use local\nx\n:here\nx\n")
    end)

    it("shows what a command writes there", function()
        shows("one\n", ":use local\n!echo one\n")
        shows("one\n", "!echo one\n")
    end)

    it("names a host that cannot be reached", function()
        local code, _, err = repl("", "-F", "none", "--connect-timeout", "5", "nowhere.invalid")
        assert.are.equal(1, code)
        assert.matches("nowhere.invalid", err, 1, true)
    end)

    it("takes an inventory", function()
        shows('{ "a", "b" }\n', "inventory:hosts()\n", "-i", "a,b")
    end)

    it("names a wrong option, and a command that is not there", function()
        local code, _, err = repl("", "--evil")
        assert.are.equal(64, code)
        assert.matches("--eval", err, 1, true)
        code, _, err = repl(":ues web1\n")
        assert.are.equal(1, code)
        assert.matches(":use", err, 1, true)
    end)

    it("runs init.lua first, whose locals stay", function()
        assert(lab.run { "mkdir", "-p", home .. "/.config/orrery" } == 0)
        remote.write(home .. "/.config/orrery/init.lua", "local mine = 42\n")
        shows("42\n", "mine\n")
        shows("nil\n", "mine\n", "--no-init")
        remote.write(home .. "/.config/orrery/init.lua", "local mine = = 42\n")
        local _, _, err = repl("1\n")
        assert.matches("init.lua", err, 1, true)
        remote.remove(home .. "/.config")
    end)
end)

for _, columns in ipairs { 80, 40 } do
    describe(("orrery repl at a terminal of %d columns"):format(columns), function()
        if os.execute "command -v tmux >/dev/null 2>&1" ~= 0 then
            pending "there is no tmux"
            return
        end
        local t
        local function start(...)
            t = terminal.command(columns, 24, "repl", ...)
            t:await "orrery>"
        end
        after_each(function()
            if t then t:finish() end
            t = nil
        end)

        local function input(text, expected)
            t:type(text .. "\n")
            t:await(expected)
        end

        it("shows results, and asks again", function()
            start()
            input("1+1", "\n2\norrery>")
            input("'grüße ✓'", '\n"grüße ✓"\norrery>')
            input("_", '\n"grüße ✓"\norrery>')
        end)

        it("continues an input that is not whole", function()
            start()
            t:type "for i = 1, 2 do\n"
            t:await "\n      >"
            input("  print('n' .. i) end", "\nn1\nn2\norrery>")
        end)

        it("ends at Ctrl-D", function()
            start()
            t:key "C-d"
            t:await "ended 0"
        end)

        it("drops what was typed at Ctrl-C, and goes on", function()
            start()
            t:type "error('never')"
            t:key "C-c"
            t:await "error('never')^C\norrery>"
            input("1+1", "\n2\norrery>")
        end)

        it("ends an input at Ctrl-C, here and there", function()
            start()
            input("print('on') while true do end", "\non\n")
            t:key "C-c"
            t:await "Ctrl-C\norrery>"
            input("1+1", "\n2\norrery>")
            input(":use local", "local>")
            input("print('off') while true do end", "\noff\n")
            t:key "C-c"
            t:await "Ctrl-C\nlocal>"
            input("1+2", "\n3\nlocal>")
        end)

        it("completes", function()
            start()
            t:type "string.for\t"
            t:await "string.format("
        end)

        it("shows what comes meanwhile above the line", function()
            start()
            input("orrery.spawn(function() orrery.sleep(0.5) print 'wörld' end); ", "orrery>")
            t:type "some wörds"
            t:await "\nwörld\norrery> some wörds"
            t:key "C-c"
        end)

        it("shows a lost context above the line, and opens it again", function()
            start()
            input(":use local", "local>")
            input("1", "\n1\nlocal>")
            t:type "os.exit(3)\n"
            t:await "lost"
            t:await "local (lost)>"
            input(":connect", "local>")
            input("1+1", "\n2\nlocal>")
        end)
    end)
end
