-- hosts.lua OTHER first|plain|as-it-is: opens the hosts of the large lab at once and runs `true` on each, while
-- OTHER, a host that was there before, is called every few milliseconds. Wall-clock time, CPU time of all that
-- takes part (see lib/usage.lua), and how late the calls were.
--
-- "plain": by address, and with a configuration that is the same for all. In any case but "as-it-is", this
-- process and OTHER have precedence over the hosts that are opened, in so far as the kernel's scheduler gives it
-- (autogroups). That needs a session of its own.

local orrery = require "orrery"
local program = require "lib.program"
local stats = require "lib.stats"
local usage = require "lib.usage"

local other, count = arg[1], tonumber(os.getenv("BENCH_MANY"))
local plain, first_of_all = arg[2] == "plain", arg[2] ~= "as-it-is"
local config = os.getenv(plain and "BENCH_MANY_PLAIN" or "BENCH_MANY_CONFIG")
local PING = 0.005 -- seconds from call to call

-- Calls on a beat. How late each was is counted from the beat, not from when its turn came: what blocks this
-- process must not hide the calls that it kept back.
local function ping(ctx, late, over)
    local due = orrery.now()
    while not over() do
        ctx:call("tostring", 1)
        local now = orrery.now()
        repeat
            late[#late + 1] = (now - due) * 1e3
            due = due + PING
        until due > now
        orrery.sleep(due - now)
    end
end

local hosts = {}
for i = 1, count do hosts[i] = "h" .. i end
if plain then
    hosts = {}
    for address in os.getenv("BENCH_MANY_ADDRESSES"):gmatch("%S+") do hosts[#hosts + 1] = address end
end

-- For the session that a process is in; as root.
local function take_precedence(pid)
    local file = assert(io.open(("/proc/%s/autogroup"):format(pid), "w"))
    file:write("-20")
    file:close()
end

local before = program.open(other)
before:call("tostring", 1)
if first_of_all then
    take_precedence("self")
    before:call(take_precedence, "self")
    local parent = before:call(function() return io.open("/proc/self/stat"):read("*a"):match("%) %a (%d+)") end)
    before:call(take_precedence, parent) -- the sshd between
end
local late, over = {}, false
local pinging = orrery.spawn(ping, before, late, function() return over end)
orrery.sleep(0.1)
for i = #late, 1, -1 do late[i] = nil end

local first, start = usage.now(), orrery.now()
local contexts = orrery.map(hosts, { limit = count }, function(host)
    local ctx = program.open(host, { config = config })
    ctx:run { "true" }
    return ctx
end)
local wall, used = orrery.now() - start, usage.since(first)
over = true
pinging:take()

program.print("wall", wall)
usage.print(used, wall)
program.print("ping.count", #late)
program.print("ping.p50", stats.quantile(late, 0.5))
program.print("ping.p99", stats.quantile(late, 0.99))
program.print("ping.max", stats.quantile(late, 1))
program.print("contexts", #contexts)
os.exit(0)
