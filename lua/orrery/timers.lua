--- The scheduler's timers: a binary heap of entries that know their place, so that each can be
--- taken out early. Most are, since a timeout rarely comes true.

local M = {}

---@class orrery.Timer
---@field package when number on the scheduler's clock, seconds
---@field package seq integer order among equal times
---@field package pos integer place in the heap; 0 when it is not there
---@field package owner any what `fire` is called with
local Timer = {}
Timer.__index = Timer

local heap, last_seq = {}, 0

local function before(a, b)
    return a.when < b.when or (a.when == b.when and a.seq < b.seq)
end

local function put(timer, pos)
    heap[pos], timer.pos = timer, pos
end

local function sift_up(timer, pos)
    while pos > 1 do
        local parent = math.floor(pos / 2)
        if not before(timer, heap[parent]) then break end
        put(heap[parent], pos)
        pos = parent
    end
    put(timer, pos)
end

local function sift_down(timer, pos)
    while true do
        local child = pos * 2
        if heap[child + 1] and before(heap[child + 1], heap[child]) then child = child + 1 end
        if not heap[child] or not before(heap[child], timer) then break end
        put(heap[child], pos)
        pos = child
    end
    put(timer, pos)
end

---@param when number
---@param owner any
---@return orrery.Timer
function M.add(when, owner)
    last_seq = last_seq + 1
    local timer = setmetatable({ when = when, seq = last_seq, pos = 0, owner = owner }, Timer)
    sift_up(timer, #heap + 1)
    return timer
end

--- Takes the timer back. Harmless when it has fired.
function Timer:cancel()
    local pos, last = self.pos, heap[#heap]
    if pos == 0 then return end
    heap[#heap], self.pos = nil, 0
    if last ~= self then
        sift_down(last, pos)
        sift_up(last, last.pos)
    end
end

---@return number? when the earliest is due; nil without timers
function M.next()
    return heap[1] and heap[1].when
end

--- Takes out what is due, in order. Timers that the calls add wait for the next time.
---@param now number
---@param fire fun(owner: any)
---@return boolean fired any
function M.fire(now, fire)
    local newest, fired = last_seq, false
    while heap[1] and heap[1].when <= now and heap[1].seq <= newest do
        local timer = heap[1]
        timer:cancel()
        fired = true
        fire(timer.owner)
    end
    return fired
end

return M
