--- What the resource cron does: by crontab(1), which checks what it is given; and as files in /etc/cron.d.

local accounts = require "orrery.play.system.accounts"
local crontab = require "orrery.play.system.crontab"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local function check_file(o, env)
    local path = "/etc/cron.d/" .. o.file
    local before = text.read(env, path)
    local after = o.state == "present" and crontab.file(o, o.user or "root") or nil
    local out = { name = o.name, path = path }
    if before == after then return nil, out end
    return { diff = { text.diff(path, before, after) }, path = path, before = before, after = after }, out
end

-- Our own table needs no -u, which only root may use.
local function command(o, env, ...)
    local user = o.user and accounts.user(env, o.user)
    local other = user and user.uid ~= env.sys.getuid()
    return tool.words("crontab", other and { "-u", o.user }, ...)
end

local function read_table(o, env)
    local r = tool.look(env, command(o, env, "-l"))
    if r.code == 0 then return crontab.without_header(r.stdout) end
    -- "no crontab for root"; busybox: "can't open 'root': No such file or directory"
    if r.stderr:find("no crontab for", 1, true) or r.stderr:find("No such file", 1, true) then return "" end
    resource.fail(("cannot read the crontab of %s: %s"):format(o.user or "this user", tool.reason(r)))
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    if o.file then return check_file(o, env) end
    local user = o.user and accounts.user(env, o.user)
    if o.user and not user then
        if o.state == "absent" then return nil, { name = o.name } end
        if not env.check_mode then resource.fail(("there is no user '%s'"):format(o.user)) end
        return { unknown = true, diff = {}, message = ("there is no user '%s' yet"):format(o.user) }, { name = o.name }
    end
    if not tool.find(env, "crontab") then
        if o.state == "absent" then return nil, { name = o.name } end
        if not env.check_mode then resource.fail "there is no crontab here: cron is not installed" end
        return { unknown = true, diff = {}, message = "cron is not installed yet" }, { name = o.name }
    end
    local before = read_table(o, env)
    local after = crontab.merge(before, o)
    if before == after then return nil, { name = o.name } end
    local diff = text.diff("crontab of " .. (o.user or "this user"), before, after)
    return { diff = { diff }, after = after }, { name = o.name }
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    if plan.path then
        if not plan.after then return resource.must("remove", env.sys.unlink(plan.path)) and nil end
        text.make_parent(env, plan.path)
        return text.write(env, plan.path, plan.after)
    end
    local what = "write the crontab of " .. (o.user or "this user")
    if plan.after == "" then return tool.must(env, what, command(o, env, "-r")) and nil end
    tool.must(env, what, command(o, env, "-"), { stdin = plan.after })
end

return M
