--- gem: packages of Ruby.

local resource = require "orrery.play.resource"

return resource.define {
    name = "gem",
    doc = "Packages of Ruby are installed, or are not, by gem.",
    options = {
        names = { type = { "list", "string" }, of = "string", doc = "which", public = "it is not for secrets" },
        name = { type = "string", doc = "the same for one", public = "it is not for secrets" },
        version = { type = "string", doc = "in this version: '1.2.3'; of one", public = "it is not for secrets" },
        state = { enum = { "present", "latest", "absent" }, default = "present", doc = "as of packages" },
        user_install = { type = "boolean", default = false, doc = "for this user only" },
        documentation = { type = "boolean", default = false, doc = "with their documentation" },
        program = { type = "string", default = "gem", doc = "another Ruby's gem" },
        arguments = {
            type = "list", of = "string",
            doc = "more words for its command line",
            public = "it is not for secrets",
        },
    },
    returns = { packages = "lists of versions of those that were named" },
    example = [[h:gem { name = "bundler", version = "2.4.22" }]],
    validate = function(o) return require("orrery.play.system.gem").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.gem").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.gem").apply(o, plan, env) end,
}
