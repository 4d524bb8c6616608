--- What many hosts have answered, once each: the fewest hosts first, since they are what one looks for.
--
--   web7: attempt to index a nil value
--   web[1-6,8-48]: 2

local core = require "orrery.core"
local hosts = require "orrery.cli.hosts"
local options = require "orrery.options"
local sgr = require "orrery.sgr"
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

local M = {}

---@class orrery.repl.Answer
---@field name string of the host
---@field text string what it answered; with colours, maybe
---@field kind? string "error": it failed

---@class orrery.repl.FoldOptions
---@field width? integer columns of the terminal (80)
---@field colour? boolean

local SCHEMA = {
    width = { type = "number", default = 80, check = function(n) return n >= 1, "must be 1 or more" end },
    colour = { type = "boolean", default = false },
}

local RED, BOLD, DIM = "31", "1", "2"
local INDENT, HANGING = "  ", "    "
local LEAST = 16 -- columns that a text gets, however narrow the terminal is
local SGR = "\27%[%d?%d?m"

-- Texts with colours ------------------------------------------------------------------------------

-- Calls back with each piece of a line: text, or a colour.
local function each_piece(line, on_text, on_colour)
    local at = 1
    while true do
        local from, to = line:find(SGR, at)
        if from ~= at and at <= #line then on_text(line:sub(at, (from or 0) - 1)) end
        if not from then return end
        on_colour(line:sub(from, to))
        at = to + 1
    end
end

local function without_colours(line) return (line:gsub(SGR, "")) end

local function harmless_line(line)
    local out, open = {}, false
    each_piece(line, function(piece)
        out[#out + 1] = text.printable(piece)
    end, function(colour)
        open = colour:find "[1-9]" ~= nil
        out[#out + 1] = colour
    end)
    return table.concat(out) .. (open and "\27[0m" or "")
end

--- What came from elsewhere, to be shown at a terminal: secrets are hidden, and nothing is left that a terminal would
--- obey but colours, each of which ends on its line.
---@param said string
---@return string
function M.harmless(said)
    said = core.redact(said)
    if not said:find "[^\n\t\32-\126]" then return said end
    return (said:gsub("[^\n]+", harmless_line))
end

-- A line in as many as it takes. A colour goes on in the next.
local function wrapped(line, room)
    if #line <= room or width.of(without_colours(line)) <= room then return { line } end
    local lines, current, used, colour = {}, {}, 0, ""
    local function next_line()
        lines[#lines + 1] = table.concat(current) .. (colour ~= "" and "\27[0m" or "")
        current, used = { colour }, 0
    end
    each_piece(line, function(piece)
        for char in piece:gmatch "[%z\1-\127\194-\244][\128-\191]*" do
            local columns = width.of(char)
            if used + columns > room and used > 0 then next_line() end
            current[#current + 1] = char
            used = used + columns
        end
    end, function(sequence)
        colour = sequence:find "[1-9]" and sequence or ""
        current[#current + 1] = sequence
    end)
    lines[#lines + 1] = table.concat(current)
    return lines
end

-- Groups ------------------------------------------------------------------------------------------

---@class orrery.repl.FoldGroup
---@field names string[]
---@field text string
---@field failed boolean
---@field first integer

local function before(a, b)
    if #a.names ~= #b.names then return #a.names < #b.names end
    if a.failed ~= b.failed then return a.failed end
    return a.first < b.first
end

local function grouped(list)
    local groups, by_key = {}, {}
    for i, answer in ipairs(list) do
        local failed = answer.kind == "error"
        local key = (failed and "e" or "v") .. answer.text
        local group = by_key[key]
        if not group then
            group = { names = {}, text = answer.text, failed = failed, first = i }
            by_key[key], groups[#groups + 1] = group, group
        end
        table.insert(group.names, text.flat(answer.name))
    end
    table.sort(groups, before)
    return groups
end

-- "web[1-3],db1 (4 hosts):", broken behind commas.
local function heading(names, count, room)
    local head = count > 1 and ("%s (%d hosts):"):format(names, count) or names .. ":"
    local lines, current = {}, ""
    for piece in head:gmatch "[^,]*,?" do
        if current ~= "" and width.of(current) + width.of(piece) > room then
            lines[#lines + 1] = current
            current = HANGING
        end
        current = current .. piece
    end
    lines[#lines + 1] = current
    return lines
end

local function add_group(out, group, opts)
    local function paint(colour, line) return sgr.paint(opts.colour and colour, line) end
    local said = M.harmless(group.text):gsub("\n$", "")
    local nothing = said == ""
    if nothing then said = "no value" end
    local function paint_text(line)
        if nothing then return paint(DIM, line) end
        return group.failed and not line:find "\27" and paint(RED, line) or line
    end
    local colour, names = group.failed and RED or BOLD, hosts.fold(group.names)
    if not said:find "[\n\t]" and width.of(names) + 2 + width.of(without_colours(said)) <= opts.width then
        out[#out + 1] = paint(colour, names .. ":") .. " " .. paint_text(said)
        return
    end
    for _, line in ipairs(heading(names, #group.names, opts.width)) do out[#out + 1] = paint(colour, line) end
    for line in (said .. "\n"):gmatch "(.-)\n" do
        for _, part in ipairs(wrapped(line:gsub("\t", "    "), math.max(LEAST, opts.width - #INDENT))) do
            out[#out + 1] = part == "" and "" or INDENT .. paint_text(part)
        end
    end
end

--- Answers, each once, with the hosts that gave it. Groups of few hosts come first; of as many, those that failed.
---@param list orrery.repl.Answer[] in the order of the hosts
---@param opts? orrery.repl.FoldOptions
---@return string text without a newline at its end; "" where nobody had anything to say
---Raises "option".
function M.format(list, opts)
    opts = options.check("fold.format", opts, SCHEMA)
    local groups, out = grouped(list), {}
    if #groups == 1 and groups[1].text == "" and not groups[1].failed then return "" end
    for _, group in ipairs(groups) do add_group(out, group, opts) end
    return table.concat(out, "\n")
end

return M
