--- Waiting for several things at once.
--
--     local which, line = orrery.select(lines, answers, stop, 10)
--     if which == stop then ... end

local Error = require "orrery.error"
local Future = require("orrery.future").Future
local receiver = require "orrery.receiver"
local sched = require "orrery.sched"

local M = {}

--- A future is ready when it is done.
local FUTURE = {
    is_ready = Future.done,
    is_over = function() return false end,
    news = function(future) return future end,
}

-- Who was chosen when: the one that has waited longest goes first.
local turn = 0
---@type table<table, integer>
local last_turn = setmetatable({}, { __mode = "k" })

local function kind_of(source, i)
    if getmetatable(source) == receiver.Receiver then return receiver.Receiver end
    if type(source) == "table" and source.observe == Future.observe then return FUTURE end
    Error.raise {
        code = "argument", at = Error.at(),
        message = ("select: argument %d: a receiver or a future was expected, this is a %s"):format(i, type(source)),
    }
end

local function choose(sources, kinds)
    local best, over = nil, true
    for i, source in ipairs(sources) do
        if kinds[i].is_ready(source) then
            if not best or (last_turn[source] or 0) < (last_turn[best] or 0) then best = source end
        end
        over = over and kinds[i].is_over(source)
    end
    return best, over
end

-- Returns when one of them may have become ready. Whatever ends the wait, nobody observes them afterwards.
local function wait(sources, kinds, seconds, what)
    local any = sched.future(what)
    local function wake() any:resolve() end
    local watched = {}
    for i, source in ipairs(sources) do
        if not kinds[i].is_over(source) then
            watched[#watched + 1] = kinds[i].news(source)
            watched[#watched]:observe(wake)
        end
    end
    local ok, err = pcall(any.get, any, seconds)
    for _, future in ipairs(watched) do future:unobserve(wake) end
    if not ok then error(err, 0) end
end

local function arguments(...)
    local sources, kinds, timeout = { ... }, {}, nil
    local n = select("#", ...)
    if type(sources[n]) == "number" then
        timeout, sources[n] = sources[n], nil
        n = n - 1
    end
    for i = 1, n do kinds[i] = kind_of(sources[i], i) end
    return sources, kinds, timeout
end

--- Waits until one of several receivers has a message, or one of several futures (tasks, threads, calls) is
--- done. Returns it, and its values. Where several are ready, the one is taken that was so longest ago; what is
--- in the others stays there. A receiver that is closed is passed over. A future that is done is ready each time:
--- leave it out once you have its results.
---@param ... orrery.Receiver|orrery.Future|number a number at the end is a timeout in seconds
---@return orrery.Receiver|orrery.Future|nil which nil when all are receivers that are closed
---@return any ... its values
---Raises "timeout"; the error of the future, or of the receiver (a lost peer), that was chosen; "cancelled".
function M.select(...) return M.select_for(nil, ...) end

--- The same for a library, which knows what is waited for.
---@param what? string for messages
---@param ... orrery.Receiver|orrery.Future|number
---@return orrery.Receiver|orrery.Future|nil which
---@return any ...
function M.select_for(what, ...)
    local sources, kinds, timeout = arguments(...)
    local deadline = timeout and sched.now() + timeout
    what = what or ("one of %d receivers and futures"):format(#sources)
    while true do
        local chosen, over = choose(sources, kinds)
        if chosen then
            turn = turn + 1
            last_turn[chosen] = turn
            return chosen, chosen:get()
        elseif over then
            return nil
        end
        wait(sources, kinds, deadline and math.max(0, deadline - sched.now()), what)
    end
end

return M
