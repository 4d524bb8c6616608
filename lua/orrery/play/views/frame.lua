--- The region at the bottom of the terminal: what runs now, in as many lines as there are.
--
-- Where there are more hosts at work than lines, it is the steps they are at, with counts, and those that have
-- been at theirs for the longest time.

local fold = require("orrery.play.inventory.fold").fold
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

local M = {}

local LEAST_ROWS, LEAST_COLUMNS = 6, 16
local NAME, STEP = 28, 44   -- most columns for a host's name, a step's
local BAR = 24              -- columns of a bar, where there is room
local ELAPSED = 7
local BETWEEN = "(between steps)"
local SLOWEST = 10          -- hosts below the steps

---@class orrery.play.views.Glyphs
---@field dot string
---@field full string
---@field empty string
---@field more string

--- By whether the locale is one of UTF-8.
---@type table<boolean, orrery.play.views.Glyphs>
M.GLYPHS = {
    [true] = { dot = " · ", full = "━", empty = "─", more = "…" },
    [false] = { dot = ", ", full = "=", empty = "-", more = "~" },
}

---@class orrery.play.views.FrameOptions
---@field columns integer
---@field rows integer of the terminal
---@field now number
---@field paint fun(word: string, text: string): string
---@field glyphs orrery.play.views.Glyphs

--- How many lines of a terminal are ours.
---@param rows integer
---@return integer 0: it is too small
function M.room(rows)
    if rows < LEAST_ROWS then return 0 end
    return math.min(rows - 3, math.max(8, math.floor(rows * 0.6)))
end

-- Pieces ------------------------------------------------------------------------------------------

-- Texts with a colour each, that together are one line of a terminal.
local Pieces = {}
Pieces.__index = Pieces

local function pieces(room, paint) return setmetatable({ room = room, paint = paint, out = {}, used = 0 }, Pieces) end

