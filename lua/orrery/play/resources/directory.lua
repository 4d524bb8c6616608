--- directory: a directory is there.

local attributes = require "orrery.play.attributes"
local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"

local STATE = { present = "directory", absent = "absent" }

local function as_file(o)
    local options = {}
    for key, value in pairs(o) do options[key] = value end
    options.state = STATE[o.state]
    return options
end

return resource.define {
    name = "directory",
    doc = "A directory is there, with those above it; or is gone, with all that is in it.",
    options = {
        path = { type = "path", required = true, doc = "where" },
        state = { enum = { "present", "absent" }, default = "present", doc = "'absent': gone, with all that is in it" },
        mode = attributes.options.mode, owner = attributes.options.owner, group = attributes.options.group,
        recurse = { type = "boolean", default = false, doc = "mode and owner for all that is in it, too" },
        force = { type = "boolean", default = false, doc = "make way: what is there of another kind is removed" },
    },
    returns = { path = "where", state = "what it is now: \"directory\" or \"absent\"" },
    example = [[h:directory { path = "/srv/app/releases", owner = "app", mode = "755" }]],
    check = function(o, env) return paths.check(as_file(o), env) end,
    apply = function(o, plan, env) return paths.apply(as_file(o), plan, env) end,
}
