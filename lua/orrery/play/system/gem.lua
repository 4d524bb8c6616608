--- What the resource gem does. A gem can be there in several versions at once.

local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local function names_of(o)
    local names = type(o.names) == "string" and { o.names } or o.names or {}
    return o.name and { o.name, unpack(names) } or names
end

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    local names = names_of(o)
    if #names == 0 then return "nothing is asked for: give names" end
    for _, name in ipairs(names) do
        if not name:match "^[%w][%w_.-]*$" then return ("'%s' is no name of a gem"):format(name) end
    end
    if o.version and #names > 1 then return "a version is for one gem" end
    if o.version and not o.version:match "^%d[%w.]*$" then return "option 'version' must be one version: '1.2.3'" end
    if o.version and o.state == "latest" then return "a version is not the latest" end
end

--- Reads `gem list`: "rake (13.0.6, default: 12.3)".
---@param output string
---@return table<string, string[]> versions by name
function M.parse(output)
    local found = {}
    for name, list in output:gmatch "([%w_.-]+) %(([^)\n]*)%)" do
        found[name] = {}
        for version in list:gmatch "[^,]+" do
            table.insert(found[name], (version:gsub("default:", ""):match "%d%S*"))
        end
    end
    return found
end

local function installed(o, env)
    local r = tool.look(env, { o.program, "list", "--local" })
    if r.code ~= 0 then resource.fail("cannot ask gem what is installed: " .. tool.reason(r)) end
    return M.parse(r.stdout)
end

local function outdated(o, env)
    local names = {}
    for name in tool.look(env, { o.program, "outdated" }).stdout:gmatch "([%w_.-]+) %(" do names[name] = true end
    return names
end

local function listed(versions) return versions and #versions > 0 and table.concat(versions, ", ") or "absent" end

local function versions(o, there)
    local result = {}
    for _, name in ipairs(names_of(o)) do result[name] = there[name] or {} end
    return result
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    tool.need(env, o.program, "to install packages of Ruby")
    local there, plan = installed(o, env), { diff = {}, names = {} }
    local old = o.state == "latest" and outdated(o, env) or {}
    for _, name in ipairs(names_of(o)) do
        local has = there[name] ~= nil and (not o.version or text.has(there[name], o.version))
        local wrong = has == (o.state == "absent") or has and old[name]
        if wrong then
            plan.names[#plan.names + 1] = name
            local after = o.state == "absent" and "absent" or o.version or o.state
            plan.diff[#plan.diff + 1] = { what = name, before = listed(there[name]), after = after }
        end
    end
    if #plan.diff == 0 then return nil, { packages = versions(o, there) } end
    return plan, { packages = versions(o, there) }
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    local what = table.concat(plan.names, ", ")
    local version = o.version and { "--version", o.version }
    if o.state == "absent" then
        tool.must(env, "remove " .. what, tool.words(o.program, "uninstall", "--executables",
            version or { "--all", "--ignore-dependencies" }, o.user_install and "--user-install", o.arguments,
            plan.names))
    else
        tool.must(env, "install " .. what, tool.words(o.program, "install", not o.documentation and "--no-document",
            version, o.user_install and "--user-install", o.arguments, plan.names))
    end
    return { packages = versions(o, installed(o, env)) }
end

return M
