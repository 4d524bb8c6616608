-- connect.lua TARGET COUNT [cold]: contexts that are opened and closed, one after the other. What the first
-- one costs is told apart: it reads the configuration, and loads what a process loads once. "cold" removes
-- the agent from the host each time.

local orrery = require "orrery"
local program = require "lib.program"

local target, count, cold = arg[1], tonumber(arg[2]), arg[3] == "cold"

local STEPS = {
    connect = "connect ([%d.]+)", kex = "key exchange ([%d.]+)", auth = "authentication ([%d.]+)",
    exec = "exec ([%d.]+)",
}

local function remove_agent(ctx)
    ctx:run { "sh", "-c", 'rm "$(readlink /proc/$PPID/exe)"' }
end

-- Microseconds: until the context is there, until the first call is answered, and what of it took how long.
local function connect()
    local start = orrery.now()
    local ctx = program.open(target)
    local ready = orrery.now()
    ctx:call("tostring", 1)
    local answer = orrery.now()
    local how, took = ctx:info().how, { ready = (ready - start) * 1e6, call = (answer - start) * 1e6 }
    local rest = took.ready
    for step, pattern in pairs(STEPS) do
        took[step] = tonumber(how:match(pattern)) * 1e3
        rest = rest - took[step]
    end
    took.answer = rest -- bootstrap, HELLO, and what lies between the threads here
    if cold then remove_agent(ctx) end
    ctx:close()
    return took
end

local first = connect()
program.print("first.call.p50", first.call)
program.print("first.ready.p50", first.ready)

local here, all = os.clock(), {}
for _ = 1, count do
    for step, time in pairs(connect()) do
        all[step] = all[step] or {}
        table.insert(all[step], time)
    end
end
program.print("cpu", (os.clock() - here) * 1e6 / count)
if cold then program.open(target):close() end -- for whoever comes next, it is there again
for step, times in pairs(all) do program.print_times(step, times) end
