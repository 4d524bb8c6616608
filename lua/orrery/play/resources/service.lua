--- service: a daemon runs or does not, now and after the next boot.

local resource = require "orrery.play.resource"

return resource.define {
    name = "service",
    doc = "A service runs or does not, now and after the next boot: of systemd, OpenRC, or scripts in /etc/init.d.",
    options = {
        name = {
            type = "string", required = true,
            doc = "its name; of systemd also 'app.timer', 'app@1'",
            public = "it is not for secrets",
        },
        state = {
            enum = { "started", "stopped", "restarted", "reloaded" },
            doc = "'restarted' and 'reloaded' do so each time, and start what does not run",
        },
        enabled = { type = "boolean", doc = "whether it starts at boot" },
        masked = { type = "boolean", doc = "systemd: nothing can start it" },
        daemon_reload = {
            type = "boolean",
            doc = "systemd: read changed unit files again; by default where this service's have changed",
        },
        scope = { enum = { "system", "user" }, default = "system", doc = "systemd: of the machine, or of this user" },
        settle = { type = "duration", default = 0, doc = "after a start: it must still run when this time is over" },
        manager = { enum = { "auto", "systemd", "openrc", "sysv" }, default = "auto", doc = "who manages services" },
        pattern = {
            type = "string",
            doc = "sysv: a text of its command line, for scripts that know no 'status'",
            public = "it is not for secrets",
        },
        runlevel = { type = "string", default = "default", doc = "OpenRC: in which it is enabled" },
    },
    returns = {
        name = "its name", running = "does it run?", enabled = "does it start at boot?", manager = "who manages it",
        pid = "its main process, where that is known",
    },
    example = [[h:service { name = "nginx", state = "started", enabled = true }]],
    validate = function(o) return require("orrery.play.system.service").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.service").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.service").apply(o, plan, env) end,
}
