--- What a record says about where each host stands, line by line: so that a run which failed, was stopped, or was
--- killed can be gone on with.
--
-- The lines are events, and some that only a record has:
--   begin  { version, inventory, failed, before }: the head; `before` is what was open when the run began
--   notify { play, host, handler }, paid { play, host, handler }: a handler is owed; it has run
--   at     { play, host, step, name, nth }: a step begins that can be gone on from
--   ending { play, host }: all steps are done, and handlers come
--   once   { play, name }: something that is done once in a play was done
--   end    { complete }: the playbook came to its end

local M = {}

---@class orrery.play.Standing where a host stands
---@field play integer
---@field done? boolean this play is over for it
---@field failed? string how it ended otherwise: "failed", "lost", "cancelled", "waiting"
---@field ending? boolean but for handlers, this play is
---@field id? string of the step that it was at, or failed at
---@field name? string of that
---@field nth? integer

---@class orrery.play.History
---@field head table
---@field plays table<integer, string> names of plays that began
---@field last integer the last of them
---@field hosts table<string, orrery.play.Standing>
---@field owed table<string, table<string, string[]>> handlers: by play's name, by host
---@field once table<string, table<string, true>> by play's name
---@field complete boolean
---@field lines integer
---@field package under table<string, table<string, table>> steps under way that would owe handlers, by host
local History = {}
History.__index = History

---@return orrery.play.History
function M.new()
    return setmetatable({
        head = {}, plays = {}, last = 0, hosts = {}, owed = {}, once = {}, complete = false, lines = 0, under = {},
    }, History)
end

local on = {}

function on.begin(self, line)
    self.head = line
    local before = type(line.before) == "table" and line.before or {}
    self.owed = before.owed or {}
    if not line.failed then return end
    self.hosts, self.once = before.hosts or {}, before.once or {}
end

function on.play_start(self, line)
    self.plays[line.play], self.last = line.key or line.name, math.max(self.last, line.play)
    for _, host in ipairs(line.hosts or {}) do
        local at = self.hosts[host]
        -- One that goes on in this play stands where it stood, until it gets further.
        if not at or at.play < line.play or at.done then self.hosts[host] = { play = line.play } end
    end
end

function on.at(self, line)
    local at = self.hosts[line.host]
    if at and at.ending and at.play == line.play then return end
    self.hosts[line.host] = { play = line.play, id = line.step, name = line.name, nth = line.nth }
end

-- A step says when it begins what it would owe. Where its end is missing, that is taken for granted.
function on.step_start(self, line)
    if not line.notify then return end
    self.under[line.host] = self.under[line.host] or {}
    self.under[line.host][line.step] = line
end

function on.step_end(self, line)
    if self.under[line.host] then self.under[line.host][line.step] = nil end
end

function on.ending(self, line) self.hosts[line.host] = { play = line.play, ending = true } end

function on.host_end(self, line)
    local at = self.hosts[line.host] or { play = line.play }
    if line.status == "ok" then at = { play = line.play, done = true } end
    self.hosts[line.host] = at
    if line.status ~= "ok" then at.failed = line.status end
end

local function debts(self, line, make)
    local play = self.plays[line.play] or ""
    local hosts = self.owed[play] or {}
    if make then self.owed[play] = hosts end
    local list = hosts[line.host] or {}
    if make then hosts[line.host] = list end
    return list, hosts, play
end

function on.notify(self, line)
    local list = debts(self, line, true)
    for _, name in ipairs(list) do
        if name == line.handler then return end
    end
    list[#list + 1] = line.handler
end

function on.paid(self, line)
    local list, hosts, play = debts(self, line, false)
    for i = #list, 1, -1 do
        if list[i] == line.handler then table.remove(list, i) end
    end
    if #list == 0 then hosts[line.host] = nil end
    if next(hosts) == nil then self.owed[play] = nil end
end

function on.once(self, line)
    local play = self.plays[line.play] or ""
    self.once[play] = self.once[play] or {}
    self.once[play][line.name] = true
end

on["end"] = function(self, line) self.complete = line.complete == true end

--- Takes the next line of a record.
---@param line table
function History:add(line)
    self.lines = self.lines + 1
    local handle = on[line.event]
    if handle then handle(self, line) end
end

--- The record has no more lines.
function History:ends()
    for _, steps in pairs(self.under) do
        for _, line in pairs(steps) do
            for _, name in ipairs(line.notify) do
                on.notify(self, { play = line.play, host = line.host, handler = name })
            end
        end
    end
    self.under = {}
end

local function unfinished(self, at)
    if at.failed then return true end
    return not at.done or not self.complete
end

--- Where a host goes on, for orrery.play.filter.
---@param host string
---@return orrery.play.StartPoint? point nil where nothing is left to do
function History:point(host)
    local at = self.hosts[host]
    if not at then
        -- It had not had its turn when the run ended.
        return not self.complete and { play = self.last + 1 } or nil
    end
    if not unfinished(self, at) then return nil end
    if at.done then return { play = at.play + 1 } end
    return { play = at.play, id = at.id, name = at.name, nth = at.nth, ending = at.ending }
end

--- Whether there is anything to go on with.
---@return boolean
function History:open()
    if not self.complete then return true end
    for _, at in pairs(self.hosts) do
        if unfinished(self, at) then return true end
    end
    return false
end

--- Those that did not come to their end, sorted.
---@return string[]
function History:failed()
    local names = {}
    for host, at in pairs(self.hosts) do
        if unfinished(self, at) then names[#names + 1] = host end
    end
    table.sort(names)
    return names
end

--- What the next run's record begins with.
---@return table before
function History:left()
    local hosts = {}
    for host, at in pairs(self.hosts) do
        -- Of one that only waited for its next play, that is still to come when another run is complete.
        if unfinished(self, at) then
            hosts[host] = at.done and not at.failed and { play = at.play + 1, failed = "waiting" } or at
        end
    end
    return { hosts = hosts, owed = self.owed, once = self.once }
end

return M
