--- Each way to log in with each kind of key at each server: which of them SSH inside this process can,
--- for which it takes ssh(1), and what is said where neither does.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard()

local PASSWORD, PASSPHRASE = "orrery-lab", "orrery-pass"

-- Where the server is. tinysshd knows ed25519, chacha20-poly1305 and public keys only.
local SERVERS = {
    OpenSSH = { host = "h1", port = 22, keys = { "ed25519", "ecdsa", "rsa" }, password = true },
    PAM = { host = "h2", port = 22, keys = {}, keyboard = true }, -- OpenSSH, which asks by keyboard-interactive
    dropbear = { host = "h1", port = 2201, options = "-B", keys = { "ed25519", "ecdsa", "rsa" }, password = true },
    tinysshd = { host = "h1", port = 2202, keys = { "ed25519" } },
}

-- Why ssh(1) is needed: words of the error that says so. With another libssh2 it may not be.
local NO_CIPHER = "have no key exchange, host key, cipher or MAC algorithm in common"
local SHA1 = "signs with SHA-1 for RSA keys, which OpenSSH refuses since 8.8"

-- How it gets in: in this process; or `lacks` is the text of the error there, and then by ssh(1). `how` is
-- what info() says of it.
local LOGINS = {
    { "OpenSSH", "none", user = "empty", how = "none" },
    { "OpenSSH", "file", key = "ed25519" }, { "OpenSSH", "file", key = "ecdsa" },
    { "OpenSSH", "file", key = "rsa", lacks = SHA1 },
    { "OpenSSH", "encrypted file", key = "ed25519" }, { "OpenSSH", "encrypted file", key = "ecdsa" },
    { "OpenSSH", "encrypted file", key = "rsa", lacks = SHA1 },
    { "OpenSSH", "agent", key = "ed25519" }, { "OpenSSH", "agent", key = "ecdsa" },
    { "OpenSSH", "agent", key = "rsa", lacks = SHA1 },
    { "OpenSSH", "password", user = "pwuser" },
    { "PAM", "file", key = "ed25519" },
    { "PAM", "password", user = "pwuser", how = "keyboard%-interactive" },
    { "dropbear", "none", user = "empty", how = "none" },
    { "dropbear", "file", key = "ed25519" }, { "dropbear", "file", key = "ecdsa" },
    { "dropbear", "file", key = "rsa" }, -- which still takes SHA-1
    { "dropbear", "encrypted file", key = "ed25519" }, { "dropbear", "encrypted file", key = "ecdsa" },
    { "dropbear", "encrypted file", key = "rsa" },
    { "dropbear", "agent", key = "ed25519" }, { "dropbear", "agent", key = "ecdsa" },
    { "dropbear", "agent", key = "rsa" },
    { "dropbear", "password", user = "pwuser" },
    { "tinysshd", "file", key = "ed25519", lacks = NO_CIPHER },
    { "tinysshd", "encrypted file", key = "ed25519", lacks = NO_CIPHER },
    { "tinysshd", "agent", key = "ed25519", lacks = NO_CIPHER },
}

