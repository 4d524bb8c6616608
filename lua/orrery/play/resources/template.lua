--- template: a file has the content that a template gives.

local replace = require "orrery.play.replace"
local resource = require "orrery.play.resource"

-- What the template may name: what was given here goes before the host's variables.
local function variables(o, env)
    local vars = {}
    for name, value in pairs(env.vars) do vars[name] = value end
    for name, value in pairs(o.vars or {}) do vars[name] = value end
    return setmetatable(vars, { __index = function(_, name) return name == "facts" and env.facts or nil end })
end

local function directory(name) return name:match "^(.*/)[^/]*$" or "" end

local function source_of(o, env)
    local template = require "orrery.play.template"
    local name = o.src or "template"
    local text = o.content or env.file(o.src)
    local rendered = template.compile(text, name):render(variables(o, env), {
        include = function(other)
            local path = directory(name) .. other
            return env.file(path), path
        end,
    })
    local secret = package.loaded["orrery.secret"]
    local hidden = secret and secret.is(rendered)
    local source = env.source { content = hidden and secret.reveal(rendered) or rendered }
    source.default_mode = hidden and 0x180 or nil
    return source
end

local function includes(text, name)
    local found = {}
    for other in text:gmatch "include%s*%(?%s*[\"']([^\"'\n]+)[\"']" do found[#found + 1] = directory(name) .. other end
    return found
end

return resource.define {
    name = "template",
    doc = "A file has the content that a template gives, with the host's variables and facts; see docs/templates.md.",
    options = replace.with {
        src = { type = "source", doc = "the template: a file of the controller; relative to the script" },
        content = { type = "string", doc = "the template itself" },
        vars = { type = "map", sealed = true, doc = "further variables; these go before the host's" },
    },
    subject = "dest", vars = true, more_files = includes,
    returns = replace.RETURNS,
    example = [[h:template { src = "nginx.conf.tmpl", dest = "/etc/nginx/nginx.conf", vars = { port = 8080 },
    validate = "nginx -t -c %s", notify = "restart nginx" }]],
    validate = function(o)
        if (o.src == nil) == (o.content == nil) then return "either src or content says what the template is" end
    end,
    check = function(o, env) return replace.check(o, source_of(o, env), env) end,
    apply = replace.apply,
}
