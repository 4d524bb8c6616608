local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"

leak.guard()

-- A prompt that says what it was given. `orrery run` takes Ctrl-C for itself, unless it is ignored; so the program
-- begins anew with it ignored. arg: the path of the history.
local PROGRAM = [[
local ffi = require "ffi"
ffi.cdef "void (*signal(int sig, void (*handler)(int)))(int); int execvp(const char *file, const char *const argv[]);"
if arg[2] ~= "again" then
    local command = os.getenv "ORRERY_BUILD" .. "/orrery"
    ffi.C.signal(2, ffi.cast("void (*)(int)", 1))
    ffi.C.execvp(command, ffi.new("const char *[6]", { command, "run", arg[0], arg[1], "again" }))
end
ffi.C.signal(2, nil)
local interrupt = require "orrery.interrupt"
local sched = require "orrery.sched"
local terminal = require "orrery.repl.terminal"

local NAMES = { "print", "pairs", "path/with 'quotes\" é", "päiräs" }
local function complete(text, cursor, before)
    local from = text:sub(1, cursor):find "[^ (]*$"
    local word, list = text:sub(from, cursor), {}
    if word == "slow" then
        sched.sleep(0.2)
        print "while it completes"
        sched.sleep(0.2)
        return from, { { text = "slower" } }
    end
    if word == "never" then sched.sleep(1000) end
    if word == "before" then return from, { { text = before:upper():gsub("\n", "|"), final = true } } end
    for _, name in ipairs(NAMES) do
        if name:sub(1, #word) == word then list[#list + 1] = { text = name, shown = "<" .. name .. ">" } end
    end
    return from, list
end
local t = assert(terminal.open { history = arg[1], complete = complete })
t.ready = function(text)
    if loadstring("return " .. text, "=stdin") then return "complete" end
    local fn, err = loadstring(text, "=stdin")
    return fn and "complete" or err:find "<eof>" and "incomplete" or "syntax"
end
assert(interrupt.watch(function() t:interrupt() end))
local inputs = 0
local function ask()
    inputs = inputs + 1
    local text, why = t:read("\1\27[32m\2prömpt" .. inputs .. "> \1\27[0m\2", "   ...> ")
    say("(" .. (text or why) .. ")")
    return text, why
end
]]

local LOOP = PROGRAM .. [[
repeat
    local text, why = ask()
    if text == "run" then os.execute "echo running; sleep 0.5; stty -a | grep -o -e '-*icanon'" end
until why == "eof"
t:close()
]]

local window, dir

local function start(columns, text, path)
    window = terminal.sized(columns, 40, text or LOOP, path or dir .. "/state/history")
    window:await "prömpt1>"
    return window
end

-- Lines of the screen from one that has this text on.
local function from(text)
    local screen = window:screen()
    local at = assert(screen:find(text, 1, true), screen)
    return (screen:sub(at):gsub("\n+$", ""))
end

describe("the terminal of a prompt", function()
    if os.execute "command -v tmux >/dev/null 2>&1" ~= 0 then
        pending "there is no tmux"
        return
    end

    before_each(function() dir = remote.directory() end)

    after_each(function()
        if window then window:finish() end
        window = nil
        remote.remove(dir)
    end)

    for _, columns in ipairs { 80, 40 } do
        describe("at " .. columns .. " columns", function()
            it("reads lines with UTF-8, and leaves the terminal as it was", function()
                start(columns)
                window:type "local s = 'äöü'"
                window:key "Left"
                window:key "BSpace"
                window:type "ß日本\n"
                window:await "(local s = 'äöß日本')"
                window:await "prömpt2>"
                window:key "C-d"
                window:await "(eof)"
                window:await "ended 0"
                window:await "the echo is on"
            end)

            it("wraps where the prompt and the line are wider than the screen", function()
                start(columns)
                window:type(("ä"):rep(columns))
                local first = "prömpt1> " .. ("ä"):rep(columns - 9) .. "\n" .. ("ä"):rep(9)
                window:await(first)
                window:key "Home"
                window:type "12"
                window:await("prömpt1> 12" .. ("ä"):rep(columns - 11) .. "\n" .. ("ä"):rep(11))
            end)

            it("goes on where an input is not whole, and remembers it as one", function()
                start(columns)
                window:type "for i = 1, 2 do\n"
                window:await "   ...>"
                window:type "print(i)\n"
                window:type "end\n"
                window:await "(for i = 1, 2 do\nprint(i)\nend)"
                window:await "prömpt2>"
                window:key "Up"
                window:await "prömpt2> for i = 1, 2 do\nprint(i)\nend"
                window:key "Up"
                window:type "ß\n"
                window:await "(for i = 1, 2 do\nprißnt(i)\nend)"
            end)

            it("drops the line after Ctrl-C", function()
                start(columns)
                window:type "for i = 1, 2 do\n"
                window:await "   ...>"
                window:type "abc"
                window:key "Left"
                window:key "C-c"
                window:await "   ...> abc^C\n(interrupt)\nprömpt2>"
                window:type "1\n"
                window:await "(1)"
            end)

            it("shows what others write above the line, with the cursor where it was", function()
                start(columns, PROGRAM .. [[
                    sched.spawn(function()
                        repeat sched.sleep(0.01) until io.open(arg[1] .. ".go")
                        print("printed", 1)
                        io.write "written"
                        io.stdout:write("out ", 2, "\n")
                        io.stderr:write "err\n"
                        t:above("above\nof two lines")
                        require("orrery.core").log(0, "test", "logged")
                    end)
                    ask()
                    t:close()
                ]])
                window:type(("é"):rep(columns) .. "xy")
                window:key "Left"
                window:await "xy"
                remote.write(dir .. "/state/history.go", "")
                window:await "logged"
                window:type "-"
                window:await "x-y"
                local line = "prömpt1> " .. ("é"):rep(columns - 9) .. "\n" .. ("é"):rep(9) .. "x-y"
                assert.equal("printed 1\nwrittenout 2\nerr\nabove\nof two lines\n",
                    from("printed"):match "^(.-)[^\n]* test: ":gsub("\t", " "):gsub(" +1", " 1"))
                assert.truthy(window:screen():find(line, 1, true), window:screen())
                assert.equal(1, select(2, window:screen():gsub("prömpt1>", "")))
            end)

            it("completes names of any characters", function()
                start(columns)
                window:type "pr"
                window:key "Tab"
                window:await "prömpt1> print"
                window:type "(pa"
                window:key "Tab"
                window:await "<pairs>"
                window:await "print(pa\n"
                window:type "t"
                window:key "Tab"
                window:await "print(path/with 'quotes\" é"
                window:type "!"
                window:await "print(path/with 'quotes\" é!"
            end)

            it("is drawn again when the size changes", function()
                start(columns)
                window:type(("12345 "):rep(10) .. "END")
                window:await "END"
                window:resize(columns - 10, 40)
                window:resize(columns + 10, 40)
                window:type "."
                window:await "END."
                remote.eventually("one prompt", function()
                    return select(2, window:screen():gsub("prömpt1>", "")) == 1
                end)
                window:type "\n"
                window:await "(12345"
            end)
        end)
    end

    it("keeps what is typed while an input runs, and has the terminal cooked then", function()
        start(80)
        window:type "run\n"
        window:await "running"
        window:type "typed\n"
        window:type "ahead"
        window:await "icanon\n"
        window:await "(typed)"
        window:await "prömpt3> ahead"
    end)

    it("takes lines that are pasted as one input where they are one", function()
        start(80)
        window:paste "if true then\n\treturn 1\nend\n"
        window:await "end"
        window:key "Enter"
        window:await "return 1\nend)"
        window:paste "1 + 1\nx = 2\ny = 3\nprint(1\n"
        window:await "print(1"
        window:key "Enter"
        window:await "(1 + 1)\n   ...>"
        window:type ")\n"
        window:await "(x = 2\ny = 3\nprint(1\n))"
    end)

    it("puts what is written while it completes above the line", function()
        start(80)
        window:type "slow"
        window:key "Tab"
        window:await "while it completes\nprömpt1> slow"
        window:await "prömpt1> slower"
    end)

    it("ends a completion by Ctrl-C", function()
        start(80)
        window:type "never"
        window:key "Tab"
        window:key "C-c"
        window:await "never^C\n(interrupt)\nprömpt2>"
        window:type "do\n"
        window:type "before"
        window:key "Tab"
        window:type "end\n"
        window:await "(do\nDO| end)"
    end)

    it("searches in the history, which the next prompt has, too", function()
        start(80)
        window:type "first = 1\n"
        window:await "prömpt2>"
        window:type "do second = '\\\\n'\n"
        window:type "end\n"
        window:await "prömpt3>"
        window:type " secret\n"
        window:await "prömpt4>"
        window:key "C-d"
        window:await "ended 0"
        window:finish()
        start(80)
        window:key "C-r"
        window:type "first"
        window:await "first = 1"
        window:key "C-g"
        window:key "Up"
        window:await "prömpt1> do second = '\\\\n'\nend"
        assert.equal("first = 1\ndo second = '\\\\\\\\n'\\nend\n", remote.slurp(dir .. "/state/history"))
        local _, modes = lab.run { "stat", "-c", "%a", dir .. "/state", dir .. "/state/history" }
        assert.equal("700\n600\n", modes)
    end)

    it("keeps the last ten thousand entries, and those of prompts beside it", function()
        local lines = {}
        for i = 1, 13000 do lines[i] = "entry " .. i .. "\n" end
        os.execute("mkdir " .. dir .. "/state")
        remote.write(dir .. "/state/history", table.concat(lines))
        start(80)
        local other = window
        start(80)
        other:type "1\n"
        other:await "prömpt2>"
        window:type "2\n"
        window:await "prömpt2>"
        other:type "3\n"
        other:await "prömpt3>"
        other:finish()
        local text = remote.slurp(dir .. "/state/history")
        assert.equal(10003, select(2, text:gsub("\n", "")))
        assert.matches("^entry 3001\n.*entry 13000\n1\n2\n3\n$", text)
        window:key "Up"
        window:key "Up"
        window:await "prömpt2> entry 13000"
    end)

    it("says once that the history cannot be written", function()
        start(80, nil, "/proc/nowhere/history")
        window:await "orrery: the history is not kept: cannot write /proc/nowhere/history: "
        window:type "1\n"
        window:await "prömpt2>"
        window:type "2\n"
        window:await "prömpt3>"
        assert.equal(1, select(2, window:screen():gsub("not kept", "")))
    end)

    for _, signal in ipairs { "TERM", "HUP" } do
        it("leaves the terminal as it was after SIG" .. signal, function()
            start(80)
            window:type "abc"
            window:await "abc"
            os.execute(("kill -%s %d"):format(signal, window:pid()))
            window:await "ended 1"
            window:await "the echo is on"
        end)
    end

    it("draws the line again when the process has been stopped, and goes on", function()
        start(80)
        window:type "abc"
        window:await "abc"
        os.execute(("kill -STOP %d"):format(window:pid()))
        remote.eventually("it is stopped", function()
            return remote.slurp(("/proc/%d/stat"):format(window:pid())):match "%) (%a)" == "T"
        end)
        os.execute(("kill -CONT %d"):format(window:pid()))
        window:await "prömpt1> abc"
        window:type "d\n"
        window:await "(abcd)"
    end)

    it("makes room for a question, and for what children say", function()
        start(80, PROGRAM .. [[
            local context = require("orrery").localhost()
            sched.spawn(function()
                repeat sched.sleep(0.01) until io.open(arg[1] .. ".go")
                context:call(function() print "from a child" io.stderr:write "and more\n" end)
                context:call(function() os.execute "echo raw >&2" end)
                repeat sched.sleep(0.01) until io.open(arg[1] .. ".asked")
                local answer = require("orrery.ask").person {
                    kind = "password", echo = true, attempt = 1, host = "web1", subject = "me", text = "Who? ",
                    detail = "",
                }
                print("answered", answer)
            end)
            ask()
            t:close()
        ]])
        window:type "1 + "
        window:await "1 +"
        remote.write(dir .. "/state/history.go", "")
        window:await "] raw"
        remote.write(dir .. "/state/history.asked", "")
        window:await "Who?"
        assert.falsy(window:screen():find("prömpt1>", 1, true), window:screen())
        window:type "It's me\n"
        window:await "answered"
        window:await "prömpt1> 1 +"
        window:type "1\n"
        window:await "(1 + 1)"
        assert.truthy(from("[")
            :find("^[^\n]*from a child\n[^\n]*and more\n[^\n]*raw\nWho%? It's me\nanswered%s+It's me\nprömpt1> 1 %+ 1"))
    end)
end)
