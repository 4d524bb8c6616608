--- SSH from a context that is reached itself over SSH: `ctx:ssh`, with keys, known hosts and people here.

local orrery = require "orrery"
local core = require "orrery.core"
local relay = require "orrery.relay"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

describe("SSH from another context", function()
    if not lab.need(3, { isolated = true }) then return end

    local hop, here
    setup(function()
        here = remote.directory()
        hop = orrery.ssh("h1", { config = lab.ssh_config() })
    end)
    teardown(function()
        hop:close()
        remote.remove(here)
    end)

    -- By the address, where it is to be looked up there: hosts of the lab know no names.
    local function open(host, opts)
        local all = { config = lab.ssh_config() }
        for name, value in pairs(opts or {}) do all[name] = value end
        return hop:ssh(host, all)
    end

    local function failure(...)
        return remote.failure(open, ...)
    end

    -- What a direct connection raises, which is not said to be from anywhere.
    local function direct_failure(host, opts)
        local all = { config = lab.ssh_config(), transport = "libssh2" }
        for name, value in pairs(opts) do all[name] = value end
        return remote.failure(orrery.ssh, host, all)
    end

    local function assert_alike(host, opts)
        local nested, direct = failure(host, opts), direct_failure(host, opts)
        assert.are.equal(direct.code, nested.code)
        assert.are.equal("from h1: " .. direct.message, nested.message)
        assert.are.equal("ssh:h1/ssh:" .. host, nested.route)
        return nested
    end

    local function known_hosts(text)
        local path = here .. "/known_hosts"
        remote.write(path, text)
        return path
    end

    local relay_id = remote.slurp(core.agent_dir .. "/relay.id"):match "%x+"
    local cached = "/root/.cache/orrery/relay-" .. relay_id

    local function sha256(host, path)
        local _, sum = lab.run { "sha256sum", lab.root(host) .. path }
        return sum:match "%x+"
    end

    local function relays_on(host)
        local count = 0
        for _, process in pairs(lab.processes(host)) do
            if process.command:find("/relay-", 1, true) then count = count + 1 end
        end
        return count
    end

    it("reaches a host by way of it, with a key that never leaves this machine", function()
        local ctx = open "h2"
        assert.are.equal("ssh:h1/ssh:h2", ctx.route)
        assert.are.equal("h2", ctx:info().hostname)
        local seen = ctx:shell("echo $SSH_CONNECTION").stdout
        assert.are.equal(lab.host("h1").address, seen:match "^%S+")
        assert.matches("client/id_ed25519", ctx:info().ssh.auth, 1, true)
        assert.matches("known_hosts:%d+$", ctx:info().ssh.trusted)
        ctx:close()
    end)

    it("has one relay for all of them, which ends some time after the last", function()
        local contexts = orrery.map({ "h2", "h3", "h2" }, function(host) return open(host) end)
        assert.are.equal(1, relays_on "h1")
        local idle = relay.IDLE
        relay.IDLE = 0.05
        finally(function() relay.IDLE = idle end)
        for _, ctx in ipairs(contexts) do
            assert.are.equal(4, ctx:call(function() return 2 + 2 end))
            ctx:close()
        end
        remote.eventually("the end of the relay", function()
            orrery.sleep(0.01)
            return relays_on "h1" == 0
        end)
        local ctx = open "h2" -- and there is another one where it is wanted again
        ctx:close()
    end)

    it("leaves its program in the cache, as the agent's, and nothing else", function()
        open("h2"):close()
        for _, name in ipairs(remote.names(lab.root "h1" .. "/root/.cache/orrery")) do
            assert.matches("^%l+%-%x+$", name) -- others may be of other versions
        end
        assert.are.equal(relay_id, sha256("h1", cached))
    end)

    it("repairs a program that is not what it should be", function()
        local other = orrery.ssh("h3", { config = lab.ssh_config() })
        finally(function() other:close() end)
        lab.exec("h3", ("head -c 2000 /proc/self/exe >%s; chmod 700 %s"):format(cached, cached))
        assert.are_not.equal(relay_id, sha256("h3", cached))
        local ctx = other:ssh("h2", { config = lab.ssh_config() })
        assert.are.equal("h2", ctx:info().hostname)
        assert.are.equal(relay_id, sha256("h3", cached))
    end)

    it("leaves nothing where nothing is to be left", function()
        local other = orrery.ssh("h3", { config = lab.ssh_config(), no_cache = true, cache = "/root/none" })
        finally(function() other:close() end)
        local function files()
            local _, list = lab.exec("h3", "ls -A /tmp /var/tmp /dev/shm /root /root/.cache/orrery 2>/dev/null")
            return list
        end
        local before = files()
        local ctx = other:ssh("h2", { config = lab.ssh_config() })
        assert.are.equal("h2", ctx:info().hostname)
        assert.are.equal(1, relays_on "h3")
        assert.are.equal(before, files())
    end)

    describe("fails as a direct connection does:", function()
        it("a key that is not the right one", function()
            lab.run { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", here .. "/stranger" }
            local err = assert_alike("h2", { identity = here .. "/stranger" })
            assert.are.equal("auth", err.code)
        end)

        it("no key at all", function()
            assert.are.equal("credentials", assert_alike("h2", { identity = here .. "/none", ask = false }).code)
        end)

        it("a host that is not known", function()
            local err = assert_alike("h2", { known_hosts = known_hosts "", strict = "yes" })
            assert.are.equal("hostkey", err.code)
        end)

        it("a host whose key has changed", function()
            local key = remote.slurp(lab.file "client/id_ed25519.pub")
            local err = assert_alike("h2", { known_hosts = known_hosts(lab.host("h2").address .. " " .. key) })
            assert.are.equal("hostkey_changed", err.code)
        end)

        it("a host whose key is revoked", function()
            local revoked = {}
            for line in io.lines(lab.file "known_hosts") do
                revoked[#revoked + 1] = "@revoked * " .. line:match " (.*)$"
            end
            local path = known_hosts(table.concat(revoked, "\n") .. "\n")
            assert.are.equal("hostkey_revoked", assert_alike("h2", { known_hosts = path }).code)
        end)

        it("a port where nobody listens", function()
            local err = assert_alike("h2", { port = 1 })
            assert.are.equal("connect", err.code)
            assert.matches("refused the connection", err.message)
        end)

        it("what only ssh(1) can do", function()
            local err = failure("h2", { forward_agent = true })
            assert.are.equal("option", err.code)
            assert.matches("h2: SSH from h1 cannot do this: ", err.message, 1, true)
        end)
    end)

    it("adds new host keys to the file here", function()
        local path = known_hosts ""
        open("h2", { known_hosts = path, strict = "accept-new" }):close()
        assert.matches(lab.host("h2").address .. " ssh%-ed25519 ", remote.slurp(path))
        open("h2", { known_hosts = path, strict = "yes" }):close()
    end)

    it("resolves names there", function()
        lab.exec("h1", ("echo '%s only-there' >>/etc/hosts"):format(lab.host("h2").address))
        local ctx = open("only-there", { known_hosts = known_hosts "", strict = "accept-new" })
        assert.are.equal("h2", ctx:info().hostname)
        ctx:close()
        local err = failure "not-even-there"
        assert.are.equal("connect", err.code)
        assert.matches("from h1: not-even-there does not resolve: ", err.message, 1, true)
    end)

    it("takes jump hosts over there, where an option names them", function()
        local ctx = open("h3", { jump = "h2" })
        assert.are.equal("h3", ctx:info().hostname)
        assert.are.equal(lab.host("h2").address, ctx:shell("echo $SSH_CONNECTION").stdout:match "^%S+")
        ctx:close()
    end)

    it("takes RSA keys, too", function()
        local ctx = open("h2", { identity = lab.file "client/id_rsa" })
        assert.are.equal("h2", ctx:info().hostname)
        ctx:close()
    end)

    describe("asks here", function()
        it("for passwords, of which one that is given is tried first", function()
            local ctx = open("h2", { user = "pwuser", password = "orrery-lab" })
            assert.are.equal("pwuser\n", ctx:shell("id -un").stdout)
            ctx:close()
            local asked = {}
            ctx = open("h2", { user = "pwuser", password = "wrong", ask = function(question)
                asked[#asked + 1] = question
                return "orrery-lab"
            end })
            ctx:close()
            assert.are.equal(1, #asked)
            assert.are.equal("h2", asked[1].host)
            assert.matches("pwuser@h2", asked[1].text, 1, true)
        end)

        it("for passphrases, once", function()
            local asked = 0
            local key = here .. "/locked"
            lab.run { "cp", lab.file "client/id_ed25519_pass", key }
            local function ask(question)
                asked = asked + 1
                assert.are.equal("passphrase", question.kind)
                return "orrery-pass"
            end
            orrery.map({ "h2", "h3", "h2", "h3" }, function(host)
                open(host, { identity = key, ask = ask }):close()
            end)
            assert.are.equal(1, asked)
        end)

        it("whether a host is the right one", function()
            local path, asked = known_hosts "", {}
            local ctx = open("h2", { known_hosts = path, strict = "ask", ask = function(question)
                asked[#asked + 1] = question.kind
                return "yes"
            end })
            ctx:close()
            assert.are.same({ "hostkey" }, asked)
            assert.are.equal("hostkey", failure("h2", {
                known_hosts = known_hosts "", strict = "ask", ask = function() return "no" end,
            }).code)
        end)

        it("and nobody, where nobody is to be asked", function()
            local err = failure("h2", { user = "pwuser", ask = false })
            assert.matches("nobody is to be asked", err.message)
        end)
    end)

    it("is told when the relay is killed, and gets another one", function()
        local ctx = open "h2"
        local call = ctx:call_async("orrery.sleep", 1000)
        lab.exec("h1", "kill -9 $(pgrep -f /relay-)")
        local err = remote.failure(call.get, call)
        assert.are.equal("dead", err.code)
        ctx = open "h2"
        assert.are.equal(4, ctx:call(function() return 2 + 2 end))
        ctx:close()
        assert.are.equal(1, relays_on "h1")
    end)

    it("goes on from another user, behind sudo", function()
        if not pcall(require, "orrery.launcher") then return pending "there is no sudo yet" end
        local other = orrery.ssh("h3", { config = lab.ssh_config(), user = "deploy" })
        local root = other:sudo()
        local ctx = root:ssh("h2", { config = lab.ssh_config() })
        assert.are.equal("ssh:h3/sudo:root/ssh:h2", ctx.route)
        assert.are.equal("h2", ctx:info().hostname)
        local deeper = ctx:ssh("h1", { config = lab.ssh_config() })
        assert.are.equal("ssh:h3/sudo:root/ssh:h2/ssh:h1", deeper.route)
        assert.are.equal("h1", deeper:info().hostname)
        local name = deeper:shell("echo $SSH_CONNECTION").stdout:match "^%S+"
        assert.are.equal(lab.host("h2").address, name)
        for _, each in ipairs { deeper, ctx, root, other } do each:close() end
    end)

    it("ends with the context that it is in", function()
        local other = orrery.ssh("h3", { config = lab.ssh_config() })
        local ctx = other:ssh("h2", { config = lab.ssh_config() })
        local call = ctx:call_async("orrery.sleep", 1000)
        other:close()
        assert.are.equal("closed", remote.failure(call.get, call).code)
        remote.eventually("the end of the relay", function() return relays_on "h3" == 0 end)
    end)

    describe("has secrets in no process on the way:", function()
        -- A sanitizer keeps what was freed, and maps more than can be searched.
        if remote.sanitized then
            pending "a sanitizer's memory cannot be searched"
            return
        end

        -- What makes up a key file: a line in the middle of its text, and the 32 bytes that are the private key,
        -- which stand in front of the last copy of the public one.
        local function key_material(path)
            local text = remote.slurp(path)
            local _, raw = lab.run({ "base64", "-d" }, (text:gsub("%-%-%-%-%-[^\n]+\n", ""):gsub("%s", "")))
            local public = raw:match "ssh%-ed25519%z%z%z (.*)":sub(1, 32)
            local last, from = nil, 1
            while true do
                local at = raw:find(public, from, true)
                if not at then break end
                last, from = at, at + 1
            end
            return raw:sub(last - 32, last - 1), text:match "\n[^\n]+\n[^\n]+\n([^\n]+)\n"
        end

        -- Environment, arguments and memory of the agent and the relay of the hop.
        local function search(...)
            local searched = 0
            for pid, process in pairs(lab.processes "h1") do
                if process.command:find("/agent-", 1, true) or process.command:find("/relay-", 1, true) then
                    local _, text = lab.exec("h1", ([[
                        cat /proc/%d/environ /proc/%d/cmdline
                        awk '$2 ~ /^rw/ { print $1 }' /proc/%d/maps | while IFS=- read a b; do
                            dd if=/proc/%d/mem bs=4096 skip=$((0x$a / 4096)) count=$(((0x$b - 0x$a) / 4096)) 2>/dev/null
                        done]]):format(pid, pid, pid, pid))
                    assert.is_true(#text > 2 ^ 20)
                    for i, needle in ipairs { ... } do
                        assert.is_nil(text:find(needle, 1, true), ("secret %d in %s"):format(i, process.command))
                    end
                    searched = searched + 1
                end
            end
            assert.is_true(searched >= 2)
        end

        it("keys", function()
            local secret, line = key_material(lab.file "client/id_ed25519")
            local ctx = open "h2"
            search(secret, line)
            ctx:close()
            local roots = {}
            for i, dir in ipairs { "/root", "/tmp", "/var/tmp", "/dev/shm" } do roots[i] = lab.root "h1" .. dir end
            local _, found = lab.run({ "grep", "-rlFf", "-", unpack(roots) }, line .. "\n")
            assert.are.equal("", found)
        end)

        it("passwords, once they were used", function()
            local password = "pw-6f1c9a-an-honest-password-2b7e"
            local _, hash = lab.run({ "openssl", "passwd", "-6", "-stdin" }, password .. "\n")
            lab.user("h2", "secretive", { shadow = hash:gsub("\n", "") .. ":19000:0:99999:7:::" })
            local ctx = open("h2", { user = "secretive", password = password })
            search(password)
            ctx:close()
        end)
    end)
end)
