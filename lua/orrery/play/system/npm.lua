--- What the resource npm does.

local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

-- It would write a log of each call, and look for a newer npm.
local QUIET = { npm_config_logs_max = "0", npm_config_update_notifier = "false" }

local function names_of(o)
    local names = type(o.names) == "string" and { o.names } or o.names or {}
    return o.name and { o.name, unpack(names) } or names
end

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    local names = names_of(o)
    if #names == 0 and not o.path then return "nothing is asked for: give names, or the path of a project" end
    if #names == 0 and o.state == "absent" then return "state 'absent' needs names" end
    if o.ci and #names > 0 then return "ci takes what package-lock.json says, and no names" end
    for _, name in ipairs(names) do
        if not name:match "^[%w@/._~]" or name:find "[%c%s]" then return ("'%s' is no package of npm"):format(name) end
    end
end

---@class orrery.play.NpmWanted
---@field spec string
---@field name? string nil: only npm can tell
---@field version? string an exact one

--- Reads "name@version"; a file, or what comes from elsewhere, has no name here.
---@param spec string
---@return orrery.play.NpmWanted
function M.parse(spec)
    if spec:match "^[./]" or spec:match "^%a[%w+]*:" or spec:match "^[^@][^/]*/" then
        local name, version = spec:match "([^/]+)%-(%d+%.%d+%.%d+[^/]*)%.tgz$"
        return { spec = spec, name = name, version = version }
    end
    local name, version = spec:match "^(@?[^@]+)@(.+)$"
    local exact = version and version:match "^%d+%.%d+%.%d+[%w.+-]*$"
    return { spec = spec, name = name or spec, version = exact or nil,
        range = version and not exact and version or nil }
end

--- The version in a package.json: the first that stands at the outer level, which is where npm writes it.
---@param content string
---@return string?
function M.version(content) return content:match '"version"%s*:%s*"([^"]+)"' end

local function root_of(o, env)
    if o.path then return o.path .. "/node_modules" end
    local r = tool.look(env, { "npm", "root", "-g" }, { env = QUIET })
    if r.code ~= 0 then resource.fail("cannot ask npm where packages are: " .. tool.reason(r)) end
    return text.trim(r.stdout)
end

local function installed(env, root, wanted)
    if not wanted.name then return nil end
    local content = text.read(env, ("%s/%s/package.json"):format(root, wanted.name))
    return content and M.version(content)
end

local function versions(env, root, list)
    local result = {}
    for _, wanted in ipairs(list) do
        if wanted.name then result[wanted.name] = installed(env, root, wanted) or false end
    end
    return result
end

local function check_names(o, env, root, list, plan)
    for _, wanted in ipairs(list) do
        local version = installed(env, root, wanted)
        local missing = not version or wanted.version and wanted.version ~= version
        if o.state == "absent" then
            if version then plan.diff[#plan.diff + 1] = { what = wanted.name, before = version, after = "absent" } end
        elseif wanted.name and missing then
            local after = wanted.version or "present"
            plan.diff[#plan.diff + 1] = { what = wanted.name, before = version or "absent", after = after }
        elseif not wanted.name or wanted.range or o.state == "latest" then
            plan.open = true
        end
    end
end

-- Is all there that the project asks for? npm says so without changing anything.
local function check_project(o, env, plan)
    if not env.sys.stat(o.path .. "/package.json") then
        if not env.check_mode then resource.fail(o.path .. "/package.json is not there") end
        plan.open = true
        return
    end
    local r = tool.look(env, tool.words("npm", "ls", "--prefix", o.path, o.production and "--omit=dev"),
        { cwd = o.path, env = QUIET })
    if r.code ~= 0 then
        plan.diff[1] = { what = "dependencies", before = "missing or others", after = "as asked for" }
    end
    if o.state == "latest" then plan.open = true end
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    tool.need(env, "npm", "to install packages of Node.js")
    local root, list, plan = root_of(o, env), {}, { diff = {} }
    for _, spec in ipairs(names_of(o)) do list[#list + 1] = M.parse(spec) end
    if #list > 0 then check_names(o, env, root, list, plan) else check_project(o, env, plan) end
    plan.root, plan.list = root, list
    local out = { packages = versions(env, root, list), path = root }
    if #plan.diff == 0 and not plan.open then return nil, out end
    if #plan.diff == 0 then plan.unknown, plan.message = true, "only npm can tell, when it has looked" end
    return plan, out
end

local function command(o)
    local names = names_of(o)
    local verb = o.state == "absent" and "uninstall" or o.ci and "ci" or "install"
    if o.state == "latest" then
        verb = #names > 0 and "install" or "update"
        for i, name in ipairs(names) do
            names[i] = M.parse(name).name and not name:find(".@", 1, false) and name .. "@latest" or name
        end
    end
    return tool.words("npm", verb, "--no-fund", "--no-audit", "--no-progress", not o.path and "--global",
        o.production and "--omit=dev", o.arguments, names)
end

-- What npm has changed shows in the list of what is there.
local function listing(env, root)
    return text.read(env, root .. "/.package-lock.json")
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    local before = listing(env, plan.root)
    local what = #plan.list > 0 and table.concat(names_of(o), ", ") or "what " .. o.path .. " asks for"
    tool.must(env, (o.state == "absent" and "remove " or "install ") .. what, command(o),
        { cwd = o.path, env = QUIET })
    local changed = #plan.diff > 0 or before ~= listing(env, plan.root)
    return { changed = changed, packages = versions(env, plan.root, plan.list) }
end

return M
