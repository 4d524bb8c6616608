-- mixed.lua TARGET SECONDS MIB FROM THERE: small calls while nothing else happens, and while a file is put
-- through the same stream. The file at FROM is made here: it has a size, but nothing in it.

local orrery = require "orrery"
local program = require "lib.program"

local target, seconds, mib, from, there = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4], arg[5]
local WARM_UP = 200

assert(os.execute(("truncate -s %dM '%s'"):format(mib, from)))

local ctx = program.open(target)
local function call() ctx:call("tostring", 1) end
for _ = 1, WARM_UP do call() end
program.print_times("idle", program.times(seconds, call))

local start = orrery.now()
local put = orrery.spawn(function()
    ctx:put(from, there)
    return orrery.now()
end)
local times = program.times(math.huge, call, function() return put:done() end)
program.print("busy.rate", mib * 1024 * 1024 / 1e6 / (put:get() - start))
program.print_times("busy", times)
assert(ctx:call(os.remove, there))
ctx:close()
