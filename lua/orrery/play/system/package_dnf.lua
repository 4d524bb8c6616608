--- Packages by dnf, and by yum before it, which take the same words.

local package = require "orrery.play.system.package"
local rpm = require "orrery.play.system.package_rpm"
local tool = require "orrery.play.system.tool"

local M = {}

--- Reads what `dnf check-update` says: "nginx.x86_64   1:1.22.1-9   updates".
---@param output string
---@return table<string, string> newer versions by name
function M.parse_updates(output)
    local newer = {}
    for line in output:gmatch "[^\n]+" do
        if line:match "^Obsoleting" then break end
        local name, version = line:match "^(%S+)%.[%w_]+%s+(%S+)%s+%S+%s*$"
        if name and version:match "%d" then newer[name] = version:gsub("^%d+:", "") end
    end
    return newer
end

-- Both wait for the lock by themselves: yum for ever, dnf for as long as it is told.
local function command(program, o, verb, ...)
    local weak = program == "dnf" and o.recommends ~= nil
        and "--setopt=install_weak_deps=" .. (o.recommends and "True" or "False")
    return tool.words(program, "-y", "-q", weak, o.arguments, verb, ...)
end

local function provider(program)
    local P = { installed = rpm.installed }

    -- Only what is newer than what is there: 100 says that there is something, 0 that there is nothing.
    function P.candidates(env, list)
        local versions = rpm.installed(env, list)
        local cached = env.check_mode and "-C" or false
        local r = tool.look(env, tool.words(program, "-q", cached, "check-update", package.names(list)))
        local newer = r.code == 100 and M.parse_updates(r.stdout) or {}
        for _, wanted in ipairs(list) do
            versions[wanted.name] = newer[wanted.name] or versions[wanted.name] or ""
        end
        return versions
    end

    function P.is_stale(env, seconds)
        local caches = {}
        for _, directory in ipairs { "/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum" } do
            for _, name in ipairs(env.sys.list(directory) or {}) do caches[#caches + 1] = directory .. "/" .. name end
        end
        return package.older(env, seconds, caches)
    end

    function P.update(o, env) rpm.run(env, "fetch the lists of packages", command(program, o, "makecache")) end

    function P.install(o, env, list, latest)
        local there, new, old = rpm.installed(env, list), {}, {}
        for _, wanted in ipairs(list) do
            local update = latest and there[wanted.name]
            local into = update and old or new
            into[#into + 1] = wanted
        end
        local what = "install " .. package.listed(list)
        local verb = o.allow_downgrade and #new == #list and new[1].version and "downgrade" or "install"
        if #new > 0 then rpm.run(env, what, command(program, o, verb, rpm.specs(new, "-"))) end
        if #old > 0 then rpm.run(env, what, command(program, o, "update", rpm.specs(old, "-"))) end
    end

    function P.remove(o, env, list)
        local keep = program == "dnf" and not o.autoremove and "--noautoremove" or nil
        rpm.run(env, "remove " .. package.listed(list), command(program, o, "remove", keep, package.names(list)))
    end

    return P
end

M.dnf, M.yum = provider "dnf", provider "yum"

return M
