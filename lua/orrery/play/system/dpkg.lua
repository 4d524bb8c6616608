--- dpkg and apt: what they say, and how they are run, which is one at a time on a machine.

local resource = require "orrery.play.resource"
local sched = require "orrery.sched"
local tool = require "orrery.play.system.tool"

local M = {}

M.FORMAT = "${Package}\\t${Architecture}\\t${db:Status-Abbrev}\\t${Version}\\t${Provides}\\n"

---@class orrery.play.DpkgRow
---@field name string
---@field arch string
---@field status string the second letter of `dpkg -l`: "i" installed, "c" only its configuration, "F" half-configured
---@field installed boolean
---@field held boolean
---@field version string
---@field provides string

-- Those that wait for a trigger work already.
local INSTALLED = { i = true, W = true, t = true }

--- Reads what dpkg-query says in FORMAT.
---@param output string
---@return orrery.play.DpkgRow[]
function M.parse(output)
    local rows = {}
    local pattern = "([^\t\n]+)\t([^\t]*)\t(.)(.)[^\t]*\t([^\t]*)\t([^\n]*)\n"
    for name, arch, want, status, version, provides in output:gmatch(pattern) do
        rows[#rows + 1] = {
            name = name, arch = arch, status = status, installed = INSTALLED[status] or false, held = want == "h",
            version = version, provides = provides,
        }
    end
    return rows
end

--- The row of a name, which may have an architecture: "libc6:i386". One that is installed goes first.
---@param rows orrery.play.DpkgRow[]
---@param wanted string
---@return orrery.play.DpkgRow?
function M.find(rows, wanted)
    local name, arch = wanted:match "^([^:]+):(.+)$"
    local found
    for _, row in ipairs(rows) do
        if row.name == (name or wanted) and (not arch or arch == "any" or row.arch == arch or row.arch == "all")
            and (not found or row.installed and not found.installed) then
            found = row
        end
    end
    return found
end

--- Names that installed packages provide, with the version of the package that does.
---@param rows orrery.play.DpkgRow[]
---@return table<string, string>
function M.provided(rows)
    local provided = {}
    for _, row in ipairs(rows) do
        for name in (row.installed and row.provides or ""):gmatch "([%w][%w+.-]*)[^,]*" do
            provided[name] = provided[name] or row.version
        end
    end
    return provided
end

--- Reads what `apt-cache policy` says.
---@param output string
---@return table<string, string> candidates by name; "" of one that stands for others only
function M.parse_policy(output)
    local candidates, name = {}, nil
    for line in output:gmatch "[^\n]+" do
        name = line:match "^(%S+):$" or name
        local candidate = line:match "^  Candidate: (.+)$"
        if name and candidate then candidates[name] = candidate == "(none)" and "" or candidate end
    end
    return candidates
end

