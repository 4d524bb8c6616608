--- A report in one HTML page that needs nothing else: what failed, each step with what came of it on the hosts, a
--- timeline of each host, to be searched and filtered.
--
-- The page is made by its script from the data that are embedded as JSON; equal texts are there once. Nothing of a
-- run is ever markup: the script only makes text nodes, and the JSON has no character that HTML would take note of.

local changes = require "orrery.play.views.changes"
local json = require "orrery.json"
local problem = require "orrery.play.views.problem"
local report = require "orrery.play.views.report"
local text = require "orrery.play.views.text"

local M = {}

local LINES = 200               -- of output that are kept of a step: the last ones
local BUDGET = 6 * 1024 * 1024  -- bytes of texts; beyond, only what failed has any
local SKEW = 0.5                -- seconds by which a host's clock may be off before its times are set right

---@class orrery.play.views.Html
---@field path string
---@field texts string[]
---@field index table<string, integer>
---@field size integer of the texts
---@field steps table[]
---@field step_index table<string, integer>
---@field hosts string[]
---@field host_index table<string, integer>
---@field runs table[]
---@field output table<string, string[]>
---@field skew table<string, number> by how much a host's clock is behind
local Html = {}
Html.__index = Html

---@param settings orrery.play.views.Settings
---@return orrery.play.views.Html
---Raises "file" where the report could not be written.
function M.new(settings)
    local path = assert(settings.report, "a report needs a path")
    report.check(path)
    local found, sys = pcall(require, "orrery.sys")
    local time = settings.time
    if time == nil and found then time = sys.time end
    return setmetatable({
        path = path, texts = {}, index = {}, size = 0, steps = {}, step_index = {}, hosts = {}, host_index = {},
        runs = {}, output = {}, begun = {}, plays = {}, play_index = {}, messages = {}, ends = {}, skew = {},
        run = {}, ended = {}, time = time,
    }, Html)
end

-- Numbers for what comes again and again; 0 is nothing.

