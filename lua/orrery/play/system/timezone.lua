--- What the resource timezone does: the link /etc/localtime, which is all that timedatectl changes as well, and the
--- file in which Debian has the name once more.

local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"

local M = {}

local ZONES, LINK, FILE = "/usr/share/zoneinfo/", "/etc/localtime", "/etc/timezone"

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    if not o.name:match "^[%w][%w_/+-]*$" then return ("'%s' is no name of a time zone"):format(o.name) end
end

--- The zone that a link means.
---@param target? string
---@return string?
function M.zone(target) return target and target:match "zoneinfo/(.+)$" end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local plan = { diff = {} }
    local zone = env.sys.stat(ZONES .. o.name)
    if not zone or zone.type ~= "file" then
        if not env.check_mode then resource.fail(("there is no time zone '%s' in %s"):format(o.name, ZONES)) end
        plan.unknown, plan.message = true, "this time zone is not there (yet)"
    end
    local now = M.zone(env.sys.readlink(LINK))
    if now ~= o.name then
        plan.link = true
        plan.diff[1] = { what = "time zone", before = now or "not set", after = o.name }
    end
    local file = text.read(env, FILE)
    if file and text.trim(file) ~= o.name then
        plan.file = file
        plan.diff[#plan.diff + 1] = text.diff(FILE, file, o.name .. "\n")
    end
    if #plan.diff == 0 and not plan.unknown then return nil, { name = o.name } end
    return plan, { name = o.name }
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    if plan.file then text.write(env, FILE, o.name .. "\n") end
    if not plan.link then return end
    local beside = LINK .. ".orrery"
    env.sys.unlink(beside)
    local ok, why = env.sys.symlink(ZONES .. o.name, beside)
    if ok then ok, why = env.sys.rename(beside, LINK) end
    if ok then return end
    env.sys.unlink(beside)
    if plan.file then text.write(env, FILE, plan.file) end
    resource.fail(("cannot set the time zone: %s"):format(why))
end

return M
