--- Services of OpenRC, by rc-service and rc-update.

local resource = require "orrery.play.resource"
local tool = require "orrery.play.system.tool"

local M = { patience = 5, verbs = {} }

---@param o table
---@param env orrery.play.Env
function M.look(o, env)
    if tool.look(env, { "rc-service", "-e", o.name }).code ~= 0 then
        return { exists = false, running = false, enabled = false }
    end
    local link = ("/etc/runlevels/%s/%s"):format(o.runlevel, o.name)
    local now = { exists = true, enabled = env.sys.lstat(link) ~= nil }
    -- 0: started; 3: stopped; 32: crashed; 8 and 16: on its way.
    if o.state then
        local r = tool.look(env, { "rc-service", o.name, "status" })
        now.running = r.code == 0 or r.code == 8
    end
    return now
end

---@param o table
---@param env orrery.play.Env
---@param verb string
function M.act(o, env, verb)
    local words = { "rc-service", o.name, verb }
    if verb == "enable" then words = { "rc-update", "add", o.name, o.runlevel } end
    if verb == "disable" then words = { "rc-update", "del", o.name, o.runlevel } end
    local r = tool.run(env, words)
    if r.code ~= 0 then resource.fail(("cannot %s %s: %s"):format(verb, o.name, tool.reason(r))) end
end

return M
