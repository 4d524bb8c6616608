--- authorized_key: who may log in as a user with which key.

local resource = require "orrery.play.resource"

return resource.define {
    name = "authorized_key",
    doc = "A user's ~/.ssh/authorized_keys has these public keys, or has them not.",
    options = {
        user = { type = "string", required = true, doc = "whose" },
        keys = {
            type = { "list", "string" }, of = "string", required = true,
            doc = "lines as in id_ed25519.pub; a text may have several. One may begin with options of its own",
        },
        state = { enum = { "present", "absent" }, default = "present", doc = "whether they are to be there" },
        exclusive = { type = "boolean", default = false, doc = "no other line is to be there" },
        options = { type = "string", doc = "what these keys may do, as in sshd(8): 'restrict,command=\"backup\"'" },
        comment = { type = "string", doc = "in place of the keys' own" },
        path = { type = "path", doc = "another file than ~/.ssh/authorized_keys; outside of the home it is root's" },
    },
    returns = { path = "the file", user = "whose", keys = "how many keys there are in it" },
    example = [[h:authorized_key { user = "deploy", keys = keys, exclusive = true }]],
    validate = function(o) return require("orrery.play.system.keys").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.authorized_key").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.authorized_key").apply(o, plan, env) end,
}
