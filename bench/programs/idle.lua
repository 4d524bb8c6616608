-- idle.lua TARGET LOCAL REMOTE: opens so many children on this machine and on the host, and waits; see
-- lib/watch.lua. Its one phase is "wait": some seconds with nothing to do.

local orrery = require "orrery"
local program = require "lib.program"

local target, here, there = arg[1], tonumber(arg[2]), tonumber(arg[3])
local SECONDS = 8

local contexts = {}
for _ = 1, here do contexts[#contexts + 1] = program.open "local" end
for _ = 1, there do contexts[#contexts + 1] = program.open(target) end
local last = contexts[#contexts]
for _, ctx in ipairs(contexts) do ctx:call("tostring", 1) end

io.stdout:setvbuf "line"
print(("ready %d %d"):format(program.pid(), last:info().pid))
for _ in io.lines() do
    print "waiting"
    orrery.sleep(SECONDS)
    print "done"
end
orrery.each(contexts, function(ctx) ctx:close() end)
