--- stat: what is at a path.

local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

return resource.define {
    name = "stat",
    doc = "What is at a path; changes nothing.",
    options = {
        path = { type = "path", required = true, doc = "where" },
        follow = { type = "boolean", default = false, doc = "of a link, what it leads to" },
        checksum = {
            enum = { "sha256", "sha512", "sha1", "md5", "blake2b" }, doc = "of a file, this of its content, too",
        },
    },
    positional = { "path" },
    returns = {
        exists = "whether there is anything", type = "\"file\", \"directory\", \"link\" ...",
        mode = "permissions, a number", owner = "name of the user, nil where it has none",
        group = "name of the group", uid = "number of the user", gid = "number of the group", size = "bytes",
        mtime = "seconds since the epoch", target = "of a link", checksum = "in hexadecimal digits",
    },
    example = [[if h:stat("/etc/app.conf").exists then ... end]],
    check = function(o)
        local st = paths.look(o.path, o.follow)
        if not st then return nil, { exists = false, path = o.path } end
        st.exists, st.path = true, o.path
        if o.checksum and st.type == "file" then
            st.checksum = resource.must("read", sys.hash(o.path, o.checksum))
        end
        return nil, st
    end,
}
