--- What the resource pip does.

local requirement = require "orrery.play.system.requirement"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local function python_of(o) return o.virtualenv and o.virtualenv .. "/bin/python" or o.python end

local function command(o, verb, ...)
    return tool.words(python_of(o), "-m", "pip", "--disable-pip-version-check", "--no-input", verb, ...)
end

--- Reads "name==version" lines.
---@param output string
---@return table<string, string> versions by key
function M.parse(output)
    local versions = {}
    for name, version in output:gmatch "([%w._-]+)==([^%s]+)" do versions[requirement.key(name)] = version end
    return versions
end

local NO_CACHE = { env = { PYTHONDONTWRITEBYTECODE = "1" } } -- looking leaves no compiled files behind

local function installed(o, env)
    local r = tool.look(env, command(o, "list", "--format=freeze"), NO_CACHE)
    if r.code ~= 0 then
        resource.fail(("cannot ask pip of %s what is installed: %s"):format(python_of(o), tool.reason(r)))
    end
    return M.parse(r.stdout), r.stdout
end

local function wanted_of(o, env)
    local list = {}
    for _, spec in ipairs(requirement.names(o)) do list[#list + 1] = requirement.parse(spec) end
    if not o.requirements then return list end
    local content = text.read(env, o.requirements)
    if not content then
        if not env.check_mode then resource.fail(o.requirements .. " is not there") end
        list[#list + 1] = { spec = "-r " .. o.requirements, wants = {} }
    end
    for _, each in ipairs(requirement.file(content or "")) do list[#list + 1] = each end
    return list
end

local function check_present(o, list, there, plan)
    for _, wanted in ipairs(list) do
        local version = wanted.key and there[wanted.key]
        local fine = version and requirement.satisfies(version, wanted)
        if wanted.key and (not version or fine == false) then
            plan.certain = true
            plan.diff[#plan.diff + 1] = { what = wanted.key, before = version or "absent", after = wanted.spec }
        elseif not fine or o.state == "latest" then
            plan.open = true
        end
    end
end

local function versions(list, there)
    local result = {}
    for _, wanted in ipairs(list) do
        if wanted.key then result[wanted.key] = there[wanted.key] or false end
    end
    return result
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local plan = { diff = {}, list = nil }
    local list = wanted_of(o, env)
    if o.virtualenv and not tool.find(env, python_of(o)) then
        if o.state == "absent" then return nil, { virtualenv = o.virtualenv } end
        plan.make, plan.certain = true, true
        plan.diff[1] = { what = "virtualenv", before = "absent", after = o.virtualenv }
    end
    local there = plan.make and {} or installed(o, env)
    if o.state == "absent" then
        for _, wanted in ipairs(list) do
            local version = there[wanted.key]
            if version then plan.diff[#plan.diff + 1] = { what = wanted.key, before = version, after = "absent" } end
        end
    else
        check_present(o, list, there, plan)
    end
    local out = { packages = versions(list, there), virtualenv = o.virtualenv }
    if #plan.diff == 0 and not plan.open then return nil, out end
    if not plan.certain and plan.open then
        plan.unknown, plan.message = true, "only pip can tell, when it has looked"
    end
    return plan, out
end

local function make_environment(o, env)
    local before = env.sys.lstat(o.virtualenv)
    text.make_parent(env, o.virtualenv)
    local r = tool.run(env, tool.words(o.python, "-m", "venv", o.system_packages and "--system-site-packages",
        o.virtualenv))
    if r.code == 0 then return end
    if not before then tool.run(env, { "rm", "-rf", o.virtualenv }) end
    resource.fail(("cannot make the environment %s: %s"):format(o.virtualenv, tool.reason(r)))
end

local function change(o, env)
    local names = requirement.names(o)
    if o.state == "absent" then
        for i, name in ipairs(names) do names[i] = requirement.parse(name).key end
        tool.must(env, "remove " .. table.concat(names, ", "), command(o, "uninstall", "-y", o.arguments, names))
        return
    end
    local what = table.concat(names, ", ") .. (o.requirements and " " .. o.requirements or "")
    tool.must(env, "install " .. what, command(o, "install", "-q", o.state == "latest" and "--upgrade", o.arguments,
        o.requirements and { "-r", o.requirements }, names))
end

-- pip alone knows what it has changed: what was there before and after tells.
---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    if plan.make then make_environment(o, env) end
    local _, before = installed(o, env)
    local ok, why = pcall(change, o, env)
    if not ok then
        if plan.make then tool.run(env, { "rm", "-rf", o.virtualenv }) end
        error(why, 0)
    end
    local there, after = installed(o, env)
    return { changed = plan.make or before ~= after, packages = versions(wanted_of(o, env), there) }
end

return M
