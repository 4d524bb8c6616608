--- All that matches in a file, replaced.

local edit = require "orrery.play.content.edit"
local match = require "orrery.play.text.match"
local resource = require "orrery.play.resource"

local function validate(o)
    local matches = (o.regexp and 1 or 0) + (o.pattern and 1 or 0) + (o.literal and 1 or 0)
    if matches ~= 1 then return "one of regexp, pattern and literal must be given" end
    if o.regexp == "" or o.pattern == "" or o.literal == "" then return "what is empty would match everywhere" end
end

local LINES = { multiline = true }

-- From behind the first `after` to in front of the `before` that follows it; nil where one of them is not there.
local function range(text, after, before)
    local from, to = 1, #text
    if after then
        local _, last = after:find(text)
        if not last then return nil end
        from = last + 1
    end
    if before then
        local first = before:find(text, from)
        if not first then return nil end
        to = first - 1
    end
    return from, to
end

local function matcher_of(value)
    return value and edit.matcher({ regexp = value }, LINES)
end

local function check(o, env)
    local matcher, after, before = edit.matcher(o, LINES), matcher_of(o.after), matcher_of(o.before)
    return edit.check(o, env, function(text)
        local from, to = range(text, after, before)
        if not from then return text, { replacements = 0 } end
        local new, count = match.replace(text, matcher, o.replace, from, to)
        return new, { replacements = count }
    end)
end

local options = edit.options({
    replace = { type = "string", default = "", doc = "what comes in its place: \\1 or \\g<1> are what was captured, "
        .. "\\0 all of it, \\n an end of line; with pattern %1 and %0; with literal plain text" },
    after = { type = "string", doc = "only behind the first place that this regexp matches" },
    before = { type = "string", doc = "only in front of the first place (behind `after`) that this regexp matches" },
}, edit.MATCHING)
options.create = nil

return resource.define {
    name = "replace",
    doc = "Nothing in a file matches any more: all that does is replaced, over the whole text, with ^ and $ at each "
        .. "line.",
    options = options,
    returns = { backup = edit.RETURNS.backup, replacements = "how many there were" },
    example = [[h:replace { path = "/etc/hosts", regexp = "^(127\\.0\\.1\\.1\\s+).*$", replace = "\\1" .. h.name }]],
    validate = validate,
    check = check,
    apply = edit.apply,
}
