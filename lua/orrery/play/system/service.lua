--- What the resource service does, whoever manages services.
--
-- A manager is a module with
--     patience              seconds in which a service that was started shows
--     look(o, env)          what there is: { exists, running, enabled, masked, stale, pid }; nil in a field: not known
--     act(o, env, verb)     "start", "stop", "restart", "reload", "enable", "disable", and of the `verbs` it has:
--                           "mask", "unmask", "daemon-reload"; raises
--     explain(o, env)       why it does not run, in a line or two; may be missing

local resource = require "orrery.play.resource"
local sched = require "orrery.sched"
local tool = require "orrery.play.system.tool"

local M = {}

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    if not o.name:match "^[%w@._:\\+-]+$" or o.name:sub(1, 1) == "-" then
        return ("option 'name' is no name of a service: '%s'"):format(o.name)
    end
    if o.state == nil and o.enabled == nil and o.masked == nil and o.daemon_reload == nil then
        return "nothing is asked for: give state, enabled, masked or daemon_reload"
    end
    if o.masked and (o.state == "started" or o.state == "restarted" or o.state == "reloaded" or o.enabled) then
        return "what is masked cannot be started or enabled"
    end
end

--- Who manages services here.
---@param env orrery.play.Env
---@param wanted string
---@return string
function M.detect(env, wanted)
    if wanted ~= "auto" then return wanted end
    if env.sys.stat "/run/systemd/system" then return "systemd" end
    if tool.find(env, "rc-service") then return "openrc" end
    if env.sys.stat "/etc/init.d" then return "sysv" end
    if tool.find(env, "systemctl") then return "systemd" end
    resource.fail "nothing is found that manages services: no systemd, no OpenRC, no /etc/init.d"
end

local MANAGERS = {
    systemd = function() return require "orrery.play.system.service_systemd" end,
    openrc = function() return require "orrery.play.system.service_openrc" end,
    sysv = function() return require "orrery.play.system.service_sysv" end,
}

local function manager_of(o, env)
    local name = M.detect(env, o.manager)
    return MANAGERS[name](), name
end

local function result_of(o, now, name)
    return { name = o.name, running = now.running, enabled = now.enabled, pid = now.pid, manager = name }
end

local function unsupported(o, manager, name)
    for option, verb in pairs { masked = "mask", daemon_reload = "daemon-reload" } do
        if o[option] and not manager.verbs[verb] then
            resource.fail(("%s: %s knows no '%s'"):format(o.name, name, option))
        end
    end
    if o.scope == "user" and name ~= "systemd" then resource.fail(("%s has no services of users"):format(name)) end
end

-- What is done for a state, by whether it runs.
local STATES = {
    started = { [false] = "start" }, stopped = { [true] = "stop" },
    restarted = { [true] = "restart", [false] = "start" },
    reloaded = { [true] = "reload", [false] = "start" },
}

-- What is to be done, in order, and what of it shows as a difference.
local function actions(o, now)
    local list, diff = {}, {}
    local function act(verb, what, before, after)
        list[#list + 1] = verb
        diff[#diff + 1] = { what = what, before = before, after = after }
    end
    if o.daemon_reload ~= false and now.stale then act("daemon-reload", "unit files", "changed", "read again") end
    if o.masked == false and now.masked then act("unmask", "masked", "true", "false") end
    if o.enabled ~= nil and now.enabled ~= o.enabled then
        act(o.enabled and "enable" or "disable", "enabled", tostring(now.enabled), tostring(o.enabled))
    end
    local verb = o.state and STATES[o.state][now.running or false]
    if verb then act(verb, "state", now.running and "started" or "stopped", o.state) end
    if o.masked and not now.masked then act("mask", "masked", "false", "true") end
    return list, diff
end

-- A service that is not there is stopped and not enabled. In check mode, an earlier step would have installed it.
local function check_missing(o, env, name)
    local wants = o.state and o.state ~= "stopped" or o.enabled
    if not wants then return nil, result_of(o, { running = false, enabled = false }, name) end
    if not env.check_mode then resource.fail(("%s knows no service '%s'"):format(name, o.name)) end
    local out = result_of(o, {}, name)
    return { unknown = true, message = ("%s knows no service '%s' yet"):format(name, o.name), diff = {} }, out
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local manager, name = manager_of(o, env)
    unsupported(o, manager, name)
    local now = manager.look(o, env)
    if not now.exists and not (o.masked and name == "systemd") then return check_missing(o, env, name) end
    if now.masked and o.masked ~= false and (o.state and o.state ~= "stopped" or o.enabled) then
        resource.fail(("%s is masked; masked = false unmasks it"):format(o.name))
    end
    local list, diff = actions(o, now)
    if #list == 0 then return nil, result_of(o, now, name) end
    return { diff = diff, actions = list }, result_of(o, now, name)
end

local MUST_RUN = { start = true, restart = true }

local PAUSE = 0.1 -- seconds between two looks at a service that was started

-- Does what it is, running or not, end within a time? What counts is how long we have slept: on a machine that is
-- busy, or stood still, the service had no more time than we.
local function ends_within(seconds, o, env, manager, running)
    local left = seconds
    while (manager.look(o, env).running ~= false) == running do
        if left <= 0 then return false end
        sched.sleep(math.min(PAUSE, left))
        left = left - PAUSE
    end
    return true
end

-- Some managers are content with having tried; some services take a moment to show, and some end soon.
local function check_running(o, env, manager)
    local shows = ends_within(manager.patience, o, env, manager, false)
    if shows and not ends_within(o.settle, o, env, manager, true) then return end
    local why = manager.explain and manager.explain(o, env)
    resource.fail(("%s was started, and does not run%s"):format(o.name, why and ": " .. why or ""))
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    local manager, name = manager_of(o, env)
    local list = {}
    for i, verb in ipairs(plan.actions) do
        list[i] = { verb, function()
            manager.act(o, env, verb)
            if MUST_RUN[verb] then check_running(o, env, manager) end
        end }
    end
    tool.steps(list)
    return result_of(o, manager.look(o, env), name)
end

return M
