-- Drives the command that was built. Children of this machine stand in for hosts; hosts are in
-- cli_lab_spec.lua.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"

leak.guard()

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

local function orrery(...) return lab.run { "timeout", "60", program, ... } end

-- A line for bash, in which $orrery is the program and $dir an empty directory.
local function bash(line)
    local dir = os.tmpname()
    os.remove(dir)
    local code, stdout, stderr = lab.run {
        "timeout", "60", "bash", "-c",
        ("orrery=%s dir=%s; mkdir $dir || exit; trap 'rm -rf $dir' EXIT\n%s"):format(program, dir, line),
    }
    return code, stdout, stderr
end

local function script(text, ...) return lab.run({ "timeout", "60", program, "run", "-", ... }, text) end

describe("orrery", function()
    it("says how to use it", function()
        local code, stdout, stderr = orrery("--help")
        assert.are.same({ 0, "" }, { code, stderr })
        assert.matches("^usage: orrery COMMAND", stdout)
        assert.are.same({ 0, stdout, "" }, { orrery("help") })
        assert.are.same({ 64, "", stdout }, { orrery() })
        for _, command in ipairs { "exec", "run", "play", "inventory", "attach", "version", "help" } do
            local text = select(2, orrery("help", command))
            assert.matches("^usage: orrery " .. command, text)
            assert.are.same({ 0, text, "" }, { orrery(command, "--help") })
            assert.are.same({ 0, text, "" }, { orrery("-h", command) })
        end
    end)

    it("says versions", function()
        local code, stdout = orrery("version")
        assert.are.equal(0, code)
        assert.matches("^orrery   %d+%.%d+%.%d+\nluajit   2%.1%S*, %S+\nlibssh2  1%.%S+\nagents   /%S+\n$", stdout)
        assert.are.same({ 0, stdout }, { (orrery("--version")), (select(2, orrery("-v", "--version"))) })
        assert.matches("agents   /nowhere %(missing", (select(2,
            lab.run { "env", "ORRERY_AGENT_DIR=/nowhere", program, "version" })))
    end)

    it("says in one line what is wrong on the command line", function()
        for message, words in pairs {
            ["orrery: unknown command 'exce' (did you mean 'exec'?); see 'orrery --help'"] = { "exce" },
            ["orrery: unknown command 'x.lua' (did you mean 'orrery run x.lua', or 'orrery play x.lua'?); "
                .. "see 'orrery --help'"] = { "x.lua" },
            ["orrery: unknown option '--versoin' (did you mean '--version'?); see 'orrery --help'"] = { "--versoin" },
            ["orrery exec: unknown option '--fodl' (did you mean '--fold'?); see 'orrery exec --help'"] =
                { "exec", "--fodl" },
            ["orrery exec: a command is missing; see 'orrery exec --help'"] = { "exec", "-Ha" },
            ["orrery exec: no hosts: say them with -H web1,web2; see 'orrery exec --help'"] = { "exec", "ls" },
            ["orrery exec: cannot read the hosts in /nonexistent: No such file or directory; "
                .. "see 'orrery exec --help'"] = { "exec", "--hosts-file=/nonexistent", "ls" },
            ["orrery run: a script is missing; see 'orrery run --help'"] = { "run", "-v" },
            ["orrery version: unexpected 'x'; see 'orrery version --help'"] = { "version", "x" },
            ["orrery: log file /nonexistent/x: No such file or directory"] =
                { "exec", "--log", "/nonexistent/x", "-Ha", "ls" },
        } do
            assert.are.same({ 64, "", message .. "\n" }, { orrery(unpack(words)) })
        end
    end)

    it("does not write output into what took the place of a closed stdout", function()
        local code, _, stderr = bash("$orrery exec -H a --local 'echo x' >&-")
        assert.are.same({ 74, "orrery: cannot write the output: Bad file descriptor\n" }, { code, stderr })
    end)
end)

