-- process.lua COMMAND: runs a command by sh and says how long it took, and the CPU time of all that took part.

local orrery = require "orrery"
local program = require "lib.program"
local usage = require "lib.usage"

local before, start = usage.now(), orrery.now()
local status = os.execute(arg[1] .. " >/dev/null")
local wall, used = orrery.now() - start, usage.since(before)
if status ~= 0 and status ~= true then
    io.stderr:write("the command failed\n")
    os.exit(1)
end
program.print("wall", wall)
usage.print(used, wall)
