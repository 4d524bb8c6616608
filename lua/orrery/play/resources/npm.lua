--- npm: packages of Node.js.

local resource = require "orrery.play.resource"

return resource.define {
    name = "npm",
    doc = "Packages of Node.js are installed, for all or for one project, or are not, by npm.",
    options = {
        names = {
            type = { "list", "string" }, of = "string", doc = "which: 'pm2', 'pm2@5.3.0', '@scope/x', '/srv/x.tgz'",
            public = "~/.npmrc has it",
        },
        name = { type = "string", doc = "the same for one", public = "it is not for secrets" },
        state = { enum = { "present", "latest", "absent" }, default = "present", doc = "as of packages" },
        path = { type = "path", doc = "the project; without it: for all" },
        ci = { type = "boolean", default = false, doc = "without names: exactly what package-lock.json says" },
        production = { type = "boolean", default = false, doc = "nothing that only developers need" },
        arguments = {
            type = "list", of = "string",
            doc = "more words for npm's command line",
            public = "~/.npmrc has it",
        },
    },
    returns = { packages = "versions of those that were named; false: not installed", path = "where they are" },
    example = [[h:npm { path = "/srv/app", ci = true, production = true }]],
    validate = function(o) return require("orrery.play.system.npm").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.npm").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.npm").apply(o, plan, env) end,
}
