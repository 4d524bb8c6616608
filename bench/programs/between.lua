-- between.lua TARGET SECONDS: a message from one child to another, and one back. The controller forwards both, and
-- waits meanwhile for the one call that they are sent in.

local orrery = require "orrery"
local program = require "lib.program"
local siblings = require "lib.siblings"

local target, seconds = arg[1], tonumber(arg[2])
local WARM_UP = 200

local function measure(prefix)
    local a, b = program.open(target), program.open(target)
    orrery.allow(a, b)
    a:call(siblings.install, b:call(siblings.serve))
    a:call("bench.run", "call", WARM_UP)
    local here, there = os.clock(), a:call("os.clock")
    local times = a:call("bench.times", seconds)
    here, there = os.clock() - here, a:call("os.clock") - there
    program.print_times(prefix .. "message", times)
    program.print(prefix .. "message.cpu", here * 1e6 / #times)
    program.print(prefix .. "message.cpu_there", there * 1e6 / #times)
    a:close()
    b:close()
end

measure ""
orrery.configure { spin = 0 }
measure "nospin."
