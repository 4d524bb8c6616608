--- timezone: what time it is here.

local resource = require "orrery.play.resource"

return resource.define {
    name = "timezone",
    doc = "The machine is in a time zone.",
    options = { name = { type = "string", required = true, doc = "such as 'Europe/Berlin', 'UTC'" } },
    positional = { "name" },
    returns = { name = "the time zone" },
    example = [[h:timezone { name = "Europe/Berlin" }]],
    validate = function(o) return require("orrery.play.system.timezone").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.timezone").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.timezone").apply(o, plan, env) end,
}
