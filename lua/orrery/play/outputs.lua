--- The views of a run, as the command line names them.

local views = require "orrery.play.views"

local M = {}

--- Which view is meant.
---@param name? string nil: live on a terminal, plain elsewhere
---@return string? kind
---@return string? why not
function M.check(name)
    if name == nil then return "auto" end
    for _, kind in ipairs(views.NAMES) do
        if kind == name and kind ~= "html" then return kind end
    end
    return nil, ("must be plain, live, json or junit, not '%s'"):format(name)
end

--- Opens the views of a run.
---@param kind string what check returned
---@param opts { report?: string, verbose?: integer, diff?: boolean, playbook?: string }
---@return orrery.play.views.View[]
---Raises "file" where a report cannot be written.
function M.open(kind, opts)
    return {
        views.open({ kind, opts.report and "html" or nil }, {
            verbosity = opts.verbose, diff = opts.diff, playbook = opts.playbook, report = opts.report,
        }),
    }
end

return M
