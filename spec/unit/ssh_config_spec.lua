local Error = require "orrery.error"
local config = require "orrery.ssh_config"
local leak = require "spec.support.leak"

leak.guard()

-- What `ssh -G web1` of OpenSSH 9.2 printed, without lines that nobody reads.
local RECORDED = [[
host web1
user deploy
hostname 10.0.0.3
port 2222
addressfamily inet
compression yes
gssapiauthentication yes
hashknownhosts yes
identitiesonly yes
kbdinteractiveauthentication yes
passwordauthentication no
pubkeyauthentication true
stricthostkeychecking accept-new
ciphers aes256-ctr,aes128-ctr
hostkeyalgorithms ssh-ed25519,rsa-sha2-512
kexalgorithms curve25519-sha256
macs hmac-sha2-256
identityfile ~/.ssh/id_%n
identityfile /keys/%r@%h:%p
identityfile ${KEYS}/%%/%u
globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
userknownhostsfile ~/.ssh/known_hosts /root/.ssh/known_hosts2
connecttimeout 7
controlmaster false
proxyusefdpass no
rekeylimit 0 0
]]

local real = {}
for name, f in pairs(config.system) do real[name] = f end

local environment, files, calls

local function answer(text, status)
    return function(argv)
        calls[#calls + 1] = table.concat(argv, " ")
        return text, status or 0
    end
end

local function failure(...)
    local ok, err = pcall(config.resolve, ...)
    assert.is_false(ok)
    assert.is_true(Error.is(err))
    return err
end

describe("ssh_config", function()
    before_each(function()
        environment = { SSH_AUTH_SOCK = "/run/agent", KEYS = "/k" }
        files, calls = { ["/etc/ssh/ssh_config"] = true }, {}
        config.system.user = function() return "/home/me", "me", 1000 end
        config.system.hostname = function() return "here.example" end
        config.system.getenv = function(name) return environment[name] end
        config.system.exists = function(path) return files[path] == true end
        config.forget()
    end)

    after_each(function()
        for name, f in pairs(real) do config.system[name] = f end
        config.forget()
    end)

    it("reads what ssh -G printed", function()
        assert.are.same({
            host = "10.0.0.3", port = "2222", user = "deploy", family = "inet", compression = true,
            strict = "accept-new", identities_only = true, agent_socket = "/run/agent",
            identities = { "/home/me/.ssh/id_web1", "/keys/deploy@10.0.0.3:2222", "/k/%/me" },
            known_hosts = { "/home/me/.ssh/known_hosts", "/root/.ssh/known_hosts2",
                "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2" },
            auth_order = { "publickey", "keyboard-interactive" }, kex = "curve25519-sha256",
            ciphers = "aes256-ctr,aes128-ctr", macs = "hmac-sha2-256",
            host_key_algorithms = "ssh-ed25519,rsa-sha2-512", connect_timeout = 7,
        }, config.resolve("web1", nil, answer(RECORDED)))
        assert.are.same({ "ssh -v -G -- web1" }, calls)
    end)

    it("passes overrides on, and asks once for each of them", function()
        local run = answer(RECORDED)
        config.resolve("web1", { user = "x", port = 99, config = "/c" }, run)
        assert.are.same({ "ssh -v -G -F /c -l x -p 99 -- web1" }, calls)
        local first = config.resolve("web1", {}, run)
        first.identities[1] = "changed by the caller"
        assert.are.equal("/home/me/.ssh/id_web1", config.resolve("web1", nil, run).identities[1])
        assert.are.equal(2, #calls)
        config.resolve("web1", { port = "98" }, run)
        assert.are.equal(3, #calls)
    end)

    it("knows every spelling of strict", function()
        local expected = { ask = "ask", yes = "yes", ["true"] = "yes", no = "no", off = "no",
            ["false"] = "no", ["accept-new"] = "accept-new", ["what-comes-next"] = "yes" }
        for given, strict in pairs(expected) do
            local text = RECORDED:gsub("accept%-new", given)
            assert.are.equal(strict, config.resolve("web1", nil, answer(text)).strict)
        end
    end)

    it("finds the agent", function()
        local function agent(line)
            return config.resolve("web1", nil, answer(RECORDED .. line .. "\n")).agent_socket
        end
        assert.is_nil(agent("identityagent none"))
        assert.are.equal("/run/agent", agent("identityagent SSH_AUTH_SOCK"))
        assert.are.equal("/k", agent("identityagent $KEYS"))
        assert.are.equal("/home/me/a-1000", agent("identityagent ~/a-%i"))
        environment.SSH_AUTH_SOCK = nil
        assert.is_nil(agent("identityagent SSH_AUTH_SOCK"))
    end)

    local way

    -- Why ssh(1) is taken, where these lines are added.
    local function reasons(lines, overrides)
        local _
        _, way = config.resolve("web1", overrides, answer(RECORDED .. lines .. "\n"))
        local texts, must = {}, false
        for i, reason in ipairs(way.reasons) do
            texts[i], must = reason.text, must or reason.must
        end
        return table.concat(texts, "; "), must
    end

    it("knows what only ssh(1) can do", function()
        assert.are.equal("", (reasons "proxyjump none"))
        for _, line in ipairs { "CertificateFile ~/c", "RevokedHostKeys /r", "KnownHostsCommand /c",
            "PKCS11Provider /p", "BindInterface eth1", "HostbasedAuthentication yes", "VerifyHostKeyDNS ask",
            "ForwardAgent yes", "ForwardAgent $OTHER" } do
            local lines = line:gsub("^%S+", string.lower)
            assert.are.same({ "its configuration says " .. line, true }, { reasons(lines) })
        end
        local text = RECORDED
        local changes = { ["rekeylimit 0 0"] = "RekeyLimit 1024 0", ["proxyusefdpass no"] = "ProxyUseFdpass yes" }
        for from, to in pairs(changes) do
            RECORDED = text:gsub(from, to:lower())
            assert.are.same({ "its configuration says " .. to, true }, { reasons "" })
        end
        RECORDED = text
        for _, line in ipairs { "certificatefile none", "hostbasedauthentication no", "forwardagent no",
            "verifyhostkeydns false", "requesttty force", "remotecommand x", "localforward 1 h:1",
            "permitlocalcommand yes", "controlpath /no/such/socket" } do
            assert.are.equal("", (reasons(line)))
        end
    end)

    it("takes ssh(1) for GSSAPI only where it is meant", function()
        assert.are.equal("", (reasons ""))
        assert.are.equal("", (reasons "preferredauthentications publickey,gssapi-with-mic"))
        local order = "PreferredAuthentications gssapi-with-mic,publickey"
        assert.are.equal("its configuration says " .. order, (reasons((order:gsub("^%S+", string.lower)))))
        assert.matches("none of publickey", (reasons "preferredauthentications hostbased"))
        reasons ""
        assert.is_false(way.ticket)
        files["/tmp/krb5cc_1000"] = true
        reasons ""
        assert.is_true(way.ticket)
    end)

    it("takes ssh(1) where it only would do better", function()
        files["/keys/deploy@10.0.0.3:2222-cert.pub"], files["/run/master"] = true, true
        local text, must = reasons "controlpath /run/master"
        assert.are.equal("there is the certificate /keys/deploy@10.0.0.3:2222-cert.pub; "
            .. "a master connection is there: ControlPath /run/master", text)
        assert.is_false(must)
        text = reasons("", { identity = "/keys/other" })
        assert.are.equal("", text)
    end)

    it("lets the script's options win", function()
        local text = reasons("forwardagent yes", { forward_agent = false })
        assert.are.equal("", text)
        text = reasons("", { forward_agent = true })
        assert.are.equal("the option forward_agent is set", text)
        local got = config.resolve("web1", {
            identity = "/own", known_hosts = "/kh", strict = "no", connect_timeout = 1.5, connection_attempts = 9,
            compression = false, kex = "k", ciphers = "c", macs = "m", host_key_algorithms = "h", keepalive = 0,
            password = "x", set_env = { A = 1 }, proxy_command = "nc x 1",
        }, answer(RECORDED .. "setenv A=2\nsetenv B=two words\nproxycommand nc x 1\n"))
        assert.are.same({ "/own" }, got.identities)
        assert.are.same({ "/kh" }, got.known_hosts)
        assert.are.same({ "no", 1.5, 9, false, "k", "c", "m", "h", 0, "x", "nc x 1" }, {
            got.strict, got.connect_timeout, got.connection_attempts, got.compression, got.kex, got.ciphers,
            got.macs, got.host_key_algorithms, got.keepalive, got.password, got.proxy_command,
        })
        assert.are.same({ "A=1", "B=two words" }, got.set_env)
        assert.are.equal("ssh -v -G -o ProxyCommand=nc x 1 -- web1", calls[#calls])
    end)

    it("asks the server for variables", function()
        config.system.environment = function() return { "LC_ALL=C", "LC_TIME=x=y", "LANG=en", "HOME=/", "AxB=1" } end
        local got = config.resolve("web1", nil, answer(RECORDED
            .. "sendenv LC_*\nsendenv A.B\nsendenv H?ME\nsetenv LC_ALL=fr\nsetenv X=\n"))
        assert.are.same({ "HOME=/", "LC_ALL=fr", "LC_TIME=x=y", "X=" }, got.set_env)
    end)

    it("counts keepalives as ssh does", function()
        local function keepalive(lines) return config.resolve("w", nil, answer(RECORDED .. lines)).keepalive end
        assert.is_nil(keepalive "serveraliveinterval 0\n")
        assert.are.equal(20, keepalive "serveraliveinterval 20\nserveralivecountmax 3\n")
        assert.are.equal(40, keepalive "serveraliveinterval 20\nserveralivecountmax 6\n")
        assert.are.equal(0, keepalive "serveraliveinterval 20\nserveralivecountmax 0\n")
    end)

    it("puts file names with blanks together again", function()
        files["/tmp/with blank"] = true
        local got = config.resolve("w", nil, answer("hostname w\nuserknownhostsfile /a /tmp/with blank /b c\n"))
        assert.are.same({ "/a", "/tmp/with blank", "/b", "c" }, got.known_hosts)
    end)

    it("replaces the tokens of a ProxyCommand", function()
        local got = config.resolve("web1", nil, answer(RECORDED .. "proxycommand nc %h %p %r %n %k %% ~/$X\n"))
        assert.are.equal("nc 10.0.0.3 2222 deploy web1 web1 % ~/$X", got.proxy_command)
        assert.matches("there is no token %%C", failure("w", nil, answer(RECORDED .. "proxycommand x %C\n")).message)
    end)

    it("keeps the order that is preferred", function()
        local text = RECORDED .. "preferredauthentications keyboard-interactive,gssapi-with-mic,publickey\n"
        assert.are.same({ "keyboard-interactive", "publickey" },
            config.resolve("web1", nil, answer(text)).auth_order)
    end)

    it("leaves tokens and homes that it does not know to ssh(1)", function()
        for _, path in ipairs { "/x/%C", "~you/k" } do
            local expected = { "its configuration has the file name " .. path, true }
            assert.are.same(expected, { reasons("identityfile " .. path) })
        end
        assert.matches("NOT_SET", failure("w", nil, answer(RECORDED .. "identityfile ${NOT_SET}\n")).message)
    end)

    it("never makes an option out of a host name", function()
        for _, name in ipairs { "-oProxyCommand=x", "-", "a b", "a\nuser root", "", "$(id)", "a;id", "a`id`", "a|b",
            "a'b", 'a"b', "a\\b", "{a,b}", "a&b", "<a" } do
            failure(name, nil, answer(RECORDED))
            if name ~= "" then failure("web1", { jump = { { host = name } } }, answer(RECORDED)) end
        end
        for _, user in ipairs { "-x", "", "a;id", "`id`", "a|b", "a\nb", "x -y", "x\\" } do
            failure("web1", { user = user }, answer(RECORDED))
        end
        failure("web1", { port = "22; x" }, answer(RECORDED))
        failure("web1", { port = 0 }, answer(RECORDED))
        failure("web1", { user = "-x" }, answer(RECORDED))
        for _, call in ipairs(calls) do assert.are.equal("ssh -v -G -o ProxyJump=none -- web1", call) end
    end)

    it("does without ssh where nothing is configured", function()
        files = {}
        local expected = {
            host = "web1", port = "22", user = "me", family = "any", compression = false,
            strict = "ask", identities_only = false, agent_socket = "/run/agent",
            identities = { "/home/me/.ssh/id_rsa", "/home/me/.ssh/id_ecdsa", "/home/me/.ssh/id_ecdsa_sk",
                "/home/me/.ssh/id_ed25519", "/home/me/.ssh/id_ed25519_sk" },
            known_hosts = { "/home/me/.ssh/known_hosts", "/home/me/.ssh/known_hosts2",
                "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2" },
            auth_order = { "publickey", "keyboard-interactive", "password" },
        }
        assert.are.same(expected, config.resolve("web1", nil, answer("", 1)))
        files = { ["/home/me/.ssh/config"] = true }
        assert.are.same(expected, config.resolve("web1", { config = "none" }, answer("", 1)))
        assert.are.same({}, calls)
        -- A configuration, but no ssh.
        assert.are.same(expected, config.resolve("web1", nil, answer("sh: ssh: not found\n", 127)))
        assert.matches("no ssh program", failure("web1", { config = "/c" }, answer("", 127)).message)
    end)

    it("hands on what ssh says of a bad configuration", function()
        local err = failure("web1", nil, answer("/c: line 3: Bad configuration option: foo\n", 255))
        assert.are.equal("option", err.code)
        assert.matches("line 3: Bad configuration option: foo$", err.message)
    end)

    describe("with the real ssh", function()
        local file

        before_each(function()
            for name, f in pairs(real) do config.system[name] = f end
            file = os.tmpname()
        end)

        after_each(function() os.remove(file) end)

        local function write(text)
            local f = assert(io.open(file, "w"))
            f:write(text)
            f:close()
        end

        local _, status = real.run { "ssh", "-V" }
        if status ~= 0 then
            pending("needs ssh")
            return
        end

        it("has Match, tokens and quoting right", function()
            write([[
Host web* !web9
    HostName %h.example.com
    User deploy
    IdentityFile ~/.ssh/a_%h
Match originalhost web1 user deploy
    Port 2201
    StrictHostKeyChecking no
    HostKeyAlias alias
]])
            local got = config.resolve("web1", { config = file })
            local home = real.user()
            assert.are.equal("web1.example.com", got.host)
            assert.are.equal("2201", got.port)
            assert.are.equal("deploy", got.user)
            assert.are.equal("no", got.strict)
            assert.are.equal("alias", got.host_key_alias)
            assert.are.same({ home .. "/.ssh/a_web1.example.com" }, got.identities)
            assert.are.equal(home .. "/.ssh/known_hosts", got.known_hosts[1])
            assert.matches("curve25519", got.kex)
            got = config.resolve("web9", { config = file, user = "root_2", port = 7 })
            assert.are.same({ "web9", "7", "root_2" }, { got.host, got.port, got.user })
        end)

        local function hops_of(config_text, overrides)
            config.forget()
            write(config_text)
            overrides = overrides or {}
            overrides.config = file
            local got, hops = config.resolve("web1", overrides), {}
            while got do
                hops[#hops + 1] = ("%s@%s:%s"):format(got.user, got.host, got.port)
                got = got.via
            end
            return table.concat(hops, " < ")
        end

        local JUMPS = [[
Host web1
    User deploy
    HostName 10.0.0.9
    ProxyJump u1@j1:2201,j2
Host j1
    HostName 10.0.0.1
    User never
    ProxyJump j3
Host j2
    HostName 10.0.0.2
    User u2
    Port 2202
    ProxyCommand never %h
Host j3
    User u3
]]

        it("travels by jump hosts as ssh does", function()
            assert.are.equal("deploy@10.0.0.9:22 < u2@10.0.0.2:2202 < u1@10.0.0.1:2201 < u3@j3:22", hops_of(JUMPS))
            local _, user = real.user()
            assert.are.equal(("deploy@10.0.0.9:22 < %s@j4:22"):format(user), hops_of(JUMPS, { jump = "j4" }))
            assert.are.equal("deploy@10.0.0.9:22", hops_of(JUMPS, { jump = "none" }))
            assert.are.equal("deploy@10.0.0.9:22", hops_of(JUMPS, { jump = {} }))
            assert.are.equal("deploy@10.0.0.9:22", hops_of(JUMPS, { proxy_command = "none" }))
            assert.are.equal("deploy@10.0.0.9:22", hops_of(JUMPS, { proxy_command = "nc %h %p" }))
            assert.are.equal("deploy@10.0.0.9:22 < x@::1:7 < y@10.0.0.2:9 < z@j3:22", hops_of(JUMPS, {
                jump = { "z@j3", { host = "j2", user = "y", port = 9 }, "x@[::1]:7" } }))
            assert.are.equal("root@web1:22 < deploy@in-web1:22", hops_of [[
Host web1
    User root
    ProxyJump deploy@in-%h
]])
        end)

        it("gives jump hosts their own options, and not the target's", function()
            write(JUMPS)
            local got = config.resolve("web1", {
                config = file, identity = "/own", password = "x", strict = "no", known_hosts = "/kh",
                set_env = { A = 1 }, jump = { { host = "j1", user = "u1", port = 2201 },
                    { host = "j2", password = "sesame", identity = "/theirs", name = "inner" } },
            })
            assert.are.same({ "inner", "sesame", "ask", nil }, { got.via.name, got.via.password, got.via.strict,
                got.via.set_env })
            assert.are.same({ "/theirs" }, got.via.identities)
            assert.are_not.same({ "/kh" }, got.via.known_hosts)
            assert.is_nil(got.via.via.password)
        end)

        it("tells jump hosts apart, without their secrets", function()
            write(JUMPS)
            local function key(hop)
                hop.host = "j2"
                return config.resolve("web1", { config = file, jump = { "j1", hop } }).via.share_key
            end
            local plain = key {}
            assert.are.equal(plain, key { name = "another", connect_timeout = 3 })
            for field, value in pairs { user = "z", port = 3, identity = "/k", password = "sesame",
                passphrase = "sesame", strict = "no", compression = true } do
                local other = key { [field] = value }
                assert.are_not.equal(plain, other)
                assert.are.equal(other, key { [field] = value })
                assert.not_matches("sesame", other)
            end
            assert.are_not.equal(key { password = "sesame" }, key { password = "Sesame" })
            assert.are_not.equal(plain, config.resolve("web1", { config = file, jump = "j2" }).via.share_key)
        end)

        it("goes round in no circles", function()
            for _, text in ipairs { "Host *\nProxyJump j1\n", "Host web1\nProxyJump j1\nHost j1\nProxyJump web1\n" } do
                config.forget()
                write(text)
                local err = failure("web1", { config = file })
                assert.are.equal("option", err.code)
                -- Some circles ssh notices itself.
                assert.is_truthy(err.message:find("jumphost loop via", 1, true)
                    or err.message:find("would be reached by way of itself", 1, true), err.message)
            end
            assert.matches("cannot be a jump host", failure("web1", { config = "none", jump = "a,,b" }).message)
        end)

        it("has reasons of jump hosts, too", function()
            write("Host web1\nProxyJump j1\nHost j1\nCertificateFile /c\n")
            local _, found = config.resolve("web1", { config = file })
            assert.are.equal("the configuration of the jump host j1 says CertificateFile /c", found.reasons[1].text)
        end)

        it("has its errors", function()
            write("Nonsense yes\n")
            assert.matches("line 1", failure("web1", { config = file }).message)
            write("Host web1\n    ProxyJump bastion\n")
            local got = config.resolve("web1", { config = file })
            assert.are.same({ "bastion", "22" }, { got.via.host, got.via.port })
            assert.is_nil(config.resolve("web2", { config = file }).via)
        end)

        it("agrees with OpenSSH on the defaults", function()
            files = {}
            local ours = config.resolve("web1", { config = "none" })
            write("")
            local theirs = config.resolve("web1", { config = file })
            for _, field in ipairs { "host", "port", "user", "known_hosts", "strict", "auth_order",
                "family", "identities_only", "compression" } do
                assert.are.same(theirs[field], ours[field])
            end
            for i, path in ipairs(ours.identities) do assert.are.equal(path, theirs.identities[i]) end
        end)
    end)
end)
