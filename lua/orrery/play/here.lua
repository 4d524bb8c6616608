--- Steps that are done at the controller, because they are about both sides: files that go from one to the other, a
--- machine that is rebooted and must be connected to again, a pause.
--
-- A resource says so by `side = "controller"` (or a function of its options that returns it). It has check and apply as
-- any other, and what every resource takes holds for it; but its env is that of this machine, with the way to the
-- target in it:
--
--     env.ctx            the target's context, as the user that the step is done as
--     env.there(module, name, ...)   calls a function of a module there; the module is sent along
--     env.host           the host, for its name
--     env.run            runs commands at the controller
--     env.step(name, options, check)   another resource, done on the target as a part of this step; only looked at, if
--                        check is true
--     env.reconnect()    opens a new way to the target, which is env.ctx from then on

local core = require "orrery.core"
local engine = require "orrery.play.engine"
local Error = require "orrery.error"
local modules = require "orrery.modules"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local M = {}

-- Runs there.
local function enter(bundle, module, name, ...)
    if bundle then require("orrery.modules").add(bundle) end
    return require(module)[name](...)
end

local function call(ctx, module, name, ...)
    if ctx.id == (core.self()) then return require(module)[name](...) end
    return ctx:call(enter, modules.bundle(ctx.id, { module }), module, name, ...)
end

-- Events go to the host as they come.
local function events_of(h)
    local events = {}
    function events.emit(_, event)
        event.time, event.play, event.host = event.time or sys.time(), h.play or nil, h.name
        h.sink(event)
    end
    function events:line(step, stream, line)
        self:emit { event = "step_line", step = step, stream = stream, line = line }
    end
    function events.flush() end
    return events
end

local function no_files()
    resource.fail "a step of the controller opens its files itself"
end

-- The controller serves no commands to itself: a child of it does, as long as the step needs one.
local function runner(env)
    local child
    return function()
        if not child then
            child = require("orrery").localhost { name = "controller" }
            env.cleanup(function() child:close() end)
        end
        return child
    end
end

local function reconnect(h, env)
    local conductor = h.conductor
    local open = h.reopen
    if conductor and conductor.session.connections.reopen then
        open = function() return conductor.session.connections:reopen(h.name, env.ctx) end
    end
    if not open then
        resource.fail "there is no way to connect to this host again: use a play, or play.host(ctx, { reopen = fn })"
    end
    env.ctx = open()
    h.ctx = env.ctx
    if rawget(h, "facts") then h.facts = nil end
    for _, kept in ipairs { h.others, h.inboxes } do
        for key in pairs(kept) do kept[key] = nil end
    end
end

local function silence() end

-- Its events would be those of steps that the script does not have.
local function part(h, id, env)
    local scope = { prefix = id .. ".", count = 0 }
    return function(name, given, check)
        check = check or env.check_mode
        local quiet = setmetatable({
            ctx = env.ctx, sink = silence, conductor = false, check = check, scope = scope,
            settings = { check = check, diff = env.diff },
        }, { __index = h })
        return h.one(quiet, resource.find(name) or resource.unknown(name), given)
    end
end

local function extend(h, id)
    return function(env)
        env.step = part(h, id, env)
        env.ctx, env.host = h.ctx, h
        env.there = function(module, name, ...) return call(env.ctx, module, name, ...) end
        env.reconnect = function() reconnect(h, env) end
        env.runner = runner(env)
    end
end

--- Performs a step here.
---@param h orrery.play.Host where it is about
---@param step orrery.play.Step
---@return orrery.play.Result
---Raises what went wrong.
function M.perform(h, step)
    step.events, step.files = events_of(h), { content = no_files, source = no_files }
    step.facts, step.vars, step.tags, step.results = h.facts, h.vars, h.tags or nil, {}
    step.extend = extend(h, step.id)
    local settings = h.settings
    local ok, result = pcall(engine.perform, step, {
        check = h.check or nil, diff = settings.diff or nil, tags = settings.tags, skip_tags = settings.skip_tags,
    })
    if ok then return result end
    local err = Error.from(result)
    if h.ctx then require("orrery.context").locate(h.ctx, err) end
    err.at = err.at or step.at
    error(err, 0)
end

return M
