--- mount: a file system is mounted, now and at boot.

local resource = require "orrery.play.resource"

return resource.define {
    name = "mount",
    doc = "A file system is mounted somewhere, now and after the next boot, or is not.",
    options = {
        path = { type = "path", required = true, doc = "where", public = "it is not for secrets" },
        state = {
            enum = { "mounted", "present", "unmounted", "absent", "remounted" }, default = "mounted",
            doc = "'mounted': now and in fstab; 'present': in fstab; 'unmounted': not now, fstab stays; "
                .. "'absent': neither; 'remounted': as 'mounted', and mounted again",
        },
        src = {
            type = "string",
            doc = "what: a device, 'UUID=...', 'host:/export', 'tmpfs'",
            public = "a file of credentials that an option names keeps it",
        },
        fstype = {
            type = "string",
            doc = "its kind: 'ext4', 'nfs', 'tmpfs', 'none' for a bind",
            public = "it is not for secrets",
        },
        options = {
            type = { "list", "string" }, of = "string", default = "defaults", doc = "how: 'ro,noatime', or a list",
            public = "a file of credentials that it names keeps it",
        },
        dump = { type = "integer", default = 0, doc = "the fifth field" },
        pass = { type = "integer", default = 0, doc = "when fsck checks it at boot: 0 never, 1 first, 2 then" },
        fstab = { type = "path", default = "/etc/fstab", doc = "another file" },
    },
    returns = { path = "where", mounted = "is it mounted?", src = "what is mounted there" },
    example = [[h:mount { path = "/srv/data", src = "UUID=6f3c...", fstype = "ext4", options = "noatime" }]],
    validate = function(o) return require("orrery.play.system.fstab").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.mount").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.mount").apply(o, plan, env) end,
}
