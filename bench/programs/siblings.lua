-- siblings.lua TARGET COUNT: as transmission.lua, with messages from one child to another. The controller
-- only forwards them; what it does otherwise is to wait for one call that all of them are sent in.

local orrery = require "orrery"
local program = require "lib.program"
local siblings = require "lib.siblings"

local target, count = arg[1], tonumber(arg[2])

local function mark(name) io.open("/bench-mark-" .. name) end

orrery.configure { spin = 0 }
local a, b = program.open(target), program.open(target)
orrery.allow(a, b)
a:call(siblings.install, b:call(siblings.serve))
a:call("bench.run", "call", 100)

io.stdout:setvbuf "line"
print(("ready %d %d"):format(program.pid(), a:info().pid))
for phase in io.lines() do
    mark("phase-" .. phase)
    local before = orrery.stats()
    if phase == "calls" then
        a:call("bench.run", "call", 5 * count)
    else
        a:call("bench.run", phase, count, 0.002)
    end
    orrery.sleep(0.05)
    for name, value in pairs(orrery.stats(before)) do program.print(name, value) end
    mark "phase-over"
    print "done"
end
a:close()
b:close()
