-- logins.lua HOST COUNT: COUNT logins by password, all open at once from one process. What they take here, for
-- each; then each is called once, so that none is there in name only.

local orrery = require "orrery"
local program = require "lib.program"
local usage = require "lib.usage"

local host, count = arg[1], tonumber(arg[2])
local USER, PASSWORD = "cheap", "orrery-lab" -- bench/run makes this user

local function open()
    return program.open(host, { user = USER, password = PASSWORD, identity = {} })
end

local function private_memory()
    collectgarbage()
    collectgarbage()
    local private = 0
    for line in io.lines "/proc/self/smaps_rollup" do
        private = private + (tonumber(line:match "^Private_%a+:%s*(%d+)") or 0)
    end
    return private
end

local function lines_of(command)
    local pipe, n = assert(io.popen(command)), 0
    for _ in pipe:lines() do n = n + 1 end
    pipe:close()
    return n
end

local proc = "/proc/" .. program.pid()
local function descriptors() return lines_of("ls " .. proc .. "/fd") end
local function threads() return lines_of("ls " .. proc .. "/task") end
local function terminals() return tonumber(program.read "/proc/sys/kernel/pty/nr") end
local function own_terminals() return lines_of("ls -l " .. proc .. "/fd | grep -E '/dev/(pts/|ptmx)'") end

-- What the first one brings along is not each one's.
open():call("tostring", 1)
local memory, files, ptys = private_memory(), descriptors(), terminals()
local list = {}
for i = 1, count do list[i] = i end

local first, start = usage.now(), orrery.now()
local contexts = orrery.map(list, { limit = count }, open)
local wall, used = orrery.now() - start, usage.since(first)

local answered = orrery.map(contexts, { limit = count }, function(ctx) return (ctx:call("tostring", 7)) end)
for i = 1, count do assert(answered[i] == "7", "one does not answer") end
program.print("memory", (private_memory() - memory) / count)
program.print("descriptors", (descriptors() - files) / count)
program.print("threads", threads())
program.print("terminals", terminals() - ptys)
program.print("terminals.own", own_terminals())
program.print("open", #contexts)
program.print("wall", wall)
program.print("cpu.each", used.here / count * 1e3)
usage.print(used, wall)
os.exit(0)
