--- :log.

local core = require "orrery.core"
local Error = require "orrery.error"
local options = require "orrery.options"

local M = {}

local LEVELS = { "error", "warn", "info", "debug", "trace" }

local function number_of(name)
    for i, level in ipairs(LEVELS) do
        if level == name then return i - 1 end
    end
    local near = #name <= 64 and options.nearest(name, LEVELS)
    Error.raise {
        code = "usage",
        message = ("there is no level '%s'; %s"):format(name,
            near and ("did you mean '%s'?"):format(near) or "there are: " .. table.concat(LEVELS, ", ")),
    }
end

function M.log(repl, level)
    if level ~= "" then
        core.log_level(number_of(level))
    else
        repl.print(LEVELS[core.log_level() + 1])
    end
end

return M
