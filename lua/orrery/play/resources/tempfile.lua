--- A new temporary file or directory.

local attributes = require "orrery.play.attributes"
local resource = require "orrery.play.resource"

local function plain(text) return not text:find "[/%z]", "must not hold a /" end

local function check(o, env)
    local st = env.sys.stat(o.path)
    if st and st.type == "directory" then return { message = ("a new %s in %s"):format(o.state, o.path) } end
    if env.check_mode then return { unknown = true, message = ("there is no directory %s yet"):format(o.path) } end
    resource.fail(("there is no directory %s"):format(o.path))
end

-- The suffix comes by a second name, which must not be there yet: link says so, and so does mkdir.
local function with_suffix(o, sys, path)
    local name = path .. o.suffix
    if o.state == "file" then
        local ok, why, code = sys.link(path, name)
        sys.unlink(path)
        if not ok and code ~= "EEXIST" then resource.fail("cannot create " .. why) end
        return ok and name
    end
    sys.rmdir(path)
    local ok, why, code = sys.mkdir(name, 0x1c0)
    if not ok and code ~= "EEXIST" then resource.fail("cannot create " .. why) end
    return ok and name
end

local function create(o, sys)
    local prefix = (o.path == "/" and "" or o.path) .. "/" .. o.prefix
    for _ = 1, 100 do
        local path = resource.must("create", (o.state == "file" and sys.mkstemp or sys.mkdtemp)(prefix))
        if o.suffix == "" then return path end
        local name = with_suffix(o, sys, path)
        if name then return name end
    end
    resource.fail(("cannot find a new name in %s"):format(o.path))
end

local function apply(o, _, env)
    local path = create(o, env.sys)
    local st = resource.must("look at", env.sys.lstat(path))
    local ok, err = pcall(function()
        attributes.apply(path, attributes.wanted(o, env, st, o.state == "directory"), st)
    end)
    if not ok then
        local _ = o.state == "file" and env.sys.unlink(path) or env.sys.rmdir(path)
        error(err, 0)
    end
    return { path = path, state = o.state }
end

return resource.define {
    name = "tempfile",
    doc = "A new file or directory with a name of its own, which only its user can read. It stays: `file` with state "
        .. "absent removes it.",
    options = {
        state = { enum = { "file", "directory" }, default = "file", doc = "what to make" },
        path = { type = "path", default = "/tmp", doc = "the directory that it is made in" },
        prefix = { type = "string", default = "orrery-", check = plain, doc = "what its name begins with" },
        suffix = { type = "string", default = "", check = plain, doc = "what its name ends with" },
        mode = attributes.options.mode, owner = attributes.options.owner, group = attributes.options.group,
    },
    returns = { path = "where it is; nothing in check mode", state = "what it is" },
    example = [[local t = h:tempfile { suffix = ".sql" }]],
    check = check,
    apply = apply,
}
