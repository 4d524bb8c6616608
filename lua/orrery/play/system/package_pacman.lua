--- Packages by pacman. It has one version of each, the latest.

local package = require "orrery.play.system.package"
local resource = require "orrery.play.resource"
local sched = require "orrery.sched"
local tool = require "orrery.play.system.tool"

local M = {}

local LOCK, PAUSE = "/var/lib/pacman/db.lck", 1

--- Reads lines of `pacman -Q`, "nginx 1.22.1-1", and of `pacman -Qu`, "nginx 1.22.1-1 -> 1.24.0-1".
---@param output string
---@return table<string, string> versions by name; of -Qu, the new ones
function M.parse(output)
    local versions = {}
    for line in output:gmatch "[^\n]+" do
        local name, version = line:match "^(%S+) (%S+)$"
        local updated, new = line:match "^(%S+) %S+ %-> (%S+)"
        if name then versions[name] = version end
        if updated then versions[updated] = new end
    end
    return versions
end

function M.installed(env, list)
    local found, versions = M.parse(tool.look(env, tool.words("pacman", "-Q", package.names(list))).stdout), {}
    for _, wanted in ipairs(list) do versions[wanted.name] = found[wanted.name] end
    return versions
end

function M.candidates(env, list)
    local versions = M.installed(env, list)
    local newer = M.parse(tool.look(env, { "pacman", "-Qu" }).stdout)
    for _, wanted in ipairs(list) do
        versions[wanted.name] = newer[wanted.name] or versions[wanted.name] or ""
    end
    return versions
end

function M.is_stale(env, seconds) return package.older(env, seconds, { "/var/lib/pacman/sync" }) end

-- It does not wait for the lock, which is a file that only its owner may remove.
local function run(o, env, what, argv)
    local waited = 0
    while env.sys.stat(LOCK) do
        if waited >= o.lock_timeout then
            resource.fail(("cannot %s: %s is there, for longer than %g s: another pacman runs, or was killed")
                :format(what, LOCK, o.lock_timeout))
        end
        if waited == 0 then env.say("waiting for another pacman, which has made " .. LOCK) end
        local pause = math.min(PAUSE, o.lock_timeout)
        sched.sleep(pause)
        waited = waited + pause
    end
    tool.must(env, what, argv)
end

local function command(o, ...)
    return tool.words("pacman", "--noconfirm", o.arguments, ...)
end

function M.update(o, env) run(o, env, "fetch the lists of packages", command(o, "-Sy")) end

function M.install(o, env, list)
    for _, wanted in ipairs(list) do
        if wanted.version then resource.fail(wanted.spec .. ": pacman has no versions to choose from") end
    end
    run(o, env, "install " .. package.listed(list), command(o, "-S", "--needed", package.names(list)))
end

function M.remove(o, env, list)
    local flags = "-R" .. (o.autoremove and "s" or "") .. (o.purge and "n" or "")
    run(o, env, "remove " .. package.listed(list), command(o, flags, package.names(list)))
end

return M
