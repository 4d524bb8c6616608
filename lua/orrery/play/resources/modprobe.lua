--- modprobe: a module of the kernel.

local resource = require "orrery.play.resource"

return resource.define {
    name = "modprobe",
    doc = "A module of the kernel is loaded, now and at boot, or is not.",
    options = {
        name = { type = "string", required = true, doc = "its name", public = "it is not for secrets" },
        state = { enum = { "present", "absent" }, default = "present", doc = "whether it is to be loaded" },
        params = {
            type = "string",
            doc = "its parameters, when it is loaded: 'numdummies=2'",
            public = "it is not for secrets",
        },
        persist = { type = "boolean", default = true, doc = "also at boot, by files in modules-load.d and modprobe.d" },
    },
    positional = { "name" },
    returns = { loaded = "is it loaded?", built_in = "is it a part of the kernel, which is always there?" },
    example = [[h:modprobe { name = "br_netfilter" }]],
    validate = function(o) return require("orrery.play.system.modprobe").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.modprobe").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.modprobe").apply(o, plan, env) end,
}
