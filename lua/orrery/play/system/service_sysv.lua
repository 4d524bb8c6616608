--- Services that are scripts in /etc/init.d, with links in /etc/rcN.d.

local resource = require "orrery.play.resource"
local tool = require "orrery.play.system.tool"

local M = { patience = 5, verbs = {} }

local LEVELS = { "2", "3", "4", "5" }
local PATIENCE = 300 -- seconds; a daemon that keeps its output open would hold us up for ever

--- Does the name of a link start a service? "S01cron".
---@param link string
---@param name string
---@return boolean
function M.starts(link, name)
    local kind, service = link:match "^([SK])%d%d(.+)$"
    return kind == "S" and service == name
end

local function is_enabled(env, name)
    for _, level in ipairs(LEVELS) do
        for _, link in ipairs(env.sys.list("/etc/rc" .. level .. ".d") or {}) do
            if M.starts(link, name) then return true end
        end
    end
    return false
end

-- Is there a process whose command line has this text?
local function find_process(env, pattern)
    for _, pid in ipairs(env.sys.list "/proc" or {}) do
        local other = pid:match "^%d+$" and tonumber(pid) ~= env.sys.getpid()
        local line = other and env.sys.read("/proc/" .. pid .. "/cmdline")
        if line and line:gsub("%z", " "):find(pattern, 1, true) then return tonumber(pid) end
    end
end

-- The environment of a login could make a daemon behave as it never will at boot; `service` clears it.
local function script(o, env, verb)
    if tool.find(env, "service") then return { "service", o.name, verb } end
    return { "/etc/init.d/" .. o.name, verb }
end

-- LSB: 0 runs, 1 and 2 dead, 3 does not run, 4 and more not known.
local function is_running(o, env)
    if o.pattern then
        local pid = find_process(env, o.pattern)
        return pid ~= nil, pid
    end
    local r = tool.look(env, script(o, env, "status"), { timeout = PATIENCE })
    if r.code == 0 then return true end
    if r.code <= 3 and not r.stdout:match "[Uu]sage:" and not r.stderr:match "[Uu]sage:" then return false end
    local why = "/etc/init.d/%s does not tell whether it runs (status %d); give `pattern`, a text of its command line"
    resource.fail(why:format(o.name, r.code))
end

---@param o table
---@param env orrery.play.Env
function M.look(o, env)
    local path = "/etc/init.d/" .. o.name
    if not env.sys.stat(path) then return { exists = false, running = false, enabled = false } end
    local now = { exists = true, enabled = is_enabled(env, o.name) }
    if o.state then now.running, now.pid = is_running(o, env) end
    return now
end

-- What makes and removes the links: its command lines for on and off.
local ENABLE = {
    { "update-rc.d", { { "NAME", "defaults" }, { "NAME", "enable" } }, { { "NAME", "disable" } } },
    { "chkconfig", { { "--add", "NAME" }, { "NAME", "on" } }, { { "NAME", "off" } } },
}

-- Without a tool, the links themselves.
local function link_by_hand(o, env, on)
    for _, level in ipairs(LEVELS) do
        local directory = "/etc/rc" .. level .. ".d"
        local link = directory .. "/S50" .. o.name
        if on and not env.sys.stat(directory) then resource.must("create", env.sys.mkdir(directory, 0x1ed)) end
        if on then resource.must("create", env.sys.symlink("../init.d/" .. o.name, link)) end
        for _, name in ipairs(not on and env.sys.list(directory) or {}) do
            if M.starts(name, o.name) then resource.must("remove", env.sys.unlink(directory .. "/" .. name)) end
        end
    end
end

local function enable(o, env, on)
    for _, way in ipairs(ENABLE) do
        if tool.find(env, way[1]) then
            for _, words in ipairs(on and way[2] or way[3]) do
                local argv = { way[1] }
                for _, word in ipairs(words) do argv[#argv + 1] = word == "NAME" and o.name or word end
                tool.must(env, (on and "enable " or "disable ") .. o.name, argv)
            end
            return
        end
    end
    link_by_hand(o, env, on)
end

---@param o table
---@param env orrery.play.Env
---@param verb string
function M.act(o, env, verb)
    if verb == "enable" or verb == "disable" then return enable(o, env, verb == "enable") end
    tool.must(env, ("%s %s"):format(verb, o.name), script(o, env, verb), { timeout = PATIENCE })
end

return M
