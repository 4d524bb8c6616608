--- Ways to a host that are not TCP: jump hosts in this process, and proxy commands.

local lfs = require "lfs"
local orrery = require "orrery"
local context = require "orrery.context"
local ssh_config = require "orrery.ssh_config"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

-- A server whose client was killed only ends when it notices.
leak.guard { allow = { "thread %d+ 'orrery%-file'" }, timeout = 30 }

local HANGS = 15    -- seconds, by which even a busy machine has noticed
local SIZE = 64 * 2 ^ 20

describe("a way to a host", function()
    if not lab.need(3) then return end

    -- What the core is told of a host, by way of the hosts behind it: the last one is asked first.
    local function options(name, ...)
        local ssh = ssh_config.resolve(name, { config = lab.ssh_config() })
        ssh.name = name
        if ... then
            ssh.via = options(...)
            ssh.via.share_key = table.concat({ ... }, " ")
        end
        return ssh
    end

    local function open(name, ...)
        return context.open { name = name, route = "ssh:" .. name, ssh = options(name, ...) }
    end

    -- Connections of this process's machine to a host's SSH server.
    local function connections(name)
        local host = lab.host(name)
        local a, b, c, d = host.address:match("(%d+)%.(%d+)%.(%d+)%.(%d+)")
        local wanted = ("%02X%02X%02X%02X:%04X"):format(d, c, b, a, host.port)
        local count = 0
        for line in io.lines("/proc/net/tcp") do
            local peer, state = line:match("^%s*%d+: %x+:%x+ (%x+:%x+) (%x+)")
            if peer == wanted and state == "01" then count = count + 1 end
        end
        return count
    end

    it("leads through a jump host", function()
        local ctx = open("h2", "h1")
        assert.matches("by way of h1", ctx:info().how)
        assert.are.equal("4", ctx:call(function() return tostring(2 + 2) end))
        local direct = orrery.ssh("h2", { config = lab.ssh_config() })
        assert.are.equal(direct:info().hostname, ctx:info().hostname)
        direct:close()
        ctx:close()
        remote.eventually("the end of the connection to h1", function() return connections "h1" == 0 end)
    end)

    it("leads through three of them", function()
        local ctx = open("h1", "h3", "h2", "h1")
        assert.matches("by way of h3", ctx:info().how)
        assert.are.equal("words\n", ctx:shell("echo words").stdout)
        ctx:close()
    end)

    it("is one connection to the jump host for all that use it at once", function()
        local tasks, all = {}, {}
        for i = 1, 20 do tasks[i] = orrery.spawn(function() return open("h2", "h1") end) end
        for i, task in ipairs(tasks) do all[i] = task:get(60) end
        assert.are.equal(1, connections "h1")
        for i, ctx in ipairs(all) do
            assert.are.equal(i, ctx:call(function(n) return n end, i))
        end
        for _, ctx in ipairs(all) do ctx:close() end
        remote.eventually("the end of the connection to h1", function() return connections "h1" == 0 end)
    end)

    it("carries files as they are, through two jump hosts", function()
        local here = remote.directory()
        finally(function() remote.remove(here) end)
        local from = here .. "/from"
        assert.are.equal(0, (lab.run { "dd", "if=/dev/urandom", "of=" .. from, "bs=1M",
            ("count=%d"):format(SIZE / 2 ^ 20) }))
        local ctx = open("h3", "h2", "h1")
        local there = ctx:shell("mktemp -d /tmp/spec.XXXXXX").stdout:match("%S+")
        ctx:put(from, there .. "/file")
        local sum = ctx:run({ "sha256sum", there .. "/file" }).stdout:match("^%x+")
        assert.are.equal(select(2, lab.run { "sha256sum", from }):match("^%x+"), sum)
        ctx:get(there .. "/file", here .. "/back")
        assert.are.equal(SIZE, lfs.attributes(here .. "/back", "size"))
        assert.are.equal(0, (lab.run { "cmp", from, here .. "/back" }))
        ctx:run { "rm", "-rf", there }
        ctx:close()
    end)

    it("names the jump host that does not let anyone in, or cannot reach the target", function()
        local request = options("h2", "h1")
        request.via.user = "nobody-here"
        local err = remote.failure(context.open, { name = "h2", route = "ssh:h2", ssh = request })
        assert.are.equal("auth", err.code)
        assert.matches("cannot be reached by way of h1: .*nobody%-here", err.message)
        request = options("h2", "h1")
        request.port = "9"
        err = remote.failure(context.open, { name = "h2", route = "ssh:h2", ssh = request })
        assert.are.equal("connect", err.code)
        assert.matches("h1 cannot reach %S+ port 9: connect failed", err.message)
    end)

    it("ends with its jump host, which every call that waits then names", function()
        if remote.slurp(lab.file "mode") ~= "netns\n" then return pending "needs hosts of their own" end
        local first, second = open("h2", "h1"), open("h3", "h1")
        local calls = {}
        for i, ctx in ipairs { first, first, second } do
            calls[i] = ctx:call_async(function() require("orrery").sleep(1000) end)
        end
        lab.kill "h1"
        finally(function() lab.start "h1" end)
        for _, call in ipairs(calls) do
            local err = remote.failure(call.get, call, HANGS)
            assert.are.equal("dead", err.code)
            assert.matches("the jump host h1 was lost: ", err.message)
        end
        first:close()
        second:close()
    end)

    it("is what a proxy command makes it", function()
        local request = options "h2"
        request.proxy_command = ("ssh -F %s -W %s:%s h1"):format(lab.ssh_config(), request.host,
            request.port)
        local ctx = context.open { name = "h2", route = "ssh:h2", ssh = request }
        assert.matches("by its proxy command", ctx:info().how)
        assert.are.equal("words\n", ctx:shell("echo words").stdout)
        ctx:close()
    end)

    it("fails with the proxy command's own words", function()
        local request = options "h2"
        request.proxy_command = "sh -c 'echo no such tunnel >&2; exit 4'"
        local err = remote.failure(context.open, { name = "h2", route = "ssh:h2", ssh = request })
        assert.are.equal("connect", err.code)
        assert.matches("exited with status 4 before the server said anything: no such tunnel",
            err.message)
    end)
end)
