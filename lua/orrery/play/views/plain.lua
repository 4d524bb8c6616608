--- Lines for logs and pipes, and what stays above the live view: steps as they end, equal results of many hosts in
--- one line once all of them are through, what failed first and whole, a recap.
--
-- Each line says all by itself: the status, the step, the hosts. Colour only repeats what is said. A step is over
-- when each host that is at work in the play has done it, or is past it, or has ended; who makes the others wait
-- does not hold up the log for longer than a moment.

local fold = require("orrery.play.inventory.fold").fold
local changes = require "orrery.play.views.changes"
local problem = require "orrery.play.views.problem"
local recap = require "orrery.play.views.recap"
local tally = require "orrery.play.views.tally"
local text = require "orrery.play.views.text"
local width = require "orrery.play.views.width"

local M = {}

local PATIENCE = 5          -- seconds
local HASTE = 1             -- when something has failed
local TAIL = 10             -- last lines of a command that are shown when its step fails
local MARGIN = (" "):rep(10)
local NAME = 44             -- columns of steps' names, after which hosts begin

--- Hosts for which a step came out the same.
---@class orrery.play.views.Bucket
---@field event table the first one's
---@field names string[]
---@field least number seconds
---@field most number
---@field tail? string[]
---@field shown? boolean its error is there already, since a part of it has failed of that

---@class orrery.play.views.Group
---@field key string
---@field play any
---@field step any
---@field missing integer hosts at work that are not through
---@field through table<string, true>
---@field buckets orrery.play.views.Bucket[]
---@field by_key table<string, orrery.play.views.Bucket>
---@field due? number when the results that there are get shown, whoever is still missing

---@class orrery.play.views.Plain
---@field write fun(text: string)
---@field paint fun(word: string, text: string): string
---@field verbosity integer
---@field diff? boolean
---@field columns fun(): integer?
---@field tally orrery.play.views.Tally
---@field groups orrery.play.views.Group[]
---@field by_key table<string, orrery.play.views.Group>
---@field active table<string, any> the step that a host at work is at
---@field tails table<string, string[]>
---@field after? fun(seconds: number, fn: fun()): { cancel: fun(self: any) }
---@field timer? { cancel: fun(self: any) } of what is due next
---@field timer_due? number
local Plain = {}
Plain.__index = Plain

---@param settings orrery.play.views.Settings
---@return orrery.play.views.Plain
function M.new(settings)
    return setmetatable({
        write = settings.write, paint = text.painter(settings.colour), verbosity = settings.verbosity or 0,
        diff = settings.diff, columns = settings.columns or function() end, playbook = settings.playbook,
        tally = tally.new(settings.clock), groups = {}, by_key = {}, active = {}, tails = {},
        after = settings.after,
    }, Plain)
end

---@private
function Plain:line(line) self.write(line .. "\n") end

-- Groups ------------------------------------------------------------------------------------------

