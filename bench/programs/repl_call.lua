-- repl_call.lua: the call that an input at a prompt is, on a child of this machine, made by a script.

local program = require "lib.program"

local ctx = program.open "local"
local function input() return ctx:call("orrery.repl.session.eval", "bench", "1+1", {}) end
for _ = 1, 200 do input() end
program.print_times("input", program.times(1, input))
ctx:close()
