-- What somebody does with the prompt all day, in a real terminal.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"

leak.guard { timeout = 20 }

local EDITOR = [[
#!/bin/sh
printf 'print("edited")\nreturn 6 * 7 -- %s' "$(cat "$1")" >"$1"
]]

for _, columns in ipairs { 80, 40 } do
    describe(("orrery repl in use at %d columns"):format(columns), function()
        if os.execute "command -v tmux >/dev/null 2>&1" ~= 0 then
            pending "there is no tmux"
            return
        end
        local home, t, variables

        local function start(...)
            t = terminal.with(variables, columns, 40, "repl", ...)
            t:await "orrery>"
        end

        local function finish()
            if t then t:finish() end
            t = nil
        end

        before_each(function()
            home = remote.directory()
            variables = { HOME = home, XDG_STATE_HOME = "", XDG_CONFIG_HOME = "", TERM = "xterm-256color", PAGER = "" }
        end)
        after_each(function()
            finish()
            remote.remove(home)
        end)

        -- After it the prompt is there again.
        local function input(text, expected, prompt)
            t:type(text .. "\n")
            t:await(expected .. "\n" .. (prompt or "orrery>"))
        end

        -- In whatever lines it may be broken.
        local function shows(...)
            for _, text in ipairs { ... } do
                local bare = text:gsub("%s", "")
                local ok = pcall(remote.eventually, text, function()
                    return t:screen():gsub("%s", ""):find(bare, 1, true)
                end, 20)
                if not ok then error(("%q is not on the screen:\n%s"):format(text, t:screen()), 2) end
            end
        end

        local function file(name, text)
            remote.write(home .. "/" .. name, text)
            return "~/" .. name
        end

        describe("results:", function()
            it("are in _ and _1, and hidden by a semicolon", function()
                start()
                input("return 'é', 7", '\n"é"\n7')
                input("_2 + 1, _1", '\n8\n"é"')
                input("_ * 2 \\;", "_ * 2 ;") -- tmux takes one at the end for itself
                input("_", "\n16")
            end)

            it("are paged where they are long", function()
                variables.PAGER = "less"
                start()
                t:type "local t = {} for i = 1, 60 do t[i] = 'ü' .. i end return t\n"
                shows('\n  "ü30",', "\n:")
                assert.is_nil(t:screen():find("ü60", 1, true))
                t:key "G"
                shows '  "ü60",'
                t:key "q"
                input("#t", "\n60")
            end)

            it("may be any value, cyclic ones and huge ones among them", function()
                start()
                input("local a = {} a.a = a return a", "\n{ a = <cycle> }")
                input(":set items 2", "")
                input("{1, 2, 3}", "more }")
                input(":set items 3", "")
                input("{1, 2, 3}", "\n{ 1, 2, 3 }")
            end)

            it("that are secret are not shown", function()
                start()
                t:type "orrery.secret.prompt('Word: ')\n"
                t:await "\nWord:"
                t:type "pässword\n"
                shows "\n(secret)\norrery>"
                input("_", "\n(secret)")
                assert.is_nil(t:screen():find("pässword", 1, true))
            end)
        end)

        describe("errors:", function()
            it("of syntax have a caret, under tabs and UTF-8", function()
                start()
                input("x = 'ä' = 3", "\n  x = 'ä' = 3\n          ^")
                shows "line 1, column 9: unexpected symbol near '='"
                input(":load " .. file("bad.lua", "local x = 1\n\tx = = 2\n"), "\n        x = = 2\n            ^")
                shows "line 2, column 6"
            end)

            it("are any value, in no colours of their own", function()
                start()
                input("error { code = 'ß' }", "\nraised: { code = \"ß\" }")
                input("error 'no'", "\nno")
            end)

            it("say how often a frame is there", function()
                start()
                input("local function f(n) if n == 0 then error 'deep' end f(n - 1) return 1 end f(5)", "")
                shows("deep", "in function 'f' (6 times)")
            end)

            it("of init.lua name it, and there is a prompt", function()
                os.execute("mkdir -p " .. home .. "/.config/orrery")
                file(".config/orrery/init.lua", "local mine = 1\nerror 'not today'\n")
                start()
                shows "not today"
                input("1 + 1", "\n2")
            end)
        end)

        it("init.lua: its locals, functions and settings are there", function()
            os.execute("mkdir -p " .. home .. "/.config/orrery")
            file(".config/orrery/init.lua", [[
                local mine = { "grüße" }
                function twice(n) return 2 * n end
                require("orrery.repl").current().settings:set("depth", 1)]])
            start()
            input("mine[1]", '\n"grüße"')
            input("twice(4)", "\n8")
            input(":set depth", "")
            shows "\ndepth    1 "
        end)

        describe("history:", function()
            it("is searched by Ctrl-R, from a session before, lines and all", function()
                start()
                input("local ключ = 'first'", "")
                t:type "for i = 1, 2 do\n"
                t:await "\n      >"
                input("print('n' .. i) end", "\nn1\nn2")
                input(" 'a secret of mine'", "\n\"a secret of mine\"")
                t:key "C-d"
                t:await "ended 0"
                finish()
                start()
                t:key "C-r"
                t:type "for i"
                t:await "print('n' .. i) end"
                t:key "Enter"
                t:await "\nn1\nn2\norrery>"
                t:key "C-r"
                t:type "ключ"
                shows "local ключ = 'first'"
                t:key "C-c"
                t:await "^C\norrery>"
                local kept = remote.slurp(home .. "/.local/state/orrery/history")
                assert.is_nil(kept:find("a secret of mine", 1, true))
            end)

            it("has inputs of several lines as one entry behind Up", function()
                start()
                t:type "for i = 1, 2 do\n"
                t:await "\n      >"
                input("print('é' .. i) end", "\né1\né2")
                input("1", "\n1")
                t:key "Up"
                t:key "Up"
                t:await "for i = 1, 2 do\nprint('é' .. i) end"
                t:key "Enter"
                t:await "\né1\né2\norrery>"
            end)
        end)

        describe("commands:", function()
            it(":edit runs what was saved, and that is in the history", function()
                variables.EDITOR = home .. "/editor"
                file("editor", EDITOR)
                os.execute("chmod +x " .. home .. "/editor")
                start()
                input("1 + 1", "\n2")
                input(":edit", "\nreturn 6 * 7 -- 1 + 1\nedited\n42")
                t:key "Up"
                t:key "Up"
                t:await "orrery> print(\"edited\")\nreturn 6 * 7 -- 1 + 1"
                t:key "C-c"
            end)

            it(":edit runs nothing where the editor saved nothing, or failed", function()
                variables.EDITOR = "true"
                start()
                input("1 + 1", "\n2")
                input(":edit", "\nnothing was saved, nothing was run")
                finish()
                variables.EDITOR = "false"
                start()
                input("1 + 1", "\n2")
                t:type ":edit\n"
                shows("the editor 'false' ended", "nothing was run\norrery>")
            end)

            it(":load runs a file, whose locals stay", function()
                start()
                input(":load " .. file("good.lua", "#!/usr/bin/env orrery\nlocal ort = 'Köln'\nprint(ort)\n"), "\nKöln")
                input("ort", '\n"Köln"')
                t:type ":load ~/none\n"
                shows "none: No such file or directory orrery>"
            end)

            it(":save writes a script that does the same", function()
                start()
                input("local n = 20", "")
                input("nosuch.field = 1", "(a nil value)")
                input(":use local", "", "local>")
                input("print('dört')", "\ndört", "local>")
                input(":here", "")
                input("n + 1", "\n21")
                input(":save ~/s.lua", "3 inputs")
                t:key "C-d"
                t:await "ended 0"
                local program = os.getenv "ORRERY_BUILD" .. "/orrery"
                local code, out, err = lab.run { program, "run", home .. "/s.lua" }
                assert.are.same({ 0, "21\n", "[local] dört\n" }, { code, out, err })
            end)

            it(":time, :trace and :stats", function()
                start()
                input(":use local", "", "local>")
                input(":time 1 + 2", "(70 B)", "local>")
                shows("\n3\n", "sent 1 message")
                t:key "C-l"
                t:type ":trace 1 + 3\n"
                shows("\n4\n", "CALL ", "CALL answer")
                if columns == 80 then shows("here > local", "local > here") end
                t:key "C-l"
                t:type ":stats\n"
                shows "messages_sent"
            end)

            it(":log says the level, and sets it", function()
                start()
                input(":log", "\nwarn")
                input(":log loud", "trace")
                input(":log debug", "")
                t:type ":use local\n"
                shows("debug", "info  children: local is up", "\nlocal>")
            end)

            it(":set shows and changes settings", function()
                start()
                t:type ":set\n"
                shows("\ncolour   auto ", "\npager    on ", "\ntimeout  0.3 ")
                input(":set depth 1", "")
                t:key "C-l"
                input("{ a = { b = 1 } }", "\n{ a = {...} }")
                t:type ":set dept 1\n"
                shows "did you mean 'depth'?"
                t:type ":set time on\n"
                t:key "C-l"
                t:type "'é'\n"
                remote.eventually("the time", function()
                    local screen = t:screen()
                    return screen:find "\n%d+ us\norrery>" or screen:find "\n%d+%.%d+ ms\norrery>"
                end, 20)
            end)

            it(":doc and :help", function()
                start()
                t:type ":doc orrery.sleep\n"
                shows("\norrery.sleep(seconds)\n", "Takes:")
                t:key "C-l"
                t:type ":doc nosuchthing\n"
                shows("nosuchthing")
                t:key "C-l"
                t:type ":help use\n"
                shows(":use web1", "each host has its own.")
                t:key "C-l"
                t:type ":help\n"
                shows(":save", ":quit")
            end)

            it("are named where they are mistyped", function()
                start()
                t:type ":hepl\n"
                shows "':hepl'"
                input("!", "'!' needs a command")
            end)
        end)

        describe("a context:", function()
            it("is completed by Tab: what is there", function()
                start()
                input(":use local", "", "local>")
                input("there_only = { straße = 1, inner_field = 2 }", "", "local>")
                t:type "there_o\t"
                t:await "local> there_only"
                t:type ".inn\t\n"
                t:await "there_only.inner_field\n2\nlocal>"
                input(":here", "")
                t:key "C-l"
                t:type "there_o\t"
                t:type "x"
                t:await "orrery> there_ox"
                t:key "C-c"
            end)

            it("is completed by Tab: methods, modules, keys, options, files, hosts, programs", function()
                file("möbel", "")
                start("-i", "web[1-3],db1")
                local cases = {
                    { '("x"):upp', ':upper(' }, { "string.rev", "string.reverse(" },
                    { 'require "orrery.js', '"orrery.json"' },
                    { "orrery.ssh('a', { us", "{ user = " }, { ":use web2,d", "web2,db1" },
                    { ":use @al", "@all" }, { ":se", ":set" }, { ":set dep", "depth" }, { ":load ~/mö", "~/möbel" },
                    { "!sh ~/mö", "~/möbel" },
                }
                local function complete(list)
                    for _, case in ipairs(list) do
                        t:type(case[1] .. "\t")
                        shows(case[2])
                        t:key "C-c"
                        t:key "C-l"
                    end
                end
                complete(cases)
                input(":use local", "", "local>")
                complete { { '("x"):low', ":lower(" }, { "io.open('" .. home .. "/mö", "möbel'" } }
            end)

            it("of one's own is used by its name, and what it prints has none", function()
                start()
                input("local mine = orrery.localhost()", "")
                input(":use mine", "", "mine>")
                input("print('ünder')", "\nünder", "mine>")
            end)

            it("runs commands, whose end is told", function()
                start()
                input("!exit 3", "\nexit status 3")
                input("!kill $$", "\nkilled by signal 15")
                input(":use local", "", "local>")
                input("!echo näh", "\nnäh", "local>")
                input("!exit 3", "\nexit status 3", "local>")
                input("!kill $$", "\nkilled by signal 15", "local>")
            end)
        end)

        it("Ctrl-C ends a command, here and there", function()
            start()
            for _, prompt in ipairs { "orrery>", "local>" } do
                if prompt == "local>" then input(":use local", "", prompt) end
                t:type "!echo begun; exec sleep 1000\n"
                t:await "\nbegun\n"
                t:key "C-c"
                t:await("^C\ninterrupted by Ctrl-C\n" .. prompt)
                t:key "C-l"
            end
        end)

        it("puts unfinished lines of a task together above the prompt", function()
            start()
            input("local go = function(s) for i = 1, 4 do io.write(i, s) orrery.sleep(0.02) end end", "")
            input("local _ = orrery.spawn(go, ' ü ')", "")
            t:type "typing"
            t:await "\n1 ü 2 ü 3 ü 4 ü\norrery> typing"
            t:key "C-c"
        end)

        it("leaves the terminal as it was after os.exit and a signal", function()
            start()
            t:type "os.exit(3)\n"
            shows("ended 3", "the echo is on")
            finish()
            start()
            t:type "some text"
            t:await "some text"
            lab.run { "kill", "-TERM", tostring(t:pid()) }
            shows("ended 143", "the echo is on")
        end)
    end)
end
