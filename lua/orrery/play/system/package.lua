--- What the resource package does, whoever manages packages.
--
-- A provider is a module package_NAME with these functions; those marked * may be missing.
--     installed(env, wanted)       versions of those that are installed, by the names that were given
--     candidates(env, wanted)      versions that could be had, of those that are known at all
--     is_stale(env, seconds)       are the lists of packages older?
--     update(o, env)               fetches them
--     install(o, env, wanted, latest)
--     remove(o, env, wanted)
--     simulate*(o, env, verb, wanted)  what would change: { what, before, after } each; or nil, and why not
--     leftovers*(env, wanted)      names of packages that are removed, but for their configuration
--     held*(env)                   names that are held, as a set
--     hold*(o, env, names, on)
--     describe*(o, env, wanted)    completes one that is a file: its name and version

local resource = require "orrery.play.resource"
local tool = require "orrery.play.system.tool"

local M = {}

---@class orrery.play.Wanted
---@field spec string as it was given
---@field name string
---@field version? string may end with "*"
---@field file? string

---@param spec string
---@return orrery.play.Wanted
function M.parse(spec)
    if spec:sub(1, 1) == "/" then return { spec = spec, name = spec, file = spec } end
    local name, version = spec:match "^([^=]+)=(.+)$"
    return { spec = spec, name = name or spec, version = version }
end

local function names_of(o)
    local names = type(o.names) == "string" and { o.names } or o.names or {}
    return o.name and { o.name, unpack(names) } or names
end

-- What begins with "-" would be an option; "nginx-" would tell apt to remove it.
local function wrong_spec(spec)
    if not spec:match "^[%w/@][%w+._:~@*=/-]*$" or spec:match "%-$" then
        return ("option 'names' has '%s', which is no name of a package"):format(spec)
    end
end

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    local names = names_of(o)
    if #names == 0 and not o.update_cache then return "nothing is asked for: give names" end
    for _, spec in ipairs(names) do
        local wrong = wrong_spec(spec)
        if wrong then return wrong end
        local wanted = M.parse(spec)
        if o.state == "latest" and wanted.version then return ("'%s' is a version, and not the latest"):format(spec) end
        if o.state == "absent" and (wanted.version or wanted.file) then
            return ("'%s': what is to be absent is given by its name alone"):format(spec)
        end
    end
end

local PROGRAMS = { -- in this order: some systems have stand-ins for others' programs
    { "apt", "apt-get" }, { "dnf", "dnf" }, { "yum", "yum" }, { "zypper", "zypper" }, { "pacman", "pacman" },
    { "apk", "apk" },
}

local PROVIDERS = {
    apt = function() return require "orrery.play.system.package_apt" end,
    dnf = function() return require("orrery.play.system.package_dnf").dnf end,
    yum = function() return require("orrery.play.system.package_dnf").yum end,
    zypper = function() return require "orrery.play.system.package_zypper" end,
    pacman = function() return require "orrery.play.system.package_pacman" end,
    apk = function() return require "orrery.play.system.package_apk" end,
}

local function provider_of(o, env)
    for _, each in ipairs(PROGRAMS) do
        local name, program = each[1], each[2]
        if (o.provider == "auto" or o.provider == name) and tool.find(env, program) then
            return PROVIDERS[name](), name
        end
    end
    if o.provider ~= "auto" then resource.fail(("%s is not there"):format(o.provider)) end
    resource.fail "there is none of the package managers that are known: apt, dnf, yum, zypper, pacman, apk"
end

local function wanted_of(o, env, provider)
    local list = {}
    for i, spec in ipairs(names_of(o)) do
        list[i] = M.parse(spec)
        if list[i].file then
            if not provider.describe then resource.fail(spec .. ": of a file only apt takes packages here") end
            provider.describe(o, env, list[i])
        end
    end
    return list
end

