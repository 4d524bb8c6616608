--- copy: a file has a content.

local replace = require "orrery.play.replace"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

-- A file of the target as a source.
local function local_source(path)
    local st = resource.must("read", sys.stat(path))
    if st.type ~= "file" then resource.fail(("%s is a %s, and not a file"):format(path, st.type)) end
    local hash = resource.must("read", sys.hash(path, "blake2b"))
    local source = { name = path, size = st.size, mode = st.mode, hash = hash }
    function source:same_as(other)
        local there = sys.stat(other)
        return there and there.size == self.size and sys.hash(other, "blake2b") == self.hash
    end
    function source.read() return resource.must("read", sys.read(path)) end
    function source.save(_, to, attributes)
        local temporary = resource.must("write", sys.mkstemp((to:gsub("[^/]*$", ".orrery-"))))
        local ok, err = pcall(function()
            resource.must("write", sys.copy(path, temporary))
            if attributes.uid or attributes.gid then
                resource.must("change the owner of", sys.chown(temporary, attributes.uid, attributes.gid))
            end
            resource.must("change the mode of", sys.chmod(temporary, attributes.mode or st.mode))
            resource.must("replace", sys.rename(temporary, to))
        end)
        if ok then return end
        sys.unlink(temporary)
        error(err, 0)
    end
    return source
end

local function source_of(o, env)
    if o.content then return env.source { content = o.content } end
    local source = o.src and env.source(o.src) or local_source(o.remote_src)
    source.has_name = true
    return source
end

local function validate(o)
    local given = (o.src and 1 or 0) + (o.content and 1 or 0) + (o.remote_src and 1 or 0)
    if given ~= 1 then return "one of src, content and remote_src says what the content is" end
end

return resource.define {
    name = "copy",
    doc = "A file has the content of one here, or a given one; sent only where it differs.",
    options = replace.with {
        src = { type = "source", doc = "a file of the controller; relative to the script" },
        content = { type = "string", doc = "the content itself" },
        remote_src = { type = "path", doc = "a file of the target" },
    },
    subject = "dest",
    returns = replace.RETURNS,
    example = [[h:copy { src = "files/motd", dest = "/etc/motd", mode = "644" }]],
    validate = validate,
    check = function(o, env) return replace.check(o, source_of(o, env), env) end,
    apply = replace.apply,
}
