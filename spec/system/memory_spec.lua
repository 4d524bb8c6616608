local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard()

local LIMIT = 64 * 1024 -- KiB, of each process

-- In a process of its own, whose high-water mark says nothing of other specs.
local text = [[
    local target, config, path, remote_dir = unpack(arg)
    local ctx
    if target == "local" then
        ctx = orrery.localhost()
    else
        ctx = orrery.ssh(target, { config = config })
    end
    local function high_water()
        return tonumber(io.open("/proc/self/status"):read("*a"):match("VmHWM:%s*(%d+)"))
    end
    local put = ctx:put(path, remote_dir .. "/large")
    local get = ctx:get(remote_dir .. "/large", path .. ".back")
    say(put.hash, get.hash, ("%d %d"):format(put.sent, get.sent), high_water(), ctx:call(high_water))
    ctx:close()
]]

-- One GiB that is mostly a hole, so that it costs no disk, with something to tell apart in it.
local function make_large(path)
    local file = assert(io.open(path, "wb"))
    for i = 0, 1023 do
        file:seek("set", i * 2 ^ 20 + i)
        file:write("piece ", i)
    end
    file:seek("set", 2 ^ 30 - 1)
    file:write("\n")
    file:close()
end

-- Sanitizers need the memory that is measured here.
if remote.sanitized then return end

describe("a transfer of a GiB", function()
    local function move(target)
        local here = remote.directory()
        make_large(here .. "/large")
        local root = remote.seen(target, "")
        local config = target == "local" and "" or lab.ssh_config()
        local _, there = lab.run { "mktemp", "-d", root .. "/tmp/spec.XXXXXX" }
        there = there:match("%S+")
        finally(function()
            remote.remove(here)
            remote.remove(there)
        end)
        local program = remote.program(text, nil, target, config, here .. "/large", there:sub(#root + 1))
        local line = program:line() or program:stderr()
        program:rest()
        program:finish()
        local put, get, sent, got, controller, agent = line:match("^(%x+) (%x+) (%d+) (%d+) (%d+) (%d+)$")
        assert.is_truthy(put, line)
        assert.are.equal(put, get)
        assert.are.equal(2 ^ 30, tonumber(sent))
        assert.are.equal(2 ^ 30, tonumber(got))
        assert.are.equal(0, (lab.run { "cmp", here .. "/large", there .. "/large" }))
        assert.are.equal(0, (lab.run { "cmp", here .. "/large", here .. "/large.back" }))
        assert.is_true(tonumber(controller) < LIMIT, ("controller: %s KiB"):format(controller))
        assert.is_true(tonumber(agent) < LIMIT, ("agent: %s KiB"):format(agent))
    end

    it("needs little memory on either side", function() move "local" end)

    describe("over SSH", function()
        if not lab.need(2, { foreign = true, isolated = true }) then return end
        it("needs little memory on either side", function() move "h1" end)
    end)
end)
