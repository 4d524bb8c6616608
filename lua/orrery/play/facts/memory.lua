--- Facts: memory.

local M = {}

M.doc = "memory, in bytes"

M.fields = {
    { "total", "what the machine has" },
    { "available", "what programs could have without swapping; nil with a kernel before 3.14" },
    { "free", "what is not used for anything" },
    { "cached", "what holds contents of files" },
    { "swap_total", "0 without swap" },
    { "swap_free", "" },
    { "limit", "what the control group of this process (a container's) may use; nil: as much as there is" },
}

local function control_group_limit(m)
    local limit = m:line "/sys/fs/cgroup/memory.max" or m:line "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    limit = tonumber(limit or "")
    return limit and limit < 2 ^ 60 and limit or nil -- of the first version of control groups: "none" is a huge number
end

function M.gather(m)
    local info = m:pairs_of("/proc/meminfo", ":")
    local function bytes(key)
        local kilobytes = (info[key] or ""):match "^%d+"
        return kilobytes and tonumber(kilobytes) * 1024
    end
    return {
        total = bytes "MemTotal", available = bytes "MemAvailable", free = bytes "MemFree", cached = bytes "Cached",
        swap_total = bytes "SwapTotal", swap_free = bytes "SwapFree", limit = control_group_limit(m),
    }
end

return M