--- Reads what `apt-get -s` would do.
---@param output string
---@return { what: string, before: string, after: string }[]
function M.parse_simulation(output)
    local changes = {}
    for line in output:gmatch "[^\n]+" do
        local verb, name, rest = line:match "^(%u%l%l%l) (%S+) ?(.*)$"
        local before, after = (rest or ""):match "^%[([^%]]*)%]", (rest or ""):match "%((%S+)"
        if verb == "Inst" then
            changes[#changes + 1] = { what = name, before = before or "absent", after = after }
        elseif verb == "Remv" or verb == "Purg" then
            changes[#changes + 1] = { what = name, before = before or "its configuration", after = "absent" }
        end
    end
    return changes
end

--- The control file of a package, from the tar of such.
---@param tar string
---@return string?
function M.control(tar)
    local at = 1
    while at + 512 <= #tar do
        local name = tar:sub(at, at + 99):match "^%Z*"
        local size = tonumber(tar:sub(at + 124, at + 134):match "[0-7]+" or "0", 8)
        if name:match "^%.?/?control$" then return tar:sub(at + 512, at + 511 + size) end
        at = at + 512 + math.ceil(size / 512) * 512
    end
end

--- Why apt has failed: its own errors, and what a script of a package has said last.
---@param r orrery.CommandResult
---@return string
function M.reason(r)
    local errors = {}
    for line in ((r.stderr or "") .. "\n" .. (r.stdout or "")):gmatch "[^\n]+" do
        local said = line:match "^E: (.+)$" or line:match "^(dpkg: error.+)$"
            or line:match "^ (%S.-subprocess returned error.+)$"
        if said and #errors < 4 then errors[#errors + 1] = said end
    end
    return #errors > 0 and table.concat(errors, "; ") or tool.reason(r)
end

-- Locks -------------------------------------------------------------------------------------------

local LOCKS = { "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock" }

--- Who holds a lock: from /proc/locks, by the number of the file.
---@param locks string
---@param ino integer
---@return integer? pid
function M.holder(locks, ino)
    for line in locks:gmatch "[^\n]+" do
        local pid, inode = line:match "^%d+: %u+%s+%u+%s+WRITE%s+(%d+)%s+%x+:%x+:(%d+)"
        if tonumber(inode) == ino then return tonumber(pid) end
    end
end

local function describe_process(env, pid)
    local name = pid and (env.sys.read(("/proc/%d/comm"):format(pid)) or ""):match "^[^\n]+"
    return pid and ("process %d%s"):format(pid, name and " (" .. name .. ")" or "") or "another process"
end

-- Which lock somebody else has, and who; nil: this failure is another.
local function locked(env, r)
    local said = r.code ~= 0 and r.stderr or ""
    local path = said:match "[Cc]ould not get lock (/%S-)[%.%s]" or said:match "Unable to lock directory (/%S+)"
    local pid = said:match "held by process (%d+)" or said:match "locked by another process with pid (%d+)"
    local is_locked = path or said:find("is another process using it", 1, true)
        or said:find("locked by another process", 1, true)
    if not is_locked then return nil end
    pid = tonumber(pid)
    local locks = env.sys.read "/proc/locks" or ""
    for _, each in ipairs(pid and {} or { path or LOCKS[1], unpack(LOCKS) }) do
        local st = env.sys.stat(each)
        pid = pid or st and M.holder(locks, st.ino)
    end
    return path or LOCKS[1], describe_process(env, pid)
end

-- Nobody is there to be asked.
local SILENT = {
    DEBIAN_FRONTEND = "noninteractive", DEBIAN_PRIORITY = "critical", APT_LISTCHANGES_FRONTEND = "none",
    APT_LISTBUGS_FRONTEND = "none", NEEDRESTART_MODE = "l", UCF_FORCE_CONFFOLD = false, UCF_FORCE_CONFFNEW = false,
}

-- What is begun is done, also if the connection ends: a package that is half-configured is worse than one too many.
local function options(o)
    local vars = {}
    for key, value in pairs(SILENT) do vars[key] = value end
    vars[o.conffiles == "new" and "UCF_FORCE_CONFFNEW" or "UCF_FORCE_CONFFOLD"] = "1"
    return { on_disconnect = "finish", env = vars }
end

local PAUSE = 1 -- seconds between two looks at a lock

local function run_when_free(o, env, what, argv)
    local began, told = sched.now(), false
    while true do
        local r = tool.run(env, argv, options(o))
        local path, who = locked(env, r)
        if not path then return r end
        if sched.now() - began >= o.lock_timeout then
            resource.fail(("cannot %s: %s has locked %s, for longer than %g s"):format(what, who, path, o.lock_timeout))
        end
        if not told then env.say(("waiting for %s, which has locked %s"):format(who, path)) end
        told = true
        sched.sleep(math.min(PAUSE, o.lock_timeout))
    end
end

local STATES = { U = "unpacked, and not configured", F = "half-configured", H = "half-installed" }

-- What a failure has left half done.
local function half_done(env)
    local left = {}
    for _, row in ipairs(M.parse(tool.look(env, { "dpkg-query", "-W", "-f", M.FORMAT }).stdout)) do
        if STATES[row.status] then left[#left + 1] = ("%s is %s"):format(row.name, STATES[row.status]) end
    end
    return #left > 0 and "; now " .. table.concat(left, ", ") or ""
end

--- Runs a command of apt, once it is its turn. One that was cut off before is finished first.
---@param o table lock_timeout, conffiles
---@param env orrery.play.Env
---@param what string "install hello"
---@param argv string[]
---@return orrery.CommandResult
---Raises "resource": who has the lock; or why it failed, and what it has left behind.
function M.run(o, env, what, argv)
    local r = run_when_free(o, env, what, argv)
    if r.code ~= 0 and r.stderr:find("dpkg was interrupted", 1, true) then
        env.say "dpkg was interrupted earlier; that is finished first"
        run_when_free(o, env, "finish what was interrupted",
            { "dpkg", o.conffiles == "new" and "--force-confnew" or "--force-confold", "--configure", "-a" })
        r = run_when_free(o, env, what, argv)
    end
    if r.code == 0 then return r end
    resource.fail {
        message = ("cannot %s: %s%s"):format(what, M.reason(r), half_done(env)),
        result = { code = r.code, stdout = r.stdout, stderr = r.stderr },
    }
end

return M