function Pieces:add(word, shown)
    shown = width.cut(shown, self.room - self.used)
    self.used = self.used + width.of(shown)
    self.out[#self.out + 1] = self.paint(word, shown)
    return self
end

function Pieces:left() return self.room - self.used end

function Pieces:line() return (table.concat(self.out):gsub(" +$", "")) end

local function since(seconds)
    return seconds < 60 and ("%ds"):format(math.floor(seconds)) or text.clock(seconds)
end

local function elapsed(seconds) return seconds < 1 and "" or since(seconds) end

local function bar(done, total, columns, glyphs)
    local full = math.floor(columns * math.min(1, total > 0 and done / total or 1) + 0.5)
    return glyphs.full:rep(full), glyphs.empty:rep(columns - full)
end

-- "━━━━────  62%  30 MiB of 48 MiB", or as much of it as there is room for.
local function add_progress(line, done, total, glyphs)
    local part = total > 0 and math.min(1, done / total) or 1
    local columns = math.min(BAR, line:left() - 6)
    if columns >= 6 then
        local full, empty = bar(done, total, columns, glyphs)
        line:add("running", full):add("dim", empty)
        line:add("plain", (" %3d%%"):format(math.floor(part * 100)))
        local sizes = ("  %s of %s"):format(text.bytes(done), text.bytes(total))
        if line:left() >= #sizes then line:add("dim", sizes) end
    elseif line:left() >= 4 then
        line:add("plain", ("%3d%%"):format(math.floor(part * 100)))
    end
end

-- What is counted ---------------------------------------------------------------------------------

local function at_work(tally)
    local hosts = {}
    local play = tally.play
    for _, name in ipairs(play and play.hosts or {}) do
        local host = tally.hosts[name]
        if host and host.state == "running" then hosts[#hosts + 1] = host end
    end
    return hosts
end

local function states(tally)
    local counts = { running = 0, waiting = 0, ok = 0, failed = 0, lost = 0, cancelled = 0 }
    for _, name in ipairs(tally.play.hosts) do
        local host = tally.hosts[name]
        local word = host.state == "ended" and host.status or host.state
        counts[word] = (counts[word] or 0) + 1
    end
    return counts
end

local SHOWN = { "failed", "lost", "cancelled", "running", "waiting", "ok" }
local WORDS = { ok = "done" }

-- "── web tier  3 failed · 17 running · 1:05 ─────"
local function header(tally, opts)
    local line, play = pieces(opts.columns - 1, opts.paint), tally.play
    local counts, tail = states(tally), {}
    for _, word in ipairs(SHOWN) do
        if counts[word] > 0 then tail[#tail + 1] = { word, ("%d %s"):format(counts[word], WORDS[word] or word) } end
    end
    tail[#tail + 1] = { "dim", since(math.max(0, opts.now - play.since)) }
    local size = 0
    for _, part in ipairs(tail) do size = size + width.of(part[2]) + width.of(opts.glyphs.dot) end
    local name, rule = play.name ~= "" and text.flat(play.name) or "play", opts.glyphs.empty
    line:add("dim", rule:rep(2) .. " "):add("bold", width.cut(name, math.max(6, line:left() - size - 1)))
    for i, part in ipairs(tail) do
        line:add("dim", i == 1 and "  " or opts.glyphs.dot)
        line:add(part[1] == "waiting" and "dim" or part[1], part[2])
    end
    if line:left() > 1 then line:add("dim", " " .. rule:rep(line:left() - 1)) end
    return line:line()
end

-- Hosts -------------------------------------------------------------------------------------------

local function shown_step(host)
    local running = host.running[#host.running]
    return running and running.name or "", running
end

local function host_line(host, opts, name_room, step_room)
    local line = pieces(opts.columns - 1, opts.paint)
    local step, running = shown_step(host)
    line:add("plain", width.pad(text.flat(host.name), name_room) .. "  ")
    line:add(running and "plain" or "dim", width.pad(running and step or BETWEEN, step_room))
    line:add("dim", width.pad(elapsed(opts.now - host.since), ELAPSED, true))
    if line:left() <= 2 then return line:line() end
    if running and running.done and running.total then
        line:add("plain", "  ")
        add_progress(line, running.done, running.total, opts.glyphs)
    elseif running and running.line and line:left() > 8 then
        line:add("plain", "  "):add("dim", text.flat(running.line))
    end
    return line:line()
end

local function widest(hosts, of)
    local most = 0
    for _, host in ipairs(hosts) do most = math.max(most, width.of(of(host))) end
    return most
end

-- Columns for a host's name and its step. The step's do not change while the run goes on but to grow.
local function columns_of(hosts, tally, opts)
    local room = opts.columns - 1 - ELAPSED - 2
    local names = widest(hosts, function(host) return text.flat(host.name) end)
    names = math.min(names, NAME, math.max(6, math.floor(room * 0.4)))
    local rest = room - names
    local most = opts.columns >= 60 and math.floor(rest * 0.55) or rest - 6
    return names, math.max(8, math.min(math.max(tally.widest, #BETWEEN), STEP, most))
end

local function add_hosts(lines, hosts, tally, opts)
    local names, steps = columns_of(hosts, tally, opts)
    for _, host in ipairs(hosts) do lines[#lines + 1] = host_line(host, opts, names, steps) end
end

-- Steps -------------------------------------------------------------------------------------------

---@class orrery.play.views.AtStep
---@field name string
---@field step any
---@field names string[]
---@field done number
---@field total number

local function by_step(hosts)
    local groups, by_key = {}, {}
    for _, host in ipairs(hosts) do
        local name, running = shown_step(host)
        local key = text.key(name, running and running.step)
        local group = by_key[key]
        if not group then
            group = { name = running and name or BETWEEN, names = {}, done = 0, total = 0, order = #groups }
            by_key[key], groups[#groups + 1] = group, group
        end
        table.insert(group.names, host.name)
        if running and running.total then
            group.done, group.total = group.done + (running.done or 0), group.total + running.total
        end
    end
    table.sort(groups, function(a, b)
        if #a.names ~= #b.names then return #a.names > #b.names end
        return a.order < b.order
    end)
    return groups
end

local function step_line(group, opts, step_room)
    local line = pieces(opts.columns - 1, opts.paint)
    line:add("bold", ("%5d"):format(#group.names))
    line:add("plain", "  " .. width.pad(group.name, step_room) .. "  ")
    if group.total > 0 then
        add_progress(line, group.done, group.total, opts.glyphs)
    else
        line:add("dim", text.flat(fold(group.names)))
    end
    return line:line()
end

local function slowest(hosts, count)
    local list = {}
    for i, host in ipairs(hosts) do list[i] = { host = host, order = i } end
    table.sort(list, function(a, b)
        if a.host.since ~= b.host.since then return a.host.since < b.host.since end
        return a.order < b.order
    end)
    local out = {}
    for i = 1, math.min(count, #list) do out[i] = list[i].host end
    return out
end

local function add_folded(lines, hosts, tally, opts, room)
    local groups = by_step(hosts)
    local most = math.max(1, math.min(#groups, math.floor(room * 0.55)))
    local steps = math.max(8, math.min(math.max(tally.widest, #BETWEEN), STEP, math.floor((opts.columns - 10) * 0.6)))
    for i = 1, most do
        local group = groups[i]
        if i == most and #groups > most then
            local others = 0
            for j = i, #groups do others = others + #groups[j].names end
            group = { name = ("at %d other steps"):format(#groups - most + 1), names = {}, total = 0 }
            lines[#lines + 1] = pieces(opts.columns - 1, opts.paint):add("bold", ("%5d"):format(others))
                :add("dim", "  " .. group.name):line()
        else
            lines[#lines + 1] = step_line(group, opts, steps)
        end
    end
    local left = math.min(SLOWEST, room - most - 1)
    if left < 1 then return end
    lines[#lines + 1] = opts.paint("dim", width.cut("the longest at their step:", opts.columns - 1))
    add_hosts(lines, slowest(hosts, left), tally, opts)
end

--- The lines, none wider than the terminal but one column.
---@param tally orrery.play.views.Tally
---@param opts orrery.play.views.FrameOptions
---@return string[]
function M.lines(tally, opts)
    local room = M.room(opts.rows)
    if room == 0 or opts.columns < LEAST_COLUMNS or not tally.play or tally.ended then return {} end
    local hosts = at_work(tally)
    if #hosts == 0 and tally.play.left <= 0 then return {} end
    local lines = { header(tally, opts) }
    if #hosts <= room - 1 then
        add_hosts(lines, hosts, tally, opts)
    else
        add_folded(lines, hosts, tally, opts, room - 1)
    end
    if opts.glyphs.more ~= "…" then
        for i, line in ipairs(lines) do lines[i] = line:gsub("…", opts.glyphs.more) end
    end
    return lines
end

return M