describe("orrery run", function()
    it("gives the script its arguments, and its own options", function()
        local code, stdout, stderr = bash [[
            echo 'return { word = "found" }' >$dir/near.lua
            echo 'print(arg[0]:match("[^/]*$"), arg[-1], #arg, require("near").word, ...)' >$dir/s.lua
            $orrery -v run $dir/s.lua -v --log x]]
        assert.are.same({ 0, "" }, { code, stderr })
        assert.are.equal("s.lua\trun\t3\tfound\t-v\t--log\tx\n", stdout)
    end)

    it("takes the script from stdin", function()
        assert.are.same({ 0, "-\tx\n", "" }, { script("print(arg[0], ...)", "x") })
        local code, _, stderr = script("local = 1")
        assert.are.equal(1, code)
        assert.are.equal("orrery: stdin:1: '<name>' expected near '='\n  code:     lua\n", stderr)
    end)

    it("ends with the status that the script gives", function()
        assert.are.same({ 7, "out", "" }, { script "io.write 'out' os.exit(7)" })
        assert.are.same({ 0, "", "" }, { script "os.exit(true)" })
        assert.are.equal(9, (script [[
            local orrery = require "orrery"
            local c = orrery.localhost()
            orrery.spawn(c.run, c, { "sleep", "1000" })
            orrery.spawn(function() c:call(function() end) os.exit(9) end)]]))
    end)

    it("waits for tasks, and fails if one did and nobody looked", function()
        local code, stdout, stderr = script [[
            local orrery = require "orrery"
            orrery.spawn(function() orrery.sleep(0.01) print "later" end)
            orrery.spawn(function() error "lost" end)]]
        assert.are.same({ 1, "later\n" }, { code, stdout })
        assert.matches("^orrery: the task at stdin:3 failed, and nobody waits for it:\nstdin:3: lost\n", stderr)
    end)

    it("prints an error with its place and the remote traceback", function()
        local code, _, stderr = script [[
            local ctx = require("orrery").localhost { name = "web1" }
            ctx:call(function()
                local function inner() error("boom") end
                inner()
            end)]]
        assert.are.equal(1, code)
        assert.matches("^orrery: stdin:3: boom\n", stderr)
        assert.matches("\n  context:  web1\n  route:    local:web1\n", stderr, 1, true)
        assert.matches("\n  remote traceback:\n", stderr)
        assert.matches("\n    stdin:3: in function 'inner'\n", stderr)
    end)

    it("prints what each host failed with", function()
        local code, _, stderr = script [[
            local orrery, list = require "orrery", {}
            for i = 1, 3 do list[i] = orrery.localhost { name = "web" .. i } end
            orrery.each(list, function(ctx)
                if ctx.name == "web2" then ctx:run { "sh", "-c", "echo no room >&2; exit 4" } end
                ctx:call(function(name) if name ~= "web2" then error("boom") end end, ctx.name)
            end)]]
        assert.are.equal(1, code)
        assert.matches("^orrery: 3 of 3 failed: web1: stdin:5: boom, ", stderr)
        assert.matches("\n  web1: lua: stdin:5: boom [web1, local:web1]\n      remote traceback:\n", stderr, 1, true)
        assert.matches("\n  web2: command: sh %-c .-: exited with status 4: no room %[web2, local:web2%]\n", stderr)
        assert.matches("\n  web3: lua: stdin:5: boom [web3, local:web3]\n"
            .. "      traceback: the same as web1's\n", stderr, 1, true)
    end)

    it("says with --stats what the runtime did, whatever ends the script", function()
        local text = [[
            local ctx = require("orrery").localhost { name = "web1" }
            for _ = 1, 10 do ctx:call "os.time" end
            io.write "out"
        ]]
        for status, last in pairs { [0] = "", [1] = "error 'boom'", [7] = "os.exit(7)" } do
            local code, stdout, stderr = lab.run({ program, "run", "--stats", "-" }, text .. last)
            assert.are.same({ status, "out" }, { code, stdout })
            local lines, column = 0, nil
            for line in stderr:gmatch("[^\n]+") do
                local _, at = line:find("^%l[%l_]+ +[1-9]%d*  %l")
                column = column or at
                if at then lines = lines + 1 end
                assert.is_true(at == column or status == 1, line)
            end
            assert.is_true(lines >= 5)
            assert.matches("\nmessages_sent +%d+  messages given to a stream here\n", "\n" .. stderr)
            assert.not_matches("messages_dropped", stderr)
        end
        assert.are.same({ 0, "out", "" }, { script(text) })
    end)

    it("says which script cannot be read", function()
        local code, _, stderr = orrery("run", "/nonexistent.lua")
        assert.are.equal(1, code)
        assert.matches("^orrery: cannot read /nonexistent%.lua: No such file or directory\n", stderr)
    end)
end)

