--- CPU time of all that takes part: this process, those that it starts, and the servers at the far ends.
--
-- bench/run is in a control group of its own, and so is all that it starts, the lab included: the kernel
-- counts what they use, to the microsecond, whether they still run or not. Divided by the number of CPUs, that
-- is the floor: the same work cannot be done in less time here. Where there are no control groups, it is the
-- time that the CPUs were busy, with anything: then the floor is too high, and so are not to be trusted the
-- figures of a machine that does something else.

local ffi = require "ffi"

ffi.cdef [[
struct bench_rusage {
    long user_seconds, user_microseconds, system_seconds, system_microseconds;
    long other[14];
};
int getrusage(int who, struct bench_rusage *usage);
]]

local SELF, CHILDREN = 0, -1
local TICKS = 100 -- of /proc/stat in a second; fixed by the kernel's interface

local M = {}

local function read(path)
    local file = path and io.open(path)
    if not file then return nil end
    local text = file:read("*a")
    file:close()
    return text
end

local function of(who)
    local u = ffi.new("struct bench_rusage")
    ffi.C.getrusage(who, u)
    return tonumber(u.user_seconds + u.system_seconds)
        + tonumber(u.user_microseconds + u.system_microseconds) / 1e6
end

-- Busy and idle seconds of all CPUs.
local function machine()
    local total, n, idle = 0, 0, 0
    for ticks in read("/proc/stat"):match("^cpu +([^\n]*)"):gmatch("%d+") do
        n = n + 1
        if n == 4 or n == 5 then idle = idle + ticks end
        if n <= 8 then total = total + ticks end
    end
    return (total - idle) / TICKS, idle / TICKS
end

local function group()
    local text = read(os.getenv("BENCH_CGROUP") and os.getenv("BENCH_CGROUP") .. "/cpu.stat")
    return text and tonumber(text:match("usage_usec (%d+)")) / 1e6
end

---@return integer
local function cpus()
    local _, count = read("/proc/stat"):gsub("\ncpu%d+", "")
    return count
end

---@class bench.Usage seconds
---@field here number of this process and those that it waited for
---@field all number of all that takes part
---@field idle number that the CPUs had nothing to do, added up

---@return bench.Usage
function M.now()
    local busy, idle = machine()
    return { here = of(SELF) + of(CHILDREN), all = group() or busy, idle = idle }
end

---@param before bench.Usage
---@return bench.Usage
function M.since(before)
    local now, used = M.now(), {}
    for key, value in pairs(now) do used[key] = value - before[key] end
    return used
end

--- Lines for lib/run.lua: cpu.all, cpu.here and floor in seconds, x.floor, and idle, a share.
---@param used bench.Usage
---@param wall number seconds
function M.print(used, wall)
    local floor = used.all / cpus()
    for name, value in pairs {
        ["cpu.all"] = used.all, ["cpu.here"] = used.here, floor = floor, ["x.floor"] = wall / floor,
        idle = used.idle / (wall * cpus()),
    } do
        print(("%s %.9g"):format(name, value))
    end
end

return M
