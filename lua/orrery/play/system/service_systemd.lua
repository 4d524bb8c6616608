--- Services of systemd, by systemctl.

local resource = require "orrery.play.resource"
local tool = require "orrery.play.system.tool"

local M = { patience = 0, verbs = { mask = true, unmask = true, ["daemon-reload"] = true } }

local PROPERTIES = "LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,Type,Result"

--- The name with its kind: "nginx" is a service.
---@param name string
---@return string
function M.unit(name)
    local kinds = { service = true, socket = true, timer = true, path = true, mount = true, target = true, slice = true,
        swap = true, automount = true, device = true, scope = true }
    return kinds[name:match "%.(%w+)$" or ""] and name or name .. ".service"
end

local function command(o, env, ...)
    local words = tool.words("systemctl", o.scope == "user" and "--user", { ... })
    local uid = env.sys.getuid()
    local runtime = ("/run/user/%d"):format(uid)
    local vars = o.scope == "user" and {
        XDG_RUNTIME_DIR = runtime, DBUS_SESSION_BUS_ADDRESS = "unix:path=" .. runtime .. "/bus",
    } or nil
    return words, { env = vars }
end

--- What `systemctl show` has said: Name=value, a line each.
---@param output string
---@return table<string, string>
function M.parse(output)
    local properties = {}
    for key, value in output:gmatch "([%w]+)=([^\n]*)" do properties[key] = value end
    return properties
end

-- States in which it starts at boot, or when what starts it does; and those in which nothing here decides that.
local ENABLED = {
    enabled = true, ["enabled-runtime"] = true, alias = true, static = true, indirect = true, generated = true,
    transient = true, linked = false, ["linked-runtime"] = false, disabled = false, masked = false,
    ["masked-runtime"] = false, bad = false,
}
local FIXED = { static = true, indirect = true, generated = true, transient = true, alias = true }

--- What the properties mean.
---@param p table<string, string>
---@param is_enabled? string what `systemctl is-enabled` says, where that had to be asked
---@return table now
function M.state(p, is_enabled)
    local file = is_enabled or p.UnitFileState or ""
    local active = p.ActiveState
    local running = active == "active" or active == "reloading"
        or active == "activating" and p.SubState ~= "auto-restart"
    return {
        exists = p.LoadState ~= "not-found" and p.LoadState ~= nil, running = running,
        enabled = ENABLED[file] or false, masked = p.LoadState == "masked" or file:match "^masked" ~= nil,
        stale = p.NeedDaemonReload == "yes", pid = tonumber(p.MainPID) ~= 0 and tonumber(p.MainPID) or nil,
        fixed = FIXED[file] and file or nil,
    }
end

-- Without a systemd that runs (an image, a chroot) there are the files, which say what is enabled.
local function look_offline(o, env)
    local unit = M.unit(o.name)
    local r = tool.look(env, { "systemctl", "is-enabled", unit })
    local said = r.stdout:match "^(%S+)"
    return {
        exists = said ~= nil and said ~= "not-found", running = false, enabled = ENABLED[said] or false,
        masked = said == "masked", offline = true, fixed = FIXED[said] and said or nil,
    }
end

---@param o table
---@param env orrery.play.Env
function M.look(o, env)
    if o.scope == "system" and not env.sys.stat "/run/systemd/system" then return look_offline(o, env) end
    local words, opts = command(o, env, "show", "-p", PROPERTIES, "--", M.unit(o.name))
    local r = tool.look(env, words, opts)
    if r.code ~= 0 then resource.fail(("cannot ask systemd about %s: %s"):format(o.name, tool.reason(r))) end
    local properties, said = M.parse(r.stdout), nil
    -- Of a script in /etc/init.d, and of what systemd has not read yet, is-enabled looks for itself.
    if properties.UnitFileState == "" or properties.UnitFileState == "generated" then
        words, opts = command(o, env, "is-enabled", "--", M.unit(o.name))
        said = tool.look(env, words, opts).stdout:match "^(%S+)"
    end
    local now = M.state(properties, said)
    -- Whether it starts at boot is not for it to say.
    if now.fixed and o.enabled ~= nil then now.enabled = o.enabled end
    -- A unit file that systemd has not read yet.
    if not now.exists and o.daemon_reload then now.exists, now.stale = said ~= nil and said ~= "not-found", true end
    return now
end

-- Those of which the journal may know more than systemctl says.
local RUNS = { start = true, restart = true, reload = true }

---@param o table
---@param env orrery.play.Env
---@param verb string
function M.act(o, env, verb)
    local words, opts = command(o, env, verb)
    if verb ~= "daemon-reload" then words[#words + 1] = M.unit(o.name) end
    local r = tool.run(env, words, opts)
    if r.code == 0 then return end
    local why = RUNS[verb] and M.explain(o, env) or tool.reason(r)
    resource.fail {
        message = ("cannot %s %s: %s"):format(verb, o.name, why),
        result = { code = r.code, stdout = r.stdout, stderr = r.stderr },
    }
end

local LINES = 5

--- Why it does not run: how its process ended, and the last that it said.
---@param o table
---@param env orrery.play.Env
---@return string
function M.explain(o, env)
    local unit = M.unit(o.name)
    local words, opts = command(o, env, "show", "-p", "Result,ExecMainStatus,LoadError,LoadState", "--", unit)
    local p = M.parse(tool.look(env, words, opts).stdout)
    local parts = { ("result '%s'"):format(p.Result or "?") }
    if p.LoadState and p.LoadState ~= "loaded" then parts[1] = p.LoadState .. " " .. (p.LoadError or "") end
    if (tonumber(p.ExecMainStatus) or 0) ~= 0 then parts[#parts + 1] = "status " .. p.ExecMainStatus end
    local journal = tool.look(env, tool.words("journalctl", o.scope == "user" and "--user", "-u", unit, "-n", LINES,
        "--no-pager", "-o", "cat", "-q"), opts)
    local said = journal.code == 0 and journal.stdout:gsub("%s+$", ""):gsub("\n", "; ") or ""
    if said ~= "" then parts[#parts + 1] = said end
    return table.concat(parts, ", ")
end

return M
