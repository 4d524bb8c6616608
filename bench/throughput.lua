-- How many small messages pass in a second, and how fast large arguments do.

local report = require "lib.report"
local run = require "lib.run"

local SECONDS = 0.3 -- of each kind of message, in each round
local MIB = 256 -- what the limits move

local function subject(name, command, peer)
    return {
        name = name, peer = peer,
        figures = function(place) return run.figures(command(place)) end,
    }
end

local function small(where, peer)
    return {
        { "Mitogen, sender:send to a child", peer, "send." },
        { "ctx:cast to a child", where, "cast." },
        { "sender:send to a child", where, "send." },
        { "sender:send from a child", where, "send_up." },
    }
end

local function large(where, peer, limit, limit_name, prefix)
    return {
        { limit_name .. ", one way", limit, prefix },
        { "Mitogen, 64 KiB as an argument", peer, "call64k." },
        { "Mitogen, 1 MiB as an argument", peer, "call1m." },
        { "64 KiB as an argument", where, "call64k." },
        { "1 MiB as an argument", where, "call1m." },
    }
end

local small_columns = { { "k/s", "rate" } }
local large_columns = { { "MB/s", "rate" } }

report.run {
    name = "throughput",
    rounds = 3,
    subjects = {
        subject("pair", function(place) return run.limit(place, "bulk", "pair", MIB) end),
        subject("local", function(place) return run.orrery(place, "throughput", "local", SECONDS) end),
        subject("mitogen local", function(place)
            return run.mitogen(place, "throughput", "local", SECONDS)
        end, true),
        subject("libssh2", function(place)
            return run.limit(place, "bulk", "ssh", MIB, run.ssh_where(place))
        end),
        subject("ssh", function(place) return run.orrery(place, "throughput", place.host, SECONDS) end),
        subject("mitogen ssh", function(place)
            return run.mitogen(place, "throughput", place.host, SECONDS)
        end, true),
    },
    tables = {
        {
            title = "messages of 64 bytes to and from a child on this machine, thousands in a second",
            columns = small_columns,
            rows = small("local", "mitogen local"),
            ratios = { { "x Mitogen", "mitogen local", "send." } },
        },
        {
            title = "messages of 64 bytes over SSH, thousands in a second",
            columns = small_columns,
            rows = small("ssh", "mitogen ssh"),
            ratios = { { "x Mitogen", "mitogen ssh", "send." } },
        },
        {
            title = "calls with a large argument, to a child on this machine, MB/s",
            columns = large_columns,
            rows = large("local", "mitogen local", "pair", "socketpair in C", "null."),
            ratios = { { "x limit", "pair", "null." }, { "x Mitogen 1 MiB", "mitogen local", "call1m." } },
        },
        {
            title = "calls with a large argument, over SSH, MB/s",
            columns = large_columns,
            rows = large("ssh", "mitogen ssh", "libssh2", "libssh2 in C", "put."),
            ratios = { { "x limit", "libssh2", "put." }, { "x Mitogen 1 MiB", "mitogen ssh", "call1m." } },
        },
    },
}
