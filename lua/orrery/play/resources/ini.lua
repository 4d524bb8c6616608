--- An option of an ini file. What it does to the text is in orrery.play.text.ini.

local edit = require "orrery.play.content.edit"
local ini = require "orrery.play.text.ini"
local resource = require "orrery.play.resource"

local function one_line(text) return not text:find "[\r\n]", "must be a single line" end

local function validate(o)
    if o.value ~= nil and o.values then return "value and values cannot both be given" end
    if (o.value ~= nil or o.values) and not o.option then return "a value needs an option" end
    if not o.option and not o.section then return "a section or an option must be given" end
    if o.option and o.state == "present" and o.value == nil and not o.values and not o.no_value then
        return "a value is missing; no_value = true says that there is none"
    end
    if o.no_value and (o.value ~= nil or o.values) then return "no_value and a value cannot both be given" end
end

local function spec(o)
    local values = o.values or {}
    if o.value ~= nil then values = { tostring(o.value) } end
    return { section = o.section, option = o.option, values = values, exclusive = o.exclusive, spaces = o.spaces }
end

local function check(o, env)
    local wanted = spec(o)
    if o.state == "absent" and not env.sys.lstat(o.path) then return nil end
    return edit.check(o, env, function(text) return ini[o.state](text, wanted) end)
end

return resource.define {
    name = "ini",
    doc = "An option in a section of an ini file has a value; or it, or the section, is not there. All else stays.",
    options = edit.options {
        section = { type = "string", check = one_line, doc = "without its brackets; none: what stands before the "
            .. "first" },
        option = { type = "string", check = one_line, doc = "the name; none: the section itself" },
        value = { type = { "string", "number", "boolean" }, check = function(v) return one_line(tostring(v)) end,
            doc = "what it is set to; absent: only a line with this value goes" },
        values = { type = "list", of = { type = "string", check = one_line }, doc = "several: a line each" },
        no_value = { type = "boolean", default = false, doc = "the option stands alone, as skip-networking in my.cnf" },
        exclusive = { type = "boolean", default = true, doc = "lines of this option with other values go" },
        spaces = { type = "boolean", default = true, doc = "new lines are written `a = b`, and not `a=b`; those that "
            .. "are there keep their style" },
        state = { enum = { "present", "absent" }, default = "present", doc = "absent: the option, or without one the "
            .. "whole section, goes" },
    },
    returns = edit.RETURNS,
    example = [[h:ini { path = "/etc/php/8.2/fpm/php.ini", section = "PHP", option = "memory_limit", value = "256M" }]],
    validate = validate,
    check = check,
    apply = edit.apply,
}
