-- The prompt: how long it takes to be there, and from Enter to the next one, beside the call that is in it.

local report = require "lib.report"
local run = require "lib.run"

local COUNT = 200 -- inputs in each round
local STARTS = 10

local function prompt(count, text, input, ...)
    local words = { ... }
    return function(place)
        return run.figures("env HOME=" .. run.quote(run.scratch) .. " " ..
            run.limit(place, "prompt", count, text, input, run.build .. "/orrery", "repl", unpack(words)))
    end
end

local function calls(place) return run.figures(run.orrery(place, "repl_call")) end

report.run {
    name = "repl",
    rounds = 5,
    subjects = {
        { name = "starting", figures = prompt(STARTS, "orrery> ", "") },
        { name = "call", figures = calls },
        { name = "here", figures = prompt(COUNT, "orrery> ", "1+1") },
        { name = "there", figures = prompt(COUNT, "local> ", "1+1", "local") },
    },
    tables = {
        {
            title = "from Enter to the next prompt, us",
            columns = { { "p50", "input.p50" }, { "p99", "input.p99" } },
            rows = {
                { "the call alone, from a script", "call" }, { "an input here", "here" },
                { "an input in a child on this machine", "there" },
            },
        },
        {
            title = "from the start of the program to its first prompt, us",
            columns = { { "p50", "start.p50" }, { "p99", "start.p99" } },
            rows = { { "orrery repl", "starting" } },
        },
    },
}
