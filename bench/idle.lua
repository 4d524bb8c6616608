-- What children cost that have nothing to do: system calls and time on a CPU, of the controller and of an
-- agent.

local report = require "lib.report"
local run = require "lib.run"
local watch = require "lib.watch"

local HERE, THERE = 50, 50 -- children on this machine and on a host
local SETTLE, SECONDS = 2, 5 -- of the 8 that the program waits

local place = run.places[1]

local function wait(seconds) os.execute("sleep " .. seconds) end

local function usage_of_a_while(program)
    wait(SETTLE)
    local switches, ran = program:usage()
    wait(SECONDS)
    local switches_after, ran_after = program:usage()
    local figures = {}
    for role, before in pairs(switches) do
        figures[role .. ".switches"] = switches_after[role] - before
        figures[role .. ".cpu"] = (ran_after[role] - ran[role]) / 1e3
    end
    return figures
end

-- Being attached to interrupts what a process waits in, so the first moments do not count.
local function calls_of_a_while(program, figures)
    wait(SETTLE)
    local from = run.wall()
    wait(SECONDS)
    local to = run.wall()
    for role in pairs(program.roles) do figures[role .. ".calls"] = 0 end
    return function(role, time)
        if role and time > from and time < to then figures[role .. ".calls"] = figures[role .. ".calls"] + 1 end
    end
end

local function measure()
    local program, why = watch.start(place, place.host, run.orrery(place, "idle", place.host, HERE, THERE))
    if not program then return nil, { why } end
    local figures
    local done = program:phase("wait", function() figures = usage_of_a_while(program) end)
    if done then
        local trace = program:trace()
        local count
        done = program:phase("wait", function() count = calls_of_a_while(program, figures) end)
        for _, role, time in trace:finish() do count(role, time) end
    end
    why = program:finish()
    if not done then return nil, { why } end
    return figures
end

report.run {
    name = "idle",
    rounds = 1,
    places = { place },
    subjects = { { name = "idle", figures = measure } },
    tables = {
        {
            title = ("%d s with nothing to do, %d children here and %d on a host"):format(SECONDS, HERE, THERE),
            columns = { { "system calls", "calls" }, { "voluntary switches", "switches" }, { "CPU, us", "cpu" } },
            rows = {
                { "the controller", "idle", "controller." }, { "an agent", "idle", "agent." },
                { "its sshd", "idle", "sshd." },
            },
        },
    },
}
