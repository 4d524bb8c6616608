--- sysctl: a setting of the kernel, now and after the next boot.

local resource = require "orrery.play.resource"

return resource.define {
    name = "sysctl",
    doc = "A setting of the kernel has a value, now and after the next boot.",
    options = {
        name = {
            type = "string", required = true,
            doc = "as 'net.ipv4.ip_forward', or with slashes",
            public = "it is not for secrets",
        },
        value = { type = { "string", "integer" }, doc = "what it is to be", public = "it is not for secrets" },
        state = {
            enum = { "present", "absent" }, default = "present",
            doc = "'absent': our file has it no more; the kernel's value stays as it is",
        },
        persist = { type = "boolean", default = true, doc = "write it to `file`, for the next boot" },
        live = { type = "boolean", default = true, doc = "set it now" },
        file = { type = "path", default = "/etc/sysctl.d/90-orrery.conf", doc = "where it is written" },
        ignore_missing = { type = "boolean", default = false, doc = "a kernel that does not know it need not" },
    },
    positional = { "name", "value" },
    returns = { value = "what it is now", file = "where it is written" },
    example = [[h:sysctl { name = "net.ipv4.ip_forward", value = 1 }]],
    validate = function(o) return require("orrery.play.system.sysctl").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.sysctl").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.sysctl").apply(o, plan, env) end,
}
