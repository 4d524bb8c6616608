--- One line of a file. What it does to the text is in orrery.play.text.line.

local edit = require "orrery.play.content.edit"
local line = require "orrery.play.text.line"
local resource = require "orrery.play.resource"

local PLACE = { "string", "map" }

local function one_line(text) return not text:find("[\r\n]"), "must be a single line: see the resource `block`" end

local function validate(o)
    if o.state == "present" and not o.line then return "option 'line' is missing" end
    local matches = (o.regexp and 1 or 0) + (o.pattern and 1 or 0) + (o.literal and 1 or 0)
    if matches > 1 then return "only one of regexp, pattern and literal can be given" end
    if o.state == "absent" and not o.line and matches == 0 then return "a line, or a regexp, says what is to go" end
    if o.backrefs and (matches == 0 or o.literal) then return "backrefs needs a regexp or a pattern to refer to" end
    if o.insert_after and o.insert_before then return "insert_after and insert_before cannot both be given" end
end

local function spec(o)
    return {
        line = o.line, matcher = edit.matcher(o), backrefs = o.backrefs, first = o.first_match,
        after = edit.place(o.insert_after), before = edit.place(o.insert_before),
    }
end

local function check(o, env)
    local wanted = spec(o)
    if o.state == "present" then
        return edit.check(o, env, function(text) return (line.present(text, wanted)) end)
    end
    if not env.sys.lstat(o.path) then return nil, { found = 0 } end
    return edit.check(o, env, function(text)
        local after, removed = line.absent(text, wanted)
        return after, { found = removed }
    end)
end

return resource.define {
    name = "line",
    doc = "A line is in a file, in the place of what matches; or no such line is.",
    options = edit.options({
        line = { type = "string", check = one_line, doc = "the line, without its end" },
        state = { enum = { "present", "absent" }, default = "present", doc = "absent: all lines that match, or are "
            .. "this one, go" },
        backrefs = { type = "boolean", default = false, doc = "\\1 in the line (%1 with pattern) is what was captured; "
            .. "where nothing matches, nothing is inserted" },
        insert_after = { type = PLACE, doc = "where it goes if nothing matches: behind the last line that this regexp "
            .. "matches (or { pattern = } or { literal = }); 'EOF', the default" },
        insert_before = { type = PLACE, doc = "the same, in front of it; 'BOF': the beginning of the file" },
        first_match = { type = "boolean", default = false, doc = "of several lines that match, the first counts and "
            .. "not the last" },
    }, edit.MATCHING),
    returns = { backup = edit.RETURNS.backup, found = "with state absent: lines that went, or would" },
    example = [[h:line { path = "/etc/ssh/sshd_config", regexp = "^#?PermitRootLogin ", line = "PermitRootLogin no",
    validate = "sshd -t -f %s", notify = "reload sshd" }]],
    validate = validate,
    check = check,
    apply = edit.apply,
}
