-- A thousand logins by password, open at once from one process.

local report = require "lib.report"
local run = require "lib.run"

local COUNT = 1000
local FEWER = 50 -- Mitogen types passwords into terminals, which there are 4,096 of, and takes its time

local place = run.places[1]
local config = ("env BENCH_SSH_CONFIG=%s "):format(run.quote(os.getenv "BENCH_LOGINS_CONFIG"))

report.run {
    name = "logins",
    rounds = 1,
    places = { place },
    subjects = {
        {
            name = "ours",
            figures = function() return run.figures(config .. run.orrery(place, "logins", "h1", COUNT)) end,
        },
        {
            name = "mitogen",
            peer = true,
            figures = function() return run.figures(config .. run.mitogen(place, "logins", "h1", FEWER)) end,
        },
    },
    tables = {
        {
            title = "logins by password from one process: what they take here, for each",
            columns = {
                { "private KiB", "memory" }, { "descriptors", "descriptors" }, { "cpu ms", "cpu.each" },
            },
            rows = {
                { ("orrery.ssh, %d"):format(COUNT), "ours" },
            },
        },
        {
            title = "the same, in all",
            columns = {
                { "open", "open" }, { "terminals more", "terminals" }, { "terminals of ours", "terminals.own" },
                { "threads at rest", "threads" }, { "wall s", "wall" },
                { "cpu s", "cpu.all" }, { "x floor", "x.floor" },
            },
            rows = { { "orrery.ssh", "ours" }, { "Mitogen, one after the other", "mitogen" } },
        },
    },
}
