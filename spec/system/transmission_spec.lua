-- What one message costs its sender: the promise that Orrery exists for.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"
local core = require "orrery.core"

leak.guard()

local CASTS = 100
local PAUSE = 0.002 -- seconds, so that each cast is alone: a burst shares its writes

-- What the calling thread's counters say of each cast: counts that differ from 0, the bytes apart.
local function costs(ctx)
    local all = {}
    for i = 1, CASTS do
        orrery.sleep(PAUSE)
        local before = core.stats(true)
        ctx:cast("os.time")
        local cost = core.stats(true)
        for name, number in pairs(before) do
            cost[name] = cost[name] ~= number and cost[name] - number or nil
        end
        assert.is_true(cost.bytes_sent == nil or cost.bytes_sent >= 32)
        cost.bytes_sent = nil
        all[i] = cost
    end
    return all
end

local function open(target, opts)
    opts.keepalive = 0
    local ctx = remote.open(target, opts)
    finally(function() ctx:close() end)
    for _ = 1, 20 do ctx:call("os.time") end
    return ctx
end

-- One write, one lock, and nobody is woken or told anything.
local INLINE = { messages_sent = 1, send_locks = 1, sent_inline = 1, sys_write = 1 }

local function check_optimistic(target, opts)
    for i, cost in ipairs(costs(open(target, opts))) do
        assert.are.same(INLINE, cost, ("cast %d"):format(i))
    end
end

local function check_deferred(target, opts)
    local woken = 0
    for i, cost in ipairs(costs(open(target, opts))) do
        local shown = ("cast %d"):format(i)
        assert.are.same({ 1, 1, 1 }, { cost.messages_sent, cost.send_locks, cost.sent_deferred }, shown)
        assert.are.same({}, { cost.sys_write, cost.sent_inline, cost.poller_changes, cost.loop_turns }, shown)
        local wakes = (cost.loop_wakeups or 0) + (cost.sys_wake or 0)
        assert.is_true(wakes <= 1, shown)
        woken = woken + wakes
    end
    assert.is_true(woken >= CASTS / 2, woken .. " wake-ups") -- now and then the loop is up already
end

describe("a cast to a child on this machine", function()
    it("costs its sender one write, and nothing else", function() check_optimistic("local", {}) end)
    it("wakes the loop instead where sending is deferred", function()
        check_deferred("local", { send = "deferred" })
    end)
end)

describe("a cast over SSH", function()
    if not lab.need(1) then return end

    it("costs its sender one write, and nothing else", function() check_optimistic("h1", {}) end)
    it("wakes the loop instead where sending is deferred", function()
        check_deferred("h1", { send = "deferred" })
    end)
    it("costs the sender the same where ssh(1) takes it from there", function()
        check_optimistic("h1", { transport = "openssh" })
    end)
end)

-- The same as the kernel sees it ------------------------------------------------------------------

-- The marks are system calls of the calling thread that nothing else does.
local text = [[
    local ctx = orrery.ssh("h1", { config = arg[1], keepalive = 0 })
    local function mark(name) io.open("/spec-mark-" .. name) end
    for _ = 1, 20 do ctx:call("os.time") end
    for _ = 1, tonumber(arg[2]) do
        orrery.sleep(tonumber(arg[3]))
        mark "begin"
        ctx:cast("os.time")
        mark "end"
    end
    ctx:close()
]]

-- Memory (the JIT compiler's, too) costs what it costs, and libssh2's source of random padding looks
-- whether it was forked.
local OTHERS = {
    brk = true, mmap = true, munmap = true, mremap = true, madvise = true, mprotect = true,
    getpid = true,
}

-- For each cast: the names of the system calls of its thread between the marks.
local function trace()
    local path = os.tmpname()
    finally(function() os.remove(path) end)
    local program = remote.program(text, { "strace", "-f", "-o", path }, lab.ssh_config(), CASTS, PAUSE)
    program:rest()
    local problem = program:stderr()
    program:finish()
    assert.are.equal("", problem)
    local casts, thread = {}, nil
    for line in remote.slurp(path):gmatch("[^\n]+") do
        local tid, name = line:match("^(%d+)%s+([%w_]+)%(")
        if line:find("/spec-mark-begin", 1, true) then
            thread = tid
            casts[#casts + 1] = {}
        elseif line:find("/spec-mark-end", 1, true) then
            thread = nil
        elseif tid and tid == thread and not OTHERS[name] then
            table.insert(casts[#casts], name)
        end
    end
    return casts
end

local function can_trace()
    return lab.run { "strace", "-f", "-o", "/dev/null", "true" } == 0
end

-- A sanitizer makes system calls of its own.
if remote.sanitized then return end

describe("a cast over SSH, traced", function()
    if not lab.need(1) then return end
    if not can_trace() then
        pending("needs strace, and to be allowed to trace")
        return
    end

    it("is one sendto of its sender's", function()
        local casts = trace()
        assert.are.equal(CASTS, #casts)
        local other = {}
        for _, calls in ipairs(casts) do
            if #calls ~= 1 or calls[1] ~= "sendto" then other[#other + 1] = table.concat(calls, " ") end
        end
        -- The tracer makes others hold the stream's lock for long, so that a few senders meet it.
        for _, calls in ipairs(other) do assert.matches("^futex.* ?sendto$", calls) end
        assert.is_true(#other <= CASTS / 10, table.concat(other, "; "))
    end)
end)
