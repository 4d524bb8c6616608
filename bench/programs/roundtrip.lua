-- roundtrip.lua TARGET SECONDS [hops]: small calls, each waited for, as a script makes them. With "hops", to a
-- context that is reached over SSH from the target.

local orrery = require "orrery"
local program = require "lib.program"

local target, seconds, hops = arg[1], tonumber(arg[2]), arg[3] == "hops"
local WARM_UP = 200

local function measure(name, ctx, fn)
    for _ = 1, WARM_UP do fn() end
    local here, there = os.clock(), ctx:call("os.clock")
    local times = program.times(seconds, fn)
    here, there = os.clock() - here, ctx:call("os.clock") - there
    program.print_times(name, times)
    program.print(name .. ".cpu", here * 1e6 / #times)
    program.print(name .. ".cpu_there", there * 1e6 / #times)
end

-- 64 bytes, as the limits and the peers send.
local text = ("x"):rep(64)

local function echo(value) return value end

local function open()
    local near = program.open(target)
    if not hops then return near end
    return near:ssh(target, { config = os.getenv("BENCH_SSH_CONFIG"), keepalive = 0 }), near
end

local function measure_all(prefix, ctx)
    measure(prefix .. "named", ctx, function() ctx:call("tostring", text) end)
    measure(prefix .. "closure", ctx, function() ctx:call(echo, text) end)
    ctx:close()
end

measure_all("", open())
local command = open()
local ran = program.times(seconds, function() command:run { "true" } end)
program.print_times("command", ran)
command:close()

-- Children take over what is configured when they are opened.
if orrery.configure then
    orrery.configure { spin = 0 }
    measure_all("nospin.", open())
else
    program.note("this build has no orrery.configure")
end