--- Does a version do? "1.22*" stands for all that begin so.
---@param pattern string
---@param version string
---@return boolean
function M.matches(pattern, version)
    local start = pattern:match "^(.*)%*$"
    if start then return version:sub(1, #start) == start end
    return version == pattern
end

-- Checking ----------------------------------------------------------------------------------------

local function note(plan, what, before, after)
    plan.diff[#plan.diff + 1] = { what = what, before = before or "absent", after = after or "absent" }
end

local function check_present(o, env, provider, list, plan, installed)
    local candidates
    for _, wanted in ipairs(list) do
        local version = installed[wanted.name]
        local missing = not version or wanted.version and not M.matches(wanted.version, version)
        local newest
        if missing or o.state == "latest" then
            candidates = candidates or provider.candidates(env, list)
            newest = wanted.version or candidates[wanted.name]
        end
        if missing or o.state == "latest" and newest and newest ~= version then
            plan.install[#plan.install + 1] = wanted
            note(plan, wanted.name, version, newest or "present")
        end
    end
end

local function check_absent(o, env, provider, list, plan, installed)
    local leftovers = o.purge and provider.leftovers and provider.leftovers(env, list) or {}
    for _, wanted in ipairs(list) do
        if installed[wanted.name] or leftovers[wanted.name] then
            plan.remove[#plan.remove + 1] = wanted
            note(plan, wanted.name, installed[wanted.name] or "its configuration")
        end
    end
end

local function check_held(o, env, provider, list, plan)
    if o.held == nil then return end
    if not provider.held then resource.fail "this package manager holds no packages back here" end
    local held = provider.held(env)
    for _, wanted in ipairs(list) do
        if (held[wanted.name] or false) ~= o.held then
            plan.hold[#plan.hold + 1] = wanted.name
            note(plan, wanted.name .. " held", tostring(not o.held), tostring(o.held))
        end
    end
end

-- What else comes or goes with them, if the manager can tell. Without new lists it may know too little.
local function foresee(o, env, provider, plan)
    local verb = #plan.install > 0 and "install" or #plan.remove > 0 and "remove"
    if not verb or not provider.simulate then return end
    local changes, why = provider.simulate(o, env, verb, plan[verb])
    if changes then
        local named = {}
        for _, part in ipairs(plan.diff) do named[part.what] = part end
        for _, part in ipairs(changes) do
            if named[part.what] then named[part.what].after = part.after else plan.diff[#plan.diff + 1] = part end
        end
    elseif plan.update or env.check_mode then
        plan.unknown, plan.message = true, why
    else
        resource.fail(("cannot %s %s: %s"):format(verb, M.listed(plan[verb]), why))
    end
end

--- Names for a message.
---@param list orrery.play.Wanted[]
---@return string
function M.listed(list)
    local names = {}
    for i, wanted in ipairs(list) do names[i] = wanted.spec end
    return table.concat(names, ", ")
end

local function versions(list, installed)
    local result = {}
    for _, wanted in ipairs(list) do result[wanted.name] = installed[wanted.name] or false end
    return result
end

local function is_empty(plan) return #plan.diff == 0 and not plan.update end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local provider, name = provider_of(o, env)
    local list = wanted_of(o, env, provider)
    local installed = #list > 0 and provider.installed(env, list) or {}
    local plan = { install = {}, remove = {}, hold = {}, diff = {}, list = list }
    if o.state == "absent" then
        check_absent(o, env, provider, list, plan, installed)
    else
        check_present(o, env, provider, list, plan, installed)
    end
    check_held(o, env, provider, list, plan)
    local may_install = o.state == "latest" or #list == 0 or #plan.install > 0
    plan.update = o.update_cache and may_install and provider.is_stale(env, o.cache_valid_time) or false
    foresee(o, env, provider, plan)
    if plan.update and #plan.install == 0 and #plan.hold == 0 then
        plan.unknown, plan.message = true, "the lists of packages have to be fetched first"
    end
    local out = { packages = versions(list, installed), provider = name }
    if is_empty(plan) then return nil, out end
    return plan, out
end

-- Applying ----------------------------------------------------------------------------------------

-- What is to be installed, now that the lists are new.
local function choose_again(o, env, provider, plan)
    if not plan.update or #plan.list == 0 or o.state == "absent" then return end
    plan.install, plan.diff = {}, {}
    check_present(o, env, provider, plan.list, plan, provider.installed(env, plan.list))
end

local function known_only(env, provider, list)
    local candidates = provider.candidates(env, list)
    for _, wanted in ipairs(list) do
        if not wanted.file and candidates[wanted.name] == nil then
            resource.fail(("there is no package '%s' in the lists"):format(wanted.name))
        end
    end
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    local provider = provider_of(o, env)
    if plan.update then provider.update(o, env) end
    choose_again(o, env, provider, plan)
    local list = {}
    local function add(what, fn) list[#list + 1] = { what, fn } end
    if #plan.install > 0 then
        add("install " .. M.listed(plan.install), function()
            known_only(env, provider, plan.install)
            provider.install(o, env, plan.install, o.state == "latest")
        end)
    end
    if #plan.remove > 0 then
        add("remove " .. M.listed(plan.remove), function() provider.remove(o, env, plan.remove) end)
    end
    if #plan.hold > 0 then add("hold", function() provider.hold(o, env, plan.hold, o.held) end) end
    tool.steps(list)
    return {
        changed = #plan.install + #plan.remove + #plan.hold > 0, cache_updated = plan.update or nil,
        packages = versions(plan.list, #plan.list > 0 and provider.installed(env, plan.list) or {}),
    }
end

--- Names without their versions, for managers that take these.
---@param list orrery.play.Wanted[]
---@return string[]
function M.names(list)
    local names = {}
    for i, wanted in ipairs(list) do names[i] = wanted.file or wanted.name end
    return names
end

--- Age of the newest of some files.
---@param env orrery.play.Env
---@param seconds number
---@param paths string[]
---@return boolean stale none is younger
function M.older(env, seconds, paths)
    local newest = 0
    for _, path in ipairs(paths) do
        local st = env.sys.stat(path)
        if st and st.mtime > newest then newest = st.mtime end
    end
    return env.sys.time() - newest >= seconds
end

return M
