--- template: a file that is written from a template, with variables and facts.

local edit = require "orrery.play.content.edit"
local resource = require "orrery.play.resource"
local template = require "orrery.play.template"

local function validate(o)
    if (o.src == nil) == (o.content == nil) then return "one of src and content says what the template is" end
end

local function name_of(source)
    return type(source) == "table" and (source.file or "content") or source
end

-- What include "NAME" means: the one of the option that is called so, or ends in /NAME.
local function includer(o, env)
    return function(name)
        for _, source in ipairs(o.includes or {}) do
            local path = name_of(source)
            if path == name or path:sub(-#name - 1) == "/" .. name then return env.file(source), path end
        end
        return nil, "the option 'includes' does not name it"
    end
end

-- Facts cost something, and most templates ask for none.
local function variables(o, env)
    local vars = setmetatable({}, { __index = function(_, name) return name == "facts" and env.facts or nil end })
    for key, value in pairs(o.vars or {}) do vars[key] = value end
    return vars
end

local function render(o, env)
    local text, name = o.content, "content"
    if o.src then text, name = env.file(o.src), name_of(o.src) end
    local rendered = template.render(text, variables(o, env), name, { include = includer(o, env) })
    return require("orrery.secret").reveal(rendered)
end

local function as_edit(o)
    return {
        path = o.dest, create = true, mode = o.mode, owner = o.owner, group = o.group, validate = o.validate,
        backup = o.backup, in_place = o.in_place,
    }
end

local function check(o, env)
    local text = render(o, env) -- a template that is wrong is wrong also where there is nothing to do
    if not o.force and env.sys.lstat(o.dest) then return nil end
    return edit.check(as_edit(o), env, function() return text end)
end

local function apply(o, plan, env) return edit.apply(as_edit(o), plan, env) end

local options = edit.options {
    src = { type = "source", doc = "the template, a file of the controller" },
    content = { type = "string", doc = "the template itself" },
    dest = { type = "path", required = true, doc = "the file to write; a link is followed" },
    vars = { type = "map", doc = "the names that the template may read; `facts` is there without being named" },
    includes = {
        type = "list", of = "source",
        doc = "files of the controller that it includes: include 'NAME' is the one whose path is NAME or ends in /NAME",
    },
    force = { type = "boolean", default = true, doc = "false: a file that is there stays as it is" },
}
options.path, options.create = nil, nil

return resource.define {
    name = "template",
    doc = "A file is what a template makes of variables and facts.",
    options = options,
    returns = { backup = edit.RETURNS.backup },
    example = [[h:template { src = "nginx.conf.tmpl", dest = "/etc/nginx/nginx.conf", vars = { port = 8080 },
    validate = "nginx -t -c %s", notify = "reload nginx" }]],
    validate = validate,
    check = check,
    apply = apply,
}
