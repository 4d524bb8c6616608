-- What it takes to be on a host: from nothing to the first answer.

local report = require "lib.report"
local run = require "lib.run"

local COUNT = 10 -- connections of each in each round
local SLOW = 5 -- of those that take long

local function orrery(...)
    local more = { ... }
    return function(place) return run.figures(run.orrery(place, "connect", place.host, unpack(more))) end
end

local function limit(place)
    local address, port, user, key = run.ssh_where(place)
    return run.figures(run.limit(place, "ssh_connect", COUNT, address, port, user, key))
end

local function mitogen(place)
    return run.figures(run.mitogen(place, "connect", place.host, SLOW))
end

-- A process each, with all that belongs to it.
local function spawn(command)
    return function(place) return run.figures(run.limit(place, "spawn", COUNT, unpack(command(place)))) end
end

local function ssh(place) return { "ssh", "-F", run.config, place.host, "true" } end

local function exec(place)
    return { run.build .. "/orrery", "exec", "-F", run.config, "-H", place.host, "--", "true" }
end

local function control_master(place)
    local stop, problem = run.control_master(place)
    if not stop then return nil, { problem } end
    local figures, notes = run.figures(run.limit(place, "spawn", COUNT, "ssh", "-F", run.config,
        "-o", "ControlPath=" .. run.control_path, place.host, "true"))
    stop()
    return figures, notes
end

-- The agents get there first; "the agent is sent" removes them again.
for _, place in ipairs(run.places) do run.seconds(table.concat(exec(place), " ")) end

report.run {
    name = "connect",
    rounds = 5,
    subjects = {
        { name = "limit", figures = limit },
        { name = "warm", figures = orrery(COUNT) },
        { name = "ssh", peer = true, figures = spawn(ssh) },
        { name = "exec", figures = spawn(exec) },
        { name = "cold", figures = orrery(SLOW, "cold") },
        { name = "ControlMaster", peer = true, figures = control_master },
        { name = "mitogen", peer = true, figures = mitogen },
    },
    tables = {
        {
            title = "from nothing to the first answer of a host, us",
            columns = {
                { "answer", "call.p50" }, { "p99", "call.p99" }, { "ready", "ready.p50" }, { "cpu here", "cpu" },
            },
            rows = {
                { "libssh2 in C: first byte of echo", "limit" },
                { "Mitogen, first call", "mitogen" },
                { "orrery.ssh, first call", "warm" },
                { "the first one of a process", "warm", "first." },
                { "the agent is sent", "cold" },
            },
            ratios = { { "x limit", "limit" }, { "x Mitogen", "mitogen" } },
        },
        {
            title = "the steps of it, us",
            columns = {
                { "key exchange", "kex.p50" }, { "authentication", "auth.p50" }, { "exec", "exec.p50" },
                { "answer", "answer.p50" }, { "connect", "connect.p50" },
            },
            rows = { { "libssh2 in C", "limit" }, { "orrery.ssh", "warm" }, { "the agent is sent", "cold" } },
        },
        {
            title = "the command true on a host, from a process of its own, us",
            columns = { { "p50", "wall.p50" }, { "p99", "wall.p99" }, { "cpu here", "cpu" } },
            rows = {
                { "ssh(1)", "ssh" },
                { "ssh(1), over a ControlMaster", "ControlMaster" },
                { "orrery exec", "exec" },
            },
            ratios = { { "x ssh(1)", "ssh" } },
        },
    },
}
