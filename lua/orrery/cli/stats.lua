--- --stats: what the runtime did, on stderr when all is over.

local M = {}

--- A line for each counter that is not 0: its name, its number, what it counts.
---@return string[]
function M.lines()
    local core = require "orrery.core"
    local stats, lines, widths = core.stats(), {}, { 0, 0 }
    for _, counter in ipairs(core.counters()) do
        local name, text = counter[1], counter[2]
        if stats[name] > 0 then
            local number = ("%.0f"):format(stats[name])
            widths[1], widths[2] = math.max(widths[1], #name), math.max(widths[2], #number)
            lines[#lines + 1] = { name, number, text }
        end
    end
    local form = ("%%-%ds  %%%ds  %%s"):format(widths[1], widths[2])
    for i, line in ipairs(lines) do lines[i] = form:format(unpack(line)) end
    return lines
end

--- Writes them.
function M.show()
    io.stdout:flush()
    for _, line in ipairs(M.lines()) do io.stderr:write(line, "\n") end
end

return M
