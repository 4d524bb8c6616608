-- A web tier: each host gets the site's pages and a small server, and is restarted only where something changed: out
-- of the balancer's pool, restarted, asked until it is well, and back into the pool. First one host, then half of the
-- rest at a time; if the first one does not come up, no other is touched.
--
--     orrery play examples/web.lua -i examples/web/inventory.lua --check --diff
--     orrery play examples/web.lua -i examples/web/inventory.lua
--     orrery play examples/web.lua -i examples/web/inventory.lua --failed

local play = require "orrery.play"

-- The pool is a file on the balancer with a line for each server.
local function into_pool(h)
    h:line {
        name = "into the pool", path = h.vars.pool, delegate_to = h.vars.balancer,
        line = ("%s:%d"):format(h.name, h.vars.port), regexp = ("^%s:"):format(h.name),
    }
end

local function out_of_pool(h)
    h:line {
        name = "out of the pool", path = h.vars.pool, delegate_to = h.vars.balancer,
        regexp = ("^%s:"):format(h.name), state = "absent",
    }
end

local function healthy(h)
    h:uri {
        name = "health", url = ("http://localhost:%d/health"):format(h.vars.port), retries = 20, delay = 0.5,
    }
end

play.play {
    name = "pool", hosts = "@balancer", become = true,
    run = function(h)
        h:directory { path = h.vars.pool:match "^(.*)/", mode = "755" }
        h:copy { dest = h.vars.pool, content = "", force = false, mode = "644" }
    end,
}

play.play {
    name = "web tier", hosts = "@web", become = true, serial = { 1, "50%" },
    handlers = {
        ["restart hello"] = function(h)
            out_of_pool(h)
            h:service { name = "hello", state = "restarted" }
        end,
    },
    run = function(h)
        h:package { names = h.vars.packages }
        h:apply {
            { "directory", path = "/srv/hello/www", mode = "755" },
            { "template", src = "web/hello.init.tmpl", dest = "/etc/init.d/hello", mode = "755",
                vars = { port = h.vars.port }, notify = "restart hello" },
            { "template", src = "web/index.html.tmpl", dest = "/srv/hello/www/index.html", mode = "644",
                vars = { host = h.name, version = h.vars.version } },
            { "copy", dest = "/srv/hello/www/health", content = "well\n", mode = "644" },
        }
        h:flush_handlers() -- now, and not at the end: what follows asks the server
        h:service { name = "hello", state = "started", enabled = true }
        healthy(h)
        into_pool(h)
    end,
}
