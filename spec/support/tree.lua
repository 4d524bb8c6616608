--- Contexts in a row, for specs: each a child of the one before, on this machine.

local luassert = require "luassert"
local orrery = require "orrery"
local remote = require "spec.support.remote"

local tree = {}

--- Contexts c1, c2, ...
---@param depth integer
---@return orrery.Context[]
function tree.chain(depth)
    local list = {}
    for i = 1, depth do
        local above = list[i - 1]
        local opts = { name = "c" .. i }
        list[i] = above and above:localhost(opts) or orrery.localhost(opts)
    end
    return list
end

--- The route of the last of so many.
---@param depth integer
---@return string
function tree.route_of(depth)
    local parts = {}
    for i = 1, depth do parts[i] = "local:c" .. i end
    return table.concat(parts, "/")
end

--- Waits for the end of a process: its link is closed when it ends, a moment before it is gone.
---@param pid integer
function tree.ended(pid)
    remote.eventually("the end of process " .. pid, function() return not remote.alive(pid) end)
end

--- Whoever waits for a killed process may see the end of its link first, on a busy machine.
---@param text string the message of an error
---@param before? string what it begins with
function tree.assert_killed(text, before)
    luassert.is_truthy(text == (before or "") .. "was killed by signal 9 (Killed)"
        or text == (before or "") .. "closed its output, though it still runs", text)
end

return tree
