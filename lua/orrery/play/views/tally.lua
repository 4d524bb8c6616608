--- What is known of a run from its events: plays, hosts, what each does now, counts, and who failed of what.
--
-- Views keep one each, so that they do not depend on one another.

local counting = require "orrery.play.tally"
local problem = require "orrery.play.views.problem"
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

local M = {}

--- A step that runs on a host.
---@class orrery.play.views.Running
---@field step string
---@field name string
---@field since number seconds since the epoch
---@field line? string the last line of its command
---@field done? number
---@field total? number

---@class orrery.play.views.Failure
---@field status string
---@field error any
---@field step? string
---@field name? string
---@field at? string

---@class orrery.play.views.Host
---@field name string
---@field counts orrery.play.Count
---@field running orrery.play.views.Running[] the innermost last
---@field state "waiting"|"running"|"ended"
---@field status? string of its last play
---@field failure? orrery.play.views.Failure the last step that failed
---@field failures orrery.play.views.Failure[] one for each play that did not end well
---@field since number when it began with its play, or changed its step

---@class orrery.play.views.Play
---@field id integer
---@field name string
---@field hosts string[]
---@field since number
---@field left integer hosts that have not ended

---@class orrery.play.views.Tally
---@field hosts table<string, orrery.play.views.Host>
---@field names string[] of the hosts, in the order in which they appeared
---@field run? table the event of its start
---@field ended? table the event of its end
---@field play? orrery.play.views.Play the current one
---@field plays table<any, orrery.play.views.Play>
---@field widest integer columns of the longest name of a step
---@field now number the time of the last event: of the clock, or its own
---@field clock? fun(): number
---@field package counted orrery.play.Tally
local Tally = {}
Tally.__index = Tally

---@param clock? fun(): number what `now` and each `since` are of; else of the events, whose clocks are the hosts'
---@return orrery.play.views.Tally
function M.new(clock)
    return setmetatable({
        clock = clock, hosts = {}, names = {}, plays = {}, now = 0, widest = 0, counted = counting.new(),
    }, Tally)
end

---@param name string
---@return orrery.play.views.Host
function Tally:host(name)
    local host = self.hosts[name]
    if not host then
        host = {
            name = name, counts = self.counted:of(name), running = {}, failures = {}, state = "waiting",
            since = self.now,
        }
        self.hosts[name], self.names[#self.names + 1] = host, name
    end
    return host
end

-- Whether a step failed of one that is a part of it.
---@param failure? orrery.play.views.Failure
---@param e table
---@return boolean
function M.is_same(failure, e)
    if not failure or failure.step == e.step then return false end
    local inner = tostring(failure.step):sub(1, #tostring(e.step) + 1) == tostring(e.step) .. "."
    return inner and problem.message(failure.error) == problem.message(e.error)
end

-- Whether a host ended because of this step, and not of something after it that is none.
local function is_cause(failure, e)
    if not failure or e.status ~= "failed" or type(e.error) ~= "table" then return true end
    return e.error.step == failure.step or problem.message(e.error) == problem.message(failure.error)
end

local function find(host, step)
    for i = #host.running, 1, -1 do
        if host.running[i].step == step then return host.running[i], i end
    end
end

local on = {}

function on.run_start(self, e) self.run = e end
function on.run_end(self, e) self.ended = e end

function on.play_start(self, e)
    local hosts = e.hosts or {}
    self.play = { id = e.play, name = e.name or "", hosts = hosts, since = self.now, left = #hosts }
    self.plays[e.play] = self.play
    for _, name in ipairs(hosts) do
        local host = self:host(name)
        host.state, host.status, host.running = "waiting", nil, {}
    end
end

function on.host_start(self, e)
    local host = self:host(e.host)
    host.state, host.status, host.failure, host.since = "running", nil, nil, self.now
end

function on.host_end(self, e)
    local host, play = self:host(e.host), self.plays[e.play]
    if host.state ~= "ended" and play then play.left = play.left - 1 end
    if not is_cause(host.failure, e) then host.failure = nil end
    local failure = host.failure or host.running[#host.running] or {}
    host.state, host.status, host.running = "ended", e.status, {}
    if e.status == "ok" then return end
    local error = e.error or failure.error
    host.failures[#host.failures + 1] = {
        status = e.status, error = error, name = failure.name, step = failure.step,
        at = failure.at or type(error) == "table" and error.at or nil,
    }
end

function on.step_start(self, e)
    local host = self:host(e.host)
    local running = { step = e.step, name = text.step_name(e), since = self.now }
    self.widest = math.max(self.widest, width.of(running.name))
    host.running[#host.running + 1], host.since, host.state = running, self.now, "running"
end

function on.step_line(self, e)
    local running = find(self:host(e.host), e.step)
    if running then running.line = e.line end
end

function on.step_progress(self, e)
    local running = find(self:host(e.host), e.step)
    if running then running.done, running.total = e.done, e.total end
end

function on.step_end(self, e)
    local host = self:host(e.host)
    local _, at = find(host, e.step)
    if at then table.remove(host.running, at) end
    host.since = self.now
    if e.status == "failed" and not M.is_same(host.failure, e) then
        local error = e.error
        host.failure = {
            status = "failed", error = error, step = e.step, name = text.step_name(e),
            at = type(error) == "table" and error.at or e.at,
        }
    end
end

---@param e table
function Tally:event(e)
    if self.clock then
        self.now = self.clock()
    elseif type(e.time) == "number" and e.time > self.now then
        self.now = e.time
    end
    self.counted:event(e)
    local handle = on[e.event]
    if handle then handle(self, e) end
end

--- The hosts that did not end well, in order; those that never ended, too, once the run is over.
---@return orrery.play.views.Host[]
function Tally:failed()
    local failed = {}
    for _, name in ipairs(self.names) do
        local host = self.hosts[name]
        if #host.failures > 0 then failed[#failed + 1] = host end
    end
    return failed
end

---@param status string
---@return integer
function Tally:total(status)
    local sum = 0
    for _, host in pairs(self.hosts) do sum = sum + host.counts[status] end
    return sum
end

return M
