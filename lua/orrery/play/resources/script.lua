--- script: a script of the controller is run on the target.

local commands = require "orrery.play.commands"
local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local function apply(o, _, env)
    local directory = resource.must("make a temporary directory", sys.mkdtemp())
    env.cleanup(function() paths.remove(directory) end)
    local path = directory .. "/" .. (env.source(o.src).name:match "[^/]*$")
    env.source(o.src):save(path, { mode = 0x1c0 })
    local argv = {}
    for word in (o.executable or ""):gmatch "%S+" do argv[#argv + 1] = word end
    argv[#argv + 1] = path
    for _, word in ipairs(o.args or {}) do argv[#argv + 1] = word end
    return commands.run(o, argv, env)
end

return resource.define {
    name = "script",
    doc = "A script that is a file here is run on the target, and leaves nothing of itself there.",
    options = commands.with {
        src = { type = "source", required = true, doc = "the script: a file of the controller" },
        args = { type = "list", of = "string", public = true, doc = "its arguments" },
        executable = { type = "string", doc = "what runs it, where its first line does not say: \"python3 -u\"" },
    },
    positional = { "src", "args" }, rest = "args", subject = "src",
    returns = commands.RETURNS,
    example = [[h:script { "scripts/migrate.sh", "--to", "42", creates = "/srv/app/.migrated-42" }]],
    check = commands.check,
    apply = apply,
}
