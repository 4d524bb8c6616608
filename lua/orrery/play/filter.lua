--- Which steps run: tags, where to start, and the one at the keyboard.
--
-- A step is here what the engine knows of it before it runs: { id = "3.2", name =, resource =, tags = all that it has
-- and that what it stands in has }.

local Error = require "orrery.error"
local tags = require "orrery.play.tags"

local M = {}

---@class orrery.play.StepInfo
---@field id string
---@field name string
---@field resource? string
---@field tags? table<string, true> all that it has, and that what it stands in has
---@field own? table<string, true> those that it has itself
---@field host? string

---@class orrery.play.StartPoint where a host goes on
---@field play? integer the play; nil: whichever has the step
---@field id? string of the step
---@field name? string of the step
---@field nth? integer the n-th step of that name; default 1
---@field ending? boolean no step of the play is left, only what comes at its end
---@field text? string as the user wrote it

M.set, M.wanted = tags.set, tags.wanted

--- Reads where to start: "3.2", "install nginx", "2:3.2".
---@param text string
---@return orrery.play.StartPoint
function M.point(text)
    local play, rest = text:match "^(%d+):(.+)$"
    rest = rest or text
    local id = rest:match "^%d[%d.]*$"
    return { play = tonumber(play), id = id, name = not id and rest or nil, text = text }
end

-- The gate of a host -------------------------------------------------------------------------------

---@class orrery.play.Gate of one host, through all plays
---@field only? table<string, true>
---@field skip? table<string, true>
---@field confirm? fun(step: orrery.play.StepInfo): boolean
---@field start? orrery.play.StartPoint nil once it was reached
---@field seen table<string, integer> how many steps of a name there were in this play
local Gate = {}
Gate.__index = Gate

--- What decides about the steps of a host.
---@param fields { only?: table, skip?: table, confirm?: fun(step: orrery.play.StepInfo): boolean,
---start?: orrery.play.StartPoint }
---@return orrery.play.Gate
function M.gate(fields)
    return setmetatable({
        only = fields.only, skip = fields.skip, confirm = fields.confirm, start = fields.start, seen = {},
    }, Gate)
end

--- A play begins on this host.
---@param number integer
---@return boolean wanted false where the host is past it: it starts in a later one
function Gate:play(number)
    self.seen = {}
    local start = self.start
    if not start then return true end
    if start.play and number < start.play then return false end
    -- One that is to start at a play as a whole is there.
    if start.play and not start.id and not start.name and not start.ending then self.start = nil end
    return true
end

--- The steps of a play are over on this host.
---@param number integer
---Raises "argument" where it was to start in this play, and has not.
function Gate:ends(number)
    local start = self.start
    if not start or start.play ~= number then return end
    self.start = nil
    if not start.ending then M.missed(start) end
end

---@return boolean seeking whether the host has not come to its starting point yet
function Gate:seeking() return self.start ~= nil end

function Gate:is_start(step)
    local start = self.start
    if start.ending then return false end
    if start.name then return step.name == start.name and self.seen[step.name] == (start.nth or 1) end
    return step.id == start.id
end

-- Where somebody chose tags, what is in a holder without any of its own may have them.
local function tags_forbid(gate, step, how)
    local inside = how and gate.only and next(gate.only) and not next(step.own or {})
    if inside then return not M.wanted(step.tags or {}, gate.skip, M.set(step.tags, "always")) end
    return not M.wanted(gate.only, gate.skip, step.tags)
end

--- What comes next, in the order in which the host gets there. A step that holds others is asked about before those.
---@param step orrery.play.StepInfo
---@param how? "task"|"batch" it holds steps. A task is entered until the start is reached, to look for it inside; a
---batch is not, as nobody here sees inside
---@return nil|"start"|"tags"|"step" why it does not run
function Gate:skips(step, how)
    self.seen[step.name] = (self.seen[step.name] or 0) + 1
    if self.start then
        if not self:is_start(step) then return how ~= "task" and "start" or nil end
        self.start = nil
    end
    if tags_forbid(self, step, how) then return "tags" end
    if self.confirm and not self.confirm(step) then return "step" end
end

--- How many steps of this name there were, this one included.
---@param name string
---@return integer
function Gate:count(name) return self.seen[name] or 0 end

--- Says that there was no such step.
---@param start orrery.play.StartPoint
---Raises "argument".
function M.missed(start)
    Error.raise {
        code = "argument",
        message = ("there is no step '%s' to start at"):format(start.text or start.name or start.id),
    }
end

return M
