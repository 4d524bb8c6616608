--- Values as text.

local M = {}

--- Each of the values in a line.
function M.values(_, n, ...)
    local lines = {}
    for i = 1, n do
        local ok, text = pcall(tostring, (select(i, ...)))
        lines[i] = ok and text or "?"
    end
    return table.concat(lines, "\n")
end

return M