---@private
function Html:intern(said, always)
    if said == nil or said == "" then return 0 end
    local known = self.index[said]
    if known then return known end
    if self.size > BUDGET and not always then return self:intern("(left out: the report is too large)", true) end
    self.size = self.size + #said
    self.texts[#self.texts + 1] = said
    self.index[said] = #self.texts
    return #self.texts
end

---@private
function Html:host(name)
    local number = self.host_index[name]
    if not number then
        self.hosts[#self.hosts + 1] = text.flat(name)
        number = #self.hosts
        self.host_index[name] = number
    end
    return number
end

---@private
function Html:step(e)
    local key = text.key(e.play, e.step, text.step_name(e))
    local number = self.step_index[key]
    if not number then
        self.steps[#self.steps + 1] = {
            play = self.play_index[e.play] or 0, id = tostring(e.step), name = text.step_name(e),
            resource = e.resource, at = e.at, handler = e.handler or nil,
        }
        number = #self.steps
        self.step_index[key] = number
    end
    return number
end

-- Events ------------------------------------------------------------------------------------------

local on = {}

function on.run_start(self, e) self.run = e end
function on.run_end(self, e) self.ended = e end

function on.play_start(self, e)
    local hosts = json.array {}
    for i, name in ipairs(e.hosts or {}) do hosts[i] = self:host(name) end
    self.plays[#self.plays + 1] = { name = text.flat(e.name or ""), hosts = hosts, from = e.time }
    self.play_index[e.play] = #self.plays
end

function on.play_end(self, e)
    local play = self.plays[self.play_index[e.play]]
    if play then play.status, play.seconds = e.status, e.seconds end
end

function on.step_start(self, e)
    self:step(e)
    self.begun[text.key(e.host, e.step)] = e
end

function on.step_line(self, e)
    local key = text.key(e.host, e.step)
    local lines = self.output[key] or {}
    self.output[key] = lines
    lines[#lines + 1] = text.printable(e.line or "")
    if #lines > 2 * LINES then
        local kept = { "(the beginning is left out)" }
        for i = #lines - LINES + 1, #lines do kept[#kept + 1] = lines[i] end
        self.output[key] = kept
    end
end

local function lines_of(list)
    local out = {}
    for i, line in ipairs(list) do out[i] = line.text end
    return table.concat(out, "\n")
end

-- Where a script has a mistake, one wants to know how it got there.
local function shown(err, step)
    return lines_of(problem.lines(err, step, type(err) == "table" and err.code == "lua"))
end

---@private
function Html:error_of(e)
    if not e.error and e.status ~= "failed" then return 0 end
    return self:intern(shown(e.error or e.message, e), true)
end

function on.step_end(self, e)
    local key = text.key(e.host, e.step)
    local start, lines, bad = self.begun[key], self.output[key], text.IS_FAILURE[e.status]
    self.begun[key], self.output[key] = nil, nil
    local from = start and start.time or (e.time or 0) - (e.seconds or 0)
    if start and not e.at then e.at = start.at end
    self.runs[#self.runs + 1] = {
        self:step(e), self:host(e.host), text.RANK[e.status] or 0, from, e.seconds or 0,
        self:intern(e.message and lines_of { { text = text.utf8(tostring(e.message)) } }, bad), self:error_of(e),
        self:intern(e.diff and lines_of(changes.lines(e.diff)), bad),
        self:intern(lines and table.concat(lines, "\n"), bad), e.attempts or 1, e.host,
    }
end

function on.host_end(self, e)
    self.ends[#self.ends + 1] = {
        play = self.play_index[e.play] or 0, host = self:host(e.host), status = e.status, time = e.time,
        error = e.status ~= "ok" and self:intern(shown(e.error), true) or 0, name = e.host,
    }
end

function on.message(self, e)
    self.messages[#self.messages + 1] = {
        host = e.host and self:host(e.host) or 0, level = e.level, text = self:intern(tostring(e.text or ""), true),
        time = e.time, name = e.host,
    }
end

-- The event that took the shortest way says best how the clocks differ.
---@private
function Html:compare_clocks(e)
    if not (self.time and e.host and e.time) then return end
    local behind = self.time() - e.time
    local known = self.skew[e.host]
    if not known or behind < known then self.skew[e.host] = behind end
end

---@param e table
function Html:event(e)
    self:compare_clocks(e)
    local handle = on[e.event]
    if handle then handle(self, e) end
end

-- The page ----------------------------------------------------------------------------------------

---@private
function Html:correction(host)
    local skew = self.skew[host] or 0
    return math.abs(skew) > SKEW and skew or 0
end

-- Milliseconds since the run began.
local function ms(seconds) return math.max(0, math.floor(seconds * 1000 + 0.5)) end

---@private
function Html:data()
    local zero = self.run.time or self.plays[1] and self.plays[1].from or 0
    local runs, ends, last = json.array {}, json.array {}, 0
    for i, run in ipairs(self.runs) do
        local from, long = ms(run[4] + self:correction(run[11]) - zero), ms(run[5])
        runs[i] = { run[1], run[2], run[3], from, long, run[6], run[7], run[8], run[9], run[10] }
        last = math.max(last, from + long)
    end
    for i, e in ipairs(self.ends) do
        local at = e.time and ms(e.time + self:correction(e.name) - zero) or last
        ends[i] = { e.play, e.host, text.RANK[e.status] or 0, at, e.error }
        last = math.max(last, at)
    end
    local messages = json.array {}
    for i, m in ipairs(self.messages) do
        messages[i] = { host = m.host, level = m.level, text = m.text,
            at = ms((m.time or zero) + self:correction(m.name) - zero) }
    end
    for _, play in ipairs(self.plays) do play.from = ms((play.from or zero) - zero) end
    return {
        playbook = text.flat(self.run.playbook or "playbook"), check = self.run.check or false, time = zero,
        seconds = self.ended.seconds, ended = next(self.ended) ~= nil, last = last, statuses = text.STATUSES,
        texts = json.array(self.texts), hosts = json.array(self.hosts), steps = json.array(self.steps), runs = runs,
        ends = ends, plays = json.array(self.plays), messages = messages,
    }
end

local function escaped(s)
    return (text.utf8(s):gsub('[&<>"]', { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

---@return string
function Html:document()
    local data = self:data()
    local parts = {
        title = escaped(data.playbook), style = require "orrery.play.views.html.style",
        script = require "orrery.play.views.html.script" .. require "orrery.play.views.html.timeline",
        data = json.encode(data, { html = true }),
    }
    return (require("orrery.play.views.html.page"):gsub("@(%l+)@", parts))
end

function Html:finish() report.write(self.path, self:document()) end

return M
