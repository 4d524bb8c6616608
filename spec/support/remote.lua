--- Targets for specs: places to open contexts in, what can be seen of them from outside, and
--- programs that use Orrery in processes of their own.

local ffi = require "ffi"
local lfs = require "lfs"
local orrery = require "orrery"
local lab = require "spec.support.lab"

local remote = {}

pcall(ffi.cdef, "int kill(int pid, int sig);")

--- Whether what is tested was built with sanitizers: it is slow then, and needs much memory.
remote.sanitized = os.getenv "ORRERY_PRELOAD" ~= nil

--- One target of each kind. A sanitized agent is not static, so it cannot run on a host without
--- libraries.
---@type string[]
remote.targets = { "local", "h1", not remote.sanitized and "foreign" or nil }

--- Opens a context: "local" for a child process of this one, else a host of the lab.
---@param target string
---@param opts? orrery.SshOptions
---@return orrery.Context
function remote.open(target, opts)
    if target == "local" then return orrery.localhost(opts) end
    local all = { config = lab.ssh_config() }
    for key, value in pairs(opts or {}) do all[key] = value end
    return orrery.ssh(target, all)
end

--- Describes the same for each kind of target. `body` gets a table whose `ctx` is open while the
--- tests run, and whose `dir` is an empty directory there that goes afterwards.
---@param body fun(target: { name: string, ctx: orrery.Context, dir: string, seen: string })
---`seen` is the path of `dir` for this process
function remote.each(body)
    local busted = require "busted"
    for _, name in ipairs(remote.targets) do
        busted.describe("[" .. name .. "]", function()
            if name ~= "local" and not lab.need(2, { foreign = true, isolated = true }) then return end
            local target = { name = name }
            busted.setup(function()
                target.ctx = remote.open(name)
                target.dir = target.ctx:shell("mktemp -d /tmp/spec.XXXXXX").stdout:match("%S+")
                target.seen = remote.seen(name, target.dir)
            end)
            busted.teardown(function()
                target.ctx:run { "rm", "-rf", target.dir }
                target.ctx:close()
            end)
            body(target)
        end)
    end
end

--- The path by which this process sees a path of a target.
---@param target string
---@param path string
---@return string
function remote.seen(target, path)
    return target == "local" and path or lab.root(target) .. path
end

---@param path string
---@return string? content nil if it cannot be read
function remote.slurp(path)
    local file = io.open(path, "rb")
    if not file then return nil end
    local text = file:read("*a")
    file:close()
    return text
end

---@param path string
---@param text string
function remote.write(path, text)
    local file = assert(io.open(path, "wb"))
    assert(file:write(text))
    assert(file:close())
end

--- A new directory here. The caller removes it, with remote.remove.
---@return string path
function remote.directory()
    local path = os.tmpname()
    os.remove(path)
    assert(lfs.mkdir(path))
    return path
end

---@param path string
function remote.remove(path)
    assert(lab.run { "rm", "-rf", path } == 0)
end

--- Names in a directory, sorted, hidden ones included.
---@param path string
---@return string[]
function remote.names(path)
    local names = {}
    for name in lfs.dir(path) do
        if name ~= "." and name ~= ".." then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

--- Waits for what nothing tells us of: the process table of a host, a file.
---@param what string
---@param condition fun(): any
---@param seconds? number 5 by default
---@return any what the condition returned
function remote.eventually(what, condition, seconds)
    local deadline = orrery.now() + (seconds or 5)
    while true do
        local value = condition()
        if value then return value end
        if orrery.now() > deadline then error("this did not come about: " .. what, 2) end
        orrery.sleep(0.005)
    end
end

--- Calls a function that must raise an Error, and returns it.
---@param fn function
---@param ... any
---@return orrery.Error
function remote.failure(fn, ...)
    local ok, err = pcall(fn, ...)
    if ok then error("no error was raised", 2) end
    if not orrery.is_error(err) then error("not an error object: " .. tostring(err), 2) end
    return err
end

--- How long a command sleeps that a spec looks for in process tables. Another run of the specs, at
--- the same time on this machine, uses other numbers.
---@param n integer 0 to 99 tells the commands of a run apart
---@return integer
function remote.seconds(n)
    return 10 ^ 9 + 100 * tonumber(remote.slurp("/proc/self/stat"):match("^%d+")) + n
end

--- Processes of a target whose command line holds a text.
---@param target string
---@param text string
---@return integer[] pids as the target numbers them
function remote.processes(target, text)
    local pids = {}
    if target ~= "local" then
        for pid, process in pairs(lab.processes(target)) do
            if process.state ~= "Z" and process.command:find(text, 1, true) then
                pids[#pids + 1] = pid
            end
        end
    else
        for name in lfs.dir("/proc") do
            local line = name:match("^%d+$") and remote.slurp("/proc/" .. name .. "/cmdline")
            if line and line:gsub("%z", " "):find(text, 1, true) then pids[#pids + 1] = tonumber(name) end
        end
    end
    return pids
end

---@param pid integer of this machine
---@return boolean
function remote.alive(pid)
    local stat = remote.slurp(("/proc/%d/stat"):format(pid))
    return stat ~= nil and stat:match("^.*%) (%S)") ~= "Z"
end

--- Ends a process of this machine at once.
---@param pid integer
function remote.kill(pid)
    ffi.C.kill(pid, 9)
end

-- A program that uses Orrery ----------------------------------------------------------------------

---@class spec.Program
---@field pid integer
---@field package dir string
---@field package lines file*
local Program = {}
Program.__index = Program

local PRELUDE = [[
local orrery = require "orrery"
local context = require "orrery.context"
local function say(...) io.stdout:write(table.concat({ ... }, " "), "\n") io.stdout:flush() end
]]

--- Starts a program in a luajit of its own. It has `orrery` and `say(...)`, which writes a line.
---@param text string Lua
---@param wrapper? string[] a command to run it with
---@param ... string arguments of the program
---@return spec.Program
function remote.program(text, wrapper, ...)
    local dir = remote.directory()
    remote.write(dir .. "/program.lua", PRELUDE .. text)
    local words = { "echo $$; exec" }
    for _, word in ipairs(wrapper or {}) do words[#words + 1] = ("'%s'"):format(word) end
    words[#words + 1] = "luajit " .. dir .. "/program.lua"
    for _, word in ipairs { ... } do words[#words + 1] = ("'%s'"):format(word) end
    words[#words + 1] = "</dev/null 2>" .. dir .. "/stderr"
    local preload = os.getenv("ORRERY_PRELOAD")
    if preload then table.insert(words, 1, "export LD_PRELOAD='" .. preload .. "';") end
    local lines = assert(io.popen(table.concat(words, " ")))
    local program = setmetatable({ dir = dir, lines = lines }, Program)
    program.pid = tonumber(lines:read("*l"))
    return program
end

--- The next line that it says; blocks.
---@return string? line nil at its end
function Program:line()
    return self.lines:read("*l")
end

--- All that it says to its end.
---@return string
function Program:rest()
    return self.lines:read("*a")
end

---@return string
function Program:stderr()
    return remote.slurp(self.dir .. "/stderr") or ""
end

--- Waits for its end and removes what it needed.
function Program:finish()
    self.lines:close()
    remote.remove(self.dir)
end

--- For the option `ask`: gives these answers one after the other.
---@param ... string?
---@return fun(question: orrery.Asked): string? ask
---@return orrery.Asked[] questions that were asked so far
function remote.answers(...)
    local given, questions = { ... }, {}
    return function(question)
        questions[#questions + 1] = question
        return given[#questions]
    end, questions
end

return remote
