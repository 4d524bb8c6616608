-- How long a small call takes, there and back.

local report = require "lib.report"
local run = require "lib.run"

local SECONDS = 0.3 -- of measuring, for each figure in each round

local function orrery(target_of, program, ...)
    local rest = { ... }
    return function(place)
        return run.figures(run.orrery(place, program or "roundtrip", target_of(place), SECONDS, unpack(rest)))
    end
end

local function mitogen(target_of, what, ...)
    local rest = { ... }
    return function(place)
        return run.figures(run.mitogen(place, what or "roundtrip", target_of(place), SECONDS, unpack(rest)))
    end
end

local function localhost() return "local" end
local function host(place) return place.host end

-- A command by ssh(1) over a connection that is open already.
local function control_master(place)
    local stop, problem = run.control_master(place)
    if not stop then return nil, { problem } end
    local ssh = ("ssh -F %s -o ControlPath=%s %s"):format(
        run.quote(run.config), run.quote(run.control_path), place.host)
    local times, start = {}, run.now()
    while run.now() - start < SECONDS do
        local took, why = run.seconds(place.prefix .. ssh .. " true")
        if not took then return nil, { why } end
        times[#times + 1] = took * 1e6
    end
    stop()
    local stats = require "lib.stats"
    return { p50 = stats.median(times), p99 = stats.quantile(times, 0.99) }
end

local columns = {
    { "p50", "p50" }, { "p99", "p99" }, { "cpu here", "cpu" }, { "cpu there", "cpu_there" },
}

local function rows(where, limit, peer, limit_name)
    return {
        { limit_name .. ", both ends blocking", limit, "block." },
        { limit_name .. ", both ends spinning", limit, "spin." },
        { "Mitogen, call", peer, "call." },
        { "call by name", where, "named." },
        { "call of a closure", where, "closure." },
        { "call by name, spin = 0", where, "nospin.named." },
        { "call of a closure, spin = 0", where, "nospin.closure." },
    }
end

report.run {
    name = "roundtrip",
    rounds = 3,
    subjects = {
        {
            name = "socketpair",
            figures = function(place) return run.figures(run.limit(place, "socketpair", SECONDS)) end,
        },
        { name = "local", figures = orrery(localhost) },
        { name = "mitogen local", peer = true, figures = mitogen(localhost) },
        {
            name = "ssh_pingpong",
            figures = function(place)
                local address, port, user, key = run.ssh_where(place)
                return run.figures(
                    run.limit(place, "ssh_pingpong", SECONDS, address, port, user, key, run.echo))
            end,
        },
        { name = "ssh", figures = orrery(host) },
        { name = "mitogen ssh", peer = true, figures = mitogen(host) },
        { name = "siblings", figures = orrery(host, "between") },
        { name = "mitogen siblings", peer = true, figures = mitogen(host, "between") },
        { name = "hops", figures = orrery(host, nil, "hops") },
        { name = "mitogen hops", peer = true, figures = mitogen(host, nil, "hops") },
        { name = "ControlMaster", peer = true, figures = control_master },
    },
    tables = {
        {
            title = "round trip to a child on this machine, us",
            columns = columns,
            rows = rows("local", "socketpair", "mitogen local", "socketpair in C"),
            ratios = { { "x limit", "socketpair", "block." }, { "x Mitogen", "mitogen local", "call." } },
        },
        {
            title = "round trip over SSH, us",
            columns = columns,
            rows = rows("ssh", "ssh_pingpong", "mitogen ssh", "libssh2 in C"),
            ratios = { { "x limit", "ssh_pingpong", "block." }, { "x Mitogen", "mitogen ssh", "call." } },
        },
        {
            title = "a message from sibling to sibling over two SSH children, and one back, us",
            columns = columns,
            rows = {
                { "Mitogen", "mitogen siblings", "message." },
                { "senders and receivers", "siblings", "message." },
                { "senders and receivers, spin = 0", "siblings", "nospin.message." },
            },
            ratios = { { "x Mitogen", "mitogen siblings", "message." } },
        },
        {
            title = "round trip over two hops, SSH by way of SSH, us",
            columns = columns,
            rows = {
                { "Mitogen, call", "mitogen hops", "call." },
                { "call by name", "hops", "named." },
                { "call of a closure", "hops", "closure." },
                { "call by name, spin = 0", "hops", "nospin.named." },
                { "call of a closure, spin = 0", "hops", "nospin.closure." },
            },
            ratios = { { "x Mitogen", "mitogen hops", "call." } },
        },
        {
            title = "a command (true) over an open SSH connection, us",
            columns = { { "p50", "p50" }, { "p99", "p99" } },
            rows = { { "ssh(1), ControlMaster", "ControlMaster" }, { "ctx:run", "ssh", "command." } },
            ratios = { { "x ssh(1)", "ControlMaster" } },
        },
    },
}
