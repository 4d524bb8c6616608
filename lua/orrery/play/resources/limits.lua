--- limits: how much a user may have of something, by pam_limits.

local resource = require "orrery.play.resource"

return resource.define {
    name = "limits",
    doc = "A user or group has a limit on something, from their next login on.",
    options = {
        domain = { type = "string", required = true, doc = "a user, '@group', '*' for all, '%group', '1000:2000'" },
        kind = { enum = { "soft", "hard", "-" }, default = "-", doc = "'-': both" },
        item = {
            enum = {
                "core", "data", "fsize", "memlock", "nofile", "rss", "stack", "cpu", "nproc", "as", "maxlogins",
                "maxsyslogins", "priority", "locks", "sigpending", "msgqueue", "nice", "rtprio", "chroot",
            },
            required = true, doc = "of what",
        },
        value = { type = { "integer", "string" }, doc = "how much: a number, or 'unlimited'" },
        state = { enum = { "present", "absent" }, default = "present", doc = "whether there is such a line" },
        file = { type = "path", default = "/etc/security/limits.d/90-orrery.conf", doc = "where" },
    },
    subject = "domain",
    returns = { file = "where" },
    example = [[h:limits { domain = "app", item = "nofile", value = 65536 }]],
    validate = function(o) return require("orrery.play.system.limits").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.limits").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.limits").apply(o, plan, env) end,
}
