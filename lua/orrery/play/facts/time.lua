--- Facts: the clock.

local M = {}

M.doc = "the clock, when it was asked; facts are kept for a run, so this gets old"

M.fields = {
    { "epoch", "seconds since 1970" },
    { "utc", "\"2024-05-01T12:00:00Z\"" },
    { "local_time", "\"2024-05-01T14:00:00+0200\"" },
    { "timezone", "\"Europe/Berlin\"; nil where the system has only its rules" },
    { "offset", "seconds that local time is ahead of UTC" },
    { "uptime", "seconds since the kernel was started" },
    { "boot", "when that was, seconds since 1970" },
}

local function zone(m)
    local target = m:link "/etc/localtime"
    return target and target:match "zoneinfo/(.+)$" or m:line "/etc/timezone"
end

-- "+0200" to seconds.
local function seconds_of(offset)
    local sign, hours, minutes = offset:match "^([%+%-])(%d%d)(%d%d)$"
    if not sign then return nil end
    local seconds = tonumber(hours) * 3600 + tonumber(minutes) * 60
    return sign == "-" and -seconds or seconds
end

function M.gather(m)
    local now = m:time()
    local uptime = tonumber((m:line "/proc/uptime" or ""):match "^[%d%.]+" or "")
    return {
        epoch = now, utc = os.date("!%Y-%m-%dT%H:%M:%SZ", now), local_time = os.date("%Y-%m-%dT%H:%M:%S%z", now),
        timezone = zone(m), offset = seconds_of(os.date("%z", now)), uptime = uptime, boot = uptime and now - uptime,
    }
end

return M
