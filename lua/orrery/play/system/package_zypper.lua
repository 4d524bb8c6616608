--- Packages by zypper.

local package = require "orrery.play.system.package"
local resource = require "orrery.play.resource"
local rpm = require "orrery.play.system.package_rpm"
local sched = require "orrery.sched"
local tool = require "orrery.play.system.tool"

local M = { installed = rpm.installed }

local LOCKED = 7 -- ZYPPER_EXIT_ZYPP_LOCKED
local PAUSE = 1
-- 100 and more are information: updates are there, a reboot is needed ...
local INFORMATION = 100

--- Reads the table of `zypper list-updates`: "v | repo | nginx | 1.21 | 1.22 | x86_64".
---@param output string
---@return table<string, string> newer versions by name
function M.parse_updates(output)
    local newer = {}
    for line in output:gmatch "[^\n]+" do
        local name, _, version = line:match "^v%s*|[^|]*|%s*(%S+)%s*|%s*(%S+)%s*|%s*(%S+)%s*|"
        if name then newer[name] = version end
    end
    return newer
end

local function run(o, env, what, argv)
    local began, told = sched.now(), false
    while true do
        local r = tool.run(env, argv)
        if r.code == 0 or r.code >= INFORMATION and r.code < 128 then return r end
        if r.code ~= LOCKED or sched.now() - began >= o.lock_timeout then
            resource.fail(("cannot %s: %s"):format(what, tool.reason(r)))
        end
        if not told then env.say("waiting: " .. tool.reason(r)) end
        told = true
        sched.sleep(math.min(PAUSE, o.lock_timeout))
    end
end

local function command(o, ...)
    return tool.words("zypper", "--non-interactive", "--quiet", o.arguments, ...)
end

function M.candidates(env, list)
    local versions = rpm.installed(env, list)
    local offline = env.check_mode and "--no-refresh" or false
    local r = tool.look(env, tool.words("zypper", "--non-interactive", "--quiet", offline, "list-updates"))
    local newer = M.parse_updates(r.stdout)
    for _, wanted in ipairs(list) do
        versions[wanted.name] = newer[wanted.name] or versions[wanted.name] or ""
    end
    return versions
end

function M.is_stale(env, seconds)
    local caches = {}
    for _, name in ipairs(env.sys.list "/var/cache/zypp/raw" or {}) do
        caches[#caches + 1] = "/var/cache/zypp/raw/" .. name .. "/cookie"
    end
    return package.older(env, seconds, caches)
end

function M.update(o, env) run(o, env, "fetch the lists of packages", command(o, "refresh")) end

function M.install(o, env, list)
    run(o, env, "install " .. package.listed(list), command(o, "install", "--auto-agree-with-licenses",
        o.recommends == true and "--recommends", o.recommends == false and "--no-recommends",
        o.allow_downgrade and "--oldpackage", rpm.specs(list, "=")))
end

function M.remove(o, env, list)
    run(o, env, "remove " .. package.listed(list),
        command(o, "remove", o.autoremove and "--clean-deps", package.names(list)))
end

function M.held(env)
    local names = {}
    local r = tool.look(env, { "zypper", "--non-interactive", "--quiet", "locks" })
    for name in r.stdout:gmatch "\n?%d+%s*|%s*([^%s|]+)%s*|%s*package" do names[name] = true end
    return names
end

function M.hold(o, env, names, on)
    run(o, env, on and "hold packages" or "let packages go", command(o, on and "addlock" or "removelock", names))
end

return M
