--- hostname: what a machine calls itself.

local resource = require "orrery.play.resource"

return resource.define {
    name = "hostname",
    doc = "The machine has a name, now and after the next boot.",
    options = {
        name = {
            type = "string", required = true,
            doc = "the name; may have a domain",
            public = "it is not for secrets",
        },
        hosts = { type = "boolean", default = false, doc = "the line of 127.0.1.1 in /etc/hosts has it, too" },
    },
    positional = { "name" },
    returns = { name = "the name" },
    example = [[h:hostname { name = "web1" }]],
    validate = function(o) return require("orrery.play.system.hostname").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.hostname").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.hostname").apply(o, plan, env) end,
}
