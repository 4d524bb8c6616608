--- The `h` of a playbook: a context with resources as methods.
--
--     local h = play.host(orrery.ssh "web1")
--     h:file { path = "/srv/app", state = "directory", mode = "755" }
--
-- Works without a play. The runner of plays gives it settings and a sink for events, see `host.new`.

local context = require "orrery.context"
local core = require "orrery.core"
local engine = require "orrery.play.engine"
local Error = require "orrery.error"
local modules = require "orrery.modules"
local receiver = require "orrery.receiver"
local resource = require "orrery.play.resource"
local sched = require "orrery.sched"

local M = {}

---@class orrery.play.Host
---@field ctx orrery.Context
---@field name string
---@field vars table
---@field facts table
---@field settings orrery.play.Settings
local Host = {}
M.Host = Host

-- Events ------------------------------------------------------------------------------------------

local function deliver(h, list)
    for _, event in ipairs(list or {}) do h.sink(event) end
end

-- Takes what the target tells while it works. One task, so that it stays in order; it ends with the work.
local function follow(h, inbox)
    return sched.spawn(function()
        while true do
            local ok, list = pcall(inbox.get, inbox)
            if not ok then return end
            deliver(h, list)
        end
    end)
end

-- What had arrived by the time that the answer did.
local function drain(h, inbox)
    while true do
        local ok, list = pcall(inbox.get, inbox, 0)
        if not ok then break end
        deliver(h, list)
    end
    inbox:close()
end

-- Asking ------------------------------------------------------------------------------------------

local function located(h, err, at)
    if h.ctx then context.locate(h.ctx, err) end
    err.at = err.at or at
    return err
end

-- Runs there. What it needs of modules comes along, so that loading them takes no round trips.
local function enter(bundle, request)
    if bundle then require("orrery.modules").add(bundle) end
    return require("orrery.play.target").run(request)
end

local function needed(request)
    local names = { "orrery.play.target" }
    for _, each in ipairs(request.steps or {}) do names[#names + 1] = each.module or resource.BUILT_IN .. each[1] end
    if request.batch then
        local code = string.dump(request.batch)
        for _, name in ipairs(resource.names()) do
            if code:find(name, 1, true) then names[#names + 1] = resource.BUILT_IN .. name end
        end
    end
    return names
end

local function call(h, request)
    if h.ctx.id == (core.self()) then return require("orrery.play.target").run(request) end
    return h.ctx:call(enter, modules.bundle(h.ctx.id, needed(request)), request)
end

local function answered(h, at, ok, response, ...)
    if not ok then error(located(h, Error.from(response), at), 0) end
    deliver(h, response.events)
    if response.error then
        local err = located(h, response.error, at)
        err.results = response.results
        error(err, 0)
    end
    return response, ...
end

local function pack(...) return { n = select("#", ...), ... } end

local function ask(h, request, at)
    local inbox = receiver.receiver()
    request.sender = inbox:sender()
    request.settings = h.settings
    request.common = { host = h.name, play = h.play or nil }
    local reader = follow(h, inbox)
    local answer = pack(pcall(call, h, request))
    reader:cancel()
    drain(h, inbox)
    return answered(h, at, unpack(answer, 1, answer.n))
end

-- Numbers of steps: where in the script it is, by the order in which a host comes to it.
local function next_id(h)
    local scope = h.scope
    scope.count = scope.count + 1
    return scope.prefix .. scope.count
end

local function entry(definition, given, at)
    local module = resource.module_of(definition)
    return {
        definition.name, options = given, at = at,
        module = module and not module:find("^orrery%.play%.resources%.") and module or nil,
        definition = not module and definition or nil,
    }
end

-- Resources ---------------------------------------------------------------------------------------

local function one(h, definition, given)
    local at = Error.at()
    if type(given) ~= "table" then
        Error.raise { code = "argument", at = at, message = ("h:%s takes a table of options"):format(definition.name) }
    end
    engine.step(definition, given, at)
    local response = ask(h, { id = next_id(h), single = true, steps = { entry(definition, given, at) } }, at)
    return response.results[1]
end

--- Brings a list of resources about, in one message. It ends at the first that fails.
---@param list table[] `{ "file", path = ... }`; `when` of each gets the results so far, and facts
---@return orrery.play.Result[]
---Raises what went wrong; `results` of the error has those of the steps before.
function Host:apply(list)
    local at = Error.at()
    local steps = {}
    for i, each in ipairs(list) do
        local given = {}
        for key, value in pairs(each) do
            if key ~= 1 then given[key] = value end
        end
        local definition = resource.find(each[1]) or resource.unknown(each[1], at)
        engine.step(definition, given, at)
        steps[i] = entry(definition, given, at)
    end
    return ask(self, { id = next_id(self), steps = steps }, at).results
end

local function drop_response(_, ...) return ... end

--- Runs a function on the target, as a whole and in one message. It gets an `h` with the same methods.
---@param fn fun(h: orrery.play.TargetHost): any
---@return any ... what it returns
function Host:batch(fn)
    local at = Error.at()
    return drop_response(ask(self, { id = next_id(self), batch = fn, vars = self.vars }, at))
end

--- Says something in the view.
---@param text string
function Host:say(text)
    self.sink { event = "message", play = self.play or nil, host = self.name, level = "info", text = engine.scrub(tostring(text)) }
end

function Host:warn(text)
    self.sink { event = "message", play = self.play or nil, host = self.name, level = "warning", text = engine.scrub(tostring(text)) }
end

function Host:run(argv, opts) return self.ctx:run(argv, opts) end

function Host:shell(text, ...) return self.ctx:shell(text, ...) end

function Host:put(from, to, opts) return self.ctx:put(from, to, opts) end

function Host:get(from, to, opts) return self.ctx:get(from, to, opts) end

-- Facts are found there, a group at a time, when they are asked for.
local function remote_facts(h)
    return setmetatable({}, {
        __index = function(known, key)
            local value = h.ctx:call("orrery.play.facts.get", key)
            rawset(known, key, value)
            return value
        end,
    })
end

local function index(h, key)
    if Host[key] then return Host[key] end
    if key == "facts" then
        local facts = remote_facts(h)
        rawset(h, "facts", facts)
        return facts
    end
    local definition = resource.find(key)
    if not definition then resource.unknown(key) end
    return function(self, given) return one(self, definition, given) end
end

local MT = { __index = index }

---@class orrery.play.HostOptions
---@field name? string default: the context's
---@field vars? table
---@field settings? orrery.play.Settings
---@field sink? fun(event: table) gets every event; must not raise
---@field play? integer for events

local function ignore() end

--- Makes a host out of a context.
---@param ctx orrery.Context
---@param opts? orrery.play.HostOptions
---@return orrery.play.Host
function M.new(ctx, opts)
    opts = opts or {}
    return setmetatable({
        ctx = ctx, name = opts.name or ctx.name, vars = opts.vars or {}, settings = opts.settings or {},
        sink = opts.sink or ignore, play = opts.play or false, scope = { prefix = "", count = 0 },
    }, MT)
end

return M
