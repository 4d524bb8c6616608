--- Questions of ssh(1) as a subprocess: it asks by way of us, so the answers come from the same places.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard()

describe("asking for what ssh(1) needs", function()
    if not lab.need(2, { isolated = true }) then return end

    local keys = lab.file("client") .. "/"
    local encrypted = keys .. "id_ed25519_pass"
    local here
    setup(function() here = remote.directory() end)
    teardown(function() remote.remove(here) end)

    local function new_key(name)
        local path = here .. "/" .. name
        for _, suffix in ipairs { "", ".pub" } do
            assert.are.equal(0, (lab.run { "cp", "-p", encrypted .. suffix, path .. suffix }))
        end
        return path
    end

    local function open(host, opts)
        local all = { config = lab.ssh_config(), transport = "openssh" }
        for name, value in pairs(opts) do all[name] = value end
        return orrery.ssh(host, all)
    end

    local function who(host, opts)
        local ctx = open(host, opts)
        local user, how = ctx:shell("id -un").stdout, ctx:info().how
        ctx:close()
        assert.are.equal("ssh as a subprocess", how)
        return user
    end

    local function failure(...) return remote.failure(who, ...) end

    -- The ssh processes below this one that have this text on their command lines.
    local function clients(text)
        local pids = {}
        for _, pid in ipairs(remote.processes("local", text)) do
            if remote.slurp(("/proc/%d/comm"):format(pid)) == "ssh\n" then pids[#pids + 1] = pid end
        end
        return pids
    end

    it("takes the password that the script gives, however the server asks for it", function()
        for _, host in ipairs { "h1", "h2" } do
            assert.are.equal("pwuser\n", who(host, { user = "pwuser", password = "orrery-lab", ask = false }))
        end
    end)

    it("asks for a password, and again after a wrong one", function()
        local ask, questions = remote.answers("sesame-1", "orrery-lab")
        assert.are.equal("pwuser\n", who("h1", { name = "web1", user = "pwuser", ask = ask }))
        assert.are.same({
            kind = "password", host = "web1", subject = "pwuser@web1", text = "pwuser@web1's password: ",
            detail = "", echo = false, attempt = 2,
        }, questions[2])
        assert.are.equal(2, #questions)
        ask, questions = remote.answers("orrery-lab")
        assert.are.equal("pwuser\n", who("h1", { user = "pwuser", password = "sesame-2", ask = ask }))
        assert.are.equal(1, #questions)
        ask = remote.answers("sesame-1", "sesame-2", "sesame-3", "sesame-4")
        local err = failure("h1", { user = "pwuser", ask = ask })
        assert.are.equal("auth", err.code)
        assert.not_matches("sesame", err:format())
    end)

    it("asks what keyboard-interactive asks", function()
        local ask, questions = remote.answers("orrery-lab")
        assert.are.equal("pwuser\n", who("h2", { user = "pwuser", ask = ask }))
        assert.are.equal("prompt", questions[1].kind)
        assert.matches("Password: $", questions[1].text)
    end)

    it("takes the passphrase that the script gives", function()
        local key, own = new_key "given", here .. "/bare"
        remote.write(own, ("Host h1\nHostName %s\nUser root\nIdentityAgent none\nUserKnownHostsFile %s\n")
            :format(lab.host("h1").address, lab.file("known_hosts")))
        assert.are.equal("root\n", who("h1", { identity = key, passphrase = "orrery-pass", ask = false }))
        local err = failure("h1", { config = own, identity = key, passphrase = "wrong-one", ask = false })
        assert.is_true(err.code == "credentials" or err.code == "auth", err.code)
        assert.not_matches("wrong%-one", err:format())
    end)

    it("asks for a passphrase once for a key, however many connections want it", function()
        local ask, questions = remote.answers("wrong-one", "orrery-pass")
        local key = new_key "parallel"
        local users = orrery.map({ 1, 2, 3, 4, 5, 6 }, function(i)
            return who("h" .. (i % 2 + 1), { identity = key, ask = ask })
        end)
        for i = 1, 6 do assert.are.equal("root\n", users[i]) end
        assert.are.equal(2, #questions)
        assert.are.equal(key, questions[1].subject)
        assert.are.equal(2, questions[2].attempt)
        -- SSH inside this process knows it, too.
        orrery.ssh("h1", { config = lab.ssh_config(), identity = key, ask = false }):close()
    end)

    it("asks about new hosts", function()
        local known = here .. "/known"
        remote.write(known, "")
        local ask, questions = remote.answers("no")
        local err = failure("h1", { known_hosts = known, strict = "ask", ask = ask })
        assert.are.equal("hostkey", err.code)
        assert.are.equal("hostkey", questions[1].kind)
        assert.is_true(questions[1].echo)
        assert.matches("^SHA256:", questions[1].subject)
        assert.matches("The authenticity of host", questions[1].detail)
        assert.matches("^h1: Are you sure you want to continue connecting", questions[1].text)
        assert.are.equal("root\n", who("h1", { known_hosts = known, strict = "ask", ask = remote.answers "yes" }))
        assert.are.equal("root\n", who("h1", { known_hosts = known, strict = "yes" }))
    end)

    it("says what was missing where nobody can be asked", function()
        local program = remote.program([[
            local ok, err = pcall(orrery.ssh, "h1", { config = arg[1], user = "pwuser", transport = "openssh" })
            say(err.code, (err:format():gsub("\n", " ")))
        ]], { "setsid", "-w" }, lab.ssh_config())
        local text = program:rest()
        program:finish()
        assert.matches("^auth ", text)
        assert.matches("pwuser@h1 needs a password, and there is no terminal, askpass program or `ask` function",
            text, 1, true)
        assert.are.equal("auth", failure("h1", { user = "pwuser", ask = false }).code)
    end)

    it("does not count the time that a person takes", function()
        local user = who("h1", {
            user = "pwuser", connect_timeout = 1, handshake_timeout = 0.5, bootstrap_timeout = 0.5,
            ask = function()
                orrery.sleep(2.5)
                return "orrery-lab"
            end,
        })
        assert.are.equal("pwuser\n", user)
    end)

    it("ends what asks when the opening is cancelled", function()
        local asked = false
        local err = remote.failure(orrery.timeout, 2, who, "h1", { user = "pwuser", ask = function()
            asked = true
            orrery.sleep(1000)
        end })
        assert.are.equal("timeout", err.code)
        assert.is_true(asked)
        remote.eventually("the end of ssh", function() return #clients(lab.ssh_config()) == 0 end)
    end)

    it("gives the password of a host to no other one on the way there", function()
        local own = here .. "/jump"
        remote.write(own, ([[
            Host *
                IdentityAgent none
                IdentityFile none
                UserKnownHostsFile %s
                User pwuser
            Host inner
                HostName %s
                ProxyJump outer
            Host outer
                HostName %s
        ]]):format(lab.file("known_hosts"), lab.host("h2").address, lab.host("h1").address))
        local ask, questions = remote.answers("orrery-lab")
        local opts = { config = own, password = "orrery-lab", ask = ask }
        assert.are.equal("pwuser\n", who("inner", opts))
        assert.are.equal(1, #questions)
        assert.are.equal("password", questions[1].kind)
        assert.matches("^pwuser@%S+'s password: $", questions[1].text)
        assert.not_matches("inner", questions[1].text)
    end)

    it("shows no secret to who looks at processes, and answers no stranger", function()
        local seen, answer
        local user = who("h1", { user = "pwuser", passphrase = "secret-of-a-key", ask = function()
            local pid = clients(lab.ssh_config())[1]
            seen = remote.slurp(("/proc/%d/environ"):format(pid)) .. remote.slurp(("/proc/%d/cmdline"):format(pid))
            local name = seen:match("ORRERY_ASKPASS=([^%z]+)")
            local program = seen:match("%zSSH_ASKPASS=([^%z]+)")
            answer = orrery.thread(function(n, p, run)
                return (require("spec.support.lab").run { run, "ORRERY_ASKPASS=" .. n, p, "x@y's password: " })
            end, name, program, "env")
            return "orrery-lab"
        end })
        assert.are.equal("pwuser\n", user)
        assert.are.equal(1, answer:get())
        assert.not_matches("secret%-of%-a%-key", seen)
        assert.is_nil(os.getenv "ORRERY_ASKPASS")
        assert.matches("SSH_ASKPASS_REQUIRE=force", seen, 1, true)
    end)

    it("writes no secret into the log", function()
        local log = here .. "/log"
        local program = remote.program([[
            local core = require "orrery.core"
            core.log_open(arg[2])
            core.log_level(4)
            for _, transport in ipairs { "openssh", "libssh2" } do
                for _, host in ipairs { "h1", "h2" } do
                    orrery.ssh(host, { config = arg[1], user = "pwuser", transport = transport,
                        ask = function() return "orrery-lab" end }):close()
                end
                orrery.ssh("h1", { config = arg[1], identity = arg[3], transport = transport,
                    ask = function() return "orrery-pass" end }):close()
            end
            say "done"
        ]], nil, lab.ssh_config(), log, new_key "logged")
        local text = program:rest()
        local errors = program:stderr()
        program:finish()
        assert.are.equal("done\n", text, errors)
        local written = remote.slurp(log)
        assert.matches("h1", written)
        assert.not_matches("orrery%-lab[^-_/]", (written:gsub("/run/orrery%-lab", "")))
        assert.not_matches("orrery%-pass", written)
    end)
end)
