--- Decides about the steps of one host in a play: whether (tags, where to start), where (delegate_to, as), and how
--- often (run_once).

local Error = require "orrery.error"
local tags = require "orrery.play.tags"

local M = {}

---@class orrery.play.Conductor
---@field play orrery.play.Play
---@field session orrery.play.Session
---@field name string the host
---@field gate orrery.play.Gate
---@field pending orrery.play.Pending handlers that are owed
---@field changes integer steps that changed something
---@field in_handler boolean
---@field package marked? string the step that the record was told of last
---@field package under table<string, string[]> handlers that steps under way would owe
local Conductor = {}
Conductor.__index = Conductor

---@param play orrery.play.Play
---@param name string
---@param gate orrery.play.Gate
---@return orrery.play.Conductor
function M.new(play, name, gate)
    return setmetatable({
        play = play, session = play.session, name = name, gate = gate, pending = play.handlers:pending(), changes = 0,
        under = {}, in_handler = false,
    }, Conductor)
end

-- Events and handlers -------------------------------------------------------------------------------

--- Notes that handlers are owed, before anything else happens.
---@param names string[]
function Conductor:notify(names)
    for _, name in ipairs(names) do
        if self.pending:notify(name) then
            self.session:note { event = "notify", play = self.play.number, host = self.name, handler = name }
        end
    end
end

--- Takes an event of the host, and passes it on.
---@param event table
function Conductor:event(event)
    local owed
    event.handler = event.handler or self.in_handler or nil
    if event.event == "step_start" then
        -- A step says when it begins what it would owe: where its end does not come, it is taken for granted.
        self.under[event.step] = event.notify
    elseif event.event == "step_end" then
        self.under[event.step] = nil
        owed = event.notify
        if event.status == "changed" or event.status == "unknown" then self.changes = self.changes + 1 end
    end
    -- The record has been told where the host is, unless there is more to know.
    local known = event.event == "step_start" and event.step == self.marked and not event.notify
    self.play:emit(event, known)
    if owed then self:notify(owed) end
end

--- The host was lost, or given up: what was under way may have changed something.
function Conductor:give_up()
    for _, names in pairs(self.under) do self:notify(names) end
    self.under = {}
end

--- A step as orrery.play.filter sees it.
function Conductor:info(h, info)
    local own = info.modifiers and info.modifiers.tags
    return {
        id = info.id, name = info.title, resource = info.resource, host = self.name,
        own = tags.set(own), tags = tags.set(h.tags, own),
    }
end

-- Skipping ------------------------------------------------------------------------------------------

local WHY = { start = "before the step to start at", tags = "its tags were not asked for", step = "not confirmed" }

-- A step that was never begun.
local function tell(self, info, how)
    self.play:emit {
        event = "step_start", host = self.name, step = info.id, name = info.title, resource = info.resource,
        at = info.at, handler = self.in_handler or nil,
    }
    how.event, how.host, how.step, how.name = "step_end", self.name, info.id, info.title
    how.resource, how.seconds = info.resource, 0
    self.play:emit(how)
end

local function tell_skipped(self, info, why) tell(self, info, { status = "skipped", message = why }) end

local function skipped(info, why)
    return {
        changed = false, skipped = true, message = why, seconds = 0, resource = info.resource, name = info.title,
    }
end

-- Written before the step begins: where this host is.
function Conductor:mark(step, at)
    if self.in_handler then return end -- what is owed is known, and is no place to go on from
    self.session:note {
        event = "at", play = self.play.number, host = self.name, step = step.id, name = step.name,
        nth = self.gate:count(step.name), resource = step.resource, at = at,
    }
    self.marked = step.id
end

-- Where and how often -------------------------------------------------------------------------------

local function elsewhere(self, h, modifiers)
    local connections, to = self.session.connections, modifiers.delegate_to
    local ctx = type(to) == "table" and (to.ctx or to) or nil
    local as = modifiers.as
    if as == nil and to then as = self.play.spec.become end
    if type(to) == "string" then ctx = connections:as(to, as) end
    if not ctx and modifiers.as ~= nil then ctx = connections:as(self.name, as) end
    return ctx or h.ctx
end

local PASSED_ON = { interrupted = true, cancelled = true }

-- That host, or that user, cannot be reached. It is a failure of the step's, also where this host is well.
local function nowhere(self, info, err)
    if PASSED_ON[err.code] then error(err, 0) end
    local unreachable = not info.modifiers.delegate_to and err.unreachable or nil
    local failure = Error.new {
        code = err.code, at = info.at, step = info.id, name = info.title, resource = info.resource, cause = err.cause,
        message = ("%s (step %s): %s"):format(info.title, info.id, err.message), unreachable = unreachable,
    }
    tell(self, info, { status = "failed", error = { code = failure.code, message = failure.message, at = info.at } })
    error(failure, 0)
end

local function unpack_results(h, before, ok, ...)
    h.ctx = before
    if not ok then error((...), 0) end
    return ...
end

-- The host's context is another one meanwhile.
local function perform_there(self, h, info, perform)
    local found, ctx = pcall(elsewhere, self, h, info.modifiers)
    if not found then nowhere(self, info, Error.from(ctx)) end
    if ctx == h.ctx then return perform() end
    local before = h.ctx
    h.ctx = ctx
    return unpack_results(h, before, pcall(perform))
end

local function perform_once(self, h, info, step, perform)
    local name = ("%s#%d"):format(step.name, self.gate:count(step.name))
    local result, mine = self.session.once:run(self.play.key .. "\0" .. name, step.name, function()
        local done = perform_there(self, h, info, perform)
        self.session:note { event = "once", play = self.play.number, name = name }
        return done
    end)
    if not mine then tell_skipped(self, info, "done once, for all hosts") end
    return result
end

--- Performs a step, or not.
---@param h orrery.play.Host
---@param info orrery.play.StepCall
---@param perform fun(): any
---@return any ... what it returns; a result that is `skipped` where it does not run
function Conductor:step(h, info, perform)
    self.play.handlers:require(info.modifiers.notify)
    local step = self:info(h, info)
    local why = self.gate:skips(step, info.how)
    if why then
        tell_skipped(self, info, WHY[why])
        if info.how == "batch" then return nil end -- of what a function returns, nobody else knows
        return skipped(info, WHY[why])
    end
    if not self.gate:seeking() then self:mark(step, info.at) end
    if info.modifiers.run_once then return perform_once(self, h, info, step, perform) end
    return perform_there(self, h, info, perform)
end

--- The steps of a list, which go in one message: those that do not run say so there, in their place.
---@param h orrery.play.Host
---@param infos orrery.play.StepCall[]
---@param steps table[] get `skip`
function Conductor:list(h, infos, steps)
    local marked = false
    for i, info in ipairs(infos) do
        self.play.handlers:require(info.modifiers.notify)
        local step = self:info(h, info)
        local why = self.gate:skips(step)
        steps[i].skip = why and WHY[why] or nil
        -- What a failure goes back to is the first of them that runs.
        if not why and not marked then
            marked = true
            self:mark(step, info.at)
        end
    end
end

return M