-- What goes wrong: the way in, the code, and words of the message. Rows without a server hold for all
-- that can be talked to in this process; with `openssh`, the same by way of ssh(1): {code, words}.
local IN, NOBODY = "does not let user %s in", "and nobody is to be asked for it (ask = false)"
local FAILURES = {
    ["the wrong key"] = { how = "file", key = "stranger", code = "auth",
        says = { IN, "stranger (refused)", "the server allows: " }, openssh = { "auth", "Permission denied" } },
    ["no key"] = { how = "nothing", code = "credentials",
        says = { IN, NOBODY }, openssh = { "auth", "Permission denied" } },
    ["a key file that is not there"] = { how = "file", key = "nosuch", code = "credentials",
        says = { IN, NOBODY }, openssh = { "auth", "Permission denied" } },
    ["a key file that others may read"] = { how = "file", key = "open", code = "credentials",
        says = { IN, "open (unused, since its permissions let others read it: chmod 600)" },
        openssh = { "auth", "Permission denied" } },
    ["a key file that holds something else"] = { how = "file", key = "text", code = "credentials",
        says = { IN, "text (not a private key)" }, openssh = { "auth", "Permission denied" } },
    ["an agent that is not there"] = { how = "agent", socket = "/nosuch/agent", code = "credentials",
        says = { IN, "the agent (/nosuch/agent: No such file or directory)" },
        openssh = { "auth", "Permission denied" } },
    ["the wrong passphrase"] = { how = "encrypted file", key = "ed25519", passphrase = "sesame-1", code = "credentials",
        says = { IN, "ed25519_pass (wrong passphrase)" } },
    ["no passphrase"] = { how = "encrypted file", key = "ed25519", passphrase = false, code = "credentials",
        says = { IN, "ed25519_pass needs a passphrase", NOBODY }, openssh = { "auth", "Permission denied" } },
    ["the wrong password"] = { how = "password", user = "pwuser", password = "sesame-1", code = "auth",
        says = { IN, " (refused)" } },
    ["a user that does not exist"] = { how = "file", key = "ed25519", user = "nobody-here", code = "auth",
        says = { IN, "(refused)" }, openssh = { "auth", "Permission denied" } },
    ["a password where only keys are taken"] = { server = "OpenSSH", how = "password", user = "keysonly",
        code = "credentials", says = { IN, "there was no key or password to try", "the server allows: publickey" } },
    ["a key where only passwords are taken"] = { server = "OpenSSH", how = "file", key = "ed25519",
        user = "wordsonly", code = "credentials",
        says = { IN, NOBODY, "the server allows: password" },
        openssh = { "auth", "Permission denied (password" } },
    ["an empty password that is not let in"] = { server = "OpenSSH", how = "nothing", user = "blank",
        code = "credentials", says = { IN }, openssh = { "auth", "Permission denied" } },
    ["a host key that is not known"] = { how = "file", key = "ed25519", known = "nobody", code = "hostkey",
        says = { "SHA256:", "is not known", "known_hosts_nobody" }, openssh = { "hostkey", "host key is known" } },
    ["a host key that has changed"] = { how = "file", key = "ed25519", known = "others", code = "hostkey_changed",
        says = { "has changed: it is now ssh-ed25519 SHA256:", "known_hosts_others line ", "ssh-keygen -f" },
        openssh = { "hostkey_changed", "known_hosts_others:" } },
    ["a host key that was revoked"] = { how = "file", key = "ed25519", known = "revoked", code = "hostkey_revoked",
        says = { "is revoked by ", "known_hosts_revoked line " }, openssh = { "hostkey_revoked", "revoked" } },
}

-- What listens on a port of h1 and is no SSH server: what is said, by ssh(1) too.
local STRANGERS = {
    ["nobody"] = { port = 9, code = "connect", says = "refused the connection",
        openssh = { "connect", "Connection refused" } },
    ["a web server"] = { port = 2203, serve = "printf 'HTTP/1.1 400 Bad Request\\r\\n\\r\\n'", code = "connect",
        says = 'is not an SSH server: it said "HTTP/1.1 400 Bad Request"',
        openssh = { "connect", "Connection" } },
    ["a server that says nothing"] = { port = 2204, serve = "exec cat >/dev/null", code = "timeout",
        says = "accepts connections, but sent no SSH banner within 0.5 s" },
    ["a server that hangs up"] = { port = 2205, serve = "exit 0", code = "connect",
        says = "SSH banner", openssh = { "connect", "Connection" } },
}

