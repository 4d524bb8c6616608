--- alternatives: which of several programs a name stands for.

local resource = require "orrery.play.resource"

return resource.define {
    name = "alternatives",
    doc = "A name such as 'editor' stands for one program of several, by update-alternatives.",
    options = {
        name = { type = "string", required = true, doc = "the name of the group", public = "it is not for secrets" },
        path = { type = "path", doc = "the program", public = "it is not for secrets" },
        state = {
            enum = { "selected", "present", "auto", "absent" }, default = "selected",
            doc = "'selected': the name stands for it; 'present': it is one of them; 'auto': the one of the highest "
                .. "priority is chosen; 'absent': it is none of them",
        },
        link = {
            type = "path",
            doc = "where the name is: '/usr/bin/editor'; needed when the group is new",
            public = "it is not for secrets",
        },
        priority = { type = "integer", default = 50, doc = "of the program, when it is added" },
    },
    subject = "name",
    returns = { path = "the program that is chosen" },
    example = [[h:alternatives { name = "editor", path = "/usr/bin/vim.basic" }]],
    validate = function(o) return require("orrery.play.system.alternatives").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.alternatives").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.alternatives").apply(o, plan, env) end,
}
