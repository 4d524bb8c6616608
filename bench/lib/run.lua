--- Starts the programs that are measured, and reads what they print. bench/run prepares the
--- environment: builds, hosts, and the variables BENCH_* that are used here.

local ffi = require "ffi"

ffi.cdef [[
struct bench_timespec { long seconds, nanoseconds; };
int clock_gettime(int clock, struct bench_timespec *now);
]]

local CLOCK_REALTIME, CLOCK_MONOTONIC = 0, 1
local LIMIT = 120 -- seconds until a program is given up

local function variable(name)
    return assert(os.getenv(name), name .. " is not set: start benches by bench/run")
end

local M = {
    build = variable "BENCH_BUILD",
    limits = variable "BENCH_LIMITS",
    folder = variable "BENCH_FOLDER",
    config = variable "BENCH_SSH_CONFIG",
    scratch = variable "BENCH_SCRATCH", -- on a disk
    memory = variable "BENCH_MEMORY", -- on a tmpfs
    echo = variable "BENCH_ECHO", -- limits/echo on the hosts
}

--- Where a program runs, with all that it talks to.
---@class bench.Place
---@field name string
---@field prefix string before a command
---@field host string whose sshd runs there, too
---@field root string the host's root directory, seen from here

---@type bench.Place[]
M.places = {
    { name = "unpinned", prefix = "", host = variable "BENCH_HOST", root = variable "BENCH_ROOT" },
    {
        name = "pinned", prefix = "taskset -c 0 ", host = variable "BENCH_PINNED_HOST",
        root = variable "BENCH_PINNED_ROOT",
    },
}

local function seconds_on(clock)
    local t = ffi.new("struct bench_timespec")
    ffi.C.clock_gettime(clock, t)
    return tonumber(t.seconds) + tonumber(t.nanoseconds) / 1e9
end

---@return number seconds on a monotonic clock
function M.now() return seconds_on(CLOCK_MONOTONIC) end

---@return number seconds since 1970
function M.wall() return seconds_on(CLOCK_REALTIME) end

---@return string word for sh
function M.quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function words(...)
    local quoted = {}
    for i = 1, select("#", ...) do quoted[i] = M.quote((select(i, ...))) end
    return table.concat(quoted, " ")
end

-- Commands for sh: each runs one program at a place -------------------------------------------------

---@param program string in bench/programs, without .lua
---@return string command
function M.orrery(place, program, ...)
    local script = ("%s/programs/%s.lua"):format(M.folder, program)
    return place.prefix .. words(M.build .. "/orrery", "run", script, ...)
end

---@param program string built from bench/limits
---@return string command
function M.limit(place, program, ...)
    return place.prefix .. words(M.limits .. "/" .. program, ...)
end

---@param what string a function of bench/peers/mitogen_peer.py
---@return string command
function M.mitogen(place, what, ...)
    -- Debian's modules are for Debian's interpreter, whatever else PATH may hold.
    return place.prefix .. words("/usr/bin/python3", M.folder .. "/peers/mitogen_peer.py", what, ...)
end

--- What ssh(1) makes of a host's name: arguments for the limit programs.
---@return string address, string port, string user, string keyfile
function M.ssh_where(place)
    local pipe = assert(io.popen("ssh -T -G -F " .. words(M.config, place.host)))
    local found = {}
    for line in pipe:lines() do
        local key, value = line:match("^(%S+) (.*)$")
        if key and not found[key] then found[key] = value end
    end
    pipe:close()
    return found.hostname, found.port, found.user, found.identityfile
end

-- Running -----------------------------------------------------------------------------------------

local function slurp(path)
    local file = io.open(path, "rb")
    if not file then return "" end
    local text = file:read("*a")
    file:close()
    return text
end
M.slurp = slurp

local function first_line(text)
    return text:match("[^\n]+") or ""
end

--- Runs a command that prints lines "name value".
---@param command string
---@param limit? number seconds until it is given up
---@return table<string, number>? figures nil where it failed
---@return string[] notes lines "note: ..." of it, and why it failed
function M.figures(command, limit)
    local errors = M.scratch .. "/stderr"
    local line_for_sh = ("timeout --foreground -k 5 %d %s 2>%s; echo status $?"):format(limit or LIMIT, command, errors)
    local pipe = assert(io.popen(line_for_sh))
    local figures, notes = {}, {}
    for line in pipe:lines() do
        local note = line:match("^note: (.*)")
        local name, value = line:match("^(%S+) (%S+)$")
        if note then
            notes[#notes + 1] = note
        elseif name and tonumber(value) then
            figures[name] = tonumber(value)
        end
    end
    pipe:close()
    local status = figures.status
    figures.status = nil
    if status == 0 then return figures, notes end
    notes[#notes + 1] = ("failed with status %s: %s"):format(status or "?", first_line(slurp(errors)))
    return nil, notes
end

--- Runs a command and takes its time.
---@param command string
---@return number? seconds nil where it failed
---@return string? why
function M.seconds(command)
    local errors = M.scratch .. "/stderr"
    local start = M.now()
    local status = os.execute(("timeout --foreground -k 5 %d %s >/dev/null 2>%s"):format(LIMIT, command, errors))
    local took = M.now() - start
    if status == 0 or status == true then return took end
    return nil, ("failed: %s"):format(first_line(slurp(errors)))
end

M.control_path = M.scratch .. "/master"

--- Opens a connection that other ssh processes use by M.control_path.
---@return fun()? stop nil where it failed
---@return string? why
function M.control_master(place)
    local ssh = "ssh " .. words("-F", M.config, "-o", "ControlPath=" .. M.control_path, place.host)
    local _, problem = M.seconds(place.prefix .. ssh .. " -M -N -f -o ControlPersist=no")
    if problem then return nil, problem end
    return function() M.seconds(ssh .. " -O exit") end
end

return M
