--- Rounds, tables, JSON: `report.run` runs what a bench describes and shows what came of it.

local json = require "lib.json"
local run = require "lib.run"
local stats = require "lib.stats"

local M = {}

---@class bench.Subject something that is measured
---@field name string
---@field figures fun(place: bench.Place): table<string, number>?, string[]? one round: figures by name, and
---notes; nil where it failed
---@field peer? boolean not ours, so that its failure is not one of the bench
---@field once? boolean at the first place only: pinning means nothing to it

---@class bench.Row
---@field [1] string what is shown at its left
---@field [2] string? the name of a subject; without one, the row is a headline or says "not yet"
---@field [3] string? what its figures' names begin with
---@field note? string shown instead of figures

---@class bench.Table
---@field title string
---@field columns { [1]: string, [2]: string, [3]: string? }[] headline, name of the figure, format
---@field rows bench.Row[]
---@field ratios? { [1]: string, [2]: string, [3]: string? }[] headline, subject and prefix that the first
---column is divided by
---@field once? boolean at the first place only

---@class bench.Bench
---@field name string
---@field rounds integer how many by default
---@field places? bench.Place[]
---@field subjects bench.Subject[]
---@field tables bench.Table[]

-- Measuring ---------------------------------------------------------------------------------------

-- Values by place, subject, figure: one for each round, false where it failed.
local function collect(bench, rounds, places)
    local values, notes, seen, failed = {}, {}, {}, false
    local function note(subject, text)
        local line = subject.name .. ": " .. text
        if not seen[line] then
            seen[line] = true
            notes[#notes + 1] = line
        end
    end
    local function measure(round, place, subject)
        local figures, said = subject.figures(place)
        for _, text in ipairs(said or {}) do note(subject, text) end
        failed = failed or not (figures or subject.peer)
        local mine = values[place.name][subject.name] or {}
        values[place.name][subject.name] = mine
        for name, value in pairs(figures or {}) do
            mine[name] = mine[name] or {}
            mine[name][round] = value
        end
    end
    for _, place in ipairs(places) do values[place.name] = {} end
    for round = 1, rounds do
        for index, place in ipairs(places) do
            for _, subject in ipairs(bench.subjects) do
                if index == 1 or not subject.once then measure(round, place, subject) end
            end
        end
    end
    return values, notes, failed
end

local function series(values, place, subject, figure)
    local of = values[place.name][subject]
    return of and of[figure]
end

local function present(list, rounds)
    local found = {}
    for round = 1, rounds do
        if list and list[round] then found[#found + 1] = list[round] end
    end
    return found
end

-- The median of the ratios of each round: what disturbs a round disturbs both.
local function ratio(mine, other, rounds)
    local ratios = {}
    for round = 1, rounds do
        local a, b = mine and mine[round], other and other[round]
        if a and b and b ~= 0 then ratios[#ratios + 1] = a / b end
    end
    return stats.median(ratios)
end

-- Tables ------------------------------------------------------------------------------------------

local function number(value, format)
    if not value then return "-" end
    if format then return format:format(value) end
    local size = math.abs(value)
    if size >= 100 or size == 0 then return ("%.0f"):format(value) end
    return (size >= 10 and "%.1f" or "%.2f"):format(value)
end

local function ratio_of(row, entry, mine, values, place, column, rounds)
    local subject, prefix = entry[2], entry[3] or ""
    if row[2] == subject and (row[3] or "") == prefix then return nil end
    return ratio(mine, series(values, place, subject, prefix .. column[2]), rounds)
end

-- One row as cells for people and as a record for machines.
local function fill(row, table_, values, place, rounds)
    local cells, record = { row[1] }, { name = row[1], figures = {}, ratios = {} }
    if not row[2] then
        cells[2] = row.note or ""
        return cells, row.note and { name = row[1], note = row.note }
    end
    for i, column in ipairs(table_.columns) do
        local list = present(series(values, place, row[2], (row[3] or "") .. column[2]), rounds)
        local median = stats.median(list)
        cells[i + 1] = number(median, column[3])
        if median then
            record.figures[column[1]] = {
                median = median, min = math.min(unpack(list)), max = math.max(unpack(list)), rounds = list,
            }
        end
    end
    local first = table_.columns[1]
    local mine = series(values, place, row[2], (row[3] or "") .. first[2])
    for _, entry in ipairs(table_.ratios or {}) do
        local value = ratio_of(row, entry, mine, values, place, first, rounds)
        cells[#cells + 1] = value and ("%.2f"):format(value) or ""
        record.ratios[entry[1]] = value
    end
    record.ratios = next(record.ratios) and record.ratios or nil
    return cells, record
end

local function widths_of(lines)
    local widths = {}
    for _, cells in ipairs(lines) do
        -- What stands alone, a headline or a remark, takes the room of the columns that it leaves free.
        for i = 1, #cells > 2 and #cells or 1 do widths[i] = math.max(widths[i] or 0, #cells[i]) end
    end
    return widths
end

local function print_lines(lines)
    local widths = widths_of(lines)
    for _, cells in ipairs(lines) do
        local parts = {}
        for i, cell in ipairs(cells) do
            local left = i == 1 or #cells == 2
            parts[i] = ("%" .. (left and "-" or "") .. (widths[i] or 0) .. "s"):format(cell)
        end
        print("  " .. (table.concat(parts, "  "):gsub("%s+$", "")))
    end
end

local function show(table_, values, place, rounds)
    local head = { "" }
    for _, column in ipairs(table_.columns) do head[#head + 1] = column[1] end
    for _, entry in ipairs(table_.ratios or {}) do head[#head + 1] = entry[1] end
    local lines, records = { head }, {}
    for _, row in ipairs(table_.rows) do
        local cells, record = fill(row, table_, values, place, rounds)
        lines[#lines + 1] = cells
        records[#records + 1] = record or nil
    end
    print(("\n%s -- %s"):format(table_.title, place.name))
    print_lines(lines)
    return { title = table_.title, place = place.name, rows = records }
end

-- The whole ---------------------------------------------------------------------------------------

local function machine()
    local cpu = run.slurp("/proc/cpuinfo"):match("model name%s*:%s*([^\n]*)")
    local _, cpus = run.slurp("/proc/cpuinfo"):gsub("\nprocessor%s*:", "")
    return {
        kernel = run.slurp("/proc/sys/kernel/osrelease"):match("%S+"), cpu = cpu, cpus = cpus + 1,
        load = tonumber(run.slurp("/proc/loadavg"):match("%S+")),
    }
end

local function write_json(path, document)
    local file = assert(io.open(path, "w"))
    file:write(json.encode(document), "\n")
    file:close()
end

--- Measures, prints the tables, writes NAME.json. Ends the process: status 1 where something of ours
--- failed.
---@param bench bench.Bench
function M.run(bench)
    local places = bench.places or run.places
    local rounds = tonumber(os.getenv("BENCH_ROUNDS") or bench.rounds)
    local start = run.now()
    local before = machine()
    local values, notes, failed = collect(bench, rounds, places)
    print(("%s: medians of %d rounds, taken in turn, in %.0f s"):format(bench.name, rounds, run.now() - start))
    local tables = {}
    for _, table_ in ipairs(bench.tables) do
        for index, place in ipairs(places) do
            if index == 1 or not table_.once then
                tables[#tables + 1] = show(table_, values, place, rounds)
            end
        end
    end
    if #notes > 0 then print() end
    for _, text in ipairs(notes) do print("  note: " .. text) end
    write_json(("%s/%s.json"):format(os.getenv("BENCH_OUT"), bench.name), {
        bench = bench.name, date = os.date("!%Y-%m-%dT%H:%M:%SZ"), rounds = rounds, machine = before,
        revision = os.getenv("BENCH_REVISION"), tables = tables, notes = notes,
    })
    os.exit(failed and 1 or 0)
end

return M
