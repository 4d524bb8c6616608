--- SSH inside this process, or ssh(1): what decides, what is tried again, and who is told.

local ffi = require "ffi"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"
local ssh = require "orrery.ssh"
local ssh_config = require "orrery.ssh_config"

pcall(ffi.cdef, "int setenv(const char *name, const char *value, int overwrite);")
pcall(ffi.cdef, "int unsetenv(const char *name);")

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

describe("the choice of a transport", function()
    if not lab.need(2, { refuse = 1, isolated = true }) then return end

    local keys = lab.file("client") .. "/"
    local here
    setup(function() here = remote.directory() end)
    teardown(function() remote.remove(here) end)

    -- A configuration of its own, with these lines first.
    local function configure(name, ...)
        local path = here .. "/" .. name
        ssh_config.forget()
        remote.write(path, ("Host *\n%s\nInclude %s\n"):format(table.concat({ ... }, "\n"), lab.ssh_config()))
        return path
    end

    local function plan(line, opts)
        local all = { config = configure("plan", line) }
        for key, value in pairs(opts or {}) do all[key] = value end
        return ssh.plan("h1", all)
    end

    local function open(host, opts)
        local ctx = orrery.ssh(host, opts)
        local inside = ctx:info().ssh ~= nil
        assert.are.equal("root\n", ctx:shell("id -un").stdout)
        ctx:close()
        return inside
    end

    it("is made by what is configured", function()
        for _, line in ipairs { "CertificateFile /c", "PKCS11Provider /p", "RevokedHostKeys /r",
            "KnownHostsCommand /k", "BindInterface lo", "ForwardAgent yes", "RekeyLimit 1G 3600",
            "HostbasedAuthentication yes", "ProxyUseFdpass yes", "VerifyHostKeyDNS ask", "IdentityFile ~root/k" } do
            local got = plan(line)
            assert.are.same({ line, "openssh" }, { line, got.transport })
            local reason = got.reason:gsub(" 1073741824", " 1G")
            assert.matches(line:match "%S+$", reason, 1, true)
            local err = remote.failure(plan, line, { transport = "libssh2" })
            assert.are.equal("option", err.code)
            assert.matches("SSH inside this process cannot do this: its configuration", err.message, 1, true)
        end
        for _, line in ipairs { "", "RequestTTY force", "RemoteCommand x", "LocalForward 1 h:1", "Compression yes",
            "Match originalhost h1\nProxyJump h2\nMatch all", "ProxyCommand nc %h %p", "ServerAliveInterval 5",
            "SetEnv A=1", "ForwardX11 yes", "PermitLocalCommand yes", "Tunnel yes", "ControlMaster auto",
            "AddKeysToAgent yes" } do
            assert.are.same({ line, "libssh2" }, { line, plan(line).transport })
            assert.are.equal("openssh", plan(line, { transport = "openssh" }).transport)
        end
    end)

    it("is ssh(1) where a certificate lies beside the key", function()
        local key = here .. "/certified"
        remote.write(key, remote.slurp(keys .. "id_ed25519"))
        lab.run { "chmod", "600", key }
        assert.are.equal("libssh2", plan("IdentityFile " .. key).transport)
        lab.run { "cp", keys .. "id_ed25519.pub", key .. ".pub" }
        lab.run { "ssh-keygen", "-q", "-s", keys .. "id_ecdsa", "-I", "spec", key .. ".pub" }
        assert.are.equal("openssh", plan("IdentityFile " .. key).transport)
        assert.are.equal("libssh2", plan("IdentityFile " .. key, { transport = "libssh2" }).transport)
        assert.is_false(open("h1", { config = configure("certified.cfg", "IdentityFile " .. key) }))
    end)

    it("goes through a master that is there", function()
        local own = configure("master", "ControlPath " .. here .. "/master-%C")
        assert.is_true(open("h1", { config = own }))
        assert.are.equal(0, (lab.run { "ssh", "-F", own, "-MNf", "h1" }))
        finally(function() lab.run { "ssh", "-F", own, "-O", "exit", "h1" } end)
        assert.is_false(open("h1", { config = own }))
        assert.is_true(open("h1", { config = own, transport = "libssh2" }))
    end)

    it("opens what ssh(1) alone can", function()
        assert.is_false(open("h1", { config = configure("one", "CertificateFile " .. here .. "/none") }))
        assert.is_false(open("h1", { config = lab.ssh_config(), forward_agent = true }))
        assert.is_true(open("h1", { config = lab.ssh_config(), forward_agent = false }))
    end)

    it("tries by ssh(1) what libssh2 cannot do: RSA keys, algorithms, authorities", function()
        local rsa = { config = lab.ssh_config(), identity = keys .. "id_rsa" }
        assert.is_false(open("h2", rsa))
        rsa.ask = function() error "nobody is to be asked" end
        assert.is_false(open("h2", rsa))
        rsa.transport = "libssh2"
        local err = remote.failure(open, "h2", rsa)
        assert.are.equal("auth", err.code)
        assert.matches("SHA%-1", err.message)
        assert.is_false(open("h2", { config = lab.ssh_config(), kex = "sntrup761x25519-sha512@openssh.com" }))
        err = remote.failure(open, "h2", { config = lab.ssh_config(), transport = "libssh2",
            kex = "sntrup761x25519-sha512@openssh.com" })
        assert.are.equal("connect", err.code)
    end)

    it("has the error of ssh(1), and the first as its cause", function()
        local err = remote.failure(open, "refuse1", { config = lab.ssh_config(), identity = keys .. "id_rsa" })
        assert.are.equal("auth", err.code)
        assert.matches("^ssh was not let in: ", err.message)
        assert.are.equal("auth", err.cause.code)
        assert.matches("SHA%-1", err.cause.message)

        local known = here .. "/known"
        local _, key = lab.exec("h2", "cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub")
        remote.write(known, "@cert-authority * " .. key)
        err = remote.failure(open, "h1", { config = lab.ssh_config(), known_hosts = known })
        assert.are.equal("hostkey", err.code)
        assert.matches("@cert-authority", err.cause.message, 1, true)
    end)

    it("lets ssh(1) try a Kerberos ticket where there is one, before anybody is asked", function()
        local opts = { config = configure("kerberos", "GSSAPIAuthentication yes"), ask = function() error "asked" end }
        ffi.C.setenv("KRB5CCNAME", here .. "/ticket", 1)
        finally(function() ffi.C.unsetenv "KRB5CCNAME" end)
        assert.is_true(open("h1", opts))
        local err = remote.failure(open, "refuse1", { config = opts.config, ask = false })
        assert.matches("^ssh was not let in: ", err.message)
        assert.are.equal("auth", err.cause.code)
    end)

    it("does not try again what would be no better", function()
        local err = remote.failure(open, "refuse1", { config = lab.ssh_config() })
        assert.is_nil(err.cause)
        assert.are.equal("refuse1", err.context)
        assert.are.equal("auth", err.code)
        assert.are.equal(err.ssh.tried:match("^%S+"), keys .. "id_ed25519")
        assert.matches("^SHA256:", err.ssh.fingerprint)
        err = remote.failure(open, "h1", { config = lab.ssh_config(), port = 9 })
        assert.are.same({ "connect", nil }, { err.code, err.cause })
    end)

    it("says once for each reason why it took ssh(1)", function()
        local program = remote.program([[
            require("orrery.core").log_level(2)
            for _, config in ipairs { arg[1], arg[1], arg[2] } do
                for _, host in ipairs { "h1", "h2" } do orrery.ssh(host, { config = config }):close() end
            end
            for _ = 1, 2 do
                for _, host in ipairs { "h1", "h2" } do
                    orrery.ssh(host, { config = arg[3], identity = arg[4] }):close()
                end
            end
        ]], nil, configure("first", "CertificateFile /first"), configure("second", "CertificateFile /second"),
            lab.ssh_config(), keys .. "id_rsa")
        program:rest()
        local lines = {}
        for line in program:stderr():gmatch("[^\n]*by way of ssh[^\n]*") do lines[#lines + 1] = line end
        program:finish()
        assert.are.equal(3, #lines, table.concat(lines, "\n"))
        assert.matches("info%s+ssh: h1: by way of ssh%(1%), since its configuration says CertificateFile /first$",
            lines[1])
        assert.matches("h1: by way of ssh%(1%), since its configuration says CertificateFile /second$", lines[2])
        assert.matches("h1: by way of ssh%(1%), since SSH inside this process did not do: .*SHA%-1", lines[3])
    end)

    it("says once which key files are not there, and in the error of a login", function()
        local program = remote.program([[
            for _, transport in ipairs { "libssh2", "openssh" } do
                local both = { config = arg[1], identity = { "/none/key", arg[2] }, transport = transport }
                for _, host in ipairs { "h1", "h2" } do orrery.ssh(host, both):close() end
            end
            for _, transport in ipairs { "libssh2", "openssh" } do
                local ok, err = pcall(orrery.ssh, "refuse1", {
                    config = arg[1], identity = "/none/key", transport = transport, ask = false,
                })
                say(err.message)
            end
        ]], nil, configure("quiet", "IdentityFile /configured/key"), keys .. "id_ed25519")
        local said = program:rest()
        local warned = program:stderr()
        program:finish()
        local text = "the key file /none/key %(option 'identity'%) does not exist"
        local _, warnings = warned:gsub("warn%s+ssh: " .. text .. ", and is left out\n", "")
        assert.are.equal(1, warnings, warned)
        assert.not_matches("configured", warned)
        local _, mentions = said:gsub(text .. "\n", "")
        assert.are.equal(2, mentions, said)
    end)
end)
