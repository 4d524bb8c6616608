--- command: a program is run.

local commands = require "orrery.play.commands"
local resource = require "orrery.play.resource"

return resource.define {
    name = "command",
    doc = "A program is run, without a shell; with `creates` or `removes` only where it has something to do.",
    options = commands.with {
        argv = {
            type = "list", of = "string", required = true, public = true, doc = "the program and its arguments",
        },
    },
    positional = { "argv" }, rest = "argv",
    returns = commands.RETURNS,
    example = [[h:command { "tar", "xzf", "/srv/app.tgz", chdir = "/srv/app", creates = "/srv/app/bin" }]],
    validate = function(o) return #o.argv == 0 and "argv is empty" or nil end,
    check = commands.check,
    apply = function(o, _, env) return commands.run(o, o.argv, env) end,
}
