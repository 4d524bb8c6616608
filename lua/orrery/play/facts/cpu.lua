--- Facts: processors.

local M = {}

M.doc = "processors, as far as this machine may use them"

M.fields = {
    { "count", "how many run threads (logical ones)" },
    { "cores", "physical ones; nil where the kernel does not tell" },
    { "sockets", "packages; nil where the kernel does not tell" },
    { "model", "\"AMD EPYC 7B13\"; nil on many ARM machines" },
    { "vendor", "\"AuthenticAMD\"" },
    { "flags", "list of features" },
    { "load", "list: the load of the last 1, 5 and 15 minutes" },
}

local function topology(m)
    local cores, sockets, count, core_count, socket_count = {}, {}, 0, 0, 0
    for _, name in ipairs(m:list "/sys/devices/system/cpu") do
        if name:find "^cpu%d+$" then
            local base = "/sys/devices/system/cpu/" .. name .. "/topology/"
            local socket, core = m:line(base .. "physical_package_id"), m:line(base .. "core_id")
            count = count + 1
            if socket and core and not cores[socket .. " " .. core] then
                cores[socket .. " " .. core], core_count = true, core_count + 1
            end
            if socket and not sockets[socket] then
                sockets[socket], socket_count = true, socket_count + 1
            end
        end
    end
    return core_count > 0 and core_count or nil, socket_count > 0 and socket_count or nil, count
end

local function flags_of(text)
    local flags = {}
    for flag in (text or ""):gmatch "%S+" do flags[#flags + 1] = flag end
    return flags
end

function M.gather(m)
    local count = 0
    for line in m:lines "/proc/cpuinfo" do
        if line:find "^processor%s*:" then count = count + 1 end
    end
    local info = m:pairs_of("/proc/cpuinfo", ":")
    local cores, sockets, present = topology(m)
    local load = {}
    for number in (m:line "/proc/loadavg" or ""):gmatch "%d+%.%d+" do load[#load + 1] = tonumber(number) end
    return {
        count = count > 0 and count or present > 0 and present or nil, cores = cores, sockets = sockets,
        model = info["model name"] or info.Model or info.cpu, vendor = info.vendor_id,
        flags = flags_of(info.flags or info.Features), load = load,
    }
end

return M
