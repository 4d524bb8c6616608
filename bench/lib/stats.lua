--- Medians and percentiles. Pure Lua; used by the benches and by the programs that they start.

local M = {}

local function sorted(values)
    local copy = {}
    for i, value in ipairs(values) do copy[i] = value end
    table.sort(copy)
    return copy
end

--- The value below which `share` of all values lie.
---@param values number[] at least one
---@param share number 0.99 for the 99th percentile
---@return number
function M.quantile(values, share)
    local ordered = sorted(values)
    return ordered[math.min(math.floor(#ordered * share) + 1, #ordered)]
end

---@param values number[]
---@return number? median nil of nothing; of an even count the mean of the two in the middle
function M.median(values)
    local ordered = sorted(values)
    local n = #ordered
    if n == 0 then return nil end
    if n % 2 == 1 then return ordered[(n + 1) / 2] end
    return (ordered[n / 2] + ordered[n / 2 + 1]) / 2
end

return M
