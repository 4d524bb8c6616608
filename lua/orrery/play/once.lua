--- What hosts of a play do together: things done once for all, and things that few may do at a time.

local Error = require "orrery.error"
local sched = require "orrery.sched"

local M = {}

-- Once ---------------------------------------------------------------------------------------------

---@class orrery.play.Once
---@field futures table<string, orrery.Future>
local Once = {}
Once.__index = Once

---@return orrery.play.Once
function M.new() return setmetatable({ futures = {} }, Once) end

-- Whoever waits has not failed in the same way: its host may be well.
local function theirs(future, what)
    local ok, result = pcall(future.get, future)
    if ok then return result end
    local err = Error.from(result)
    if err.code == "interrupted" or err.code == "cancelled" then error(err, 0) end
    Error.raise {
        code = "resource", cause = err,
        message = ("%s, which is done once for all, failed on another host: %s"):format(what, tostring(err.message)),
    }
end

--- Runs a function for the first one that comes with this key; the others wait, and get what it got.
---@param key string
---@param what string for messages
---@param fn fun(): any
---@return any result
---@return boolean mine whether it ran here
---Raises what fn raised, for all.
function Once:run(key, what, fn)
    local future = self.futures[key]
    if future then return theirs(future, what), false end
    future = sched.future { what = ("%s, which is done once"):format(what) }
    -- Ctrl-C is about what the others wait for, and not about their wait.
    future.inner = true
    self.futures[key] = future
    local ok, result = pcall(fn)
    if ok then future:resolve(result) else future:reject(result) end
    if not ok then error(result, 0) end
    return result, true
end

--- Says that it was done, in an earlier run.
---@param key string
---@param result any
function Once:done(key, result)
    local future = sched.future()
    future:resolve(result)
    self.futures[key] = future
end

-- Throttle -----------------------------------------------------------------------------------------

---@class orrery.play.Throttle
---@field slots table<string, { running: integer, waiting: orrery.Future[] }>
local Throttle = {}
Throttle.__index = Throttle

---@return orrery.play.Throttle
function M.throttle() return setmetatable({ slots = {} }, Throttle) end

local function enter(slot, limit, key)
    if slot.running < limit then
        slot.running = slot.running + 1
        return
    end
    local turn = sched.future { what = ("a turn: %s"):format(key) }
    turn.inner = true
    table.insert(slot.waiting, turn)
    local ok, err = pcall(turn.take, turn)
    if ok then return end
    for i, other in ipairs(slot.waiting) do
        if other == turn then table.remove(slot.waiting, i) break end
    end
    error(err, 0)
end

-- The turn goes to whoever waits, without being free in between.
local function leave(slot)
    local turn = table.remove(slot.waiting, 1)
    while turn and not turn:resolve() do turn = table.remove(slot.waiting, 1) end
    if not turn then slot.running = slot.running - 1 end
end

--- Runs a function when fewer than `limit` others with this key do.
---@param key string
---@param limit integer
---@param fn fun(): any
---@return any ... what fn returns
function Throttle:run(key, limit, fn)
    local slot = self.slots[key] or { running = 0, waiting = {} }
    self.slots[key] = slot
    enter(slot, limit, key)
    local results = { pcall(fn) }
    leave(slot)
    if not results[1] then error(results[2], 0) end
    return unpack(results, 2, table.maxn(results))
end

return M
