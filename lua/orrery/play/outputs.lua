--- The views of a run, by name.

local Error = require "orrery.error"

local M = {}

local KINDS = { "plain", "live", "json", "junit" }

--- Which view is meant.
---@param name? string nil: live on a terminal, plain elsewhere
---@return string? kind
---@return string? why not
function M.check(name)
    if name == nil then return "auto" end
    for _, kind in ipairs(KINDS) do
        if kind == name then return kind end
    end
    return nil, ("must be one of %s, not '%s'"):format(table.concat(KINDS, ", "), name)
end

local function is_terminal() return require("orrery.cli.output").is_terminal(1) and os.getenv "TERM" ~= "dumb" end

local function colour()
    local no = os.getenv "NO_COLOR"
    return is_terminal() and (no == nil or no == "")
end

local function write(text)
    io.stdout:write(text)
    io.stdout:flush()
end

-- What somebody has asked for and this build has not is an error, and not another view.
local function view(name, settings)
    local found, module = pcall(require, "orrery.play.views." .. name)
    if not found then
        Error.raise { code = "usage", message = ("orrery play: there is no view '%s': %s"):format(name, tostring(module)) }
    end
    return module.new(settings)
end

--- Opens the views of a run.
---@param kind string what check returned
---@param opts { report?: string, verbose?: integer, diff?: boolean, playbook?: string }
---@return table[]
---Raises "usage" where a view cannot be.
function M.open(kind, opts)
    if kind == "auto" then kind = is_terminal() and "live" or "plain" end
    local settings = {
        write = write, colour = colour(), verbosity = opts.verbose or 0, diff = opts.diff, playbook = opts.playbook,
    }
    local views = { view(kind, settings) }
    if opts.report then
        views[2] = view("html", { path = opts.report, diff = true, playbook = opts.playbook })
    end
    return views
end

return M
