--- Looks at programs from outside: system calls (strace), task switches and time on a CPU (/proc).
--
-- A watched program prints "ready PID AGENT" once it is open, PID its own number and AGENT that of an
-- agent as its host knows it. Then it runs the phases that it is told on stdin, one in a line, and says
-- "done" after each; lines "name value" before that are figures of the phase, and "waiting" invites to
-- look at it now. It ends with its stdin.

local run = require "lib.run"

local M = {}

local function lines_of(command)
    local pipe = assert(io.popen(command))
    local lines = {}
    for line in pipe:lines() do lines[#lines + 1] = line end
    pipe:close()
    return lines
end

local function nap() os.execute("sleep 0.02") end

-- Finding processes -------------------------------------------------------------------------------

local function status_of(pid)
    return run.slurp(("/proc/%d/status"):format(pid))
end

-- The number that this machine knows a process of a host by.
local function outer_pid(place, inner)
    local init = place.root:match("^/proc/%d+") or "/proc/self"
    local namespace = lines_of(("readlink %s/ns/pid"):format(init))[1]
    local grep = ('grep -ls "^NSpid:.*[[:space:]]%d$" /proc/[0-9]*/status'):format(inner)
    for _, path in ipairs(lines_of(grep)) do
        local pid = path:match("%d+")
        if lines_of(("readlink /proc/%s/ns/pid"):format(pid))[1] == namespace then return tonumber(pid) end
    end
end

-- The sshd that serves a process.
local function sshd_above(pid)
    while pid and pid > 1 do
        local status = status_of(pid)
        if status:match("^Name:%s*sshd") then return pid end
        pid = tonumber(status:match("PPid:%s*(%d+)"))
    end
end

-- Who takes part: pids by role.
local function find_processes(place, target, controller, agent)
    local roles = { controller = controller }
    if target == "local" then
        roles.agent = agent
    else
        roles.agent = outer_pid(place, agent)
        roles.sshd = sshd_above(roles.agent)
        roles.ssh = tonumber(lines_of(("pgrep -P %d -x ssh"):format(controller))[1])
    end
    return roles
end

-- A watched program -------------------------------------------------------------------------------

---@class bench.Watched
---@field roles table<string, integer> pids of "controller", "ssh", "sshd", "agent"
local Watched = {}
Watched.__index = Watched

--- Starts it and waits until it is ready.
---@param place bench.Place
---@param target string "local" or a host
---@param command string
---@return bench.Watched? watched nil where it failed
---@return string? why
function M.start(place, target, command)
    local self = setmetatable({ fifo = run.scratch .. "/stdin", errors = run.scratch .. "/stderr" }, Watched)
    os.remove(self.fifo)
    assert(os.execute("mkfifo " .. run.quote(self.fifo)))
    self.output = assert(io.popen(("timeout --foreground -k 5 120 %s <%s 2>%s"):format(
        command, run.quote(self.fifo), run.quote(self.errors))))
    self.input = assert(io.open(self.fifo, "w"))
    local controller, agent
    repeat
        local line = self.output:read("*l")
        if not line then return nil, self:finish() end
        controller, agent = line:match("^ready (%d+) (%d+)$")
    until controller
    self.roles = find_processes(place, target, tonumber(controller), tonumber(agent))
    return self
end

--- Has it run a phase.
---@param name string
---@param meanwhile? fun() called when it says that it waits
---@return table<string, number>? figures that it printed; nil where it ended instead
function Watched:phase(name, meanwhile)
    self.input:write(name, "\n")
    self.input:flush()
    local figures = {}
    for line in self.output:lines() do
        if line == "done" then return figures end
        if line == "waiting" then meanwhile() end
        local key, value = line:match("^(%S+) (%S+)$")
        if key then figures[key] = tonumber(value) end
    end
end

--- Lets it end.
---@return string why what it said where it failed
function Watched:finish()
    self.input:close()
    self.output:close()
    os.remove(self.fifo)
    return "failed: " .. (run.slurp(self.errors):match("[^\n]+") or "it said nothing")
end

--- How often each process went to sleep by itself, and how long it ran on a CPU, ns; all its threads.
---@return table<string, integer> switches by role
---@return table<string, integer> nanoseconds by role
function Watched:usage()
    local switches, nanoseconds = {}, {}
    for role, pid in pairs(self.roles) do
        local slept, ran = 0, 0
        for _, line in ipairs(lines_of(("cat /proc/%d/task/*/status /proc/%d/task/*/schedstat"):format(pid, pid))) do
            slept = slept + (tonumber(line:match("^voluntary_ctxt_switches:%s*(%d+)")) or 0)
            ran = ran + (tonumber(line:match("^(%d+) %d+ %d+$")) or 0)
        end
        switches[role], nanoseconds[role] = slept, ran
    end
    return switches, nanoseconds
end

-- strace ------------------------------------------------------------------------------------------

---@class bench.Trace
---@field roles table<integer, string> by thread
local Trace = {}
Trace.__index = Trace

local function threads_into(roles, by_role)
    for role, pid in pairs(by_role) do
        for _, tid in ipairs(lines_of(("ls /proc/%d/task"):format(pid))) do roles[tonumber(tid)] = role end
    end
end

--- Attaches strace to all processes of the program.
---@return bench.Trace
function Watched:trace()
    local trace = setmetatable({ path = run.scratch .. "/strace", roles = {}, watched = self }, Trace)
    local pids = {}
    for _, pid in pairs(self.roles) do pids[#pids + 1] = "-p " .. pid end
    local pipe = assert(io.popen(("strace -f -qq -ttt -o %s %s </dev/null >/dev/null 2>&1 & echo $!"):format(
        run.quote(trace.path), table.concat(pids, " "))))
    trace.pid = tonumber(pipe:read("*l"))
    pipe:close()
    for _, pid in pairs(self.roles) do
        while status_of(pid):find("TracerPid:%s*0\n") do nap() end
    end
    threads_into(trace.roles, self.roles)
    return trace
end

--- Takes strace away.
---@return fun(): integer?, string?, number?, string? calls iterates over the calls in order: thread,
---role, time (seconds since 1970), and the call as strace writes it
function Trace:finish()
    threads_into(self.roles, self.watched.roles)
    os.execute("kill -INT " .. self.pid)
    while status_of(self.pid) ~= "" do nap() end
    local file = assert(io.open(self.path))
    local lines = file:lines()
    return function()
        for line in lines do
            -- Calls only, where they begin: neither their ends, if told apart, nor signals.
            local thread, time, call = line:match("^(%d+)%s+(%d+%.%d+)%s+([%w_]+%(.*)")
            if thread then return tonumber(thread), self.roles[tonumber(thread)], tonumber(time), call end
        end
        file:close()
    end
end

return M
