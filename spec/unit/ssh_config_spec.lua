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
        assert.are.same({ "ssh -G -- web1" }, calls)
    end)

    it("passes overrides on, and asks once for each of them", function()
        local run = answer(RECORDED)
        config.resolve("web1", { user = "x", port = 99, config = "/c" }, run)
        assert.are.same({ "ssh -G -F /c -l x -p 99 -- web1" }, calls)
        local first = config.resolve("web1", {}, run)
        first.identities[1] = "changed by the caller"
        assert.are.equal("/home/me/.ssh/id_web1", config.resolve("web1", nil, run).identities[1])
        assert.are.equal(2, #calls)
        config.resolve("web1", { port = "98" }, run)
        assert.are.equal(3, #calls)
    end)

    it("knows every spelling of strict", function()
        local expected = { ask = "yes", yes = "yes", ["true"] = "yes", no = "no", off = "no",
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

    it("refuses what only ssh(1) can do", function()
        for _, line in ipairs { "proxyjump bastion", "proxycommand nc %h %p", "certificatefile ~/c",
            "revokedhostkeys /r", "knownhostscommand /c", "pkcs11provider /p", "bindinterface eth1" } do
            local err = failure("web1", nil, answer(RECORDED .. line .. "\n"))
            assert.are.equal("option", err.code)
            assert.matches(line:match("%S+$"), err.message, 1, true)
            assert.matches("^web1: the ssh configuration says", err.message)
        end
        local text = RECORDED .. "preferredauthentications gssapi-with-mic,hostbased\n"
        assert.matches("gssapi%-with%-mic", failure("web1", nil, answer(text)).message)
        config.resolve("web1", nil, answer(RECORDED .. "proxyjump none\nproxycommand none\n"))
    end)

    it("keeps the order that is preferred", function()
        local text = RECORDED .. "preferredauthentications keyboard-interactive,gssapi-with-mic,publickey\n"
        assert.are.same({ "keyboard-interactive", "publickey" },
            config.resolve("web1", nil, answer(text)).auth_order)
    end)

    it("refuses tokens and homes that it does not know", function()
        assert.matches("%%C", failure("w", nil, answer(RECORDED .. "identityfile /x/%C\n")).message)
        assert.matches("~you", failure("w", nil, answer(RECORDED .. "identityfile ~you/k\n")).message)
        assert.matches("NOT_SET", failure("w", nil, answer(RECORDED .. "identityfile ${NOT_SET}\n")).message)
    end)

    it("never makes an option out of a host name", function()
        for _, name in ipairs { "-oProxyCommand=x", "-", "a b", "a\nuser root", "" } do
            failure(name, nil, answer(RECORDED))
        end
        failure("web1", { port = "22; x" }, answer(RECORDED))
        failure("web1", { port = 0 }, answer(RECORDED))
        failure("web1", { user = "-x" }, answer(RECORDED))
        assert.are.same({}, calls)
    end)

    it("does without ssh where nothing is configured", function()
        files = {}
        local expected = {
            host = "web1", port = "22", user = "me", family = "any", compression = false,
            strict = "yes", identities_only = false, agent_socket = "/run/agent",
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

        it("has its errors", function()
            write("Nonsense yes\n")
            assert.matches("line 1", failure("web1", { config = file }).message)
            write("Host web1\n    ProxyJump bastion\n")
            assert.matches("ProxyJump bastion", failure("web1", { config = file }).message)
            config.resolve("web2", { config = file })
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
