-- bulk.lua TARGET MIB FROM THERE BACK: puts the file FROM under the name THERE and gets it as BACK.
-- Prints MB/s of each, alone and (put_open, get_open) with the opening of a context of its own.

local orrery = require "orrery"
local program = require "lib.program"

local target, from, there, back = arg[1], arg[3], arg[4], arg[5]
local megabytes = tonumber(arg[2]) * 1024 * 1024 / 1e6

local function print_rate(name, since)
    program.print(name .. ".rate", megabytes / (orrery.now() - since))
end

-- Where the same file is there already, it is compared instead.
local function sent(result)
    assert(result.changed and result.sent == result.size, "the file was there already")
end

-- Once without being measured: a host that has no agent yet is sent one.
program.open(target):close()

local opened = orrery.now()
local ctx = program.open(target)
local start = orrery.now()
sent(ctx:put(from, there))
print_rate("put", start)
print_rate("put_open", opened)
ctx:close()

opened = orrery.now()
ctx = program.open(target)
start = orrery.now()
sent(ctx:get(there, back))
print_rate("get", start)
print_rate("get_open", opened)
assert(ctx:call(os.remove, there))
assert(os.remove(back))
ctx:close()
