--- Finds what a spec file leaves behind, and fails the file for it.
--
--     local leak = require "spec.support.leak"
--     leak.guard()
--
-- at the top of a spec file, after the `require`s whose modules keep something open for good.
-- When the file ends, whatever was not there at the call and does not go away within a bounded
-- time is an error that names it: file descriptors, threads, child processes and zombies, other
-- descendants, mounts, temporary files, and processes and temporary files on hosts of the lab.

local ffi = require "ffi"
local lfs = require "lfs"
local lab = require "spec.support.lab"

local leak = {}

pcall(ffi.cdef, "int setenv(const char *name, const char *value, int overwrite);")

local function slurp(path)
    local file = io.open(path, "rb")
    if not file then
        return nil
    end
    local text = file:read("*a")
    file:close()
    return text
end

local function entries(dir)
    local names = {}
    if lfs.attributes(dir, "mode") == "directory" then
        -- A directory of /proc may vanish while it is read.
        pcall(function()
            for name in lfs.dir(dir) do
                names[#names + 1] = name
            end
        end)
    end
    return names
end

local pid = slurp("/proc/self/stat"):match("^%d+")

-- Every descendant inherits this, so that one which left its parent is still found.
ffi.C.setenv("ORRERY_SPEC_RUN", pid, 1)
local marker = "ORRERY_SPEC_RUN=" .. pid

local probes = {}

-- Each probe fills `found` with a key that stays the same for the same thing, and a description.

-- "unix" or "tcp", and what is known of it: a number alone says nothing about a socket that is left.
local function describe_socket(target)
    local inode = target:match "^socket:%[(%d+)%]$"
    for _, kind in ipairs(inode and { "unix", "tcp", "tcp6" } or {}) do
        for line in (slurp("/proc/net/" .. kind) or ""):gmatch "[^\n]+" do
            if line:find(" " .. inode .. "%f[^%d]") then return (" (%s:%s)"):format(kind, line:gsub("%s+", " ")) end
        end
    end
    return ""
end

function probes.fds(found)
    for _, fd in ipairs(entries("/proc/self/fd")) do
        local target = lfs.symlinkattributes("/proc/self/fd/" .. fd, "target")
        -- The one that lists the directory is gone by now, and has no target.
        if target and target ~= ("/proc/%s/fd"):format(pid) then
            found[fd .. " " .. target] = ("file descriptor %s -> %s%s"):format(fd, target, describe_socket(target))
        end
    end
end

function probes.threads(found)
    for _, tid in ipairs(entries("/proc/self/task")) do
        local name = tid:match("^%d+$") and slurp(("/proc/self/task/%s/comm"):format(tid))
        if name then
            found[tid] = ("thread %s '%s'"):format(tid, name:gsub("\n", ""))
        end
    end
end

local function describe_process(number)
    local line = (slurp("/proc/" .. number .. "/cmdline") or ""):gsub("%z", " "):gsub("%s+$", "")
    return line ~= "" and line or (slurp("/proc/" .. number .. "/comm") or "gone"):gsub("\n", "")
end

function probes.processes(found)
    for _, number in ipairs(entries("/proc")) do
        local is_other = number:match("^%d+$") and number ~= pid
        local stat = is_other and slurp("/proc/" .. number .. "/stat")
        if stat then
            local state, parent = stat:match("^.*%) (%S) (%d+)")
            local is_child = parent == pid
            local is_ours = is_child
            if not is_ours then
                local environ = slurp("/proc/" .. number .. "/environ")
                is_ours = environ and ("\0" .. environ):find("\0" .. marker .. "\0", 1, true)
            end
            if is_ours then
                found[number] = ("%s %s (%s)"):format(
                    state == "Z" and "zombie" or is_child and "child process" or "orphaned process",
                    number, describe_process(number))
            end
        end
    end
end

function probes.mounts(found)
    for line in slurp("/proc/self/mountinfo"):gmatch("[^\n]+") do
        local id, target = line:match("^(%d+) %d+ %S+ %S+ (%S+)")
        -- Labs come and go beside a spec, this run's and others'.
        if not target:find("^/run/orrery%-lab%-") and not target:find("^/run/netns") then
            found[id .. target] = "mount on " .. target
        end
    end
end

local places = { "/tmp", "/var/tmp", "/run", "/dev/shm", "/root", "/root/.cache/orrery" }

-- Half-written files, and an agent that is being received, whose name is the marker of a bootstrap.
local function is_temporary(name)
    return name:find(".orrery-", 1, true) or (#name == 25 and name:find("^%.%x+$"))
end

local function find_temporary(found, root, where)
    for _, dir in ipairs(places) do
        for _, name in ipairs(entries(root .. dir)) do
            if is_temporary(name) then
                found[where .. dir .. "/" .. name] =
                    ("temporary file %s/%s%s"):format(dir, name, where)
            end
        end
    end
end

function probes.files(found)
    find_temporary(found, "", "")
    local dir = os.getenv("TMPDIR")
    if dir and dir ~= "/tmp" then
        for _, name in ipairs(entries(dir)) do
            if is_temporary(name) then
                found[dir .. "/" .. name] = ("temporary file %s/%s"):format(dir, name)
            end
        end
    end
end

-- On an idle host only the first process runs, which is sshd. All else came with a session.
function probes.hosts(found)
    if not lab.is_up() then
        return
    end
    for _, host in ipairs(lab.list()) do
        if host.state == "up" or host.state == "cut" then
            for number, process in pairs(lab.processes(host.name)) do
                local is_listener = process.ppid == 0 or process.command:find("%[listener%]")
                if not is_listener and process.state ~= "Z" then
                    found[host.name .. " " .. number] = ("process %d on %s (%s)"):format(
                        number, host.name, process.command)
                end
            end
            local root = lab.root(host.name)
            if root ~= "/" then
                find_temporary(found, root, " on " .. host.name)
            end
        end
    end
end

--- What exists now.
---@return table snapshot opaque, for compare() and check()
function leak.snapshot()
    local snapshot = {}
    for name, probe in pairs(probes) do
        snapshot[name] = {}
        probe(snapshot[name])
    end
    return snapshot
end

local function is_allowed(description, allow)
    for _, pattern in ipairs(allow or {}) do
        if description:find(pattern) then
            return true
        end
    end
    return false
end

--- What exists now and did not exist then.
---@param before table
---@param opts { allow: string[]? }? Lua patterns for what may stay
---@return string[] leaks descriptions, sorted
function leak.compare(before, opts)
    local leaks = {}
    for name, found in pairs(leak.snapshot()) do
        for key, description in pairs(found) do
            if not before[name][key] and not is_allowed(description, opts and opts.allow) then
                leaks[#leaks + 1] = description
            end
        end
    end
    table.sort(leaks)
    return leaks
end

--- Like compare(), but gives what is ending the time to end.
---@param before table
---@param opts { allow: string[]?, timeout: number? }? timeout in seconds, 5 by default
---@return string[] leaks
function leak.check(before, opts)
    local system = require "system"
    -- Objects that only the collector closes are a script's to keep, not leaks.
    collectgarbage()
    collectgarbage()
    local deadline = system.monotime() + (opts and opts.timeout or 5)
    local leaks = leak.compare(before, opts)
    while #leaks > 0 and system.monotime() < deadline do
        system.sleep(0.01)
        leaks = leak.compare(before, opts)
    end
    return leaks
end

--- Guards the spec file that calls it: fails it at its end for what it leaks.
--- `setup` and `teardown` of the file run inside of what is guarded.
---@param opts { allow: string[]?, timeout: number? }?
function leak.guard(opts)
    local busted = require "busted"
    local before = leak.snapshot()
    local is_done = false
    busted.subscribe({ "file", "end" }, function()
        -- To unsubscribe here would confuse the mediator, which is iterating; files come one after
        -- the other, so the first end is that of the guarded file.
        if not is_done then
            is_done = true
            local leaks = leak.check(before, opts)
            if #leaks > 0 then
                error("left behind by this file:\n  " .. table.concat(leaks, "\n  "), 0)
            end
        end
        return nil, true
    end)
end

return leak
