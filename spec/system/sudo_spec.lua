--- Contexts behind sudo: real ones, as sudoers(5) and PAM let people configure them.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard()

describe("sudo", function()
    if not lab.need(2, { isolated = true }) then return end

    local SUDOERS, PAM = "/etc/sudoers.d/spec", "/etc/pam.d/sudo"
    local here
    setup(function()
        here = remote.directory()
        for _, host in ipairs { "h1", "h2" } do lab.exec(host, "echo '@includedir /etc/sudoers.d' >>/etc/sudoers") end
    end)
    teardown(function()
        for _, host in ipairs { "h1", "h2" } do
            lab.exec(host, "sed -i '/includedir/d' /etc/sudoers; rm -rf /run/sudo/ts /var/lib/sudo/lectured")
        end
        remote.remove(here)
    end)

    -- What is to be done at the end of a test, the last first; `finally` takes one thing only.
    local ends = {}
    local function at_end(fn) ends[#ends + 1] = fn end
    after_each(function()
        while #ends > 0 do table.remove(ends)() end
    end)

    local function account(name, password)
        local code, hash = lab.run({ "openssl", "passwd", "-6", "-stdin" }, password .. "\n")
        assert(code == 0)
        lab.user("h1", name, { shadow = hash:gsub("\n", "") .. ":19000:0:99999:7:::" })
    end

    -- More lines of sudoers, for one test.
    local function configure(host, ...)
        local code, _, stderr = lab.exec(host, ("printf '%%s\\n' '%s' >%s; chmod 440 %s; visudo -c"):format(
            table.concat({ ... }, "' '"), SUDOERS, SUDOERS))
        assert(code == 0, stderr)
        at_end(function() lab.exec(host, "rm -f " .. SUDOERS) end)
    end

    -- Another PAM configuration for sudo, for one test.
    local function authenticate(host, ...)
        local _, before = lab.exec(host, "cat " .. PAM)
        remote.write(lab.root(host) .. PAM, table.concat({ ... }, "\n") .. "\naccount required pam_permit.so\n"
            .. "session required pam_permit.so\n")
        at_end(function() remote.write(lab.root(host) .. PAM, before) end)
    end

    -- Opens a context by that host's sudo, run by one of its users.
    local function open(user, opts, host, setting)
        host = host or "h1"
        local dir = ("%s/%s.%s"):format(here, host, user)
        lab.run { "mkdir", "-p", dir }
        local all = { program = lab.program(host, user, dir .. "/sudo", setting), ask = false }
        for key, value in pairs(opts or {}) do all[key] = value end
        if all.ask == nil then all.ask = false end
        return orrery.sudo(all)
    end

    local function who(...)
        local ctx = open(...)
        local user = ctx:shell("id -un").stdout
        ctx:close()
        return user
    end

    local function failure(...) return remote.failure(who, ...) end

    local function assert_failure(code, text, ...)
        local err = failure(...)
        assert.are.equal(code, err.code, err:format())
        assert.matches(text, err.message, 1, true)
        assert.not_matches("sesame", err:format())
        assert.not_matches("%(%x%x%x%x", err:format())
        return err
    end

    it("needs no password where sudoers says so", function()
        local ctx = open("deploy")
        at_end(function() ctx:close() end)
        assert.are.equal("context root (sudo:root)", tostring(ctx))
        assert.are.equal("sudo as a subprocess", ctx:info().how)
        assert.are.equal("h1", ctx:info().hostname)
        assert.are.equal(0, ctx:info().uid)
        assert.are.equal("/root\n", ctx:shell("echo $HOME").stdout)
        local text = ("x"):rep(1e6)
        assert.are.equal(text, ctx:call(function(s) return s end, text))
    end)

    it("takes a password over stdin, and shows it to nobody", function()
        local password = "pw-5d1f-behind-sudo-77c2"
        account("careful", password)
        configure("h1", "careful ALL=(ALL:ALL) ALL")
        local ctx = open("careful", { password = password })
        at_end(function() ctx:close() end)
        assert.are.equal(0, ctx:info().uid)
        assert.are.equal("", ctx:shell("cat; ls -l /proc/$PPID/fd | grep -c pts || true").stdout:gsub("^0\n", ""))
        local _, there = lab.exec("h1", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ")
        assert.matches("agent-", there, 1, true)
        assert.not_matches(password, there, 1, true)
        for _, pid in ipairs(remote.processes("local", here)) do
            for _, file in ipairs { "cmdline", "environ" } do
                assert.not_matches(password, remote.slurp(("/proc/%d/%s"):format(pid, file)) or "", 1, true)
            end
        end
    end)

    it("asks for the password, whoever it says it is for", function()
        local ask, questions = remote.answers("orrery-lab")
        assert.are.equal("root\n", who("pwuser", { ask = ask, name = "db", share = false }))
        assert.are.same({ {
            kind = "password", host = "db", subject = "pwuser@h1", text = "[sudo] password for pwuser@h1: ",
            detail = "", echo = false, attempt = 1,
        } }, questions)
    end)

    it("asks again after a wrong one", function()
        local ask, questions = remote.answers("sesame-1", "sesame-2", "orrery-lab")
        assert.are.equal("root\n", who("pwuser", { ask = ask, share = false }))
        assert.are.same({ 1, 2, 3 }, { questions[1].attempt, questions[2].attempt, questions[3].attempt })
        ask, questions = remote.answers("orrery-lab")
        assert.are.equal("root\n", who("pwuser", { password = "sesame-1", ask = ask, share = false }))
        assert.are.equal(2, questions[1].attempt)
    end)

    it("gives up when sudo does", function()
        local ask, questions = remote.answers("sesame-1", "sesame-2", "sesame-3", "sesame-4")
        assert_failure("auth", "sudo: the password is wrong: Sorry, try again. Sorry, try again. sudo: 3 incorrect "
            .. "password attempts", "pwuser", { ask = ask, share = false })
        assert.are.equal(3, #questions)
        assert_failure("auth", "sudo: the password for pwuser@h1 is wrong", "pwuser", { password = "sesame-1" })
    end)

    it("says what is missing where nobody answers", function()
        assert_failure("credentials", "it wants a password, and nobody is to be asked", "pwuser")
        assert_failure("credentials", "and got no answer: the `ask` function gave no answer", "pwuser",
            { ask = remote.answers(), share = false })
        local program = remote.program([[
            local ok, err = pcall(orrery.sudo, { program = arg[1] })
            say(err.code, err.message)
        ]], { "setsid", "-w" }, here .. "/h1.pwuser/sudo")
        local text = program:rest()
        program:finish()
        assert.matches("^credentials sudo: pwuser@h1 needs a password, and there is no terminal, askpass program or "
            .. "`ask` function", text)
    end)

    it("takes the answer of an askpass program", function()
        remote.write(here .. "/askpass", "#!/bin/sh\necho orrery-lab\n")
        lab.run { "chmod", "755", here .. "/askpass" }
        local dir = here .. "/h1.pwuser/sudo"
        local ctx = orrery.sudo { program = dir, askpass = here .. "/askpass", share = false }
        assert.are.equal(0, ctx:info().uid)
        ctx:close()
    end)

    it("says who may not use it", function()
        account("guest", "sesame-7")
        assert_failure("auth", "this user may not use it: guest is not in the sudoers file", "guest",
            { password = "sesame-7" })
        configure("h1", "pwuser ALL=(deploy) ALL")
        lab.exec("h1", "sed -i '/^pwuser/s/^/#/' /etc/sudoers")
        at_end(function() lab.exec("h1", "sed -i '/^#pwuser/s/^#//' /etc/sudoers") end)
        assert_failure("auth", "this user may not do this", "pwuser", { password = "orrery-lab" })
        assert_failure("connect", "there is no such user: sudo: unknown user no-such-user", "deploy",
            { user = "no-such-user" })
    end)

    it("works with use_pty, and says so where it cannot work without a terminal", function()
        configure("h1", "Defaults use_pty")
        local ctx = open("pwuser", { password = "orrery-lab" })
        local text = ("\0\1\2\3\4\r\n\127\255"):rep(1e5)
        assert.are.equal(text, ctx:call(function(s) return s end, text))
        ctx:close()
        configure("h1", "Defaults requiretty")
        assert_failure("auth", "it wants a terminal (requiretty in sudoers), and there is none", "deploy")
    end)

    it("is not disturbed by a lecture", function()
        lab.exec("h1", "printf 'Read this:\\nPassword: \\n' >/etc/lecture")
        configure("h1", "Defaults lecture=always", "Defaults lecture_file=/etc/lecture")
        assert.are.equal("root\n", who("pwuser", { password = "orrery-lab" }))
        local ask, questions = remote.answers("orrery-lab")
        assert.are.equal("root\n", who("pwuser", { ask = ask, share = false }))
        assert.are.equal("[sudo] password for pwuser@h1: ", questions[1].text)
    end)

    it("speaks another language", function()
        local german = "LC_ALL=C.UTF-8 LANGUAGE=de"
        if lab.exec("h1", "test -e /usr/share/locale/de/LC_MESSAGES/sudo.mo") ~= 0 then
            return pending "sudo has no German here"
        end
        assert.are.equal("root\n", who("pwuser", { password = "orrery-lab" }, "h1", german))
        local ask, questions = remote.answers("sesame-1", "sesame-2", "sesame-3")
        local err = assert_failure("auth", "sudo: it did not let us in: ", "pwuser", { ask = ask, share = false }, "h1",
            german)
        assert.matches("Fehlversuche", err.message, 1, true)
        assert.are.equal(3, #questions)
    end)

    it("recognises that PAM asks for more than a password", function()
        account("coded", "the-password")
        configure("h1", "coded ALL=(ALL:ALL) ALL")
        local codes = "/home/coded/.google_authenticator"
        lab.exec("h1", ("printf 'JBSWY3DPEHPK3PXP\\n\" TOTP_AUTH\\n11223344\\n55667788\\n' >%s && chown coded %s && "
            .. "chmod 400 %s"):format(codes, codes, codes))
        authenticate("h1", "auth required pam_unix.so", "auth required pam_google_authenticator.so")
        local ask, questions = remote.answers("11223344")
        assert.are.equal("root\n", who("coded", { password = "the-password", ask = ask, name = "db" }))
        assert.are.same({ {
            kind = "prompt", host = "db", subject = "", text = "db: one more answer for coded@h1 (a code?): ",
            detail = "", echo = false, attempt = 1,
        } }, questions)
        ask, questions = remote.answers("the-password", "55667788")
        assert.are.equal("root\n", who("coded", { ask = ask }))
        assert.are.same({ "password", "prompt" }, { questions[1].kind, questions[2].kind })
        -- What is shared is the password.
        authenticate("h1", "auth required pam_unix.so")
        assert.are.equal("root\n", who("coded", { ask = remote.answers() }))
    end)

    it("becomes any user, in any way", function()
        assert.are.equal("deploy\n", who("deploy", { user = "deploy" }))
        local ctx = open("pwuser", { user = "deploy", group = "adm", password = "orrery-lab" })
        assert.are.equal("deploy adm\n", ctx:shell("id -un; id -gn").stdout:gsub("\n(.)", " %1"))
        assert.are.equal("sudo:deploy", ctx.route)
        ctx:close()
        -- It is the target's password that is asked for.
        configure("h1", "Defaults targetpw")
        local ask, questions = remote.answers("orrery-lab")
        assert.are.equal("pwuser\n", who("pwuser", { user = "pwuser", ask = ask, share = false }, "h1") )
        assert.are.equal(0, #questions) -- oneself needs none
    end)

    it("keeps the environment where it is told to", function()
        local function variables(opts)
            local ctx = open("deploy", opts, "h1", "SPEC_A=1 SPEC_B=2")
            local text = ctx:shell("echo $SPEC_A,$SPEC_B,$HOME").stdout
            ctx:close()
            return text
        end
        assert.are.equal(",,/root\n", variables())
        assert.are.equal("1,2,/root\n", variables { preserve_env = true })
        assert.are.equal("1,,/root\n", variables { preserve_env = { "SPEC_A" } })
    end)

    it("leaves nothing of root's in the home of who runs it", function()
        local ctx = open("deploy", { preserve_env = true }, "h1", "XDG_CACHE_HOME=/home/deploy/.cache "
            .. "XDG_RUNTIME_DIR=/home/deploy")
        ctx:close()
        local _, found = lab.exec("h1", "find /home/deploy -user root")
        assert.are.equal("", found)
    end)

    it("logs in, by whichever shell", function()
        for _, shell in ipairs { "/bin/bash", "/bin/sh", "/bin/csh", "/usr/bin/fish", "/bin/zsh" } do
            if lab.exec("h1", "test -x " .. shell) == 0 then
                lab.user("h1", "shelly", { shell = shell })
                local ctx = open("deploy", { user = "shelly", login = true })
                assert.are.equal("/home/shelly /home/shelly shelly\n", ctx:shell('echo "$PWD $HOME $USER"').stdout)
                ctx:close()
            end
        end
    end)

    it("says who waited for too long", function()
        configure("h1", "Defaults passwd_timeout=0.02")
        assert_failure("timeout", "it waited too long for the password (passwd_timeout in sudoers)", "pwuser",
            { share = false, ask = function() orrery.sleep(1000) end })
        assert.are.equal("root\n", who("deploy", { bootstrap_timeout = 10 }))
        -- PAM takes some seconds before it says that it was wrong.
        authenticate("h1", "auth required pam_unix.so", "auth optional pam_faildelay.so delay=60000000")
        local err = failure("pwuser", { password = "sesame-1", bootstrap_timeout = 0.5 })
        assert.are.equal("timeout", err.code)
        remote.eventually("the end of sudo", function() return #remote.processes("h1", "sudo -S") == 0 end)
    end)

    it("does not count the time that a person takes", function()
        local ask = function()
            orrery.sleep(1.5)
            return "orrery-lab"
        end
        assert.are.equal("root\n", who("pwuser", { ask = ask, bootstrap_timeout = 1, share = false }))
    end)

    it("ends when its opening is cancelled", function()
        local asked = false
        local err = remote.failure(orrery.timeout, 1, who, "pwuser", { share = false, ask = function()
            asked = true
            orrery.sleep(1000)
        end })
        assert.are.equal("timeout", err.code)
        assert.is_true(asked)
        remote.eventually("the end of sudo", function() return #remote.processes("h1", "sudo -S") == 0 end)
    end)

    it("asks once for a user on many hosts", function()
        local ask, questions = remote.answers("sesame-1", "orrery-lab")
        local users = orrery.map({ "h1", "h2", "h1", "h2", "h1", "h2" }, function(host)
            return who("pwuser", { ask = ask }, host)
        end)
        for i = 1, 6 do assert.are.equal("root\n", users[i]) end
        assert.are.equal(2, #questions)
        assert.are.equal("root\n", who("pwuser", { ask = ask }, "h2"))
        assert.are.equal(2, #questions)
        ask, questions = remote.answers("orrery-lab", "orrery-lab")
        assert.are.equal("root\n", who("pwuser", { ask = ask, share = false }, "h1"))
        assert.are.equal("root\n", who("pwuser", { ask = ask, share = false }, "h2"))
        assert.are.equal(2, #questions)
    end)

    it("says that it is not there", function()
        local err = remote.failure(orrery.sudo, { program = here .. "/no/sudo", ask = false })
        assert.are.equal("connect", err.code)
        assert.matches("sudo is not installed here, or not in the PATH", err.message, 1, true)
        assert.are.equal("sudo:root", err.route)
    end)
end)
