--- SSH from another context: `ctx:ssh "db1"`.
--
-- The script says who is reached, so this process reads the configuration; names resolve, and connections are
-- made, where ctx is. Keys, known hosts, passwords and people stay here (keeper.lua).

local Error = require "orrery.error"
local identity = require "orrery.ssh_identity"
local keeper = require "orrery.keeper"
local relay = require "orrery.relay"
local nested = require "orrery.nested"
local ssh = require "orrery.ssh"

local M = {}

-- An error says what it is about by an address, and that is one over there.
local function from(ctx, plan, err)
    identity.explain(err, plan.missing)
    err.message = ("from %s: %s"):format(ctx.name, err.message)
    err.at = Error.at() or err.at
    err.context, err.route = plan.name, ("%s/ssh:%s"):format(ctx.route, plan.name)
    return err
end

local function open(way, plan)
    local keep = keeper.open(plan.name, plan.config, ssh.asked(plan))
    keep:serve(way.ctx)
    local ok, child = pcall(nested.open, way.ctx, ssh.kept_request(plan, keep))
    keep:close()
    if not ok then error(child, 0) end
    return child
end

--- Opens a context on a host that is reached from another.
---@param ctx orrery.Context
---@param target string|orrery.SshOptions
---@param opts? orrery.SshOptions
---@return orrery.Context
function M.open(ctx, target, opts)
    local plan = ssh.plan_from(ctx, target, opts)
    identity.warn(plan.missing)
    for tries = 1, 2 do
        local way = relay.take(ctx)
        local ok, child = pcall(open, way, plan)
        if ok then
            way:serve(child)
            return child
        end
        way:leave()
        local err = Error.from(child)
        -- One that has died before may be known here no sooner than now.
        if tries == 2 or not way:is_lost(err) then error(from(ctx, plan, err), 0) end
    end
end

return M
