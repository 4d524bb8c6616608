-- site.lua [steps|batch]: the tasks each in a message of its own, or all of them in one that runs on the target.

local play = require "orrery.play"
local tasks = require "tasks"

play.play {
    name = "site", hosts = "@all",
    vars = {
        root = "/srv/bench", interpreter = "/bin/sh", port = 8080, workers = 2, rotate = 4,
        peers = { { name = "db1", port = 5432 }, { name = "db2", port = 5433 }, { name = "cache1", port = 6379 } },
    },
    handlers = {
        ["restart web"] = function(h) h:service { name = "bench-web", state = "restarted" } end,
        ["restart worker"] = function(h) h:service { name = "bench-worker", state = "restarted" } end,
    },
    run = function(h)
        if arg[1] == "batch" then h:batch(tasks) else tasks(h) end
    end,
}
