--- pip: packages of Python, best in a virtual environment.

local resource = require "orrery.play.resource"

return resource.define {
    name = "pip",
    doc = "Packages of Python are installed, or are not, by pip.",
    options = {
        names = {
            type = { "list", "string" }, of = "string",
            doc = "which: 'flask', 'flask==2.3.*', 'flask>=2,<3', 'app[extra]', a path or URL of one on the target",
            public = "~/.netrc has passwords",
        },
        name = { type = "string", doc = "the same for one", public = "it is not for secrets" },
        state = { enum = { "present", "latest", "absent" }, default = "present", doc = "as of packages" },
        requirements = { type = "path", doc = "a file of requirements on the target" },
        virtualenv = { type = "path", doc = "an environment, which is made if it is not there" },
        system_packages = { type = "boolean", default = false, doc = "a new environment sees the system's packages" },
        python = { type = "string", default = "python3", doc = "whose pip it is, and of a new environment" },
        arguments = {
            type = "list", of = "string",
            doc = "more words for pip's command line",
            public = "pip.conf or ~/.netrc have it",
        },
    },
    returns = { packages = "versions of those that were named; false: not installed", virtualenv = "the environment" },
    example = [[h:pip { names = { "flask==2.3.*" }, virtualenv = "/srv/app/venv" }]],
    validate = function(o) return require("orrery.play.system.requirement").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.pip").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.pip").apply(o, plan, env) end,
}
