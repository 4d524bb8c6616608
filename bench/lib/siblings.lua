--- What runs in two children that send to each other's receivers. Both functions travel in calls.

local M = {}

--- In the child that answers.
---@return orrery.Sender sender takes a text, and the sender to answer to, if any
function M.serve()
    local api = require "orrery"
    local receiver = api.receiver()
    api.spawn(function()
        for text, back in receiver:each() do
            if back then back:send(text) end
        end
    end)
    return receiver:sender()
end

--- In the child that sends. Makes `bench.run` and `bench.times` there.
---@param to orrery.Sender what `serve` returned
function M.install(to)
    local api = require "orrery"
    local text, receiver = ("x"):rep(64), api.receiver()
    local back = receiver:sender()
    local work = {
        nothing = function() end,
        send = function() to:send(text) end,
        call = function()
            to:send(text, back)
            receiver:get()
        end,
    }
    package.loaded.bench = {
        run = function(name, times, pause)
            for _ = 1, times do
                if pause then api.sleep(pause) end
                work[name]()
            end
        end,
        -- Microseconds of each round trip.
        times = function(seconds)
            local times, start = {}, api.now()
            local stop = start + seconds
            while start < stop do
                work.call()
                local finish = api.now()
                times[#times + 1] = (finish - start) * 1e6
                start = finish
            end
            return times
        end,
    }
end

return M
