--- group: a group of users.

local resource = require "orrery.play.resource"

return resource.define {
    name = "group",
    doc = "A group is there, with its number and members, or is not.",
    options = {
        name = { type = "string", required = true, doc = "its name", public = "it is not for secrets" },
        state = { enum = { "present", "absent" }, default = "present", doc = "whether it is to be there" },
        gid = { type = "integer", doc = "its number; without it, a free one, and any number of one that is there" },
        system = { type = "boolean", default = false, doc = "a number from the range for the system, when it is made" },
        members = {
            type = "list", of = "string",
            doc = "exactly these are its members; without it they stay",
            public = "it is not for secrets",
        },
        non_unique = { type = "boolean", default = false, doc = "the number may be that of another group" },
    },
    positional = { "name" },
    returns = { name = "its name", gid = "its number", members = "names of its members" },
    example = [[h:group { name = "app", system = true }]],
    validate = function(o) return require("orrery.play.system.accounts").wrong_name(o.name) end,
    check = function(o, env) return require("orrery.play.system.group").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.group").apply(o, plan, env) end,
}