---@private
function Plain:group(kind, e, step)
    local key = text.key(kind, e.play, step, kind == "message" and e.text or text.step_name(e))
    local group = self.by_key[key]
    if group then return group end
    group = { key = key, play = e.play, step = step, missing = 0, through = {}, buckets = {}, by_key = {} }
    for _, at in pairs(self.active) do
        if not text.is_past(at, step) then group.missing = group.missing + 1 end
    end
    for name, at in pairs(self.active) do
        if text.is_past(at, step) then group.through[name] = true end
    end
    self.by_key[key], self.groups[#self.groups + 1] = group, group
    return group
end

local function through(group, host)
    if group.through[host] then return end
    group.through[host] = true
    group.missing = group.missing - 1
end

---@private
function Plain:add(group, e, key, tail, shown)
    local bucket = group.by_key[key]
    local seconds = e.seconds or 0
    if not bucket then
        bucket = { event = e, names = {}, least = seconds, most = seconds, tail = tail, shown = shown }
        group.by_key[key], group.buckets[#group.buckets + 1] = bucket, bucket
        local due = self.tally.now + (text.IS_FAILURE[e.status] and HASTE or PATIENCE)
        group.due = math.min(group.due or due, due)
    end
    if e.host then table.insert(bucket.names, e.host) end
    bucket.least, bucket.most = math.min(bucket.least, seconds), math.max(bucket.most, seconds)
end

-- Shows what has come; the group stays for those that come later.
---@private
function Plain:show(group)
    local buckets = group.buckets
    group.buckets, group.by_key, group.due = {}, {}, nil
    for i, bucket in ipairs(buckets) do bucket.order = i end
    table.sort(buckets, function(a, b)
        local x, y = text.RANK[a.event.status] or 0, text.RANK[b.event.status] or 0
        if x ~= y then return x < y end
        if #a.names ~= #b.names then return #a.names < #b.names end
        return a.order < b.order
    end)
    for _, bucket in ipairs(buckets) do
        if bucket.event.event == "message" then self:show_message(bucket) else self:show_step(bucket) end
    end
end

---@private
function Plain:settle(all)
    local kept = {}
    for _, group in ipairs(self.groups) do
        if all or group.missing <= 0 then
            self:show(group)
            self.by_key[group.key] = nil
        else
            kept[#kept + 1] = group
        end
    end
    self.groups = kept
end

--- Shows what has waited too long for others, and what came before it. For whoever knows the time between events.
---@param now? number of the clock that there is
function Plain:tick(now)
    now = now or self.tally.now
    local last = 0
    for i, group in ipairs(self.groups) do
        if group.due and now >= group.due then last = i end
    end
    for i = 1, last do self:show(self.groups[i]) end
    self:wait(now)
end

-- Nothing else needs to happen for that which is due to be shown.
---@private
function Plain:wait(now)
    if not self.after then return end
    local due = math.huge
    for _, group in ipairs(self.groups) do due = math.min(due, group.due or math.huge) end
    if self.timer and self.timer_due <= due or due == math.huge then return end
    if self.timer then self.timer:cancel() end
    self.timer_due = due
    self.timer = self.after(math.max(0, due - now), function()
        self.timer = nil
        self:tick(due)
    end)
end

-- Lines -------------------------------------------------------------------------------------------

local SHORT = 40 -- columns of a terminal for the names of many hosts, where how many counts

---@private
function Plain:hosts(names, whole)
    local folded = text.flat(fold(names))
    if #names <= 1 then return folded end
    if not whole and self.columns() then folded = width.cut(folded, SHORT) end
    return ("%s (%d)"):format(folded, #names)
end

-- On a terminal, what is too long for a line goes on below, with a margin.
---@private
function Plain:wrapped(margin, shown, kind)
    local columns = self.columns()
    local lines = columns and width.wrap(shown, columns - #margin - 1) or { shown }
    for _, line in ipairs(lines) do self:line(margin .. self.paint(kind or "plain", line)) end
end

---@private
function Plain:head(status, what, after)
    local columns = self.columns()
    local begin = self.paint(status, width.pad(status, 9)) .. " "
    local room = columns and math.max(16, math.min(NAME, columns - 40)) or NAME
    local line = width.pad(what, math.max(room, width.of(what))) .. "  " .. after
    for _, fitting in ipairs { line, what .. "  " .. after } do
        if not columns or 10 + width.of(fitting) < columns then
            self:line(begin .. fitting)
            return
        end
    end
    local rest = columns - 11
    if width.of(what) > rest then what = width.cut(what, rest) end
    self:line(begin .. what)
    self:wrapped(MARGIN, after)
end

---@private
function Plain:details(lines)
    for _, line in ipairs(lines) do self:wrapped(MARGIN, line.text, line.kind) end
end

local BRIEF = { ok = -1, skipped = -1, changed = -1 } -- what "quiet" leaves out

-- What is in the step's own line, after its name.
---@private
function Plain:summary(bucket, brief)
    local e, after = bucket.event, self:hosts(bucket.names, text.IS_FAILURE[bucket.event.status])
    if e.seconds and e.status ~= "skipped" then after = after .. ", " .. text.durations(bucket.least, bucket.most) end
    if #brief == 1 then after = after .. ": " .. text.printable(brief[1]) end
    return after
end

---@private
function Plain:show_step(bucket)
    local e = bucket.event
    if self.verbosity <= (BRIEF[e.status] or -9) then return end
    local failed = text.IS_FAILURE[e.status]
    local brief = e.message and not (failed and e.error) and text.lines(e.message) or {}
    self:head(e.status, (e.handler and "handler " or "") .. text.step_name(e), self:summary(bucket, brief))
    for i = 1, #brief > 1 and #brief or 0 do self:wrapped(MARGIN, text.printable(brief[i])) end
    if failed and not bucket.shown then self:details(problem.lines(e.error or e.message, e, self.verbosity > 0)) end
    for _, line in ipairs(failed and bucket.tail or {}) do self:wrapped(MARGIN, "| " .. line) end
    if self.diff then self:details(changes.lines(e.diff)) end
end

---@private
function Plain:show_message(bucket)
    local e = bucket.event
    if self.verbosity < 0 and e.level ~= "warning" then return end
    local lines = text.lines(e.text or "")
    local status = e.level == "warning" and "warning" or "says"
    self:head(status, text.printable(lines[1]), self:hosts(bucket.names))
    for i = 2, #lines do self:wrapped(MARGIN, text.printable(lines[i])) end
end

-- Events ------------------------------------------------------------------------------------------

local on = {}

function on.run_start(self, e)
    if e.check then self:line(self.paint("bold", "check mode") .. "  nothing is changed") end
end

function on.play_start(self, e)
    self:settle(true)
    self.active = {}
    local hosts = e.hosts or {}
    local where = #hosts == 0 and "no hosts" or self:hosts(hosts)
    local name = e.name and e.name ~= "" and text.flat(e.name) or ("number %s"):format(tostring(e.play))
    if self.begun then self:line "" end
    self.begun = true
    self:line(self.paint("bold", "play " .. name) .. "  " .. where)
end

function on.host_start(self, e)
    if self.active[e.host] ~= nil then return end
    self.active[e.host] = "0"
    for _, group in ipairs(self.groups) do
        group.missing = group.missing + 1
        group.through[e.host] = nil
    end
end

function on.host_end(self, e)
    local at = self.active[e.host] or "0"
    for _, group in ipairs(self.groups) do
        if self.active[e.host] ~= nil then through(group, e.host) end
    end
    self.active[e.host] = nil
    self.tails[e.host] = nil
    local host = self.tally.hosts[e.host]
    if e.status ~= "ok" and not (host and host.failure) then
        local last = host and host.failures[#host.failures] or {}
        local shown = {
            event = "host_end", status = e.status, host = e.host, play = e.play, error = e.error,
            name = last.name or "(between steps)",
        }
        local group = self:group("host", shown, at)
        self:add(group, shown, text.key(e.status, problem.general(e.error, e.host)))
    end
    self:settle(next(self.active) == nil)
end

---@private
function Plain:at(host, step)
    if self.active[host] == nil then return end
    self.active[host] = step
    for _, group in ipairs(self.groups) do
        if text.is_past(step, group.step) then through(group, host) end
    end
end

function on.step_start(self, e)
    self:at(e.host, e.step)
    self:settle(false)
end

function on.step_line(self, e)
    local line = text.printable(e.line or "")
    if self.verbosity > 0 then
        self:line(("%s%s | %s"):format(MARGIN, text.flat(e.host), line))
        return
    end
    local tail = self.tails[e.host]
    if not tail or tail.step ~= e.step then
        tail = { step = e.step }
        self.tails[e.host] = tail
    end
    tail[#tail + 1] = line
    if #tail > TAIL then table.remove(tail, 1) end
end

local function has_output(err) -- of commands, which then is shown
    return type(err) == "table" and (type(err.result) == "table" or has_output(err.cause))
end

function on.step_end(self, e)
    self:at(e.host, e.step)
    local group, host = self:group("step", e, e.step), self.tally.hosts[e.host]
    local shown = e.status == "failed" and tally.is_same(host.failure, e)
    local tail = self.tails[e.host]
    tail = tail and tail.step == e.step and not has_output(e.error) and tail or nil
    local diff = self.diff and e.diff and #changes.lines(e.diff) > 0 and changes.key(e.diff) or ""
    self:add(group, e, text.key(e.status, e.message, e.error and problem.key(e.error), diff), tail, shown)
    if self.active[e.host] ~= nil then through(group, e.host) end
    if tail then self.tails[e.host] = nil end
    self:settle(next(self.active) == nil)
end

function on.message(self, e)
    local at = e.host and self.active[e.host]
    local group = self:group("message", e, at or "0")
    self:add(group, e, "")
    if at then through(group, e.host) end
    if not e.host then group.missing = 0 end
    self:settle(next(self.active) == nil)
end

function on.play_end(self) self:settle(true) end

function on.run_end(self) self:settle(true) end

---@param e table
function Plain:event(e)
    self.tally:event(e)
    local handle = on[e.event]
    if handle then handle(self, e) end
    self:tick()
end

--- Shows what is left, and the recap.
function Plain:finish()
    self:settle(true)
    if self.timer then self.timer:cancel() end
    if not self.tally.run and #self.tally.names == 0 then return end
    local opts = { paint = self.paint, columns = self.columns(), playbook = self.playbook }
    if self.begun then self:line "" end
    for _, line in ipairs(recap.lines(self.tally, opts)) do self:line(line) end
end

return M