describe("orrery exec", function()
    it("puts the host in front of each line, aligned", function()
        local code, stdout, stderr = orrery("exec", "-H", "db1,web10", "--local", "--limit", "1",
            "echo one; echo two; printf three; echo oops >&2")
        assert.are.same({ 0, "db1:   oops\nweb10: oops\n" }, { code, stderr })
        assert.are.equal("db1:   one\ndb1:   two\ndb1:   three\n"
            .. "web10: one\nweb10: two\nweb10: three\n", stdout)
    end)

    it("gives one word to a shell, and several to the program", function()
        assert.are.equal("a: 1 2\n", (select(2, orrery("exec", "-Ha", "--local", "--", "echo 1   2"))))
        assert.are.equal("a: $HOME;  x\n",
            (select(2, orrery("exec", "-Ha", "--local", "--", "echo", "$HOME;  x"))))
        assert.are.equal("a: -H b\n", (select(2, orrery("exec", "-Ha", "--local", "echo", "-H", "b"))))
    end)

    it("takes hosts from everywhere, each once", function()
        local _, stdout = bash [[
            printf '# mine\nb\nc[1-2] # two\n' >$dir/hosts
            $orrery exec -Ha,b -H d@x,e@x,f@y --hosts-file $dir/hosts --local --limit 1 echo hi]]
        assert.are.equal("a:   hi\nb:   hi\nd@x: hi\ne@x: hi\ny:   hi\nc1:  hi\nc2:  hi\n", stdout)
    end)

    it("says by its status what went wrong", function()
        local function status(...) return { orrery("exec", "-H", "a", "--local", ...) } end
        assert.are.same({ 0, "", "" }, status("true"))
        assert.are.same({ 1, "", "a: exit status 3\n" }, status("exit 3"))
        assert.are.same({ 1, "", "a: killed by signal 9\n" }, status("kill -9 $$"))
        local text = "cannot run nonexistent: not found in PATH"
        assert.are.same({ 1, "", ("a: %s\n"):format(text) },
            status("nonexistent", "x"))
        text = "ran longer than 0.1 s and was ended"
        assert.are.same({ 1, "", ("a: %s\n"):format(text) },
            status("-t", "0.1", "sleep", "1000"))
    end)

    it("goes on where a host is lost, and says so", function()
        -- The agent of the one that comes first is killed: it leads the command's parents.
        local code, stdout, stderr = bash [[
            $orrery exec -H n[1-2] --local --limit 1 "mkdir $dir/first 2>/dev/null && {
                kill -9 \$PPID; sleep 1000; }; echo alive"]]
        assert.are.same({ 2, "n2: alive\n" }, { code, stdout })
        assert.matches("^n1: dead: ", stderr)
        assert.matches("\n1 of 2 ok; failed: n1: dead: ", stderr)
    end)

    it("folds equal outputs, the rarest first", function()
        local code, stdout, stderr = bash [[
            $orrery exec -H 'web[1-4],db1' --local --limit 1 --fold '
                mkdir '$dir'/first 2>/dev/null && { echo odd; echo err >&2; echo; echo end; exit 3; }
                printf same']]
        assert.are.equal(1, code)
        assert.are.equal("web1 (1), exit status 3:\n  odd\n  err\n\n  end\n\nweb[2-4],db1 (4):\n  same\n", stdout)
        assert.are.equal("web1: exit status 3\n4 of 5 ok; failed: web1: exit status 3\n", stderr)
        assert.are.equal("n[1-3] (3): no output\n",
            (select(2, orrery("exec", "-Hn[1-3]", "--local", "--fold", "true"))))
    end)

    it("says a cause once that many share", function()
        local _, _, stderr = orrery("exec", "-H", "n[1-30]", "--local", "--fold", "exit 2")
        assert.matches("\n0 of 30 ok; failed: n%[1%-30%]: exit status 2\n$", stderr)
    end)

    it("shows a line before the command has ended", function()
        -- The command waits for a word that is only sent when its first line has been read.
        local code, stdout = bash [[
            mkfifo $dir/go
            $orrery exec -H a --local "echo ready; read word <$dir/go; echo \$word" | {
                read line; echo "$line"; echo now >$dir/go; cat; }]]
        assert.are.same({ 0, "a: ready\na: now\n" }, { code, stdout })
    end)

    it("passes bytes through, and breaks only lines that never end", function()
        local code, stdout = bash [[$orrery exec -H a --local 'printf "\0\1\033[31m\200\377\r\n"' | od -An -tx1]]
        assert.are.same({ 0, " 61 3a 20 00 01 1b 5b 33 31 6d 80 ff 0d 0a\n" }, { code, stdout })
        code, stdout = bash [[$orrery exec -H a,b --local "head -c 3000000 /dev/zero | tr '\0' x" | wc]]
        assert.are.equal(0, code)
        assert.matches("^%s*2%s+4%s+6000008\n$", stdout)
        code, stdout = bash [[$orrery exec -H a --local "head -c 50000000 /dev/zero | tr '\0' x" | tr -d 'x' | wc -l]]
        assert.are.equal(0, code)
        assert.is_true(tonumber(stdout) > 1 and tonumber(stdout) <= 12)
    end)

    it("has colours and harmless text on a terminal only", function()
        local line = [[script -qec "$orrery exec -H a --local -- printf 'x\\033[2J\\n'" /dev/null]]
        assert.are.equal("\27[36ma:\27[0m x\\x1b[2J\r\n", (select(2, bash("TERM=xterm " .. line))))
        assert.are.equal("a: x\\x1b[2J\r\n", (select(2, bash("export NO_COLOR=1; " .. line))))
    end)

    it("ends quietly, and the commands too, when its reader has gone", function()
        -- The command, and whoever it leaves behind, holds the pipe open: its end is theirs.
        for _, prepare in ipairs { "", "trap '' PIPE;" } do
            local code, stdout, stderr = bash(prepare .. [[
                mkfifo $dir/life; cat $dir/life & reader=$!
                $orrery exec -H a --local "trap '' PIPE; exec 9>$dir/life
                    while :; do echo y; sleep 0.01; done" | head -n 1
                echo ${PIPESTATUS[0]}; wait $reader; echo ended]])
            assert.are.same({ 0, "a: y\n141\nended\n", "" }, { code, stdout, stderr })
        end
    end)

    it("ends a script and a play quietly when their reader has gone", function()
        local code, stdout, stderr = bash [[
            echo 'for i = 1, 1e6 do print(i) end io.stderr:write "went on"' >$dir/script.lua
            $orrery run $dir/script.lua | head -n 1; echo ${PIPESTATUS[0]}
            echo 'require("orrery.play").play { name = "p", hosts = "a", run = function(h)
                for i = 1, 1e5 do h:say(i) end io.stderr:write "went on" end }' >$dir/play.lua
            echo 'a ansible_connection=local' >$dir/hosts.ini
            $orrery play -i $dir/hosts.ini --no-record $dir/play.lua | head -n 1; echo ${PIPESTATUS[0]}]]
        assert.are.same({ 0, "1\n141\nplay p  a\n141\n", "" }, { code, stdout, stderr })
    end)

    it("says when output cannot be written", function()
        local code, _, stderr = bash [[$orrery exec -H a --local "echo x" >/dev/full]]
        assert.are.same({ 74, "orrery: cannot write the output: No space left on device\n" }, { code, stderr })
    end)

    it("takes the commands along on Ctrl-C", function()
        local code, stdout = bash [[
            set -m; mkfifo $dir/life
            $orrery exec -H a --local "exec 9>$dir/life; echo up >&9; sleep 1000 & wait" &
            exec 3<$dir/life; read word <&3; kill -INT -- -$!; wait $!; echo $?
            cat <&3; echo ended]]
        assert.are.same({ 0, "130\nended\n" }, { code, stdout })
    end)

    it("gives the commands time to clean up on Ctrl-C", function()
        local code, stdout = bash [[
            set -m; mkfifo $dir/up $dir/ended; exec 3<>$dir/ended
            $orrery exec -H a --local -- sh -c "trap '' PIPE; trap 'echo cleaned >$dir/ended; exit' TERM
                echo up >$dir/up; sleep 1000 & wait" &
            read word <$dir/up; kill -INT -- -$!; wait $!; read -t 10 word <&3; echo $word]]
        assert.are.same({ 0, "cleaned\n" }, { code, stdout })
    end)

    it("logs what it does, to stderr or to a file", function()
        local code, _, stderr = orrery("exec", "-v", "-Hlog1", "--local", "true")
        assert.are.equal(0, code)
        assert.matches("%d%d:%d%d:%d%d%.%d%d%d info  children: log1 is up", stderr)
        assert.not_matches(" debug ", stderr)
        local out
        code, out, stderr = bash [[
            $orrery -v --log $dir/log exec -H log1 --local true
            $orrery exec --log=$dir/log -Hlog2 --local -v true; cat $dir/log
            $orrery exec --log=$dir/log -Hlog3 --local -vv true 2>/dev/null; grep debug $dir/log]]
        assert.are.same({ 0, "" }, { code, stderr })
        assert.matches(" debug ", out)
        assert.matches("log1 is up.*log2 is up", out)
    end)

    it("says with --stats what the runtime did", function()
        local code, stdout, stderr = orrery("exec", "--stats", "-Ha", "--local", "echo hi")
        assert.are.same({ 0, "a: hi\n" }, { code, stdout })
        assert.matches("\nmessages_sent +%d+  messages given to a stream here\n", "\n" .. stderr)
    end)

    it("works for many at once", function()
        local code, stdout, stderr = orrery("exec", "-H", "n[1-50]", "--local", "--fold", "--limit", "50",
            "echo same")
        assert.are.same({ 0, "n[1-50] (50):\n  same\n", "" }, { code, stdout, stderr })
        code, stdout = orrery("exec", "-H", "n[1-50]", "--local", "seq 100")
        local lines, next_of = 0, {}
        for name, number in stdout:gmatch("(n%d+): +(%d+)\n") do
            lines, next_of[name] = lines + 1, (next_of[name] or 0) + 1
            assert.are.equal(next_of[name], tonumber(number))
        end
        assert.are.same({ 0, 5000 }, { code, lines })
    end)
end)
