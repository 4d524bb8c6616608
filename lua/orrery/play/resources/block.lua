--- A block of lines of a file, between marks. What it does to the text is in orrery.play.text.block.

local block = require "orrery.play.text.block"
local edit = require "orrery.play.content.edit"
local resource = require "orrery.play.resource"

local PLACE = { "string", "map" }

local function has_mark(text)
    return text:find("{mark}", 1, true) ~= nil and not text:find "[\r\n]", "must be a line that holds {mark}"
end

local function validate(o)
    if o.state == "present" and not o.block then return "option 'block' is missing" end
    if o.insert_after and o.insert_before then return "insert_after and insert_before cannot both be given" end
    if o.begin_mark == o.end_mark then return "begin_mark and end_mark must differ" end
end

local function mark(o, what)
    return (o.marker:gsub("{mark}", (what:gsub("%%", "%%%%"))))
end

local function spec(o)
    return {
        block = o.block or "", first = o.first_match,
        first_mark = mark(o, o.begin_mark), last_mark = mark(o, o.end_mark),
        after = edit.place(o.insert_after), before = edit.place(o.insert_before),
    }
end

local function check(o, env)
    local wanted = spec(o)
    if o.state == "absent" and not env.sys.lstat(o.path) then return nil end
    return edit.check(o, env, function(text)
        return block[o.state](text, wanted)
    end)
end

return resource.define {
    name = "block",
    doc = "Some lines are in a file, between two marks by which they are found again; or are not.",
    options = edit.options {
        block = { type = "string", doc = "the lines" },
        state = { enum = { "present", "absent" }, default = "present", doc = "absent: the lines and their marks go" },
        marker = { type = "string", default = "# {mark} MANAGED BLOCK", check = has_mark, doc = "the line before and "
            .. "after them; several blocks of a file need different ones" },
        begin_mark = { type = "string", default = "BEGIN", doc = "what stands for {mark} before them" },
        end_mark = { type = "string", default = "END", doc = "and behind them" },
        insert_after = { type = PLACE, doc = "where a new block goes: behind the last line that this regexp matches "
            .. "(or { pattern = } or { literal = }); 'EOF', the default. One that is there stays where it is" },
        insert_before = { type = PLACE, doc = "the same, in front of it; 'BOF': the beginning of the file" },
        first_match = { type = "boolean", default = false, doc = "of several lines that match, the first counts and "
            .. "not the last" },
    },
    returns = edit.RETURNS,
    example = [[h:block { path = "/etc/hosts", marker = "# {mark} cluster", block = "10.0.0.1 db1\n10.0.0.2 db2\n" }]],
    validate = validate,
    check = check,
    apply = edit.apply,
}
