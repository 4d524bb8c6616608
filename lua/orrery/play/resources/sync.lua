--- A directory tree of the controller, on the target.

local attributes = require "orrery.play.attributes"
local resource = require "orrery.play.resource"

return resource.define {
    name = "sync",
    doc = "A directory of the target has what one of the controller has: files, links, directories and their modes. "
        .. "Only what differs is sent; each file is there whole or not at all. Files are taken for the same by size "
        .. "and time, or if that differs, by content.",
    side = "controller",
    options = {
        src = { type = "string", required = true, doc = "the directory of the controller, relative to the script; what "
            .. "is in it is meant" },
        dest = { type = "path", required = true, doc = "the directory of the target; it is made if it is not there" },
        delete = { type = "boolean", default = false, doc = "what is there and not here goes, but for what is "
            .. "excluded" },
        exclude = { type = "list", of = "string", single = true, doc = "globs of what is left alone, on both sides: "
            .. "one with a / in it is about the path from the directory on, one with a / at its end about "
                .. "directories" },
        force = { type = "boolean", default = false, doc = "make way: what is there of another kind is removed" },
        modes = { type = "boolean", default = true, doc = "set the permissions that files and directories have here" },
        file_mode = { type = "mode", doc = "permissions of all files instead" },
        directory_mode = { type = "mode", doc = "permissions of all directories instead" },
        checksums = { type = "boolean", default = false, doc = "compare contents also where size and time are the "
            .. "same" },
        owner = attributes.options.owner, group = attributes.options.group,
    },
    subject = "dest",
    returns = {
        created = "how many are new", updated = "how many are changed", deleted = "how many are gone", sent = "bytes "
            .. "of content that were sent", total = "how many there are here",
    },
    example = [[h:sync { src = "dist", dest = "/srv/www", delete = true, exclude = { "*.map", "/uploads/" } }]],
    check = function(o, env) return require("orrery.play.content.sync").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.content.sync").apply(o, plan, env) end,
}
