--- orrery ssh-check: what it tells of a host that can be used, and of those that cannot.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard()

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

describe("orrery ssh-check", function()
    if not lab.need(2, { dead = 1, refuse = 1, isolated = true }) then return end

    local here
    setup(function() here = remote.directory() end)
    teardown(function() remote.remove(here) end)

    -- Wrapped lines are put together: what is said counts, not where a line ends.
    local function check(...)
        local code, text, said = lab.run { "timeout", "60", program, "ssh-check", ... }
        for line in text:gmatch("[^\n]+") do
            -- A word that is too long stays whole.
            assert.is_truthy(#line <= 80 or line:match("^%s*%S*%s*%S+$") or line:match("^Config"), line)
        end
        return code, text:gsub("\n           +", " "):gsub("  +", " "), said
    end

    local function configure(name, ...)
        local path = here .. "/" .. name
        remote.write(path, ("%s\nHost *\nInclude %s\n"):format(table.concat({ ... }, "\n"), lab.ssh_config()))
        return path
    end

    local function has(text, ...)
        for _, part in ipairs { ... } do
            assert.is_truthy(text:find(part, 1, true), ("'%s' is missing in:\n%s"):format(part, text))
        end
    end

    it("tells what was configured and where, each step, and that it works", function()
        local own = configure("good", "Host web", "  HostName " .. lab.host("h1").address, "  User deploy")
        local code, text, said = check("-F", own, "web")
        assert.are.same({ 0, "" }, { code, said })
        has(text, "User deploy " .. own .. ":3", "HostName " .. lab.host("h1").address .. " " .. own .. ":2",
            "Port 22 default", "IdentityFile " .. lab.file("client/id_ed25519") .. " " .. lab.ssh_config() .. ":",
            "in-process libssh2", "nothing that is configured needs ssh(1)",
            "ok address " .. lab.host("h1").address .. " (resolve ", "ok connection SSH-2.0-OpenSSH_",
            "ok key exchange",
            "ok host key ssh-ed25519 SHA256:", " known by " .. lab.file("known_hosts") .. ":",
            "ok login publickey " .. lab.file("client/id_ed25519"), "ok session exec", "ok agent ", "h1, ", "ok call ",
            "web can be used; it took ")
        has(select(2, check("-F", own, "--no-cache", "-l", "root", "web")), "User root option", "bytes were sent")
    end)

    it("says why it takes ssh(1), and when SSH inside failed before", function()
        local own = configure("cert", "CertificateFile /none")
        local code, text = check("-F", own, "h1")
        assert.are.equal(0, code)
        has(text, "ssh(1) since its configuration says CertificateFile /none", "CertificateFile /none " .. own .. ":1",
            "ok ssh(1) connected", "h1 can be used")
        code, text = check("-F", lab.ssh_config(), "-i", lab.file "client/id_rsa", "h1")
        assert.are.equal(0, code)
        has(text, "-- in-process", "SHA-1", "ok ssh(1) connected",
            "IdentityFile " .. lab.file "client/id_rsa" .. " option")
        code, text = check("-F", own, "--transport", "libssh2", "h1")
        assert.are.equal(1, code)
        has(text, "NO configuration", "SSH inside this process cannot do this",
            "h1 cannot be used: configuration (option)")
    end)

    it("shows the way by jump hosts", function()
        local own = configure("jump", "Host inner", "  HostName " .. lab.host("h2").address, "  ProxyJump deploy@h1")
        local code, text = check("-F", own, "inner")
        assert.are.equal(0, code)
        has(text, "ProxyJump deploy@h1 " .. own .. ":3",
            ("by way of h1: deploy@%s port 22"):format(lab.host("h1").address), "then inner", "inner can be used")
        code, text = check("-F", lab.ssh_config(), "-J", "root@h1:22", "h2")
        assert.are.equal(0, code)
        has(text, "by way of h1: root@", "ProxyJump root@h1:22 option")
        code, text = check("-F", lab.ssh_config(), "-J", "nobody-here@h1", "h2")
        assert.are.equal(1, code)
        has(text, "NO jump host", "cannot be reached by way of h1:", "does not let user nobody-here in",
            "h2 cannot be used: jump host (auth)", ("to do say more of the jump host: orrery ssh-check -F '%s' -p 22 "
            .. "nobody-here@h1"):format(lab.ssh_config()))
    end)

    it("names the step that failed, and what to do", function()
        local unknown = configure("unknown", "UserKnownHostsFile " .. here .. "/none", "StrictHostKeyChecking yes")
        local code, text = check("-F", unknown, "h1")
        assert.are.equal(1, code)
        has(text, "! note none of the known_hosts files exists", "ok key exchange", "-- host key", "was not known",
            "NO host key", "h1 cannot be used: host key (hostkey)", "to do compare the fingerprint")

        code, text = check("-F", lab.ssh_config(), "nobody-here@h1")
        assert.are.equal(1, code)
        has(text, "ok host key", "NO login", "does not let user nobody-here in", "h1 cannot be used: login (auth)",
            "to do may nobody-here log in there? The name comes from the command line", "ssh-copy-id -i")

        code, text = check("-F", lab.ssh_config(), "--connect-timeout", "1", "dead1")
        assert.are.equal(1, code)
        has(text, "ok address " .. lab.host("dead1").address, "NO connection", "within 1 s",
            "dead1 cannot be used: connection (timeout)", "to do is the host up?")

        code, text = check("-F", lab.ssh_config(), "-p", "9", "h1")
        assert.are.equal(1, code)
        has(text, "NO connection", "refused the connection", "It comes from the command line")

        code, text = check("-F", lab.ssh_config(), "nosuch.invalid")
        assert.are.equal(1, code)
        has(text, "NO address", "nosuch.invalid does not resolve", "to do is nosuch.invalid the right name?")

        code, text = check("-F", configure("bad", "Nonsense yes"), "h1")
        assert.are.equal(1, code)
        has(text, "NO configuration", "line 1: Bad configuration option: nonsense", "to do correct the configuration")

        code, text = check("-F", lab.ssh_config(), "--transport", "openssh", "refuse1")
        assert.are.equal(1, code)
        has(text, "ssh(1) as the option says", "NO login", "Permission denied", "refuse1 cannot be used: login (auth)")
    end)

    it("notes what looks wrong before it connects", function()
        local open_to_all = here .. "/open"
        remote.write(open_to_all, remote.slurp(lab.file "client/id_ed25519"))
        lab.run { "chmod", "644", open_to_all }
        local own = configure("odd", "IdentityAgent " .. here .. "/no-agent", "IdentityFile " .. open_to_all,
            "IdentityFile " .. lab.file "client/id_ed25519_pass", "IdentityFile " .. here .. "/missing")
        local code, text = check("-F", own, "h1")
        assert.are.equal(0, code)
        has(text, ("the agent's socket %s/no-agent does not exist"):format(here),
            ("others can read the key file %s, so it is not used: chmod 600"):format(open_to_all),
            ("the key file %s is encrypted"):format(lab.file "client/id_ed25519_pass"),
            ("the key file %s/missing does not exist"):format(here))
    end)

    it("wants one host", function()
        assert.are.equal(64, (check()))
        assert.are.equal(64, (check("a", "b")))
        local code, text = lab.run { program, "help", "ssh-check" }
        assert.are.equal(0, code)
        assert.matches("usage: orrery ssh%-check", text)
    end)
end)
