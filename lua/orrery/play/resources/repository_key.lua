--- repository_key: a key that signs packages, for repositories which name it.

local resource = require "orrery.play.resource"

return resource.define {
    name = "repository_key",
    doc = "A key that signs packages is on the target, where repositories can name it, or is not there.",
    options = {
        name = { type = "string", required = true, doc = "name of its file, without what follows the dot" },
        state = { enum = { "present", "absent" }, default = "present", doc = "whether it is to be there" },
        key = { type = "source", doc = "the key: a file of the controller, or { content = text }" },
        key_url = {
            type = "string",
            doc = "or where the target gets it from, when it has none yet",
            public = "give the key itself",
        },
        directory = { type = "path", default = "/etc/apt/keyrings", doc = "where" },
    },
    returns = { path = "its file, for `signed_by`" },
    example = [[h:repository_key { name = "docker", key = "keys/docker.asc" }]],
    validate = function(o) return require("orrery.play.system.repository_text").wrong_key(o) end,
    check = function(o, env) return require("orrery.play.system.repository_key").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.repository_key").apply(o, plan, env) end,
}
