--- The other way to a host: ssh(1) as a subprocess.

local ffi = require "ffi"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

pcall(ffi.cdef, "int setenv(const char *name, const char *value, int overwrite);")

local ENDS = 10 -- seconds

describe("the OpenSSH transport", function()
    if not lab.need(2, { refuse = 1, dead = 1, isolated = true }) then return end

    local keys = lab.file("client") .. "/"
    local here
    setup(function() here = remote.directory() end)
    teardown(function() remote.remove(here) end)

    local function open(host, opts)
        local all = { transport = "openssh", ask = false }
        for key, value in pairs(opts or {}) do all[key] = value end
        all.config = all.config or lab.ssh_config()
        return orrery.ssh(host, all)
    end

    local function who(host, opts)
        local ctx = open(host, opts)
        local user = ctx:shell("id -un").stdout
        ctx:close()
        return user
    end

    local function failure(...) return remote.failure(who, ...) end

    -- A configuration of its own, which knows the host but has no key for it.
    local function configure(name, ...)
        local path = here .. "/" .. name
        remote.write(path, ("Host h1\nHostName %s\nUser root\nIdentityAgent none\nUserKnownHostsFile %s\n%s\n")
            :format(lab.host("h1").address, lab.file("known_hosts"), table.concat({ ... }, "\n")))
        return path
    end

    -- The ssh processes of this file: their command lines have the path of its, or the lab's, files.
    local function clients()
        local found = {}
        for _, path in ipairs { here .. "/", lab.file "" } do
            for _, pid in ipairs(remote.processes("local", path)) do
                local name = remote.slurp(("/proc/%d/comm"):format(pid))
                if name == "ssh\n" then found[pid] = true end
            end
        end
        local pids = {}
        for pid in pairs(found) do pids[#pids + 1] = pid end
        return pids
    end

    it("runs calls, commands and files as the other one does", function()
        local ctx = open("h1", { name = "web1" })
        finally(function() ctx:close() end)
        assert.are.equal("ssh as a subprocess", ctx:info().how)
        assert.are.equal("context web1 (ssh:web1)", tostring(ctx))
        assert.are.equal(1, #clients())
        assert.are.equal(3, ctx:call(function(a, b) return a + b end, 1, 2))
        local text = ("x"):rep(3e6)
        assert.are.equal(text, ctx:call(function(s) return s end, text))
        local result = ctx:run({ "sh", "-c", "cat; echo oops >&2; exit 3" }, { stdin = "in", check = false })
        assert.are.same({ 3, "in", "oops\n" }, { result.code, result.stdout, result.stderr })
        remote.write(here .. "/file", text)
        ctx:put(here .. "/file", "/tmp/spec-openssh")
        ctx:get("/tmp/spec-openssh", here .. "/back")
        ctx:run { "rm", "/tmp/spec-openssh" }
        assert.are.equal(text, remote.slurp(here .. "/back"))
        assert.are.equal("boom", remote.failure(ctx.call, ctx, function() error("boom", 0) end).message)
    end)

    it("sends the agent where it is missing, and leaves nothing where it is told so", function()
        if remote.sanitized then return end
        lab.exec("h2", "rm -rf /root/.cache/orrery")
        local ctx = open("h2", { no_cache = true })
        assert.is_true(ctx:info().uploaded > 0)
        ctx:close()
        local code = lab.exec("h2", "test -e /root/.cache/orrery")
        assert.are.equal(1, code)
        for _, sent in ipairs { true, false } do
            ctx = open("h2")
            assert.are.equal(sent, ctx:info().uploaded > 0)
            ctx:close()
        end
    end)

    it("takes the same options", function()
        assert.are.equal("deploy\n", who("deploy@h1"))
        assert.are.equal("deploy\n", who("h1", { user = "deploy" }))
        local own = configure("bare")
        assert.are.equal("root\n", who("h1", { config = own, identity = keys .. "id_ecdsa" }))
        assert.are.equal("root\n", who("h1", { config = own, identity = { keys .. "id_rsa", keys .. "id_ed25519" } }))
        local address = lab.host("h1").address
        assert.are.equal("root\n", who(address, {
            config = "none", user = "root", port = 22, identity = keys .. "id_ed25519",
            known_hosts = { here .. "/no such file", lab.file("known_hosts") }, strict = "yes",
            connect_timeout = 5, keepalive = 0, send = "deferred",
        }))
    end)

    it("does what only ssh(1) can do: a jump host", function()
        local h2 = lab.host("h2").address
        local own = configure("jump", "IdentityFile " .. keys .. "id_ed25519", "Host inner", "HostName " .. h2,
            "User root", "IdentityAgent none", "IdentityFile " .. keys .. "id_ed25519",
            "UserKnownHostsFile " .. lab.file("known_hosts"), "ProxyJump h1")
        local function hops(target, opts)
            opts.config = own
            local ctx = open(target, opts)
            local from = ctx:shell("echo $SSH_CONNECTION").stdout:match("%S+")
            assert.are.equal("h2", ctx:info().hostname)
            ctx:close()
            return from
        end
        local h1 = lab.host("h1").address
        assert.are.equal(h1, hops("inner", {}))
        assert.are_not.equal(h1, hops("inner", { jump = "none" }))
        own = configure("straight", "IdentityFile " .. keys .. "id_ed25519", "Host inner", "HostName " .. h2,
            "User root", "IdentityAgent none", "IdentityFile " .. keys .. "id_ed25519",
            "UserKnownHostsFile " .. lab.file("known_hosts"))
        assert.are.equal(h1, hops("inner", { jump = "root@h1:22" }))
        assert.are.equal(h1, hops("inner", { jump = { { host = "h1", user = "root", port = 22 } } }))
        assert.are.equal(h1, hops("inner", { proxy_command = "ssh -F " .. own .. " -W %h:%p h1" }))
        local err = failure("inner", { config = own, jump = { { host = "h1", identity = "/k" } } })
        assert.are.equal("option", err.code)
        assert.matches("cannot say 'identity' of a jump host", err.message, 1, true)
    end)

    it("asks the server for variables, the configured ones too", function()
        lab.sshd("h1", "AcceptEnv SPEC_*")
        finally(function() lab.sshd("h1") end)
        local own = configure("env", "IdentityFile " .. keys .. "id_ed25519", "SetEnv SPEC_A=1 \"SPEC_B=two words\"")
        local function variables(opts)
            opts.config = own
            local ctx = open("h1", opts)
            local text = ctx:shell('printf "%s|%s|%s" "$SPEC_A" "$SPEC_B" "$SPEC_C"').stdout
            ctx:close()
            return text
        end
        assert.are.equal("1|two words|", variables {})
        assert.are.equal([[1|x "y" \z|3]], variables { set_env = { SPEC_B = [[x "y" \z]], SPEC_C = 3 } })
        assert.are.equal("option", failure("h1", { set_env = { ["A B"] = 1 } }).code)
    end)

    it("forwards the agent where that is asked for, and only there", function()
        local code, text = lab.run { "ssh-agent", "-s" }
        assert.are.equal(0, code)
        local socket, pid = text:match("SSH_AUTH_SOCK=([^;]+)"), text:match("SSH_AGENT_PID=(%d+)")
        finally(function() lab.run { "kill", pid } end)
        local own = configure("agent", "IdentityFile " .. keys .. "id_ed25519")
        remote.write(own, (remote.slurp(own):gsub("IdentityAgent none", "IdentityAgent " .. socket)))
        local function forwarded(opts)
            opts.config = own
            local ctx = open("h1", opts)
            local there = ctx:shell("test -S \"$SSH_AUTH_SOCK\" && echo yes || echo no").stdout
            ctx:close()
            return there
        end
        assert.are.equal("no\n", forwarded {})
        assert.are.equal("yes\n", forwarded { forward_agent = true })
        remote.write(own, remote.slurp(own) .. "ForwardAgent yes\n")
        assert.are.equal("yes\n", forwarded {})
        assert.are.equal("no\n", forwarded { forward_agent = false })
    end)

    it("does not do what the configuration asks for and a stream has no use for", function()
        local own = configure("busy", "IdentityFile " .. keys .. "id_ed25519", "RequestTTY force",
            "RemoteCommand echo no", "ControlMaster auto", "ControlPath " .. here .. "/master", "ControlPersist 60",
            "LocalForward 1 localhost:1", "ExitOnForwardFailure yes", "LogLevel QUIET", "SessionType none",
            "StdinNull yes", "ForkAfterAuthentication yes")
        assert.are.equal("root\n", who("h1", { config = own }))
        assert.is_nil(require("lfs").attributes(here .. "/master"))
    end)

    it("goes through a master that is there, and leaves it alone", function()
        local socket, known = here .. "/socket", here .. "/knows-nobody"
        remote.write(known, "")
        local master = { "ssh", "-F", lab.ssh_config(), "-o", "ControlPath=" .. socket }
        local function control(...)
            local argv = { unpack(master) }
            for _, word in ipairs { ... } do argv[#argv + 1] = word end
            argv[#argv + 1] = "h1"
            return (lab.run(argv))
        end
        assert.are.equal(0, control("-MNf"))
        finally(function() control("-O", "exit") end)
        local own = configure("shared", "ControlPath " .. socket)
        -- It would not get to the host by itself.
        assert.are.equal("root\n", who("h1", { config = own, known_hosts = known, strict = "yes" }))
        assert.are.equal(0, control("-O", "check"))
    end)

    it("says that it was not let in, and by whom", function()
        local err = failure("h1", { config = configure("bare"), identity = keys .. "id_ed25519_pass" })
        assert.are.equal("auth", err.code)
        assert.matches("^ssh was not let in: .*root@[%d.]+: Permission denied %(publickey", err.message)
        assert.are.equal("ssh:h1", err.route)
        assert.matches("openssh_spec", err.at)
        err = failure("refuse1")
        assert.are.equal("auth", err.code)
        local open_to_all = here .. "/key"
        remote.write(open_to_all, remote.slurp(keys .. "id_ed25519"))
        lab.run { "chmod", "644", open_to_all }
        err = failure("h1", { config = configure("bare"), identity = open_to_all })
        assert.are.equal("auth", err.code)
        assert.matches(("others can read the key file %s (mode 0644)"):format(open_to_all), err.message, 1, true)
    end)

    it("does not talk to a host that it does not know, or that has changed", function()
        local known = here .. "/known_hosts"
        remote.write(known, "")
        local err = failure("h1", { known_hosts = known, strict = "yes" })
        assert.are.equal("hostkey", err.code)
        assert.matches("No %S+ host key is known for [%d.]+", err.message)
        err = failure("h1", { config = configure("ask", "StrictHostKeyChecking ask"), known_hosts = known })
        assert.are.equal("hostkey", err.code)
        assert.matches("it is not known, and nobody is there to be asked", err.message)
        assert.are.equal("root\n", who("h1", { known_hosts = known, strict = "accept-new" }))
        assert.are.equal("root\n", who("h1", { known_hosts = known, strict = "yes" }))

        local _, other = lab.exec("h2", "cat /etc/ssh/ssh_host_ed25519_key.pub")
        remote.write(known, lab.host("h1").address .. " " .. other)
        err = failure("h1", { known_hosts = known, strict = "accept-new" })
        assert.are.equal("hostkey_changed", err.code)
        assert.matches("^the host key of [%d.]+ has changed: it is now ED25519 SHA256:%S+, but", err.message)
        assert.matches(known .. ":1", err.message, 1, true)
        assert.matches(("if so: ssh-keygen -f '%s' -R '%s'"):format(known, lab.host("h1").address), err.message, 1,
            true)

        local _, own = lab.exec("h1", "cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub")
        remote.write(known, "@revoked " .. lab.host("h1").address .. " " .. own)
        err = failure("h1", { known_hosts = known })
        assert.are.equal("hostkey_revoked", err.code)
        assert.matches("the host key of [%d.]+ %(%S+%) is revoked by a line in known_hosts", err.message)
        remote.write(known, own)
        err = failure("h1", { config = configure("list", "RevokedHostKeys " .. known,
            "HostKeyAlgorithms ssh-ed25519") })
        assert.are.equal("hostkey_revoked", err.code)
        assert.matches("SHA256:%S+, is revoked by " .. known, err.message)
    end)

    it("says why there is no connection", function()
        local err = failure("dead1", { connect_timeout = 1 })
        assert.are.equal("timeout", err.code)
        assert.matches("^ssh got no answer: ssh: connect to host [%d.]+ port 22: ", err.message)
        err = failure("h1", { port = 9 })
        assert.are.same({ "connect", true }, { err.code, err.message:find("Connection refused", 1, true) ~= nil })
        err = failure("nosuch.invalid")
        assert.are.equal("connect", err.code)
        assert.matches("Could not resolve hostname nosuch.invalid", err.message, 1, true)
        err = failure("h1", { config = configure("bad", "Nonsense yes") })
        assert.are.same({ "option", true }, { err.code, err.message:find("nonsense", 1, true) ~= nil })
    end)

    it("says that the far side has no shell for it", function()
        local _, shell = lab.exec("h1", "getent passwd deploy | cut -d: -f7 | tr -d '\\n'")
        lab.exec("h1", "usermod -s /usr/sbin/nologin deploy")
        finally(function() lab.exec("h1", { "usermod", "-s", shell, "deploy" }) end)
        local err = failure("deploy@h1")
        assert.are.equal("bootstrap", err.code)
        assert.matches("ssh: exited with status 1 (the login shell of this account refuses commands)", err.message,
            1, true)
    end)

    it("gives up in time, and when it is told to", function()
        local own = configure("slow", "ProxyCommand sleep 1000")
        local err = failure("h1", { config = own, connect_timeout = 0.1, handshake_timeout = 0.1,
            bootstrap_timeout = 0.1 })
        assert.is_true(err.code == "timeout" or err.code == "connect", err.code)
        err = remote.failure(orrery.timeout, 0.1, who, "h1", { config = own })
        assert.are.equal("timeout", err.code)
        remote.eventually("the end of ssh", function() return #clients() == 0 end, ENDS)
    end)

    it("says that there is no ssh program", function()
        local path, config = os.getenv "PATH", lab.ssh_config()
        ffi.C.setenv("PATH", here, 1)
        local ok, err = pcall(who, "h1", { config = config })
        ffi.C.setenv("PATH", path, 1)
        assert.is_false(ok)
        assert.are.equal("connect", err.code)
        assert.are.equal("ssh: cannot be executed: No such file or directory", err.message)
    end)

    it("names the option that it cannot honour, before it does anything", function()
        assert.are.equal("option", failure("-oProxyCommand=true").code)
        assert.are.equal("option", failure("h1", { user = "-v" }).code)
        for _, jump in ipairs { "-v", "$(id)", "a,b;c", "a b", "u'@a", "" } do
            assert.are.equal("option", failure("h1", { jump = jump }).code)
            assert.are.equal("option", failure("h1", { jump = { jump } }).code)
        end
        assert.are.equal("option", failure("h1", { identity = here .. "/%h" }).code)
        assert.matches("must be one of", failure("h1", { transport = "openshh" }).message, 1, true)
    end)

    it("notices the death of ssh, and names it", function()
        local ctx = open("h1", { keepalive = 0 })
        local agent = ctx:info().pid
        local task = orrery.spawn(ctx.run, ctx, { "sleep", "1000" })
        ctx:call("os.time")
        remote.kill(clients()[1])
        local err = remote.failure(task.get, task, ENDS)
        assert.are.equal("dead", err.code)
        assert.matches("ssh: was killed by signal 9", err.message, 1, true)
        assert.are.equal("dead", remote.failure(ctx.call, ctx, "os.time").code)
        remote.eventually("the end of the agent", function() return not lab.processes("h1")[agent] end, ENDS)
    end)

    it("says what ssh says when the server ends it", function()
        local ctx = open("h1", { keepalive = 0 })
        local server = lab.processes("h1")[ctx:info().pid].ppid
        local task = ctx:call_async(function() require("orrery").sleep(1000) end)
        lab.exec("h1", { "kill", "-9", tostring(server) })
        local err = remote.failure(task.get, task, ENDS)
        assert.are.equal("dead", err.code)
        assert.matches("ssh: exited with status 255; its last words: .*[Cc]onnection", err.message)
    end)

    it("does not outlive a program that is killed while it connects", function()
        local ready = here .. "/ready"
        local own = configure("silent", ("ProxyCommand sh -c 'echo >%s; sleep 1000'"):format(ready))
        local program = remote.program([[orrery.ssh("h1", { config = arg[1], transport = "openssh" })]], nil, own)
        remote.eventually("ssh", function() return remote.slurp(ready) end)
        assert.are.equal(1, #clients())
        remote.kill(program.pid)
        remote.eventually("the end of ssh", function() return #clients() == 0 end, ENDS)
        program:finish()
    end)

    it("does not outlive a program that is killed, nor does the agent", function()
        local program = remote.program([[
            local ctx = orrery.ssh("h1", { config = arg[1], transport = "openssh" })
            say(ctx:info().pid)
            ctx:run { "sleep", "1000" }
        ]], nil, lab.ssh_config())
        local agent = tonumber(program:line())
        assert.are.equal(1, #clients())
        remote.kill(program.pid)
        remote.eventually("the end of ssh", function() return #clients() == 0 end, ENDS)
        remote.eventually("the end of the agent", function() return not lab.processes("h1")[agent] end, ENDS)
        program:finish()
    end)
end)
