--- Logging in over SSH in the process, against the lab's real servers.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard()

describe("orrery.ssh", function()
    if not lab.need(3, { foreign = true }) then return end

    local config = lab.ssh_config()
    local keys = config:match("^(.*)/") .. "/client/"

    local function who(host, opts)
        opts.config, opts.ask = config, false
        local ctx = orrery.ssh(host, opts)
        local user, how = ctx:shell("id -un").stdout, ctx:info().how
        ctx:close()
        return user, how
    end

    it("logs in as the configuration says", function()
        local user, how = who("h1", {})
        assert.are.equal("root\n", user)
        assert.matches("publickey .*/client/id_ed25519", how)
    end)

    it("takes a user in front of the host, and as an option", function()
        assert.are.equal("deploy\n", (who("deploy@h1", {})))
        assert.are.equal("deploy\n", (who("h1", { user = "deploy" })))
    end)

    it("logs in with a password, however the server asks for it", function()
        for _, host in ipairs { "h1", "h2", "h3" } do -- h2: keyboard-interactive
            local user, how = who(host, { user = "pwuser", password = "orrery-lab" })
            assert.are.equal("pwuser\n", user)
            assert.matches(host == "h2" and "keyboard%-interactive" or "password", how)
        end
    end)

    it("says what was tried when the password is wrong, and not the password", function()
        local err = remote.failure(who, "h1", { user = "pwuser", password = "sesame-1" })
        assert.are.equal("auth", err.code)
        assert.matches("does not let user pwuser in: tried .*password", err.message)
        assert.not_matches("sesame", err:format())
    end)

    it("uses an encrypted key with its passphrase", function()
        local opts = { identity = keys .. "id_ed25519_pass", passphrase = "orrery-pass" }
        assert.are.equal("root\n", (who("h1", opts)))
        opts.passphrase = nil
        assert.matches("id_ed25519_pass %(.*passphrase", remote.failure(who, "h1", opts).message)
        opts.passphrase = "wrong-one"
        local err = remote.failure(who, "h1", opts)
        assert.are.equal("credentials", err.code)
        assert.not_matches("wrong%-one", err:format())
    end)

    it("uses ecdsa keys, and dropbear", function()
        assert.are.equal("root\n", (who("h1", { identity = keys .. "id_ecdsa" })))
        if remote.sanitized then return end -- its agent does not run there
        assert.are.equal("root\n", (who("foreign", { identity = keys .. "id_ed25519" })))
    end)

    it("uses the keys of an agent", function()
        local code, text = lab.run { "ssh-agent", "-s" }
        assert.are.equal(0, code)
        local socket, pid = text:match("SSH_AUTH_SOCK=([^;]+)"), text:match("SSH_AGENT_PID=(%d+)")
        local directory = remote.directory()
        finally(function()
            lab.run { "kill", pid }
            remote.remove(directory)
        end)
        lab.run { "env", "SSH_AUTH_SOCK=" .. socket, "ssh-add", "-q", keys .. "id_ed25519" }
        local own = directory .. "/config"
        local address = lab.host("h3").address
        remote.write(own, ("Host h3\nHostName %s\nUser root\nIdentityFile /nonexistent\n")
            :format(address) .. ("IdentityAgent %s\nUserKnownHostsFile %s\n"):format(socket,
            config:match("^(.*)/") .. "/known_hosts"))
        local ctx = orrery.ssh("h3", { config = own })
        assert.matches("agent", ctx:info().how)
        ctx:close()
    end)

    it("does not talk to a host that it does not know, or that has changed", function()
        local directory = remote.directory()
        finally(function() remote.remove(directory) end)
        local known = directory .. "/known_hosts"
        remote.write(known, "")
        local err = remote.failure(who, "h1", { known_hosts = known })
        assert.are.equal("hostkey", err.code)
        assert.matches("SHA256:%S+", err.message)
        assert.are.equal("root\n", (who("h1", { known_hosts = known, strict = "accept-new" })))
        assert.are.equal("root\n", (who("h1", { known_hosts = known })))

        local _, other = lab.exec("h2", "cat /etc/ssh/ssh_host_ed25519_key.pub")
        remote.write(known, lab.host("h1").address .. " " .. other)
        err = remote.failure(who, "h1", { known_hosts = known, strict = "accept-new" })
        assert.are.equal("hostkey_changed", err.code)
        assert.matches(known .. "[: ].*1", err.message) -- the file and the line
        assert.matches("ssh%-keygen", err.message)
    end)

    it("leaves nothing but the agent in the cache, and then sends nothing", function()
        local first = orrery.ssh("h2", { config = config })
        first:close()
        local ctx = orrery.ssh("h2", { config = config })
        assert.are.equal(0, ctx:info().uploaded)
        assert.are.equal("1\n", ctx:shell("ls -A ~/.cache/orrery | grep -vc ^relay").stdout)
        ctx:close()
    end)

    it("sends at most 0.95 MB to a host that has never seen it", function()
        for _, host in ipairs(remote.sanitized and {} or { "h3", "foreign" }) do
            lab.exec(host, "rm -rf /root/.cache/orrery")
            local ctx = orrery.ssh(host, { config = config })
            local sent = ctx:info().uploaded
            ctx:close()
            assert.is_true(sent > 0 and sent <= 950000, host .. ": " .. sent)
        end
    end)
end)
