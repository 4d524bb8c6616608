-- Other processes in a running tree.
local ffi = require "ffi"
local lfs = require "lfs"
local orrery = require "orrery"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { timeout = 15 }

pcall(ffi.cdef, "int kill(int pid, int sig);")
ffi.cdef [[
int socket(int family, int type, int protocol);
struct spec_sockaddr_un { unsigned short family; char path[108]; };
int connect(int fd, const struct spec_sockaddr_un *address, unsigned length);
long send(int fd, const void *data, size_t size, int flags);
long recv(int fd, void *data, size_t size, int flags);
int close(int fd);
]]

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

-- A process that says nothing of what it is. Returns what it hears, and where it is `open` the descriptor.
local function raw(path, text)
    local fd = ffi.C.socket(1, 1, 0)
    local address = ffi.new("struct spec_sockaddr_un", { 1, path })
    assert.are.equal(0, ffi.C.connect(fd, address, ffi.sizeof(address)))
    if text ~= "" then ffi.C.send(fd, text, #text, 0x4000) end
    return fd
end

-- Blocks until the other end closes.
local function heard(fd)
    local block, pieces = ffi.new("char[4096]"), {}
    while true do
        local n = tonumber(ffi.C.recv(fd, block, 4096, 0))
        if n <= 0 then break end
        pieces[#pieces + 1] = ffi.string(block, n)
    end
    ffi.C.close(fd)
    return table.concat(pieces)
end

-- A script that listens, with two children, until there is a file `end`.
local LISTENER = [[
    local path, dir = arg[1], arg[2]
    local web1, web2 = orrery.localhost { name = "web1" }, orrery.localhost { name = "web2" }
    local listener = orrery.listen(path, { timeout = tonumber(arg[3]) })
    say "ready"
    while not io.open(dir .. "/end") do
        orrery.sleep(0.01)
        if io.open(dir .. "/lose") then web2:close() os.remove(dir .. "/lose") end
    end
    -- Nothing that others did has harmed it.
    assert(web1:call(function() return 5 end) == 5)
    listener:close()
    say "unharmed"
]]

local ATTACHED = [[
    local contexts = orrery.attach(arg[1])
    local function ctx(name)
        for _, each in ipairs(contexts) do
            if each.name == name then return each end
        end
    end
]]

describe("a script that listens", function()
    local dir, path, listener
    before_each(function()
        dir = remote.directory()
        path = dir .. "/socket"
    end)
    after_each(function()
        if listener then -- the test has failed
            remote.kill(listener.pid)
            listener:finish()
            listener = nil
        end
        remote.remove(dir)
    end)

    local function killed()
        remote.kill(listener.pid)
        listener:finish()
        listener = nil
    end

    local function listen(timeout)
        listener = remote.program(LISTENER, nil, path, dir, timeout or "10")
        assert.are.equal("ready", listener:line(), listener:stderr())
    end

    -- Its end, in peace; returns what it logged.
    local function over()
        remote.write(dir .. "/end", "")
        assert.are.equal("unharmed", listener:line())
        listener:rest()
        local text = listener:stderr()
        listener:finish()
        listener = nil
        assert.is_nil(lfs.attributes(path))
        return text
    end

    local function attach(...) return lab.run { "timeout", "60", program, "attach", ... } end

    local function attached(text, ...) return remote.program(ATTACHED .. text, nil, path, ...) end

    it("has its contexts listed", function()
        listen()
        local code, stdout, stderr = attach(path, "--list")
        assert.are.same({ 0, " 2  web1  local:web1\n 3  web2  local:web2\n", "" }, { code, stdout, stderr })
        assert.are.equal("socket", lfs.attributes(path, "mode"))
        assert.are.equal("rw-------", lfs.attributes(path, "permissions"))
        assert.are.equal("", over())
    end)

    it("has its contexts used", function()
        listen()
        remote.write(dir .. "/script.lua", [[
            local orrery = require "orrery"
            local web1, web2 = unpack(orrery.contexts())
            local n = 40
            print(arg[0]:match "[^/]*$", arg[1], web1:call(function(a) return a + n end, 2), web2:call("tostring", 1))
            print(web2:shell("cat; echo $1", "x", { stdin = "in " }).stdout)
            local from, to = arg[2] .. "/script.lua", arg[2] .. "/copy"
            print(web1:put(from, to).changed, web2:get(to, arg[2] .. "/back").changed)
            local r = orrery.receiver()
            web1:cast(function(to) for i = 1, 3 do to:send(i, ("x"):rep(300000)) end end, r:sender())
            for i, text in r:each(3) do print(i, #text) end
            print(select(2, pcall(web2.call, web2, function() error "no" end)).message)
        ]])
        local code, stdout, stderr = attach(path, dir .. "/script.lua", "one", dir)
        assert.are.same({ 0, "" }, { code, stderr })
        assert.are.equal("script.lua\tone\t42\t1\nin x\n\ntrue\ttrue\n1\t300000\n2\t300000\n3\t300000\n"
            .. "script.lua:11: no\n", (stdout:gsub("\n[^\n]*script.lua:11", "\nscript.lua:11")))
        assert.are.equal(remote.slurp(dir .. "/script.lua"), remote.slurp(dir .. "/back"))
        code, stdout = attach(path, "-e", "print(#orrery.contexts(), ...)", "a", "b")
        assert.are.same({ 0, "2\ta\tb\n" }, { code, stdout })
        assert.are.equal("", over())
    end)

    it("has those used that are behind its own", function()
        listener = remote.program([[
            local inner = orrery.localhost({ name = "web1" }):localhost { name = "inner" }
            orrery.listen(arg[1])
            say "ready"
            while not io.open(arg[2] .. "/end") do orrery.sleep(0.01) end
            say(inner:call(function() return "unharmed" end))
        ]], nil, path, dir)
        assert.are.equal("ready", listener:line(), listener:stderr())
        local p = attached [[
            local inner = ctx "inner"
            local r = orrery.receiver()
            inner:cast(function(to) to:send(7) end, r:sender())
            say(inner.route, inner:call(function(a) return a + 1 end, 41), r:get(10))
            inner:shell("echo; exec sleep 1000.875", { on_stdout = function() say "runs" end })
        ]]
        assert.are.equal("local:web1/local:inner 42 7", p:line(), p:stderr())
        assert.are.equal("runs", p:line(), p:stderr())
        remote.kill(p.pid)
        p:finish()
        remote.eventually("the end of the command", function()
            return #remote.processes("local", "sleep 1000.875") == 0
        end)
        over()
    end)

    it("is used by two at once", function()
        listen()
        local text = [[
            say "in"
            for i = 1, 200 do
                assert(ctx("web" .. i % 2 + 1):call(function(x) return x * 2 end, i) == i * 2)
            end
            say "done"
        ]]
        local a, b = attached(text), attached(text)
        for _, p in ipairs { a, b } do assert.are.equal("in", p:line()) end
        for _, p in ipairs { a, b } do
            assert.are.equal("done", p:line(), p:stderr())
            p:finish()
        end
        assert.are.equal("", over())
    end)

    it("gives no more than its contexts", function()
        listen()
        local p = attached [[
            local function code(fn, ...) return select(2, pcall(fn, ...)).code end
            local there = orrery.context(1)
            say(code(there.call, there, function() end), code(there.run, there, { "true" }))
            say(code(there.put, there, arg[1] .. "/x", "/tmp/x"))
            say(code(orrery.localhost), code(contexts[1].close, contexts[1]), code(orrery.listen, arg[1] .. "2"))
            say(code(orrery.attach, arg[1]))
            local up = ctx("web1")
            say(code(up.call, up, function() return require("orrery").context(1):call(function() end) end))
        ]]
        assert.are.equal("no_handle no_handle", p:line(), p:stderr())
        p:line()
        assert.are.equal("denied denied argument", p:line(), p:stderr())
        assert.are.equal("argument", p:line())
        assert.are.equal("no_handle", p:line())
        p:finish()
        over()
    end)

    it("tells of a context that is lost", function()
        listen()
        local p = attached [[
            local call = ctx("web2"):call_async(function() require("orrery").sleep(1000) end)
            say "calls"
            local err = select(2, pcall(call.get, call))
            say(err.code, err.context, #orrery.contexts())
        ]]
        assert.are.equal("calls", p:line(), p:stderr())
        remote.write(dir .. "/lose", "")
        assert.are.equal("closed web2 1", p:line())
        p:finish()
        over()
    end)

    it("ends those that are attached with an error that says so", function()
        for _, what in ipairs { "ctx('web1'):call(function() require('orrery').sleep(1000) end)", "orrery.sleep(1000)",
            "orrery.spawn(orrery.sleep, 1000):get()", "ctx('web1'):run { 'sleep', '1000.375' }",
            "while true do pcall(orrery.sleep, 0.01) ctx('web1'):call 'os.time' end" } do
            for _, how in ipairs { "kill", "end" } do
                listen()
                local p = attached("say 'in' " .. what)
                assert.are.equal("in", p:line(), p:stderr())
                if how == "kill" then
                    killed()
                else
                    over()
                    os.remove(dir .. "/end")
                end
                p:rest()
                assert.matches(path .. ": the process that this one was attached to has ended", p:stderr(), 1, true)
                p:finish()
            end
        end
        remote.eventually("the end of the command", function()
            return #remote.processes("local", "sleep 1000.375") == 0
        end)
    end)

    it("is not harmed by the end of those, whatever it is", function()
        listen()
        local points = {
            "say 'in' orrery.sleep(1000)",
            "orrery.spawn(say, 'in') ctx('web1'):call(function() require('orrery').sleep(1000) end)",
            "ctx('web1'):shell('trap \"\" TERM; echo; sleep 1000.625; sleep 1000.625', "
                .. "{ on_stdout = function() say 'in' end })",
            "orrery.spawn(function() orrery.sleep(0.05) say 'in' end) "
                .. "ctx('web2'):put(arg[2] .. '/large', arg[2] .. '/copy')",
            "local r = orrery.receiver() "
                .. "ctx('web1'):cast(function(to) while true do to:send(('x'):rep(10000)) end end, r:sender()) "
                .. "r:get() say 'in' orrery.sleep(1000)",
        }
        assert.are.equal(0, (lab.run { "truncate", "-s", "8G", dir .. "/large" }))
        for _, text in ipairs(points) do
            local p = attached(text, dir)
            assert.are.equal("in", p:line(), p:stderr())
            remote.kill(p.pid)
            p:finish()
        end
        remote.eventually("the end of the command", function()
            return #remote.processes("local", "sleep 1000.625") == 0
        end)
        local code, stdout = attach(path, "-e", "print(orrery.contexts()[2]:call(function() return 7 end))")
        assert.are.same({ 0, "7\n" }, { code, stdout })
        remote.eventually("the end of the copy", function() return not lfs.attributes(dir .. "/copy") end)
        over()
    end)

    it("throws out who says what is no frame, or too little", function()
        listen "0.3"
        local frames = { "GET / HTTP/1.0\r\n\r\n" .. ("x"):rep(64), ("\0"):rep(64), ("\255"):rep(100000) }
        local header = "Or\4\0" -- magic, version, flags
        frames[#frames + 1] = header .. ("\255"):rep(28) -- too long
        frames[#frames + 1] = header .. ("\0"):rep(28) -- no HELLO
        frames[#frames + 1] = header .. "\0\0\0\4" .. ("\0"):rep(15) .. "\1" .. ("\0"):rep(8)
            .. "\0\0\0\99" -- a short one
        for _, text in ipairs(frames) do assert.are.equal("", heard(raw(path, text))) end
        assert.are.equal("", heard(raw(path, ""))) -- half open
        assert.are.equal("", heard(raw(path, header .. "\0")))
        ffi.C.close(raw(path, ""))
        ffi.C.close(raw(path, header))
        local code, stdout = attach(path, "--list")
        assert.are.equal(0, code)
        assert.matches("web1", stdout)
        local log = over()
        assert.matches("process %d+ did not come in: ", log)
        assert.matches("it did not say who it is for 300 ms", log)
    end)

    it("throws out who stops making sense later", function()
        listen()
        -- HELLO as a real one says it, and then noise.
        local hello = "\0\0\0\4" .. ("\0\0\0\1x"):rep(3) .. ("\0"):rep(8)
        local fd = raw(path, "Or\4\0\0\0\0" .. string.char(#hello) .. ("\0"):rep(15) .. "\1" .. ("\0"):rep(8) .. hello)
        ffi.C.send(fd, ("noise"):rep(20), 100, 0x4000)
        assert.matches("^Or\4", heard(fd))
        -- As one that has children of its own: it wants ids for them.
        fd = raw(path, "Or\4\0\0\0\0" .. string.char(#hello) .. ("\0"):rep(15) .. "\1" .. ("\0"):rep(8) .. hello)
        ffi.C.send(fd, "Or\4\0\0\0\0\4" .. ("\0"):rep(15) .. "\6" .. ("\0"):rep(8) .. "\0\0\0\5", 36, 0x4000)
        assert.matches("^Or\4", heard(fd))
        assert.are.equal(0, (attach(path, "--list")))
        over()
    end)

    it("does not let too many in", function()
        listen()
        local fds = {}
        for i = 1, 64 do fds[i] = raw(path, "") end
        assert.are.equal("", heard(raw(path, "")))
        for _, fd in ipairs(fds) do ffi.C.close(fd) end
        remote.eventually("room", function() return (attach(path, "--list")) == 0 end)
        assert.matches("refused process %d+: 64 are attached", over())
    end)

    it("takes the place of one that was killed, and not of one that lives", function()
        listen()
        local code, _, stderr = lab.run({ program, "run", "--listen", path, "-" }, "print 'never'")
        assert.are.equal(1, code)
        assert.matches(("^orrery: process %d listens on %s already\n"):format(listener.pid, path), stderr)
        killed()
        assert.is_truthy(lfs.attributes(path))
        code, _, stderr = attach(path, "--list")
        assert.are.equal(1, code)
        assert.matches("^orrery: " .. path .. ": nobody listens there any more\n", stderr)
        listen()
        assert.are.equal(0, (attach(path, "--list")))
        over()
        code, _, stderr = attach(path, "--list")
        assert.are.equal(1, code)
        assert.matches("^orrery: " .. path .. ": No such file or directory\n", stderr)
    end)

    it("removes the socket, however it ends", function()
        local text = "io.open(arg[1]):close()"
        for _, last in ipairs { "", "os.exit(0)", "error 'x'" } do
            local code = lab.run({ program, "run", "--listen", path, "-", "/dev/null" }, text .. last)
            assert.are.equal(last:match "error" and 1 or 0, code)
            assert.is_nil(lfs.attributes(path))
        end
        local code, stdout = lab.run({ program, "run", "-", path }, [[
            local orrery = require "orrery"
            local l = orrery.listen(arg[1])
            local again = select(2, pcall(orrery.listen, arg[1] .. "2"))
            l:close()
            l:close()
            print(again.code, io.open(arg[1]), orrery.listen(arg[1] .. "3").path == arg[1] .. "3")
        ]])
        assert.are.same({ 0, "argument\tnil\ttrue\n" }, { code, stdout })
        assert.is_nil(lfs.attributes(path .. "3"))
    end)

    it("makes no socket where others could replace it, nor in the place of something else", function()
        local function why(where)
            local code, _, stderr = lab.run({ program, "run", "--listen", where, "-" }, "")
            assert.are.equal(1, code)
            return stderr:match("^orrery: ([^\n]*)")
        end
        assert.are.equal(0, (lab.run { "mkdir", "-m", "777", dir .. "/open" }))
        assert.are.equal(0, (lab.run { "mkdir", "-m", "755", dir .. "/open/own" }))
        assert.matches("others may write to .*/open %(mode 0777%): take a directory of your own", why(dir .. "/open/s"))
        assert.matches("others may write to .*/open %(mode 0777%)", why(dir .. "/open/own/s"))
        assert.matches("others may write to /tmp %(mode 1777%)", why "/tmp/orrery-spec-socket")
        remote.write(dir .. "/file", "precious")
        assert.matches("/file is there already, and no socket", why(dir .. "/file"))
        assert.are.equal("precious", remote.slurp(dir .. "/file"))
        assert.matches("/missing: No such file or directory", why(dir .. "/missing/s"))
        assert.matches("the path of a socket at most 107", why(dir .. "/" .. ("x"):rep(100)))
    end)

    describe("as root", function()
        local function as(uid, ...)
            return lab.run { "setpriv", "--reuid=" .. uid, "--regid=" .. uid, "--clear-groups", ... }
        end

        if as(65534, "true") ~= 0 then return pending "needs root, to be somebody else" end

        local function attach_as(uid, ...) return as(uid, "timeout", "60", program, "attach", ...) end

        it("lets nobody else in", function()
            listen()
            local code, _, stderr = attach_as(65534, path)
            assert.are.equal(1, code)
            assert.matches("^orrery: " .. path .. ": Permission denied\n", stderr)
            -- What the mode does not refuse, the listener does.
            assert.are.equal(0, (lab.run { "chmod", "666", path }))
            code, _, stderr = attach_as(65534, path)
            assert.are.equal(1, code)
            assert.matches("did not take this one in (it takes those of its own user, and root's)", stderr, 1, true)
            code = as(65534, "perl", "-MSocket", "-e", ([[
                socket(S, AF_UNIX, SOCK_STREAM, 0);
                connect(S, pack_sockaddr_un('%s')) or die;
                sysread(S, $x, 1);
                exit(length($x) ? 1 : 0)]]):format(path))
            assert.are.equal(0, code)
            assert.matches("refused process %d+ of uid 65534 on " .. path, over())
        end)

        it("is root's to look into, and not the other way round", function()
            assert.are.equal(0, (lab.run { "chown", "65534", dir }))
            listener = remote.program(LISTENER, { "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups" }, path,
                dir, "10")
            assert.matches("^ready", listener:line() or listener:stderr())
            local code, _, stderr = attach(path, "--list")
            assert.are.same({ 0, "" }, { code, stderr })
            assert.are.equal(0, (attach_as(65534, path)))
            assert.are.equal(0, (lab.run { "chmod", "666", path }))
            code, _, stderr = attach_as(65533, path)
            assert.are.equal(1, code)
            assert.matches("the process that listens there is another user's %(uid 65534%)", stderr)
            over()
        end)
    end)
end)

describe("orrery attach", function()
    it("wants to know where", function()
        local code, _, stderr = lab.run { program, "attach" }
        assert.are.same({ 64, "orrery attach: the path of a socket is missing; see 'orrery attach --help'\n" },
            { code, stderr })
    end)

    it("comes before contexts of one's own, and is the only one", function()
        local dir = remote.directory()
        local ctx = orrery.localhost()
        local err = remote.failure(orrery.attach, dir .. "/socket")
        assert.are.equal("argument", err.code)
        assert.matches("has contexts of its own already", err.message)
        ctx:close()
        remote.remove(dir)
    end)
end)
