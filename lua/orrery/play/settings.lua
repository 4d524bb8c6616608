--- What can be set for a run, by the command line and by play.configure.

local options = require "orrery.options"

local M = {}

local function count(n) return n >= 1 and n % 1 == 0, "must be a whole number, 1 or more" end

---@type orrery.OptionSchema
M.schema = {
    playbook = "string",
    inventory = { "string", "table" },
    vars = "table",
    limit = "string",
    tags = { "string", "table" },
    skip_tags = { "string", "table" },
    check = "boolean",
    diff = "boolean",
    forks = { type = "number", check = count },
    force_handlers = "boolean",
    ssh = "table",
    open = "function",
    host_vars = "function",
    views = "table",
    record = "boolean",
    start_at = "string",
    step = "boolean",
    failed = "boolean",
    from_start = "boolean",
}

local function list(value)
    if type(value) ~= "string" then return value end
    return { value }
end

--- Settings as a run takes them.
---@param settings table
---@return orrery.play.RunSettings
---Raises "option".
function M.check(settings)
    local checked = options.check("play.configure", settings, M.schema)
    checked.inventory, checked.tags, checked.skip_tags =
        list(checked.inventory), list(checked.tags), list(checked.skip_tags)
    return checked
end

return M
