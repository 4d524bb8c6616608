--- The engine on the target: performs steps that the controller asks for, alone, as a list, or as a function that is
--- run here as a whole.
--
-- `run` never raises what a step has raised: it returns that, so that what was told until then arrives with it.

local core = require "orrery.core"
local engine = require "orrery.play.engine"
local Error = require "orrery.error"
local events = require "orrery.play.events"
local files = require "orrery.play.files"
local resource = require "orrery.play.resource"
local steps = require "orrery.play.step"

local M = {}

resource.on_target = core.parent() ~= nil

---@class orrery.play.Entry a step on its way
---@field [1] string the resource
---@field options table as they were given
---@field at? string
---@field skip? string why it is not to run

---@class orrery.play.Request
---@field id string of the step, or what the ids of its steps begin with
---@field single? boolean the one step has the id itself
---@field steps? orrery.play.Entry[]
---@field own? table<string, string|orrery.play.Resource> resources of the user's: their modules, or themselves
---@field batch? fun(h: orrery.play.TargetHost): any
---@field settings orrery.play.Settings
---@field vars? table
---@field files? table<string, table> what goes along
---@field ticket? string by which other files can be asked for
---@field common? table fields for each event
---@field tags? string[] which all steps have
---@field handlers? string[] of the play, which steps of a batch may notify
---@field sender? orrery.Sender for events while it runs

---@class orrery.play.Response
---@field events table[] those that were not sent before
---@field results orrery.play.Result[]
---@field error? orrery.Error the step, or the function, has failed

-- Not named literally: these are only sent where somebody asks for facts, or notifies handlers.
local FACTS = "orrery.play.facts"
local HANDLERS = "orrery.play.handlers"

-- Steps ------------------------------------------------------------------------------------------

---@class orrery.play.Work one request
local Work = {}
Work.__index = Work

-- What is known of this machine, for as long as the request takes.
function Work:facts()
    self.known = self.known or require(FACTS).here()
    return self.known
end

function Work:next_id()
    self.count = self.count + 1
    return self.request.single and self.request.id or ("%s.%d"):format(self.request.id, self.count)
end

-- Raises what is wrong with it, as far as that can be seen before it begins.
function Work:make(definition, given, at)
    local step = steps.make(definition, given, at)
    if resource.is_here(step.definition, step.options) then
        local message = ("%s: has no place inside of a batch, since it is done at the controller"):format(
            definition.name)
        Error.raise { code = "option", at = at, message = message }
    end
    local notified, handlers = step.modifiers.notify, self.request.handlers
    if notified and handlers then require(HANDLERS).check(notified, handlers, at) end
    return step
end

function Work:perform(step)
    step.id = self:next_id()
    step.events, step.files, step.vars = self.events, self.files, self.request.vars or {}
    step.facts = function() return self:facts() end
    step.results, step.tags = self.results, self.request.tags
    local result = engine.perform(step, self.request.settings)
    self.results[#self.results + 1] = result
    return result
end

-- One of the user's own is a value, or in a module; a built-in one is found by its name.
function Work:definition(name, at)
    local own = self.request.own and self.request.own[name]
    if type(own) == "table" then
        resource.adopt(own)
        return own
    end
    if own then require(own) end
    return resource.find(name) or resource.unknown(name, at)
end

function Work:list(entries)
    for _, entry in ipairs(entries) do
        local step = self:make(self:definition(entry[1], entry.at), entry.options, entry.at)
        step.skip = entry.skip
        self:perform(step)
    end
end

-- The h of a function that runs here -------------------------------------------------------------

---@class orrery.play.TargetHost what a batch has in place of the controller's host: the same methods, run here
---@field facts table
---@field vars table
---@field name string
---@field check boolean
local Host = {}

function Host:apply(entries)
    local at, before, list = Error.at(), #self.work.results, {}
    for i, entry in ipairs(entries) do
        local name, given = steps.entry(entry, at)
        list[i] = self.work:make(self.work:definition(name, at), given, at)
    end
    for _, step in ipairs(list) do self.work:perform(step) end
    return { unpack(self.work.results, before + 1) }
end

function Host:batch(fn) return fn(self) end

local function say(level)
    return function(self, text)
        self.work.events:emit { event = "message", level = level, text = engine.scrub(tostring(text)) }
    end
end

Host.say, Host.warn = say "info", say "warning"

--- Runs a command, as a step.
function Host:run(argv, opts) return self:command(require("orrery.play.commands").given(argv, opts)) end

local function not_here(what, instead)
    return function()
        local message = ("h:%s: not inside of a batch; %s"):format(what, instead)
        Error.raise { code = "argument", at = Error.at(), message = message }
    end
end

Host.as = not_here("as", "write h:as(user):batch(...) around it")
Host.put = not_here("put", "write it before the batch, or use h:copy")
Host.get = not_here("get", "write it after the batch")
Host.task = not_here("task", "write it around the batch")

local NOT_IN_BATCH = { "as", "delegate_to", "run_once" }

local function method(h, name)
    if Host[name] then return Host[name] end
    if name == "facts" then return h.work:facts() end
    local definition = h.work:definition(name)
    return function(_, ...)
        local at = Error.at()
        local step = h.work:make(definition, steps.given(...), at)
        for _, key in ipairs(NOT_IN_BATCH) do
            if step.modifiers[key] ~= nil then
                local message = ("%s: option '%s' has no place inside of a batch"):format(definition.name, key)
                Error.raise { code = "option", at = at, message = message }
            end
        end
        return h.work:perform(step)
    end
end

local function new_host(work)
    local request = work.request
    local h = {
        work = work, vars = request.vars or {}, name = (request.common or {}).host or "",
        check = request.settings.check or false, ctx = false,
    }
    return setmetatable(h, { __index = method })
end

-- Requests ---------------------------------------------------------------------------------------

local function pack(...) return { n = select("#", ...), ... } end

-- What a step has raised says where and why itself; the stack is that of this engine.
local function on_error(err)
    if Error.is(err) and err.step and err.code ~= "lua" then return err end
    return Error.handler(err)
end

local function new_work(request)
    return setmetatable({
        request = request, results = {}, count = 0,
        events = events.new(request.sender, request.common), files = files.new(request.files, request.ticket),
    }, Work)
end

local function run_all(work)
    local request = work.request
    if request.batch then return request.batch(new_host(work)) end
    work:list(request.steps)
end

--- Does what the controller asks for.
---@param request orrery.play.Request
---@return orrery.play.Response
---@return any ... what a batch returned
function M.run(request)
    local work = new_work(request)
    local returned = pack(xpcall(run_all, on_error, work))
    local ok, err = returned[1], returned[2]
    work.files:close()
    if not ok and (err.code == "cancelled" or err.code == "interrupted") then
        work.events:flush()
        error(err, 0)
    end
    local response = {
        events = work.events:stop(), results = work.results, error = not ok and err or nil,
    }
    if not ok then return response end
    return response, unpack(returned, 2, returned.n)
end

return M
