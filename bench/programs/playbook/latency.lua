-- latency.lua HOST [KEY=VALUE...]: the tasks in one message, on a host that is connected; how many messages that took
-- and how long, beside the time of a call that does nothing.

local orrery = require "orrery"
local play = require "orrery.play"
local program = require "lib.program"
local tasks = require "tasks"

local vars = {
    root = "/srv/bench", interpreter = "/bin/sh", port = 8080, workers = 2, rotate = 4,
    peers = { { name = "db1", port = 5432 }, { name = "db2", port = 5433 }, { name = "cache1", port = 6379 } },
}
for _, word in ipairs(arg) do
    local key, value = word:match "^(%w+)=(.*)$"
    if key then vars[key] = value end
end

local ctx = program.open(arg[1])
local h = play.host(ctx, { name = arg[1], vars = vars })

local function time(fn)
    local before, start = orrery.stats(), orrery.now()
    fn()
    return orrery.now() - start, orrery.stats(before).messages_sent
end

ctx:call "os.time"
local trip = time(function() ctx:call "os.time" end)
for _, name in ipairs { "first", "again" } do
    local seconds, messages = time(function() h:batch(tasks) end)
    program.print(name .. ".seconds", seconds)
    program.print(name .. ".trips", seconds / trip)
    program.print(name .. ".messages", messages)
end
program.print("trip", trip)
