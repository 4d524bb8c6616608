-- Facts of real hosts: a Debian over SSH, one with nothing but busybox, this machine; and what asking for them costs.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local facts = require "orrery.play.facts"
local remote = require "spec.support.remote"

orrery.stats()
leak.guard()

local function trimmed(text) return (text:gsub("%s+$", "")) end

describe("facts of this machine", function()
    it("are gathered in a child by one message for all that is asked for", function()
        local ctx = orrery.localhost()
        local known = facts.of(ctx)
        assert.are.equal(trimmed(ctx:shell("uname -m").stdout), known.os.arch)
        local before = orrery.stats()
        local found = known:get(facts.names())
        assert.are.equal(1, orrery.stats(before).messages_sent)
        for _, name in ipairs(facts.names()) do assert.are.equal("table", type(found[name]), name) end
        before = orrery.stats()
        assert.is_true(known.memory.total > 0 and known.cpu.count > 0)
        assert.are.equal(0, orrery.stats(before).messages_sent)
        assert.has_error(function() return known.os.famly end)
        ctx:close()
    end)

    it("are what programs say of it", function()
        local known = facts.here()
        local function says(command)
            local pipe = io.popen(command)
            local text = pipe:read "*a"
            pipe:close()
            return trimmed(text)
        end
        assert.are.equal(says "uname -r", known.os.kernel_release)
        assert.are.equal(says "hostname -s", known.network.hostname)
        assert.are.equal(says "id -un", known.user.name)
        assert.are.equal(tonumber(says "nproc --all"), known.cpu.count)
        assert.are.equal(tonumber(says "df --output=size -B1 / | tail -1"), known.mounts[1] and (function()
            for _, mount in ipairs(known.mounts) do
                if mount.path == "/" then return mount.size end
            end
        end)())
        assert.are.equal(says "ip -4 route show default | sed -n '1s/.*via \\([^ ]*\\).*/\\1/p'",
            known.network.default_ipv4 and known.network.default_ipv4.gateway or "")
        for name, mac in says("ip -o link | sed -n 's/^[0-9]*: \\([^:@]*\\)[:@].*link.ether \\([^ ]*\\).*/\\1 \\2/p'")
            :gmatch "(%S+) (%S+)" do
            if known.network.interfaces[name] then assert.are.equal(mac, known.network.interfaces[name].mac) end
        end
    end)
end)

describe("facts of hosts", function()
    if not lab.need(1, { foreign = true }) then return end

    it("are those of a Debian", function()
        local ctx = orrery.ssh("h1", { config = lab.ssh_config() })
        local known = facts.of(ctx)
        local found = known:get { "os", "network", "packages", "ssh", "user" }
        assert.are.same({ "debian", "debian", "glibc" }, { found.os.name, found.os.family, found.os.libc })
        assert.matches("^%d+%.%d+$", found.os.libc_version)
        assert.are.equal("h1", found.network.hostname)
        assert.are.equal("apt", found.packages.manager)
        assert.are.equal("root", found.user.name)
        local addresses = " " .. table.concat(found.network.ipv4, " ") .. " "
        assert.is_truthy(addresses:find(" " .. lab.host("h1").address .. " ", 1, true), addresses)
        assert.is_true(#found.ssh.host_keys > 0)
        ctx:close()
    end)

    it("are found with nothing but busybox", function()
        if remote.sanitized then return pending "a sanitized agent cannot run where there are no libraries" end
        local ctx = orrery.ssh("foreign", { config = lab.ssh_config() })
        local known = facts.of(ctx)
        for _, group in ipairs(facts.names()) do assert.are.equal("table", type(known[group]), group) end
        assert.are.equal("linux", known.os.kernel)
        assert.is_nil(known.packages.manager)
        assert.are.equal(0, known.user.uid)
        ctx:close()
    end)
end)
