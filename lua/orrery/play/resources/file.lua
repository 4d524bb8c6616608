--- file: a path is what it should be, with its mode and owner.

local resource = require "orrery.play.resource"
local attributes = require "orrery.play.attributes"

return resource.define {
    name = "file",
    doc = "A path is a file, a directory, or not there, with the mode and owner it should have.",
    options = {
        path = { type = "path", required = true, doc = "where" },
        state = {
            enum = { "file", "directory", "absent", "touch" }, default = "file",
            doc = "'file': there, with mode and owner as said; empty when it is new. 'touch': with new times, too",
        },
        mode = attributes.options.mode, owner = attributes.options.owner, group = attributes.options.group,
        recurse = { type = "boolean", default = false, doc = "mode and owner for all that is in it, too" },
        force = { type = "boolean", default = false, doc = "make way: what is there of another kind is removed" },
    },
    returns = { path = "where", state = "what it is now" },
    example = [[h:file { path = "/srv/app", state = "directory", mode = "755", owner = "app" }]],
    check = function(o, env) return require("orrery.play.paths").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.paths").apply(o, plan, env) end,
}
