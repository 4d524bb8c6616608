-- transmission.lua TARGET SEND TRANSPORT SPIN COUNT: messages one by one, each alone; see lib/watch.lua.
-- Phases: "nothing", "send", "call". Marks that strace shows stand around each message.

local orrery = require "orrery"
local program = require "lib.program"

local target, send, transport = arg[1], arg[2], arg[3]
local spin, count = tonumber(arg[4]), tonumber(arg[5])
local PAUSE = 0.002 -- seconds, so that each message is alone: a burst shares its writes
local SETTLE = 0.05
local WARM_UP = 100

if orrery.configure and spin >= 0 then orrery.configure { spin = spin } end
local opts = { send = send }
if target ~= "local" then opts.transport = transport end
local ctx = program.open(target, opts)
local text = ("x"):rep(64)

local work = {
    nothing = function() end,
    send = function() ctx:cast("tostring", text) end,
    call = function() ctx:call("tostring", text) end,
}

-- A system call that nothing else makes. Of paths that do not exist nothing is left behind.
local function mark(name) io.open("/bench-mark-" .. name) end

local function repeat_phase(fn)
    for _ = 1, count do
        orrery.sleep(PAUSE)
        mark "begin"
        fn()
        mark "end"
    end
    orrery.sleep(SETTLE)
end

local function stats() return orrery.stats and orrery.stats() or {} end

for _ = 1, WARM_UP do ctx:call("tostring", text) end
io.stdout:setvbuf "line"
print(("ready %d %d"):format(program.pid(), ctx:info().pid))
for phase in io.lines() do
    mark("phase-" .. phase)
    local before = stats()
    repeat_phase(work[phase])
    for name, value in pairs(stats()) do program.print(name, value - before[name]) end
    mark "phase-over"
    print "done"
end
ctx:close()
