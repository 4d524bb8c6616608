--- :set.

local M = {}

function M.set(repl, text)
    local settings = require "orrery.repl.settings"
    local name, value = text:match "^([^%s=]+)%s*=?%s*(.*)$"
    if not name then
        local lines = {}
        for _, each in ipairs(settings.names()) do lines[#lines + 1] = repl.settings:describe(each) end
        repl.print(table.concat(lines, "\n"))
    elseif value == "" then
        repl.print(repl.settings:describe(name))
    else
        repl.settings:set(name, value)
    end
end

return M
