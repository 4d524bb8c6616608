--- The end of a run for a person: counts per host, who failed of what, and how to go on.

local fold = require("orrery.play.inventory.fold").fold
local problem = require "orrery.play.views.problem"
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

local M = {}

local STATUS = { [1] = "failed", [2] = "failed", [130] = "interrupted" } -- of the process
local ROWS = 30 -- with more hosts than that, those with the same counts share a row
local WIDEST = 40
local MARGIN = (" "):rep(10)
local COLUMNS = { "ok", "changed", "unknown", "skipped", "ignored", "failed", "lost" }
local ALWAYS = { ok = true, changed = true, failed = true }

---@class orrery.play.views.RecapOptions
---@field paint fun(word: string, text: string): string
---@field columns? integer of the terminal
---@field playbook? string

local function rows_of(tally)
    local rows, by_key = {}, {}
    local many = #tally.names > ROWS
    for _, name in ipairs(tally.names) do
        local host, key = tally.hosts[name], name
        if many then
            local counts = {}
            for i, column in ipairs(COLUMNS) do counts[i] = host.counts[column] end
            key = table.concat(counts, " ") .. (#host.failures > 0 and " bad" or "")
        end
        local row = by_key[key]
        if not row then
            row = { names = {}, counts = host.counts, bad = #host.failures > 0 }
            by_key[key], rows[#rows + 1] = row, row
        end
        table.insert(row.names, name)
    end
    if many then -- the exceptions first
        table.sort(rows, function(a, b)
            if a.bad ~= b.bad then return a.bad end
            if #a.names ~= #b.names then return #a.names < #b.names end
            return a.names[1] < b.names[1]
        end)
    end
    return rows
end

-- What a row is called, within so many columns if that is said; how many hosts it is for is never cut.
local function label(row, room)
    local names, count = text.flat(fold(row.names)), ""
    if #row.names > 1 then count = (" (%d)"):format(#row.names) end
    return (room and width.cut(names, math.max(2, room - #count)) or names) .. count
end

local function shown_columns(tally)
    local columns = {}
    for _, column in ipairs(COLUMNS) do
        if ALWAYS[column] or tally:total(column) > 0 then columns[#columns + 1] = column end
    end
    return columns
end

---@class orrery.play.views.RecapTable
---@field columns string[]
---@field room integer for names
---@field gap integer
---@field fixed boolean there is no more room than that

local function cell_width(column, layout) return math.max(#column, layout.gap + 3) + layout.gap end

local function layout_of(tally, rows, opts)
    local layout = { columns = shown_columns(tally), room = 4, gap = 2, fixed = opts.columns ~= nil }
    for _, row in ipairs(rows) do layout.room = math.max(layout.room, math.min(WIDEST, width.of(label(row)))) end
    if not opts.columns then return layout end
    for gap = 2, 1, -1 do
        local others = 0
        layout.gap = gap
        for _, column in ipairs(layout.columns) do others = others + cell_width(column, layout) end
        local room = opts.columns - 1 - others
        if room >= math.min(10, layout.room) then
            layout.room = math.min(layout.room, room)
            return layout
        end
    end
end

local function header(layout, paint)
    local line = width.pad("", layout.room)
    for _, column in ipairs(layout.columns) do line = line .. width.pad(column, cell_width(column, layout), true) end
    return paint("dim", line)
end

local function row_line(row, layout, paint)
    local name, word = label(row, layout.fixed and layout.room), row.bad and "failed" or "plain"
    local fits = width.of(name) <= layout.room
    local line = fits and paint(word, width.pad(name, layout.room)) or (" "):rep(layout.room)
    for _, column in ipairs(layout.columns) do
        local n = row.counts[column]
        local cell = width.pad(n == 0 and "-" or ("%d"):format(n), cell_width(column, layout), true)
        line = line .. paint(n == 0 and "dim" or column, cell)
    end
    if fits then return { line } end
    return { paint(word, name), line }
end

-- Where no table fits: "web1  4 ok, 6 changed".
local function words_line(row, columns, opts)
    local words = {}
    for _, column in ipairs(columns) do
        local n = row.counts[column]
        if n > 0 then words[#words + 1] = ("%d %s"):format(n, column) end
    end
    return width.cut(label(row, 16) .. "  " .. table.concat(words, ", "), opts.columns - 1)
end

local function add_table(lines, tally, opts)
    local rows = rows_of(tally)
    local layout = layout_of(tally, rows, opts)
    if layout then lines[#lines + 1] = header(layout, opts.paint) end
    for _, row in ipairs(rows) do
        local shown = layout and row_line(row, layout, opts.paint) or { words_line(row, shown_columns(tally), opts) }
        for _, line in ipairs(shown) do lines[#lines + 1] = line end
    end
end

-- Hosts that failed of the same are one entry.
local function failures_of(tally)
    local groups, by_key = {}, {}
    for _, host in ipairs(tally:failed()) do
        for _, failure in ipairs(host.failures) do
            local message = problem.general(failure.error, host.name)
            local key = text.key(failure.status, failure.step, failure.name, message)
            local group = by_key[key]
            if not group then
                group = { failure = failure, names = {} }
                by_key[key], groups[#groups + 1] = group, group
            end
            table.insert(group.names, host.name)
        end
    end
    return groups
end

local function wrapped(shown, opts)
    return opts.columns and width.wrap(shown, opts.columns - 11) or { shown }
end

local function add_failures(lines, tally, opts)
    for _, group in ipairs(failures_of(tally)) do
        local failure, names = group.failure, text.flat(fold(group.names))
        local where = failure.name and ": " .. failure.name or ""
        if failure.at then where = ("%s (%s)"):format(where, text.flat(failure.at)) end
        local many = #group.names > 1 and (" (%d)"):format(#group.names) or ""
        local margin = opts.paint(failure.status, width.pad(failure.status, 9)) .. " "
        for _, line in ipairs(wrapped(names .. many .. where, opts)) do
            lines[#lines + 1] = margin .. line
            margin = MARGIN
        end
        local message = text.printable(problem.message(failure.error))
        for _, line in ipairs(wrapped(message, opts)) do lines[#lines + 1] = MARGIN .. line end
    end
end

local function quote(word)
    if word:find "^[%w_./:@%%+=,-]+$" then return word end
    return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function summary(tally, opts)
    local ended, failed = tally.ended or {}, #tally:failed()
    local status = ended.status
    if type(status) ~= "string" then status = STATUS[status] or (failed > 0 and "failed" or "ok") end
    local hosts = text.count(#tally.names, "host")
    if failed > 0 then hosts = ("%d of %s"):format(failed, hosts) end
    local words = { hosts }
    if ended.seconds then words[#words + 1] = text.duration(ended.seconds) end
    if tally.run and tally.run.check then words[#words + 1] = "check mode: nothing was changed" end
    return ("%s  %s: %s"):format(opts.paint("bold", "recap"), opts.paint(status, status), table.concat(words, ", "))
end

--- The lines of it.
---@param tally orrery.play.views.Tally
---@param opts orrery.play.views.RecapOptions
---@return string[]
function M.lines(tally, opts)
    local lines = { summary(tally, opts), "" }
    if #tally.names > 0 then add_table(lines, tally, opts) end
    if #tally:failed() > 0 then
        lines[#lines + 1] = ""
        add_failures(lines, tally, opts)
        local run = tally.run or {}
        local playbook = opts.playbook or run.playbook and quote(text.flat(run.playbook))
        if playbook and run.recorded ~= false then
            lines[#lines + 1] = ""
            lines[#lines + 1] = ("go on with: orrery play --failed %s"):format(text.flat(playbook))
        end
    end
    return lines
end

return M
