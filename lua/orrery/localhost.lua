--- Children on the same machine: a process of the same user, without any way in between.

local nested = require "orrery.nested"
local options = require "orrery.options"

local M = {}

local OPTIONS = {
    name = { type = "string", default = "localhost" },
    keepalive = "number",
    send = { enum = { "optimistic", "deferred" } },
}

---@class orrery.LocalOptions
---@field name? string default "localhost"
---@field keepalive? number seconds
---@field send? "optimistic"|"deferred"

--- A child process.
---@param opts? orrery.LocalOptions
---@return orrery.Plan
---Raises "option".
function M.plan(opts)
    opts = options.check("localhost", opts, OPTIONS)
    return {
        name = opts.name, route = "local:" .. opts.name, keepalive = opts.keepalive,
        deferred = opts.send == "deferred",
    }
end

options.declare(M.plan, OPTIONS, 1)

---@class orrery.Context
---@field localhost fun(self: orrery.Context, opts?: orrery.LocalOptions): orrery.Context a child process of this
---context's, on its machine
nested.add("localhost", M.plan)

return M
