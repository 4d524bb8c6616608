--- :stats.

local columns = require "orrery.repl.columns"

local M = {}

function M.stats(repl)
    local lines = require("orrery.cli.stats").lines()
    local width = columns.width(repl)
    for i, line in ipairs(lines) do lines[i] = columns.cut(line, width) end
    repl.print(table.concat(lines, "\n"))
end

return M
