-- memory.lua TARGET COUNT [TRANSPORT]: what each of COUNT contexts takes, KiB, in the controller, in the
-- ssh(1) that it has in some modes, and in its agent.

local program = require "lib.program"

local target, count, transport = arg[1], tonumber(arg[2]), arg[3]

-- Runs in agents, too. Private is what no other process has: code that several run does not count.
local function memory(pid)
    local private, resident = 0, 0
    for line in io.lines(("/proc/%s/smaps_rollup"):format(pid or "self")) do
        private = private + (tonumber(line:match("^Private_%a+:%s*(%d+)")) or 0)
        resident = resident + (tonumber(line:match("^Rss:%s*(%d+)")) or 0)
    end
    return private, resident
end

local function open()
    local ctx = program.open(target, { transport = transport })
    ctx:call("tostring", 1)
    return ctx
end

local function settled()
    collectgarbage()
    collectgarbage()
    return memory()
end

local function mean(list, of)
    local private, resident = 0, 0
    for _, item in ipairs(list) do
        local p, r = of(item)
        private, resident = private + p, resident + r
    end
    return private / math.max(#list, 1), resident / math.max(#list, 1)
end

-- What the first one brings along is not each one's.
local contexts = { open() }
local before = settled()
for i = 1, count do contexts[i + 1] = open() end
local controller = (settled() - before) / count

local helper = mean(program.ssh_processes(), memory)
program.print("here.total", controller + helper)
program.print("here.controller", controller)
program.print("here.helper", helper)

local private, resident = mean(contexts, function(ctx) return ctx:call(memory) end)
program.print("agent.private", private)
program.print("agent.resident", resident)
for _, ctx in ipairs(contexts) do ctx:close() end
