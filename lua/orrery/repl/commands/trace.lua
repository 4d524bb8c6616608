--- :trace.

local columns = require "orrery.repl.columns"

local M = {}

function M.trace(repl, input)
    local trace = require "orrery.repl.trace"
    local done = trace.run(require("orrery.repl.commands.time").input, repl, input)
    require("orrery.repl.commands").page(repl, trace.text(done, columns.width(repl)))
    if done.problem then error(done.problem, 0) end
end

return M
