--- What is in a file.

local resource = require "orrery.play.resource"

local function check(o, env)
    local st, why, code = env.sys.stat(o.path)
    if not st then
        if code ~= "ENOENT" and code ~= "ENOTDIR" then resource.fail("cannot read " .. why) end
        if o.missing_ok then return nil, { exists = false } end
        if env.check_mode then return { unknown = true, message = ("there is no file %s yet"):format(o.path) } end
        resource.fail("cannot read " .. why)
    end
    if st.type == "directory" then resource.fail(("cannot read %s: it is a directory"):format(o.path)) end
    local content, problem, name = env.sys.read(o.path, o.limit)
    if not content and name == "EFBIG" then
        resource.fail(("%s has more than %d bytes: `limit` says how many may be read"):format(o.path, o.limit))
    end
    resource.must("read", content, problem, name)
    return nil, { content = content, size = #content, exists = true }
end

return resource.define {
    name = "slurp",
    doc = "Reads a file of the target. Changes nothing.",
    options = {
        path = { type = "path", required = true, doc = "the file" },
        limit = { type = "size", default = 16 * 1024 * 1024, doc = "more bytes than that are an error: see `fetch`" },
        missing_ok = { type = "boolean", default = false, doc = "where there is none, say so in the result" },
    },
    returns = { content = "all bytes, as they are", size = "how many", exists = "false where there is none" },
    example = [[local version = h:slurp { path = "/etc/debian_version" }.content:match "%S+"]],
    check = check,
}
