--- New keys in the middle of everything: by bytes and by time, asked for by the server and by ssh(1).
--- SSH inside this process never asks for them (libssh2 cannot), but has to answer at any moment.
---
--- ORRERY_LONG=1 moves 1 GiB each way, through rekeys each 16 MiB and 10 s.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local HOST = "h1"
local is_long = os.getenv "ORRERY_LONG" == "1"
local MIB = is_long and 1024 or remote.sanitized and 32 or 128
local LIMIT = remote.sanitized and 4 or 16 -- MiB
local TIME = 30 -- seconds: how long we look for a rekey that is due after one

describe("a rekey", function()
    if not lab.need(2, { isolated = true }) then return end

    local here, root, log

    setup(function()
        here, root = remote.directory(), lab.root(HOST)
        log = lab.file("host/" .. HOST .. "/log")
        assert(lab.run { "sh", "-c", ("head -c %dM /dev/urandom >%s/data"):format(MIB, here) } == 0)
    end)
    teardown(function()
        lab.sshd(HOST)
        lab.exec(HOST, "rm -f /tmp/rekey-*")
        remote.remove(here)
    end)

    -- sshd says so in its log, once for each, the first one of a connection included.
    local function key_exchanges()
        local _, count = remote.slurp(log):gsub("SSH2_MSG_NEWKEYS received", "")
        return count
    end

    -- Opens a context on a server with that limit, and says how many rekeys there were so far.
    local function open(limit, opts)
        if limit then lab.sshd(HOST, "RekeyLimit " .. limit, "LogVerbose kex.c:*")
        else lab.sshd(HOST, "LogVerbose kex.c:*") end
        local before = key_exchanges()
        local ctx = orrery.ssh(HOST, opts or { config = lab.ssh_config() })
        return ctx, function() return key_exchanges() - before - 1 end
    end

    local function assert_same(path, other)
        assert.are.equal(0, (lab.run { "cmp", path, other }), path .. " and " .. other .. " differ")
    end

    -- Calls with answers that cannot be mixed up, until told to stop; returns how many there were.
    local function keep_calling(ctx)
        local going, n = true, 0
        local task = orrery.spawn(function()
            while going do
                n = n + 1
                local text = ("x"):rep(n % 7000)
                assert(ctx:call(function(a, b) return a .. b end, n, text) == n .. text)
                orrery.sleep(0.001)
            end
            return n
        end)
        return function()
            going = false
            return task:get(TIME)
        end
    end

    local function move(ctx, limit_mib, rekeys)
        local stop = keep_calling(ctx)
        ctx:put(here .. "/data", "/tmp/rekey-put")
        local after_put = rekeys()
        ctx:get("/tmp/rekey-put", here .. "/back")
        local after_get = rekeys()
        assert.is_true(stop() > 1)
        assert_same(here .. "/data", root .. "/tmp/rekey-put")
        assert_same(here .. "/data", here .. "/back")
        -- Each counts what it moved itself; a rekey starts some packets late.
        local expected = math.floor(MIB / limit_mib / 2)
        assert.is_true(after_put >= expected, after_put .. " rekeys")
        assert.is_true(after_get - after_put >= expected, after_get - after_put .. " rekeys")
        os.remove(here .. "/back")
    end

    it("in the middle of a file, either way, disturbs neither it nor calls", function()
        local ctx, rekeys = open(LIMIT .. "M 10s")
        move(ctx, LIMIT, rekeys)
        ctx:close()
    end)

    it("in the middle of files that go both ways at once", function()
        local ctx, rekeys = open(LIMIT .. "M 10s")
        lab.run { "cp", here .. "/data", root .. "/tmp/rekey-get" }
        local stop = keep_calling(ctx)
        local put = orrery.spawn(ctx.put, ctx, here .. "/data", "/tmp/rekey-both")
        local get = orrery.spawn(ctx.get, ctx, "/tmp/rekey-get", here .. "/both")
        put:get(600)
        get:get(600)
        assert.is_true(stop() > 1)
        assert_same(here .. "/data", root .. "/tmp/rekey-both")
        assert_same(here .. "/data", here .. "/both")
        assert.is_true(rekeys() >= MIB / LIMIT)
        ctx:close()
        lab.exec(HOST, "rm -f /tmp/rekey-*")
        os.remove(here .. "/both")
    end)

    it("for each few packets does no harm either", function()
        local ctx, rekeys = open("64K") -- less than a window, and than one message
        local text = ("0123456789abcdef"):rep(2 ^ 16)
        for _ = 1, 4 do
            assert.is_true(ctx:call(function(s) return s end, text) == text)
        end
        local result = ctx:run({ "sh", "-c", "head -c 1000000 /dev/zero; cat | wc -c" }, { stdin = text })
        assert.are.equal(("\0"):rep(1000000) .. #text .. "\n", result.stdout)
        assert.is_true(rekeys() >= 8, rekeys() .. " rekeys")
        ctx:close()
    end)

    it("after some time of silence finds both sides there", function()
        local ctx, rekeys = open("default 1s")
        for n = 1, is_long and 60 or 3 do
            -- The script sits in a system call meanwhile: whoever answers, it is not its thread.
            local wanted = key_exchanges() + 1
            assert.are.equal(0, (lab.run { "sh", "-c", ([[i=0
                until [ "$(grep -c 'NEWKEYS received' %s)" -ge %d ]; do
                    i=$((i + 1)); [ $i -lt %d ] || exit 1; sleep 0.02
                done]]):format(log, wanted, TIME * 50) }))
            assert.are.equal(n, ctx:call(function(i) return i end, n))
        end
        -- And with a script that waits in the loop.
        local sofar = rekeys()
        remote.eventually("a rekey", function() return rekeys() > sofar end, TIME)
        assert.are.equal("hello\n", ctx:shell("echo hello").stdout)
        ctx:close()
    end)

    it("between casts loses none and keeps their order", function()
        local ctx, rekeys = open("256K 1s")
        ctx:call(function() package.loaded.casts = {} end)
        local n, filling = 0, ("-"):rep(500)
        repeat
            for _ = 1, 1000 do
                n = n + 1
                ctx:cast(function(i) local t = package.loaded.casts t[#t + 1] = i end, n, filling)
            end
            assert.are.equal(n, ctx:call(function() return package.loaded.casts[#package.loaded.casts] end))
        until rekeys() >= 5 and n >= 5000
        assert.is_true(ctx:call(function()
            for i, value in ipairs(package.loaded.casts) do
                if i ~= value then return false end
            end
            return true
        end))
        assert.are.equal(n, ctx:call(function() return #package.loaded.casts end))
        ctx:close()
    end)

    it("that ssh(1) asks for is no different", function()
        local own = here .. "/config"
        remote.write(own, ("Host %s\n    RekeyLimit %dM 10s\n"):format(HOST, LIMIT)
            .. remote.slurp(lab.ssh_config()))
        local ctx, rekeys = open(nil, { config = own, transport = "openssh" })
        move(ctx, LIMIT, rekeys)
        ctx:close()
    end)
end)
