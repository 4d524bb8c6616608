--- Who is asked while a connection is made: the script's function, a program, a person at a terminal.

local ffi = require "ffi"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"
local orrery = require "orrery"

leak.guard()

pcall(ffi.cdef, "int setenv(const char *name, const char *value, int overwrite);")
pcall(ffi.cdef, "int unsetenv(const char *name);")

describe("asking for what a login needs", function()
    if not lab.need(2, { isolated = true }) then return end

    local keys = lab.file("client") .. "/"
    local encrypted = keys .. "id_ed25519_pass"
    local here
    setup(function() here = remote.directory() end)
    teardown(function() remote.remove(here) end)

    -- A key of its own with the passphrase "orrery-pass", since one that was asked for is remembered.
    local function new_key(name)
        local path = here .. "/" .. name
        for _, suffix in ipairs { "", ".pub" } do
            assert.are.equal(0, (lab.run { "cp", "-p", encrypted .. suffix, path .. suffix }))
        end
        return path
    end

    local function open(host, opts)
        local all = { config = lab.ssh_config() }
        for name, value in pairs(opts) do all[name] = value end
        return orrery.ssh(host, all)
    end

    local function who(host, opts)
        local ctx = open(host, opts)
        local user, how = ctx:shell("id -un").stdout, ctx:info().how
        ctx:close()
        return user, how
    end

    local function failure(...) return remote.failure(who, ...) end

    local function executable(name, text)
        local path = here .. "/" .. name
        remote.write(path, "#!/bin/sh\n" .. text)
        assert.are.equal(0, (lab.run { "chmod", "755", path }))
        return path
    end

    local function with_environment(variables, fn, ...)
        local before = {}
        for name, value in pairs(variables) do
            before[name] = os.getenv(name) or false
            ffi.C.setenv(name, value, 1)
        end
        local results = { pcall(fn, ...) }
        for name, value in pairs(before) do
            if value then ffi.C.setenv(name, value, 1) else ffi.C.unsetenv(name) end
        end
        if not results[1] then error(results[2], 0) end
        return unpack(results, 2)
    end

    describe("a function of the script", function()
        it("gives passwords, and is asked again after a wrong one", function()
            local ask, questions = remote.answers("sesame-1", "orrery-lab")
            local user, how = who("h1", { name = "web1", user = "pwuser", ask = ask })
            assert.are.equal("pwuser\n", user)
            assert.matches("password", how)
            assert.are.same({
                kind = "password", host = "web1", subject = "pwuser@web1", text = "pwuser@web1's password: ",
                detail = "", echo = false, attempt = 2,
            }, questions[2])
            assert.are.equal(2, #questions)
        end)

        it("is asked three times, then it is over", function()
            local ask, questions = remote.answers("sesame-1", "sesame-2", "sesame-3", "orrery-lab")
            local err = failure("h1", { user = "pwuser", ask = ask })
            assert.are.equal("auth", err.code)
            assert.matches("password (asked for, and refused)", err.message, 1, true)
            assert.not_matches("sesame", err:format())
            assert.are.equal(3, #questions)
        end)

        it("may wait, and may give up", function()
            local user = who("h1", { user = "pwuser", ask = function()
                orrery.sleep(0.05)
                return "orrery-lab"
            end })
            assert.are.equal("pwuser\n", user)
            local err = failure("h1", { user = "pwuser", ask = remote.answers() })
            assert.matches("password (no answer was given)", err.message, 1, true)
            assert.is_true(err.code == "credentials" or err.code == "auth")
            err = failure("h1", { user = "pwuser", ask = function() error("no vault today", 0) end })
            assert.matches("no answer", err.message)
        end)

        it("may use other connections", function()
            local vault = orrery.localhost { name = "vault" }
            finally(function() vault:close() end)
            local user = who("h1", { user = "pwuser", ask = function()
                local inner = who("h1", { user = "pwuser", ask = function()
                    return vault:call(function() return "orrery-lab" end)
                end })
                return inner == "pwuser\n" and "orrery-lab" or nil
            end })
            assert.are.equal("pwuser\n", user)
        end)

        it("is not waited for once the opening is cancelled", function()
            local asked, ended = false, false
            local err = remote.failure(orrery.timeout, 0.3, who, "h1", {
                user = "pwuser",
                ask = function()
                    asked = true
                    local ok, why = pcall(orrery.sleep, 1000)
                    ended = true
                    if not ok then error(why, 0) end
                end,
            })
            assert.are.equal("timeout", err.code)
            if asked then remote.eventually("the end of the function", function() return ended end) end
        end)

        it("gives passphrases: once for a key, however many connections want it", function()
            local ask, questions = remote.answers("wrong-one", "orrery-pass")
            local key = new_key "parallel"
            local users = orrery.map({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, function(i)
                return (who("h" .. (i % 2 + 1), { identity = key, ask = ask }))
            end)
            for i = 1, 10 do assert.are.equal("root\n", users[i]) end
            assert.are.equal(2, #questions)
            assert.are.equal("passphrase", questions[1].kind)
            assert.are.equal(key, questions[1].subject)
            assert.are.equal(2, questions[2].attempt)
        end)

        it("is asked one at a time, for each host by its name", function()
            local running, most, names = 0, 0, {}
            local function ask(question)
                running = running + 1
                most = math.max(most, running)
                orrery.sleep(0.01)
                running = running - 1
                names[question.host] = question.text
                return "orrery-lab"
            end
            orrery.each({ "a", "b", "c", "d", "e" }, function(name)
                who("h1", { name = name, user = "pwuser", ask = ask })
            end)
            assert.are.equal(1, most)
            for _, name in ipairs { "a", "b", "c", "d", "e" } do
                assert.are.equal(("pwuser@%s's password: "):format(name), names[name])
            end
        end)

        it("is asked for a jump host by its name, and takes its time", function()
            local questions = {}
            local user = who("h2", {
                user = "pwuser", name = "inner", handshake_timeout = 1.5,
                jump = { { host = "h1", name = "outer", user = "pwuser" } },
                ask = function(question)
                    questions[#questions + 1] = question.kind .. " of " .. question.host
                    orrery.sleep(2)
                    return "orrery-lab"
                end,
            })
            assert.are.equal("pwuser\n", user)
            assert.are.same({ "password of outer", "prompt of inner" }, questions)
        end)

        it("decides on new hosts", function()
            local known = here .. "/known"
            remote.write(known, "")
            local ask, questions = remote.answers("no")
            local err = failure("h1", { known_hosts = known, strict = "ask", ask = ask })
            assert.are.equal("hostkey", err.code)
            assert.are.equal("hostkey", questions[1].kind)
            assert.is_true(questions[1].echo)
            assert.matches("key fingerprint is SHA256:", questions[1].detail)
            assert.are.equal("root\n", (who("h1", { known_hosts = known, strict = "ask", ask = remote.answers "yes" })))
            assert.are.equal("root\n", (who("h1", { known_hosts = known, strict = "yes", ask = false })))
        end)
    end)

    it("takes new hosts into one file, all at once", function()
        local known = here .. "/accepted"
        orrery.each({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 }, function(i)
            who("h" .. (i % 2 + 1), { known_hosts = known, strict = "accept-new" })
        end)
        local lines = {}
        for line in io.lines(known) do lines[#lines + 1] = line end
        assert.are.equal(2, #lines)
    end)

    it("says what was missing where nobody can be asked", function()
        local err = failure("h1", { identity = new_key "unasked", ask = false })
        assert.are.equal("credentials", err.code)
        assert.matches("needs a passphrase, and nobody is to be asked for it (ask = false)", err.message, 1, true)
        local program = remote.program([[
            local ok, err = pcall(orrery.ssh, "h1", { config = arg[1], identity = arg[2] })
            say(err.code, err.message)
        ]], { "setsid", "-w" }, lab.ssh_config(), new_key "unasked")
        local text = program:rest()
        program:finish()
        assert.matches("^credentials ", text)
        assert.matches("needs a passphrase, and there is no terminal, askpass program or `ask` function to ask for it",
            text, 1, true)
        local known = here .. "/nobody"
        remote.write(known, "")
        err = failure("h1", { known_hosts = known, strict = "ask", ask = false })
        assert.are.equal("hostkey", err.code)
        assert.matches("echo '", err.message, 1, true)
    end)

    it("wants a function, or false", function()
        assert.matches("must be a function, or false", failure("h1", { ask = true }).message, 1, true)
    end)

    describe("a program", function()
        it("gets the question as its argument, and answers on its output", function()
            local log = here .. "/asked"
            local program = executable("askpass", ("echo \"$#:$1\" >>%s; echo orrery-lab\n"):format(log))
            assert.are.equal("pwuser\n", (who("h1", { user = "pwuser", name = "web1", askpass = program })))
            assert.are.equal("1:pwuser@web1's password: \n", remote.slurp(log))
        end)

        it("is the environment's, as for ssh(1)", function()
            local program = executable("environment", "echo orrery-lab\n")
            local function login() return (who("h1", { user = "pwuser" })) end
            for _, variables in ipairs {
                { SSH_ASKPASS = program, SSH_ASKPASS_REQUIRE = "force" },
                { SSH_ASKPASS = program, SSH_ASKPASS_REQUIRE = "prefer", DISPLAY = ":0" },
            } do
                assert.are.equal("pwuser\n", with_environment(variables, login))
            end
        end)

        it("may give up, or not be there", function()
            local err = failure("h1", { user = "pwuser", askpass = executable("no", "echo secret; exit 1\n") })
            assert.matches("password (no answer was given)", err.message, 1, true)
            err = failure("h1", { user = "pwuser", askpass = here .. "/missing" })
            assert.matches("the askpass program .*/missing does not run: No such file", err.message)
        end)

        it("is ended when the opening is cancelled", function()
            local seconds = remote.seconds(7)
            local program = executable("slow", ("exec sleep %d\n"):format(seconds))
            local err = remote.failure(orrery.timeout, 1, who, "h1", { user = "pwuser", askpass = program })
            assert.are.equal("timeout", err.code)
            remote.eventually("the end of the program", function()
                return #remote.processes("local", "sleep " .. seconds) == 0
            end)
        end)
    end)

    describe("several answers", function()
        -- A one-time code behind the password: h2 asks for both in one conversation.
        local pam, codes = "/etc/pam.d/sshd", "/home/pwuser/.google_authenticator"
        local before
        setup(function()
            local _, text = lab.exec("h2", "cat " .. pam)
            before = text
            lab.exec("h2", ("sed -i '1a auth required pam_google_authenticator.so' %s"):format(pam))
            lab.exec("h2", ("printf 'JBSWY3DPEHPK3PXP\\n\" TOTP_AUTH\\n11223344\\n55667788\\n' >%s && "):format(codes)
                .. ("chown pwuser %s && chmod 400 %s"):format(codes, codes))
        end)
        teardown(function()
            remote.write(lab.root "h2" .. pam, before)
            lab.exec("h2", "rm -f " .. codes)
        end)

        it("are a password and a one-time code", function()
            local ask, questions = remote.answers("orrery-lab", "11223344")
            local user, how = who("h2", { user = "pwuser", ask = ask })
            assert.are.equal("pwuser\n", user)
            assert.matches("keyboard%-interactive", how)
            assert.are.same({ "prompt", "prompt" }, { questions[1].kind, questions[2].kind })
            assert.are.equal("(pwuser@h2) Password: ", questions[1].text)
            assert.matches("(pwuser@h2) Verification code: ", questions[2].text, 1, true)
        end)

        it("are a password that is known and a code that is asked for", function()
            local ask, questions = remote.answers("55667788")
            assert.are.equal("pwuser\n", (who("h2", { user = "pwuser", password = "orrery-lab", ask = ask })))
            assert.are.equal(1, #questions)
            local err = failure("h2", { user = "pwuser", password = "orrery-lab", ask = false })
            assert.matches('it asks for more than a password: "(pwuser@h2) Verification code:', err.message, 1, true)
        end)
    end)

    it("goes through several methods", function()
        lab.exec("h1", "install -d -m 700 -o pwuser /home/pwuser/.ssh && "
            .. "install -m 600 -o pwuser /root/.ssh/authorized_keys /home/pwuser/.ssh/authorized_keys")
        lab.sshd("h1", "AuthenticationMethods publickey,password")
        finally(function()
            lab.sshd("h1")
            lab.exec("h1", "rm -rf /home/pwuser/.ssh")
        end)
        local ask, questions = remote.answers("sesame-1", "orrery-lab")
        assert.are.equal("pwuser\n", (who("h1", { user = "pwuser", ask = ask })))
        assert.are.equal(2, #questions)
        local err = failure("h1", { user = "pwuser", ask = false })
        assert.are.equal("credentials", err.code)
        assert.matches("id_ed25519 (accepted, but that is not enough)", err.message, 1, true)
        assert.matches("the server allows: password", err.message, 1, true)
    end)

    describe("a person at a terminal", function()
        local login = [[
            local ok, err = pcall(function()
                local ctx = orrery.ssh(arg[2], { config = arg[1], user = arg[3], identity = arg[4] })
                say("user", (ctx:shell("id -un").stdout:gsub("\n", "")))
                ctx:close()
            end)
            if not ok then say(err.code, err.message) end
        ]]

        it("types a password, which is not shown, and is asked again", function()
            local t = terminal.start(login, lab.ssh_config(), "h1", "pwuser")
            finally(function() t:finish() end)
            t:await "pwuser@h1's password: "
            t:type "sesame-1\n"
            t:await "That was not right, please try again.\npwuser@h1's password:"
            t:type "orrery-lab\n"
            t:await "user pwuser\nended 0\nthe echo is on"
            assert.not_matches("sesame", t:screen())
            assert.not_matches("orrery%-lab", t:screen())
        end)

        it("types a passphrase once for several hosts", function()
            local t = terminal.start([[
                local done = 0
                orrery.each({ 1, 2, 3, 4 }, function(i)
                    orrery.ssh("h" .. (i % 2 + 1), { config = arg[1], identity = arg[2] }):close()
                    done = done + 1
                end)
                say("done", done)
            ]], lab.ssh_config(), new_key "typed")
            finally(function() t:finish() end)
            t:await "typed' (for h"
            t:type "orrery-pass\n"
            t:await "done 4\nended 0\nthe echo is on"
        end)

        it("ends the program with Ctrl-C, and has the echo back", function()
            local t = terminal.start(login, lab.ssh_config(), "h1", "pwuser")
            finally(function() t:finish() end)
            t:await "pwuser@h1's password: "
            t:key "C-c"
            t:await "ended 130\nthe echo is on"
        end)

        it("has the echo back when the program is killed", function()
            local t = terminal.start(login, lab.ssh_config(), "h1", "pwuser")
            finally(function() t:finish() end)
            t:await "pwuser@h1's password: "
            remote.kill(t:pid())
            t:await "ended 137"
            t:await "the echo is on" -- which another process does, a moment later
        end)

        it("has the echo back when nobody waits for an answer any more", function()
            local t = terminal.start([[
                local ok, err = pcall(orrery.timeout, 1, orrery.ssh, "h1", { config = arg[1], user = "pwuser" })
                say("code", err.code)
            ]], lab.ssh_config())
            finally(function() t:finish() end)
            t:await "code timeout"
            t:await "ended 0\nthe echo is on"
        end)

        it("says no with Ctrl-D", function()
            local t = terminal.start(login, lab.ssh_config(), "h1", "pwuser")
            finally(function() t:finish() end)
            t:await "pwuser@h1's password: "
            t:key "C-d"
            t:await "password (no answer was given)"
            t:await "ended 0\nthe echo is on"
        end)

        it("is not asked by what runs in the background", function()
            local t = terminal.start(login, lab.ssh_config(), "h1", "pwuser", "background")
            finally(function() t:finish() end)
            t:await "in the background of its own"
        end)
    end)
end)
