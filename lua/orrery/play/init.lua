--- Playbooks: `require "orrery.play"`.

local M = {}

--- Makes an `h`, with resources as methods, out of a context.
---@param ctx orrery.Context
---@param opts? orrery.play.HostOptions
---@return orrery.play.Host
function M.host(ctx, opts) return require("orrery.play.host").new(ctx, opts) end

--- Finds what a playbook uses: play.resource.define, play.fail.
M.resource = require "orrery.play.resource"
M.fail = M.resource.fail

return M
