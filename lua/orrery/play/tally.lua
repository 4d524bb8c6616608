--- The recap of a run: what each host's steps came to, counted from the events.

local M = {}

---@class orrery.play.Count
---@field ok integer
---@field changed integer
---@field failed integer
---@field skipped integer
---@field unknown integer
---@field ignored integer
---@field lost integer

---@class orrery.play.Tally
---@field hosts table<string, orrery.play.Count>
---@field ended table<string, "failed"|"lost"> hosts that did not come to a play's end
---@field package open table<string, integer> failures of a host in this play
local Tally = {}
Tally.__index = Tally

--- What holds other steps is no step of its own: what is in it counts.
local HOLDERS = { task = true, batch = true, apply = true }

---@return orrery.play.Tally
function M.new() return setmetatable({ hosts = {}, ended = {}, open = {} }, Tally) end

---@param host string
---@return orrery.play.Count
function Tally:of(host)
    local count = self.hosts[host]
    if not count then
        count = { ok = 0, changed = 0, failed = 0, skipped = 0, unknown = 0, ignored = 0, lost = 0 }
        self.hosts[host] = count
    end
    return count
end

local on = {}

function on.host_start(self, event)
    self:of(event.host)
    self.open[event.host] = 0
end

function on.step_end(self, event)
    local count = self:of(event.host)
    if not count[event.status] or HOLDERS[event.resource or ""] then return end
    count[event.status] = count[event.status] + 1
    if event.status == "failed" then self.open[event.host] = (self.open[event.host] or 0) + 1 end
end

function on.host_end(self, event)
    local count, failures = self:of(event.host), self.open[event.host] or 0
    self.open[event.host] = 0
    if event.status == "ok" then
        -- The play caught them, and went on.
        count.failed, count.ignored = count.failed - failures, count.ignored + failures
    elseif event.status == "lost" then
        count.lost, self.ended[event.host] = count.lost + 1, "lost"
    elseif event.status == "failed" then
        -- What the play's function raises itself is no step's failure.
        if failures == 0 then count.failed = count.failed + 1 end
        self.ended[event.host] = "failed"
    end
end

---@param event table
function Tally:event(event)
    local count = on[event.event]
    if count then count(self, event) end
end

--- What the hosts come to, as the exit status has it.
---@return integer 0 all is well, 2 some host failed, 3 some host was not reached, or was lost
function Tally:status()
    local status = 0
    for _, how in pairs(self.ended) do
        if how == "lost" then return 3 end
        status = 2
    end
    return status
end

return M
