--- The end of a run for a person: counts per host, who failed of what, and how to go on.

local fold = require "orrery.play.views.fold"
local problem = require "orrery.play.views.problem"
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

local M = {}

local ROWS = 30 -- with more hosts than that, those with the same counts share a row
local WIDEST = 40
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
            for i, column in ipairs(COLUMNS) do counts[i] = host.counts[column] or 0 end
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

local function label(row)
    local names = text.flat(fold(row.names))
    return #row.names > 1 and ("%s (%d)"):format(names, #row.names) or names
end

local function shown_columns(tally)
    local columns = {}
    for _, column in ipairs(COLUMNS) do
        if ALWAYS[column] or tally:total(column) > 0 then columns[#columns + 1] = column end
    end
    return columns
end

local function header(columns, room, paint)
    local line = width.pad("", room)
    for _, column in ipairs(columns) do line = line .. width.pad(column, math.max(#column, 5) + 2, true) end
    return paint("dim", line)
end

local function row_line(row, columns, room, paint)
    local name = label(row)
    local fits = width.of(name) <= room
    local line = fits and paint(row.bad and "failed" or "plain", width.pad(name, room)) or (" "):rep(room)
    for _, column in ipairs(columns) do
        local n = row.counts[column] or 0
        local cell = width.pad(n == 0 and "-" or ("%d"):format(n), math.max(#column, 5) + 2, true)
        line = line .. paint(n == 0 and "dim" or column, cell)
    end
    if fits then return { line } end
    return { paint(row.bad and "failed" or "plain", name), line }
end

local function add_table(lines, tally, opts)
    local columns, rows, room = shown_columns(tally), rows_of(tally), 4
    for _, row in ipairs(rows) do room = math.max(room, math.min(WIDEST, width.of(label(row)))) end
    local others = 0
    for _, column in ipairs(columns) do others = others + math.max(#column, 5) + 2 end
    if opts.columns then room = math.max(8, math.min(room, opts.columns - 1 - others)) end
    lines[#lines + 1] = header(columns, room, opts.paint)
    for _, row in ipairs(rows) do
        for _, line in ipairs(row_line(row, columns, room, opts.paint)) do lines[#lines + 1] = line end
    end
end

-- Hosts that failed of the same are one entry.
local function failures_of(tally)
    local groups, by_key = {}, {}
    for _, host in ipairs(tally:failed()) do
        for _, failure in ipairs(host.failures) do
            local key = text.key(failure.status, failure.step, failure.name, problem.message(failure.error))
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

local function add_failures(lines, tally, opts)
    local groups = failures_of(tally)
    for _, group in ipairs(groups) do
        local failure, names = group.failure, text.flat(fold(group.names))
        local where = failure.name and ": " .. failure.name or ""
        if failure.at then where = ("%s (%s)"):format(where, text.flat(failure.at)) end
        local many = #group.names > 1 and (" (%d)"):format(#group.names) or ""
        lines[#lines + 1] = opts.paint(failure.status, width.pad(failure.status, 9)) .. " " .. names .. many .. where
        lines[#lines + 1] = (" "):rep(10) .. text.printable(problem.message(failure.error))
    end
    return #groups > 0
end

local function quote(word)
    if word:find "^[%w_./:@%%+=,-]+$" then return word end
    return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function summary(tally, opts)
    local ended, failed = tally.ended or {}, #tally:failed()
    local status = ended.status or (failed > 0 and "failed" or "ok")
    local words = {
        opts.paint(status, status),
        text.count(#tally.names, "host"),
    }
    if failed > 0 then words[#words + 1] = ("%d failed"):format(failed) end
    if ended.seconds then words[#words + 1] = text.duration(ended.seconds) end
    if tally.run and tally.run.check then words[#words + 1] = "check mode: nothing was changed" end
    return opts.paint("bold", "recap") .. "  " .. table.concat(words, ", ")
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
        local playbook = opts.playbook or tally.run and tally.run.playbook
        if playbook then
            lines[#lines + 1] = ""
            lines[#lines + 1] = ("go on with: orrery play %s --failed"):format(quote(text.flat(playbook)))
        end
    end
    return lines
end

return M
