--- Which hosts of a play go when, and how many may fail: arithmetic, without any host.

local Error = require "orrery.error"

local M = {}

---@alias orrery.play.Share integer|string so many hosts, or "25%" of them

local function fail(where, value, must)
    local shown = type(value) == "string" and ("%q"):format(value) or tostring(value)
    local message = ("play: option '%s' %s, not %s"):format(where, must, shown)
    Error.raise { code = "option", at = Error.at(), message = message }
end

--- The number that a share stands for.
---@param where string the option, for messages
---@param share orrery.play.Share
---@param total integer
---@param least integer a percentage is rounded down, but to no less than this
---@return integer
---Raises "option".
function M.share(where, share, total, least)
    if type(share) == "number" and share >= least and share % 1 == 0 then return share end
    local percent = type(share) == "string" and tonumber(share:match "^(%d+%.?%d*)%%$")
    if percent and percent <= 100 then return math.max(least, math.floor(total * percent / 100)) end
    fail(where, share, ("must be a whole number from %d on, or a percentage as '25%%'"):format(least))
end

--- The sizes of the batches of a play.
---@param serial nil|orrery.play.Share|orrery.play.Share[] of a list, the last one counts for all that follow
---@param total integer hosts of the play
---@return integer[] none where there is no host
---Raises "option".
function M.sizes(serial, total)
    local shares = type(serial) == "table" and serial or { serial or math.max(1, total) }
    if #shares == 0 then fail("serial", "{}", "must have at least one entry") end
    local numbers, sizes, left = {}, {}, total
    for i, share in ipairs(shares) do numbers[i] = M.share("serial", share, total, 1) end
    while left > 0 do
        local size = math.min(left, numbers[math.min(#sizes + 1, #numbers)])
        sizes[#sizes + 1], left = size, left - size
    end
    return sizes
end

-- "web2" before "web10".
local function natural(name)
    return (name:gsub("%d+", function(digits) return ("0"):rep(15 - #digits) .. digits end))
end

local orders = {}

function orders.inventory(hosts) return hosts end

function orders.reverse(hosts)
    for i = 1, math.floor(#hosts / 2) do
        local j = #hosts + 1 - i
        hosts[i], hosts[j] = hosts[j], hosts[i]
    end
    return hosts
end

function orders.sorted(hosts)
    local keys = {}
    for _, name in ipairs(hosts) do keys[name] = natural(name) end
    table.sort(hosts, function(a, b) return keys[a] < keys[b] end)
    return hosts
end

function orders.shuffle(hosts, random)
    for i = #hosts, 2, -1 do
        local j = random(i)
        hosts[i], hosts[j] = hosts[j], hosts[i]
    end
    return hosts
end

--- The hosts in the order in which they go.
---@param order nil|"inventory"|"reverse"|"sorted"|"shuffle"
---@param hosts string[] as the inventory has them; left alone
---@param random? fun(n: integer): integer from 1 to n; default math.random
---@return string[]
---Raises "option".
function M.order(order, hosts, random)
    local sort = orders[order or "inventory"]
    if not sort then fail("order", order, "must be one of inventory, reverse, sorted, shuffle") end
    local copy = {}
    for i, name in ipairs(hosts) do copy[i] = name end
    return sort(copy, random or math.random)
end

--- The hosts of a play in batches.
---@param hosts string[]
---@param serial nil|orrery.play.Share|orrery.play.Share[]
---@return string[][]
---Raises "option".
function M.split(hosts, serial)
    local batches, at = {}, 0
    for i, size in ipairs(M.sizes(serial, #hosts)) do
        batches[i] = {}
        for j = 1, size do batches[i][j] = hosts[at + j] end
        at = at + size
    end
    return batches
end

--- How many hosts of a play may fail before it takes no further ones.
---@param max_failures nil|orrery.play.Share
---@param total integer
---@return number most math.huge where nothing is said
---Raises "option".
function M.allowed(max_failures, total)
    if max_failures == nil then return math.huge end
    return M.share("max_failures", max_failures, total, 0)
end

return M
