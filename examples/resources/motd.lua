-- A resource of one's own: a module next to the script that uses it. `require "motd"`, and h:motd is there.
local resource = require "orrery.play.resource"

local PATH = "/etc/motd"

return resource.define {
    name = "motd",
    doc = "What is said to who logs in.",
    options = {
        text = { type = "string", required = true, doc = "the text, without the newline at its end" },
        root = { type = "string", default = "", doc = "a directory to put in front of /etc" },
    },
    returns = { lines = "how many lines it has" },
    example = [[h:motd { text = "Be careful." }]],

    -- Both run on the target. `check` only looks.
    check = function(o, env)
        local path, wanted = o.root .. PATH, o.text .. "\n"
        local there = env.sys.read(path)
        local lines = select(2, wanted:gsub("\n", ""))
        if there == wanted then return nil, { lines = lines } end
        return { path = path, content = wanted, diff = { { path = path, before = there, after = wanted } } },
            { lines = lines }
    end,
    apply = function(_, plan, env)
        resource.must("write", env.sys.write_atomic(plan.path, plan.content, { mode = 0x1a4 }))
    end,
}
