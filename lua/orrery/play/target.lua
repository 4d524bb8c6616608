--- The engine on the target: performs steps that the controller asks for, alone, as a list, or as a function that is run
--- here as a whole.
--
-- `run` never raises what a step has raised: it returns that, so that what was told until then arrives with it.

local engine = require "orrery.play.engine"
local Error = require "orrery.error"
local events = require "orrery.play.events"
local files = require "orrery.play.files"
local resource = require "orrery.play.resource"
local core = require "orrery.core"

local M = {}

resource.on_target = core.parent() ~= nil

---@class orrery.play.Request
---@field id string of the step, or what the ids of its steps begin with
---@field single? boolean the one step has the id itself
---@field steps? { [1]: string, definition?: orrery.play.Resource, module?: string, options: table, at?: string }[]
---@field batch? fun(h: orrery.play.TargetHost): any
---@field settings orrery.play.Settings
---@field vars? table
---@field tags? string[] of what surrounds the steps
---@field files? table<string, table> what goes along
---@field results? orrery.play.Result[] of earlier steps of the list
---@field common? table fields for each event
---@field sender? orrery.Sender for events while it runs

---@class orrery.play.Response
---@field events table[] those that were not sent before
---@field results orrery.play.Result[]
---@field error? orrery.Error the step, or the function, has failed

-- Facts ------------------------------------------------------------------------------------------

local facts

--- What is known of this machine. Each group is found out when it is first asked for.
---@return table
function M.facts()
    facts = facts or setmetatable({}, {
        __index = function(known, key)
            local value = require("orrery.play.facts").get(key)
            rawset(known, key, value)
            return value
        end,
    })
    return facts
end

-- Steps ------------------------------------------------------------------------------------------

---@class orrery.play.Work one request
local Work = {}
Work.__index = Work

function Work:perform(step, id)
    step.id, step.events, step.files, step.facts = id, self.events, self.files, M.facts()
    step.results, step.tags = self.results, self.request.tags
    local result = engine.perform(step, self.request.settings)
    self.results[#self.results + 1] = result
    return result
end

function Work:next_id()
    self.count = self.count + 1
    return self.request.single and self.request.id or ("%s.%d"):format(self.request.id, self.count)
end

local function definition_of(entry)
    if entry.definition then
        resource.adopt(entry.definition)
        return entry.definition
    end
    if entry.module then require(entry.module) end
    return resource.find(entry[1]) or resource.unknown(entry[1], entry.at)
end

function Work:list(entries)
    for _, entry in ipairs(entries) do
        local id = self:next_id()
        self:perform(engine.step(definition_of(entry), entry.options, entry.at), id)
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
    local before = #self.work.results
    local at = Error.at()
    for _, entry in ipairs(entries) do
        local given = {}
        for key, value in pairs(entry) do
            if key ~= 1 then given[key] = value end
        end
        local definition = resource.find(entry[1]) or resource.unknown(entry[1], at)
        self.work:perform(engine.step(definition, given, at), self.work:next_id())
    end
    return { unpack(self.work.results, before + 1) }
end

function Host:batch(fn) return fn(self) end

function Host:say(text) self.work.events:emit { event = "message", level = "info", text = engine.scrub(tostring(text)) } end

function Host:warn(text) self.work.events:emit { event = "message", level = "warning", text = engine.scrub(tostring(text)) } end

local function not_here(what, instead)
    return function()
        Error.raise { code = "argument", at = Error.at(), message = ("h:%s: not inside of a batch; %s"):format(what, instead) }
    end
end

Host.as = not_here("as", "write h:as(user):batch(...) around it")
Host.put = not_here("put", "write it before the batch, or use h:copy")
Host.get = not_here("get", "write it after the batch")

local function method(h, name)
    if Host[name] then return Host[name] end
    local definition = resource.find(name)
    if not definition then resource.unknown(name) end
    return function(_, given)
        local at = Error.at()
        return h.work:perform(engine.step(definition, given or {}, at), h.work:next_id())
    end
end

local function new_host(work)
    local request = work.request
    local h = {
        work = work, vars = request.vars or {}, facts = M.facts(), name = (request.common or {}).host,
        check = request.settings.check or false,
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

--- Does what the controller asks for.
---@param request orrery.play.Request
---@return orrery.play.Response
---@return any ... what a batch returned
function M.run(request)
    local work = setmetatable({
        request = request, results = request.results or {}, count = request.first or 0,
        events = events.new(request.sender, request.common), files = files.new(request.files),
    }, Work)
    local before = #work.results
    local returned
    local ok, err = xpcall(function()
        if request.batch then
            returned = pack(request.batch(new_host(work)))
        else
            work:list(request.steps)
        end
    end, on_error)
    local response = { events = work.events:take(), results = { unpack(work.results, before + 1) }, error = not ok and err or nil }
    if work.events.timer then work.events.timer:cancel() end
    if not ok and (err.code == "cancelled" or err.code == "interrupted") then error(err, 0) end
    if returned then return response, unpack(returned, 1, returned.n) end
    return response
end

return M
