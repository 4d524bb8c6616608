--- A child that says too much, reads nothing, or answers with what is no answer: it fills no memory but its own, and
--- keeps nobody else waiting.

local orrery = require "orrery"
local frames = require "spec.support.frames"
local hostile = require "spec.support.hostile"
local remote = require "spec.support.remote"

hostile.guard()

local make, u32, str, handle = frames.make, frames.u32, frames.str, frames.handle
local encode, to_above = hostile.encode, hostile.to_above
local CONTROLLER = hostile.CONTROLLER
local MIB = 1024 -- in the unit of /proc/PID/status
local WAIT = 60 -- seconds
local SLOWEST = remote.sanitized and 30 or 5 -- seconds for a call, on a busy machine: it is held up, not for ever

-- The process that has to deal with it.
local function victim(tree) return tree.guard and tree.guard:info().pid or "self" end

-- Asserts that a process has at no time grown by more than so many MiB since the call of `growth`.
local function growth(pid)
    local function peak() return tonumber(remote.slurp("/proc/" .. pid .. "/status"):match("VmHWM:%s+(%d+)")) end
    collectgarbage()
    pcall(remote.write, "/proc/" .. pid .. "/clear_refs", "5") -- the peak begins here
    local before = peak()
    return function(limit)
        if remote.sanitized then return end
        local grown = peak() - before
        assert.is_true(grown < limit * MIB, ("it has grown by %d MiB"):format(grown / MIB))
    end
end

-- How much a process that writes has got rid of.
local function written(pid) return tonumber(remote.slurp("/proc/" .. pid .. "/io"):match("wchar: (%d+)")) end

