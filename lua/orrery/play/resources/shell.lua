--- shell: a line is run by a shell.

local commands = require "orrery.play.commands"
local resource = require "orrery.play.resource"

local function argv(o)
    local words = { o.executable, "-c", o.cmd, "sh" }
    for _, word in ipairs(o.args or {}) do words[#words + 1] = word end
    return words
end

return resource.define {
    name = "shell",
    doc = "A text is run by sh; $1, $2 ... are arguments, which need no quoting.",
    options = commands.with {
        cmd = { type = "string", required = true, public = true, doc = "the text" },
        args = { type = "list", of = "string", public = true, doc = "its $1, $2 ..." },
        executable = { type = "string", default = "sh", doc = "another shell: \"bash\"" },
    },
    positional = { "cmd", "args" }, rest = "args", subject = "cmd",
    returns = commands.RETURNS,
    example = [[h:shell { 'gzip -9 "$1"', path, removes = path }]],
    check = commands.check,
    apply = function(o, _, env) return commands.run(o, argv(o), env) end,
}