describe("logging in", function()
    if not lab.need(2, { isolated = true }) then return end

    local here, agent, stops, configs = nil, nil, {}, 0
    local function key(name) return here .. "/id_" .. name end

    local function make_keys()
        for _, kind in ipairs { "ed25519", "ecdsa", "rsa" } do
            lab.run { "cp", lab.file("client/id_" .. kind), lab.file("client/id_" .. kind .. ".pub"), here }
            lab.run { "cp", key(kind), key(kind .. "_pass") }
            assert(lab.run { "ssh-keygen", "-q", "-p", "-a", "1", "-P", "", "-N", PASSPHRASE, "-f",
                key(kind .. "_pass") } == 0)
        end
        assert(lab.run { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key "stranger" } == 0)
        lab.run { "cp", key "ed25519", key "open" }
        lab.run { "chmod", "644", key "open" }
        remote.write(key "text", "Dear diary,\n")
        lab.run { "chmod", "600", key "text" }
    end

    -- An agent for each kind of key.
    local function start_agents()
        agent = {}
        for _, kind in ipairs { "ed25519", "ecdsa", "rsa" } do
            local socket = here .. "/agent_" .. kind
            local _, text = lab.run { "ssh-agent", "-a", socket, "-s" }
            agent[kind] = text:match("SSH_AGENT_PID=(%d+)")
            assert(lab.run { "env", "SSH_AUTH_SOCK=" .. socket, "ssh-add", "-q", key(kind) } == 0)
        end
    end

    local function start_servers()
        for name, server in pairs(SERVERS) do
            if server.port ~= 22 then
                stops[#stops + 1] = lab.serve(server.host, name, server.port, server.options)
            end
        end
        for _, stranger in pairs(STRANGERS) do
            if stranger.serve then
                local script = ("/run/stranger.%d"):format(stranger.port)
                remote.write(lab.root("h1") .. script, "#!/bin/sh\n" .. stranger.serve .. "\n")
                lab.exec("h1", { "chmod", "755", script })
                stops[#stops + 1] = lab.serve("h1", ("exec busybox nc -ll -p %d -e %s"):format(
                    stranger.port, script), stranger.port)
            end
        end
    end

    -- known_hosts as it should be, of other hosts' keys, and with all keys revoked.
    local function write_known_hosts()
        local known = here .. "/known_hosts"
        remote.write(known, remote.slurp(lab.file "known_hosts"))
        remote.write(known .. "_nobody", "")
        local others, revoked = {}, {}
        for _, server in pairs(SERVERS) do
            local address = lab.host(server.host).address
            local name = server.port == 22 and address or ("[%s]:%d"):format(address, server.port)
            lab.run { "ssh", "-F", lab.ssh_config(), "-p", tostring(server.port), "-o", "BatchMode=yes", "-o",
                "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=" .. known, server.host, "true" }
            local stranger = remote.slurp(key "stranger" .. ".pub"):match("^(%S+ %S+)")
            others[#others + 1] = name .. " " .. stranger
            for line in remote.slurp(known):gmatch("[^\n]+") do
                revoked[#revoked + 1] = "@revoked * " .. line:match("^%S+ (%S+ %S+)")
            end
        end
        remote.write(known .. "_others", table.concat(others, "\n") .. "\n")
        remote.write(known .. "_revoked", table.concat(revoked, "\n") .. "\n")
    end

    setup(function()
        here = remote.directory()
        make_keys()
        start_agents()
        lab.user("h1", "empty", { shadow = ":19000:0:99999:7:::" })
        lab.user("h1", "blank", { shadow = ":19000:0:99999:7:::" })
        lab.user("h1", "keysonly")
        lab.user("h1", "wordsonly")
        lab.sshd("h1", "Match User empty", "    PermitEmptyPasswords yes", "Match User keysonly",
            "    PasswordAuthentication no", "Match User wordsonly", "    PubkeyAuthentication no")
        start_servers()
        write_known_hosts()
    end)

    teardown(function()
        for _, stop in ipairs(stops) do stop() end
        for _, pid in pairs(agent) do lab.run { "kill", pid } end
        lab.sshd("h1")
        remote.remove(here)
    end)

    local function configure(server, row)
        local lines = {
            "Host target", "HostName " .. lab.host(server.host).address, "Port " .. server.port,
            "User " .. (row.user or "root"), "UpdateHostKeys no", "StrictHostKeyChecking yes",
            "UserKnownHostsFile " .. here .. "/known_hosts" .. (row.known and "_" .. row.known or ""),
            "GlobalKnownHostsFile /dev/null",
        }
        local method = row.how_to
        if method == "agent" then
            lines[#lines + 1] = "IdentityFile none\nIdentityAgent "
                .. (row.socket or here .. "/agent_" .. row.key)
        elseif method == "file" or method == "encrypted file" then
            lines[#lines + 1] = "IdentityAgent none\nIdentitiesOnly yes\nIdentityFile "
                .. key(method == "file" and row.key or row.key .. "_pass")
        else
            lines[#lines + 1] = "IdentityAgent none\nIdentityFile none"
        end
        configs = configs + 1 -- what ssh makes of a file is kept
        local path = here .. "/config" .. configs
        remote.write(path, table.concat(lines, "\n") .. "\n")
        return path
    end

    -- Logs in, and says as whom and how.
    local function enter(server, row, way)
        local opts = { config = configure(server, row), transport = way, handshake_timeout = row.timeout, ask = false }
        if row.how_to == "password" then opts.password = row.password or PASSWORD end
        if row.how_to == "encrypted file" and row.passphrase ~= false then
            opts.passphrase = row.passphrase or PASSPHRASE
        end
        local ctx = orrery.ssh("target", opts)
        local user, how = ctx:shell("id -un").stdout, ctx:info().how
        ctx:close()
        return user, how
    end

    local PATTERNS = {
        none = "none", file = "publickey .*id_", ["encrypted file"] = "publickey .*_pass", agent = "agent",
        password = "password",
    }

    for _, row in ipairs(LOGINS) do
        local name, method = row[1], row[2]
        row.how_to = method
        it(("at %s: %s %s"):format(name, method, row.key or ""), function()
            local server, user = SERVERS[name], (row.user or "root") .. "\n"
            local ok, got, how = pcall(enter, server, row, "libssh2")
            if ok then
                assert.are.equal(user, got)
                assert.matches(row.how or PATTERNS[method], how)
                return
            end
            if not row.lacks then error(got, 0) end
            assert.matches(row.lacks, got.message, 1, true)
            assert.is_true(got.openssh_could)
            assert.are.equal(row.lacks == SHA1 and "auth" or "connect", got.code)
            assert.are.equal(user, (enter(server, row, "openssh")))
        end)
    end

    local function check(err, code, texts, user)
        assert.are.equal(code, err.code, err.message)
        for _, text in ipairs(texts) do
            assert.matches(text:gsub("%%s", user), err.message, 1, true)
        end
        for _, secret in ipairs { "sesame", PASSWORD, PASSPHRASE } do
            assert.is_nil(err:format():find(secret, 1, true))
        end
    end

    for what, row in pairs(FAILURES) do
        row.how_to = row.how
        for name, server in pairs(SERVERS) do
            local takes = row.how ~= "password" or server.password or server.keyboard
            if name == (row.server or name) and name ~= "tinysshd" and takes then
                it(("at %s, with %s"):format(name, what), function()
                    local err = remote.failure(enter, server, row, "libssh2")
                    check(err, row.code, row.says, row.user or "root")
                    assert.is_nil(err.openssh_could)
                end)
            end
            if name == (row.server or name) and row.openssh then
                it(("at %s by ssh(1), with %s"):format(name, what), function()
                    local err = remote.failure(enter, server, row, "openssh")
                    check(err, row.openssh[1], { row.openssh[2] }, row.user or "root")
                end)
            end
        end
    end

    for what, row in pairs(STRANGERS) do
        it("where there is " .. what, function()
            local server = { host = "h1", port = row.port }
            local try = { how_to = "file", key = "ed25519", timeout = row.code == "timeout" and 0.5 or nil }
            check(remote.failure(enter, server, try, "libssh2"), row.code, { row.says }, "root")
            if row.openssh then
                check(remote.failure(enter, server, try, "openssh"), row.openssh[1], { row.openssh[2] }, "root")
            end
        end)
    end
end)