local function pid_of(tree)
    local pids = remote.processes("local", "hostile_agent.lua")
    assert.are.equal(1, #pids, "processes of " .. tree.hostile.name)
    return pids[1]
end

-- Its flood is over, or nobody takes it any more.
local function stuck(pid, bytes)
    local last, since = -1, orrery.now()
    remote.eventually("the end of the flood", function()
        if not remote.alive(pid) then return true end
        local now = written(pid)
        if now ~= last then last, since = now, orrery.now() end
        return now >= bytes or orrery.now() - since > 0.3
    end, WAIT)
end

-- Calls of the sibling, one after the other, as long as the flood lasts.
local function calls_go_on(tree, pid, bytes)
    local count, slowest = 0, 0
    local task = orrery.spawn(stuck, pid, bytes)
    repeat
        local start = orrery.now()
        assert.are.equal(tostring(count), tree.sibling:call("tostring", count))
        count, slowest = count + 1, math.max(slowest, orrery.now() - start)
    until task:done()
    task:get()
    assert.is_true(slowest < SLOWEST, ("a call took %g s"):format(slowest))
end

---@class spec.Flood
---@field [1] string
---@field [2] fun(tree: spec.Tree): string a frame
---@field bytes integer how many are sent of it, MiB
---@field grows integer how much memory it may take, MiB
local FLOODS = {
    { "questions for a sign of life", function() return make { handle = handle.PING } end, bytes = 128, grows = 128 },
    { "questions for a large module", function(t)
        return to_above(t, handle.MODULE, str "orrery.context", { reply = 5000 })
    end, bytes = 4, grows = 128 },
    { "requests for ids", function(t) return to_above(t, handle.IDS, u32(1)) end, bytes = 64, grows = 128 },
    { "messages that nobody takes", function(t) return to_above(t, 4000, "x", { reply = 5000 }) end,
        bytes = 64, grows = 128 },
    { "calls that it may not make", function(t) return to_above(t, handle.CALL, encode "os.exit", { reply = 5000 }) end,
        bytes = 64, grows = 128 },
    { "requests to a service", function(t)
        return make({ dst = CONTROLLER, src = t.me, handle = handle.SERVICE, reply = 5000 }, encode("large", "get"))
    end, bytes = 4, grows = 256 },
    { "questions to the script for a large module", function(t)
        return make({ dst = CONTROLLER, src = t.me, handle = handle.MODULE, reply = 5000 }, str "orrery.context")
    end, bytes = 4, grows = 128 },
    { "calls of the script that it may not make", function(t)
        return make({ dst = CONTROLLER, src = t.me, handle = handle.CALL, reply = 5000 }, encode "os.exit")
    end, bytes = 64, grows = 128 },
    { "answers to what was not asked", function(t)
        return make({ dst = CONTROLLER, src = t.me, handle = t.answers, seq = 1 }, encode "wrong")
    end, bytes = 128, grows = 64 },
    { "messages to the sibling", function(t)
        return make({ dst = t.sibling.id, src = t.me, handle = 4000 }, encode "wrong")
    end, bytes = 64, grows = 128 },
    { "messages in the sibling's name", function(t)
        return to_above(t, handle.TEXT, "\1" .. str "lies", { src = t.sibling.id })
    end, bytes = 128, grows = 64 },
}

hostile.each(" that reads nothing", function(tree)
    local service

    setup(function()
        local large = ("x"):rep(100000)
        service = orrery.service("large", { get = function() return large end })
    end)
    teardown(function() service:close() end)

    for _, flood in ipairs(FLOODS) do
        it("fills no memory by " .. flood[1], function()
            local frame = flood[2](tree)
            local pid, bytes = pid_of(tree), flood.bytes * 2 ^ 20
            local answered, grown, here = tree:under_way(), growth(victim(tree)), growth "self"
            local start = hostile.log_end()
            tree.hostile:cast("stop", frame, math.floor(bytes / #frame))
            calls_go_on(tree, pid, bytes)
            grown(flood.grows)
            here(flood.grows)
            answered()
            assert.is_true(hostile.log_end() - start < 100000, "it has filled the log")
            tree:open_hostile()
        end)
    end
end)

hostile.describe("a hostile child that says more than anybody takes", hostile.places[1], function(tree)
    before_each(function() tree:open_hostile() end)

    -- Nobody runs the scheduler meanwhile, as in a script that computes, or waits in C.
    local function flood(frame, bytes)
        local pid, times = pid_of(tree), math.floor(bytes / #frame)
        tree.hostile:cast("stop", frame, times)
        local received, since
        repeat
            local now = orrery.stats().messages_received
            if now ~= received then received, since = now, orrery.now() end
        until orrery.now() - since > 0.5 or not remote.alive(pid)
    end

    for _, row in ipairs {
        { "empty answers to what was not asked", function(t)
            return make { dst = CONTROLLER, src = t.me, handle = t.answers, seq = 1 }
        end },
        { "empty requests to a service", function(t)
            return make { dst = CONTROLLER, src = t.me, handle = handle.SERVICE, reply = 5000 }
        end },
        { "text with control characters", function(t)
            return make({ dst = CONTROLLER, src = t.me, handle = handle.TEXT }, "\1" .. str "\27[2J\27]0;x\7")
        end },
        { "questions for modules", function(t)
            return make({ dst = CONTROLLER, src = t.me, handle = handle.MODULE, reply = 5000 }, str(("x"):rep(8000)))
        end },
        { "routes of contexts that nobody made", function(t)
            return make({ src = t.me, handle = handle.ROUTE }, u32(2 ^ 31) .. str "x" .. str "x")
        end },
    } do
        it("fills no memory by " .. row[1] .. " while the script is busy", function()
            local lines = 0
            orrery.on_output(function(_, _, line)
                lines = lines + 1
                assert(not line:find "%c")
            end)
            local service = orrery.service("some", {})
            local answered, grown = tree:under_way(), growth "self"
            flood(row[2](tree), 192 * 2 ^ 20)
            grown(160)
            answered()
            orrery.on_output(nil)
            service:close()
        end)
    end

    it("sends to a receiver that is not read, and is cut off before that is much", function()
        local r = orrery.receiver()
        local grown, answered = growth "self", tree:under_way()
        local frame = make({ dst = CONTROLLER, src = tree.me, handle = r.handle }, encode(1))
        local err = remote.failure(tree.hostile.call, tree.hostile, "write", frame, 2 ^ 21)
        assert.matches("floods handle #%d+: more than 2 MiB wait", err.message)
        grown(64)
        answered()
        r:close()
    end)

    it("takes no calls, and what is sent to it is bounded", function()
        local grown = growth "self"
        tree.hostile:cast("stop", make { handle = handle.PONG }, 1)
        local text = ("x"):rep(100000)
        local task = orrery.spawn(function()
            for _ = 1, 10000 do tree.hostile:cast("where", text) end
        end)
        for i = 1, 100 do assert.are.equal(tostring(i), tree.sibling:call("tostring", i)) end
        task:cancel()
        pcall(task.get, task)
        grown(64)
    end)
end)
