--- Keys, known hosts, passwords and people stay with this process, also for an SSH connection that another
--- context makes in its name. That one gets what it needs to know as data, and asks for the rest
--- (runtime/call/keeper.h).

local ask = require "orrery.ask"
local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local sched = require "orrery.sched"

local M = {}

local await = link.answers(core.handle.KEEP, link.dead_error)

---@class orrery.Keeper
---@field package number integer
---@field ssh table the options for the context that connects, as data
---@field asking table the same: whom it asks
local Keeper = {}
Keeper.__index = Keeper

-- What the other end is told. All else is about keys, known hosts and secrets, or about files of this machine.
local TOLD = {
    "name", "host", "port", "user", "auth_order", "kex", "ciphers", "macs", "family", "compression", "set_env",
    "connect_timeout", "handshake_timeout", "connection_attempts", "password_prompts", "proxy_command", "share_key",
    "kept",
}

local function told(config)
    local plain = { kept_password = config.password ~= nil }
    for _, field in ipairs(TOLD) do plain[field] = config[field] end
    plain.via = config.via and told(config.via)
    return plain
end

local function number_hops(config)
    local i = 0
    while config do
        i = i + 1
        config.kept, config = i, config.via
    end
end

-- The algorithms and the keys to offer, of one host.
local function take_offers(plain, rest)
    local count
    plain.host_key_algorithms, count, rest = core.unpack("s4*", rest)
    plain.offers = {}
    for i = 1, count do plain.offers[i], rest = core.unpack("s*", rest) end
    return rest
end

local function wait_for(number, name)
    local future = sched.future { what = function() return "a look at the keys for " .. name end }
    await(number, future)
    local _, payload = future:take()
    return payload
end

--- Looks at what there is to log in with, and answers from then on.
---@param name string
---@param config orrery.SshConfig what the connection is for
---@param request table `ask` and `asking`, as for core.open
---@return orrery.Keeper
---Raises "connect" where this process has no SSH; "cancelled".
function M.open(name, config, request)
    number_hops(config)
    local wanted = { name = name, ssh = config, ask = request.ask, asking = request.asking }
    ask.prepare(wanted)
    local number, code, text = core.keep(wanted)
    if not number then Error.raise { code = code, message = text, at = Error.at() } end
    local self = setmetatable({ number = number, ssh = told(config) }, Keeper)
    ask.serve(number, wanted)
    local ok, payload = pcall(wait_for, number, name)
    if not ok then
        self:close()
        error(payload, 0)
    end
    local handle, rest = core.unpack("4*", payload)
    local plain = self.ssh
    while plain do
        rest = take_offers(plain, rest)
        plain = plain.via
    end
    self.asking = { keeper = (core.self()), keeper_handle = handle }
    return self
end

--- From now on that context is answered.
---@param ctx orrery.Context
function Keeper:serve(ctx) core.keep_for(self.number, ctx.id) end

--- Nobody is answered any more.
function Keeper:close()
    core.keep_end(self.number)
    ask.done(self.number)
end

return M
