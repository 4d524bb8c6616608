--- What the programs share that a bench starts with `orrery run`: opening the target, timing, printing.

local orrery = require "orrery"
local stats = require "lib.stats"

local M = {}

--- Opens the context to measure.
---@param target string "local", or a host of the lab
---@param opts? table for orrery.localhost or orrery.ssh; options that this build does not know raise
---@return orrery.Context
function M.open(target, opts)
    local all = { keepalive = 0 } -- its timer is not what is measured
    for key, value in pairs(opts or {}) do all[key] = value end
    if target == "local" then return orrery.localhost(all) end
    all.config = all.config or os.getenv("BENCH_SSH_CONFIG")
    return orrery.ssh(target, all)
end

--- A figure, as a line that the bench reads.
function M.print(name, value)
    print(("%s %.9g"):format(name, value))
end

function M.note(text)
    print("note: " .. text)
end

--- Calls fn over and over and returns how long each call took.
---@param seconds number
---@param fn fun()
---@param done? fun(): boolean ends it before the time is over
---@return number[] times microseconds
function M.times(seconds, fn, done)
    local now, times, n = orrery.now, {}, 0
    local start = now()
    local stop = start + seconds
    while start < stop and not (done and done()) do
        fn()
        local finish = now()
        n = n + 1
        times[n] = (finish - start) * 1e6
        start = finish
    end
    return times
end

--- Prints NAME.p50, NAME.p99 and NAME.count.
---@param name string
---@param times number[]
function M.print_times(name, times)
    M.print(name .. ".count", #times)
    if #times == 0 then return end
    M.print(name .. ".p50", stats.quantile(times, 0.5))
    M.print(name .. ".p99", stats.quantile(times, 0.99))
end

function M.read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

---@return integer
function M.pid()
    return tonumber(M.read("/proc/self/stat"):match("^%d+"))
end

--- Children of this process that are ssh(1).
---@return integer[] pids
function M.ssh_processes()
    local pids = {}
    local pipe = assert(io.popen(("pgrep -P %d -x ssh"):format(M.pid())))
    for pid in pipe:lines() do pids[#pids + 1] = tonumber(pid) end
    pipe:close()
    return pids
end

return M
