local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "orrery.ssh_system"
local trace = require "orrery.ssh_trace"

leak.guard()

describe("ssh_trace", function()
    local _, status = system.run { "ssh", "-V" }
    if status ~= 0 then
        pending("needs ssh")
        return
    end

    local here
    before_each(function() here = remote.directory() end)
    after_each(function() remote.remove(here) end)

    local function sources(name, text, files)
        for path, content in pairs(files or {}) do remote.write(here .. "/" .. path, content) end
        remote.write(here .. "/config", (text:gsub("@", here)))
        local found = trace.trace { "ssh", "-G", "-F", here .. "/config", "--", name }
        for _, places in pairs(found.sources) do
            for i, place in ipairs(places) do places[i] = place:gsub("^" .. here .. "/", "") end
        end
        return found.sources, found.names
    end

    it("finds the line of each keyword in the blocks that apply", function()
        local got, names = sources("web1", [[
Compression yes
Host db*
    User no
    Port 1
Host web* !web9
    userknownhostsfile = /k
    IdentityFile /a
# User comment
Match originalhost web9
    HostName no
Match originalhost web1
    HostName yes
    IdentityFile /b
Host *
    User late
    Port 2
]])
        assert.are.same({ "config:1" }, got.compression)
        assert.are.same({ "config:6" }, got.userknownhostsfile)
        assert.are.same({ "config:7", "config:13" }, got.identityfile)
        assert.are.same({ "config:12" }, got.hostname)
        assert.are.same({ "config:15" }, got.user)
        assert.are.same({ "config:16" }, got.port)
        assert.is_nil(got.host)
        assert.are.equal("userknownhostsfile", names.userknownhostsfile)
        assert.are.equal("Compression", names.compression)
    end)

    it("follows Include, and knows where it does not count", function()
        local got = sources("web1", [[
Include @/*.conf
Host other
    Include @/inner
Host web1
    Include @/inner
    Port 3
Match final host web1
    User last
]], { ["a.conf"] = "Host web1\nPort 1\n", ["b.conf"] = "Host nope\nPort 2\nMatch all\nUser first\n",
            inner = "IdentityFile /x\nHost nope\nCompression yes\n" })
        assert.are.same({ "a.conf:2", "config:6" }, got.port)
        assert.are.same({ "b.conf:4", "config:8" }, got.user)
        assert.are.same({ "inner:1" }, got.identityfile)
        assert.is_nil(got.compression)
    end)

    it("has nothing to say of what it cannot read", function()
        assert.are.same({}, (sources("web1", "Nonsense yes\n")).port or {})
        assert.are.same({}, trace.trace({ "ssh" }, function() return "debug1: Reading configuration data /no\nx", 1 end)
            .sources)
    end)
end)
