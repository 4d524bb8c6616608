--- Packages of Alpine, by apk.

local package = require "orrery.play.system.package"
local tool = require "orrery.play.system.tool"

local M = {}

--- Splits "libcrypto3-3.1.4-r1" into name and version.
---@param text string
---@return string? name, string? version
function M.split(text) return text:match "^(.-)%-(%d[^-]*%-r%d+)$" end

--- Reads `apk list`: "nginx-1.24.0-r7 x86_64 {nginx} (BSD-2-Clause) [installed]".
---@param output string
---@return table<string, string> installed, table<string, string> newer
function M.parse(output)
    local installed, newer = {}, {}
    for line in output:gmatch "[^\n]+" do
        local name, version = M.split(line:match "^%S+")
        if name and line:find("[installed]", 1, true) then installed[name] = version end
        if name and line:find("[upgradable from:", 1, true) then newer[name] = version end
    end
    return installed, newer
end

function M.installed(env, list)
    local installed, versions = M.parse(tool.look(env, { "apk", "list", "--installed" }).stdout), {}
    for _, wanted in ipairs(list) do versions[wanted.name] = installed[wanted.name] end
    return versions
end

function M.candidates(env, list)
    local versions = M.installed(env, list)
    local _, newer = M.parse(tool.look(env, { "apk", "list", "--upgradable" }).stdout)
    for _, wanted in ipairs(list) do
        versions[wanted.name] = newer[wanted.name] or versions[wanted.name] or ""
    end
    return versions
end

function M.is_stale(env, seconds)
    local indexes = {}
    for _, name in ipairs(env.sys.list "/var/cache/apk" or {}) do indexes[#indexes + 1] = "/var/cache/apk/" .. name end
    for _, name in ipairs(env.sys.list "/lib/apk/db" or {}) do
        if name:match "APKINDEX" then indexes[#indexes + 1] = "/lib/apk/db/" .. name end
    end
    return package.older(env, seconds, indexes)
end

-- It waits for its lock itself.
local function command(o, verb, ...)
    return tool.words("apk", "--no-progress", "--wait", math.max(1, math.floor(o.lock_timeout)), o.arguments, verb, ...)
end

local function run(env, what, argv) tool.must(env, what, argv) end

function M.update(o, env) run(env, "fetch the lists of packages", command(o, "update")) end

function M.install(o, env, list, latest)
    local words = {}
    for i, wanted in ipairs(list) do
        words[i] = wanted.version and wanted.name .. "=" .. wanted.version or wanted.name
    end
    run(env, "install " .. package.listed(list), command(o, "add", latest and "--upgrade", words))
end

function M.remove(o, env, list)
    run(env, "remove " .. package.listed(list), command(o, "del", o.purge and "--purge", package.names(list)))
end

return M
