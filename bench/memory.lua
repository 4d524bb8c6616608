-- What each connected host takes of this machine's memory, and an agent of its host's.

local report = require "lib.report"
local run = require "lib.run"

local HOSTS = 24 -- connections to one host of the lab
local MITOGEN_HOSTS = 12 -- a child takes half a second to come up

local place = run.places[1]

local function ours(name, ...)
    local command = run.orrery(place, "memory", ...)
    return { name = name, figures = function() return run.figures(command) end }
end

local function mitogen(name, target)
    local command = run.mitogen(place, "memory", target, MITOGEN_HOSTS)
    return { name = name, peer = true, figures = function() return run.figures(command) end }
end

local function table_of(title, prefix, columns)
    return {
        title = title,
        columns = columns,
        rows = {
            { "Mitogen, local", "mitogen local", prefix },
            { "Mitogen, SSH", "mitogen ssh", prefix },
            { "local", "local", prefix },
            { "SSH", "ssh", prefix },
            { "SSH by ssh(1)", "openssh", prefix },
        },
        ratios = { { "x Mitogen, SSH", "mitogen ssh", prefix } },
    }
end

report.run {
    name = "memory",
    rounds = 1,
    places = { place }, -- memory is the same on one CPU
    subjects = {
        ours("local", "local", HOSTS),
        ours("ssh", place.host, HOSTS),
        ours("openssh", place.host, HOSTS, "openssh"),
        mitogen("mitogen local", "local"),
        mitogen("mitogen ssh", place.host),
    },
    tables = {
        table_of("private memory here for each child, KiB", "here.",
            { { "total", "total" }, { "controller", "controller" }, { "ssh(1)", "helper" } }),
        table_of("memory of an agent, KiB", "agent.", { { "private", "private" }, { "resident", "resident" } }),
    },
}
