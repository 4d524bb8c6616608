-- transmission.lua TARGET SEND TRANSPORT COUNT [hops]: messages one by one, each alone; see lib/watch.lua.
-- Phases: "nothing", "send", "call" with a pause before each, and "calls" in a row. Marks that strace shows
-- stand around each message, or around the whole row. With "hops" they go to a child of the target, and the
-- agent that is watched is the one that passes them on.

local ffi = require "ffi"
local orrery = require "orrery"
local program = require "lib.program"

local target, send, transport = arg[1], arg[2], arg[3]
local count = tonumber(arg[4])
local PAUSE = 0.002 -- seconds, so that each message is alone: a burst shares its writes
local SETTLE = 0.05
local WARM_UP = 100
local ROW = 5 -- a row is so many times longer than the number of single messages

-- What looks before it sleeps would be counted for each look.
if orrery.configure then orrery.configure { spin = 0 } end
local opts = { send = send }
if target ~= "local" then opts.transport = transport end
local near = program.open(target, opts)
local ctx = arg[5] == "hops" and near:localhost { keepalive = 0 } or near
local text = ("x"):rep(64)

local work = {
    nothing = function() end,
    send = function() ctx:cast("tostring", text) end,
    call = function() ctx:call("tostring", text) end,
}

function work.calls()
    for _ = 1, ROW * count do work.call() end
end

-- A system call that nothing else makes. Of paths that do not exist nothing is left behind.
local function mark(name) io.open("/bench-mark-" .. name) end

ffi.cdef "struct bench_usage { long times[4], others[12], voluntary, involuntary; };"
ffi.cdef "int getrusage(int who, struct bench_usage *usage);"
local RUSAGE_THREAD = 1
local usage = ffi.new("struct bench_usage")

local function switches()
    ffi.C.getrusage(RUSAGE_THREAD, usage)
    return tonumber(usage.voluntary)
end

-- Returns how often this thread went to sleep over its messages.
local function run_phase(phase)
    local fn, slept = work[phase], 0
    for _ = 1, phase == "calls" and 1 or count do
        orrery.sleep(PAUSE)
        local before = switches()
        mark "begin"
        fn()
        mark "end"
        slept = slept + switches() - before
    end
    orrery.sleep(SETTLE)
    return slept
end

local function stats() return orrery.stats and orrery.stats() or {} end

for _ = 1, WARM_UP do ctx:call("tostring", text) end
io.stdout:setvbuf "line"
print(("ready %d %d"):format(program.pid(), near:info().pid))
for phase in io.lines() do
    mark("phase-" .. phase)
    local before = stats()
    program.print("sender.switches", run_phase(phase))
    for name, value in pairs(stats()) do program.print(name, value - before[name]) end
    mark "phase-over"
    print "done"
end
near:close()
