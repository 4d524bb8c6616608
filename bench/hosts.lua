-- Many hosts at once: how near that comes to what the CPUs here must do for it, both ends included.

local report = require "lib.report"
local run = require "lib.run"

local COUNT = tonumber(os.getenv("BENCH_MANY"))
local CONFIG = os.getenv("BENCH_MANY_CONFIG")
local AT_ONCE = 64 -- for the tools that must be told; as many as Orrery connects at a time
local NAMES = ("h[1-%d]"):format(COUNT)

local place = run.places[1]
local config = run.quote(CONFIG)

local names = {}
for i = 1, COUNT do names[i] = "h" .. i end

local function exec(argument)
    return ("%s exec -F %s -H %s %s -- true"):format(run.quote(run.build .. "/orrery"), config, NAMES, argument or "")
end

local function ours(...)
    local line = "setsid -w " .. run.orrery(place, "hosts", place.host, ...)
    return function() return run.figures(line) end
end

-- A whole process, its CPU time and that of the servers in the meantime.
local function process(name, command)
    local line = run.orrery(place, "process", command)
    return { name = name, peer = name ~= "exec", figures = function() return run.figures(line) end }
end

local ssh_options = "-F " .. CONFIG

-- The agents get there, which is not what is measured.
run.seconds(exec())

report.run {
    name = "hosts",
    rounds = 3,
    places = { place },
    subjects = {
        { name = "ours", figures = ours("as-it-is") },
        { name = "first", figures = ours("first") },
        { name = "plain", figures = ours("plain") },
        process("exec", exec("--limit " .. COUNT)),
        process("clush", ("clush -f %d -o %s -w %s true"):format(AT_ONCE, run.quote(ssh_options), NAMES)),
        process("pssh", ("parallel-ssh -p %d -x %s -H %s true"):format(
            AT_ONCE, run.quote(ssh_options), run.quote(table.concat(names, " ")))),
        process("xargs", ("printf '%%s\\n' %s | xargs -P %d -I HOST ssh %s HOST true"):format(
            table.concat(names, " "), AT_ONCE, ssh_options)),
        {
            name = "mitogen",
            peer = true,
            figures = function()
                local command = run.mitogen(place, "hosts", COUNT, AT_ONCE)
                return run.figures(("env BENCH_SSH_CONFIG=%s %s"):format(config, command))
            end,
        },
    },
    tables = {
        {
            title = ("%d hosts from one process, a command on each"):format(COUNT),
            columns = {
                { "wall s", "wall" }, { "cpu s", "cpu.all" }, { "of it here", "cpu.here" }, { "floor s", "floor" },
                { "x floor", "x.floor" }, { "idle", "idle" },
            },
            rows = {
                { "orrery.map, open and run", "ours" },
                { "the same, with precedence", "first" },
                { "with precedence, configured alike", "plain" },
                { "orrery exec", "exec" },
                { "clush", "clush" },
                { "pssh", "pssh" },
                { "xargs -P, ssh(1)", "xargs" },
                { "Mitogen, connect and call", "mitogen" },
            },
            ratios = { { "x clush", "clush" } },
        },
        {
            title = "calls to another host, each 5 ms, in the meantime: how late the answer, ms",
            columns = {
                { "p99", "ping.p99" }, { "p50", "ping.p50" }, { "max", "ping.max" }, { "calls", "ping.count" },
            },
            rows = {
                { "orrery.map", "ours" },
                { "the same, with precedence", "first" },
                { "with precedence, configured alike", "plain" },
            },
        },
    },
}
