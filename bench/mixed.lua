-- How long a small call takes while a large file goes through the same stream.

local report = require "lib.report"
local run = require "lib.run"

local MIB = 1024
local SECONDS = 0.5 -- of calls without the file
local THERE = "/var/tmp/bench-mixed"

local function rows(subject)
    return {
        { "idle", subject, "idle." },
        { ("while %d MiB are put"):format(MIB), subject, "busy." },
    }
end

local columns = { { "p99", "p99" }, { "p50", "p50" }, { "calls", "count" }, { "MB/s", "rate" } }

report.run {
    name = "mixed",
    rounds = 2,
    subjects = {
        {
            name = "ssh",
            figures = function(place)
                return run.figures(run.orrery(place, "mixed", place.host, SECONDS, MIB, run.memory .. "/large", THERE))
            end,
        },
        {
            name = "local",
            figures = function(place)
                return run.figures(run.orrery(place, "mixed", "local", SECONDS, MIB, run.memory .. "/large",
                    run.memory .. "/there"))
            end,
        },
    },
    tables = {
        {
            title = "calls beside a file over SSH, us",
            columns = columns, rows = rows "ssh", ratios = { { "p99 x idle", "ssh", "idle." } },
        },
        {
            title = "calls beside a file to a child on this machine, us",
            columns = columns, rows = rows "local", ratios = { { "p99 x idle", "local", "idle." } },
        },
    },
}
