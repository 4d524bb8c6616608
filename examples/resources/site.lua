-- Three things of one's own: a resource (motd.lua), a launcher, and a service that hosts ask.
--
--     orrery play examples/resources/site.lua -i web1,web2
--
-- `busted examples/resources` tests it on sandboxes of this machine (site_spec.lua).

local orrery = require "orrery"
local play = require "orrery.play"
require "motd"

-- A launcher: a way into another context by a command, in all contexts from now on. This one is a lower priority.
orrery.launcher {
    name = "niced", options = { by = { type = "number", default = 10 } },
    label = function(o) return tostring(o.by) end,
    argv = function(o) return { "nice", "-n", tostring(o.by), "sh", "-c", "{}" } end,
}

-- A service: what code on the hosts may ask of this script. Each host gets the next number, and the same one again.
local numbers, last = {}, 0
local desk = orrery.service("numbers", {
    mine = function(_, host)
        if not numbers[host] then last, numbers[host] = last + 1, last + 1 end
        return numbers[host]
    end,
})

play.play {
    name = "site", hosts = "@all", order = "sorted", throttle = 1,
    run = function(h)
        local number = h:call(function(host) return require("orrery").service("numbers").mine(host) end, h.name)
        h:directory { path = (h.vars.root or "") .. "/etc" }
        h:motd { text = ("This is %s, number %d."):format(h.name, number), root = h.vars.root }

        local slow = h.ctx:niced { by = 15 }
        local niceness = slow:shell("nice").stdout:match "%d+"
        slow:close()
        h:say(("what is not urgent runs with niceness %s"):format(niceness))
    end,
}

desk:close()
