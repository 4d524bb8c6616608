--- Packages of Debian and its kin: dpkg knows what is installed, apt what can be.

local dpkg = require "orrery.play.system.dpkg"
local package = require "orrery.play.system.package"
local resource = require "orrery.play.resource"
local tool = require "orrery.play.system.tool"

local M = {}

local LISTS = "/var/lib/apt/lists"

-- In check mode not even a cache is written.
local function memory_only(env)
    return env.check_mode and { "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=" }
end

---@class orrery.play.DpkgDatabase
---@field key? string which state of the database it is
---@field rows table<string, orrery.play.DpkgRow[]> by name
---@field all orrery.play.DpkgRow[]
---@field provided? table<string, string>

-- A new state is a new file. What is in the journal is not in there yet.
local function state_of_database(env)
    local st = env.sys.stat "/var/lib/dpkg/status"
    if not st or #(env.sys.list "/var/lib/dpkg/updates" or {}) > 0 then return nil end
    return ("%d %d %d %.9f"):format(st.dev, st.ino, st.size, st.mtime)
end

---@type orrery.play.DpkgDatabase?
local database

-- dpkg-query reads all that there is for one name, too. So it is asked once, as long as nothing changes.
local function packages(env)
    local key = state_of_database(env)
    if database and key and database.key == key then return database end
    local all, rows = dpkg.parse(tool.look(env, { "dpkg-query", "-W", "-f", dpkg.FORMAT }).stdout), {}
    for _, row in ipairs(all) do
        rows[row.name] = rows[row.name] or {}
        table.insert(rows[row.name], row)
    end
    -- Not kept if it may have changed in the meantime.
    database = { key = key == state_of_database(env) and key or nil, rows = rows, all = all }
    return database
end

local function find(env, name)
    return dpkg.find(packages(env).rows[name:match "^[^:]+"] or {}, name)
end

local function provided(env)
    local known = packages(env)
    known.provided = known.provided or dpkg.provided(known.all)
    return known.provided
end

-- Versions that apt would install, by name; "" of a name that stands for others' only.
local function policy(env, names)
    if #names == 0 then return {} end
    return dpkg.parse_policy(tool.look(env, tool.words("apt-cache", memory_only(env), "policy", names)).stdout)
end

-- A name that only others provide: one of these that is installed will do. apt, which takes long, is asked only where
-- something installed provides it.
local function add_virtual(env, missing, versions)
    local names = {}
    for _, name in ipairs(missing) do
        if provided(env)[name] then names[#names + 1] = name end
    end
    local known = policy(env, names)
    for _, name in ipairs(names) do
        if known[name] == "" then versions[name] = provided(env)[name] end
    end
end

function M.installed(env, list)
    local versions, missing = {}, {}
    for _, wanted in ipairs(list) do
        local row = find(env, wanted.name)
        if row and row.installed then
            versions[wanted.name] = row.version
        elseif not wanted.file then
            missing[#missing + 1] = wanted.name
        end
    end
    if #missing > 0 then add_virtual(env, missing, versions) end
    return versions
end

function M.candidates(env, list)
    local versions, names = {}, {}
    for _, wanted in ipairs(list) do
        if wanted.file then versions[wanted.name] = wanted.version else names[#names + 1] = wanted.name end
    end
    for name, version in pairs(policy(env, names)) do versions[name] = version end
    -- One that is held stays as it is, however new another is.
    for _, name in ipairs(names) do
        local row = find(env, name)
        if row and row.held and row.installed then versions[name] = row.version end
    end
    return versions
end

function M.leftovers(env, list)
    local names = {}
    for _, wanted in ipairs(list) do
        local row = find(env, wanted.name)
        names[wanted.name] = row and row.status == "c" or nil
    end
    return names
end

function M.describe(_, env, wanted)
    if not env.sys.stat(wanted.file) then resource.fail(("%s is not there"):format(wanted.file)) end
    -- `dpkg-deb -f` would make a temporary directory.
    local r = tool.must(env, "read " .. wanted.file, { "dpkg-deb", "--ctrl-tarfile", wanted.file }, { live = false })
    local control = "\n" .. (dpkg.control(r.stdout) or resource.fail(wanted.file .. " is no package"))
    wanted.name, wanted.version = control:match "\nPackage:%s*(%S+)", control:match "\nVersion:%s*(%S+)"
end

function M.is_stale(env, seconds)
    return package.older(env, seconds, { LISTS, LISTS .. "/partial", "/var/lib/apt/periodic/update-success-stamp" })
end

function M.update(o, env)
    dpkg.run(o, env, "fetch the lists of packages",
        tool.words("apt-get", "-q", "-y", "-o", "APT::Update::Error-Mode=any", o.arguments, "update"))
    env.sys.utimes(LISTS) -- apt leaves the time as it was where nothing was new
end

local function specs(list)
    local words = {}
    for i, wanted in ipairs(list) do
        words[i] = wanted.file or wanted.version and wanted.name .. "=" .. wanted.version or wanted.name
    end
    return words
end

local CONFFILES = {
    keep = { "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold" },
    new = { "-o", "Dpkg::Options::=--force-confnew" },
}

local function command(o, verb, list)
    return tool.words("apt-get", "-q", "-y", CONFFILES[o.conffiles],
        o.recommends == true and "--install-recommends", o.recommends == false and "--no-install-recommends",
        o.allow_downgrade and "--allow-downgrades", o.held ~= nil and "--allow-change-held-packages",
        verb == "remove" and o.autoremove and "--autoremove", o.arguments,
        verb == "remove" and o.purge and "purge" or verb, specs(list))
end

-- Nobody's lock is needed for that, and nothing is written.
function M.simulate(o, env, verb, list)
    local words = command(o, verb, list)
    local program = table.remove(words, 1)
    local r = tool.look(env, tool.words(program, "-s", memory_only(env), words))
    if r.code ~= 0 then return nil, dpkg.reason(r) end
    return dpkg.parse_simulation(r.stdout)
end

function M.install(o, env, list)
    dpkg.run(o, env, "install " .. package.listed(list), command(o, "install", list))
end

function M.remove(o, env, list)
    dpkg.run(o, env, "remove " .. package.listed(list), command(o, "remove", list))
end

function M.held(env)
    local names = {}
    for name in tool.look(env, { "apt-mark", "showhold" }).stdout:gmatch "%S+" do names[name] = true end
    return names
end

function M.hold(o, env, names, on)
    dpkg.run(o, env, on and "hold packages" or "let packages go",
        tool.words("apt-mark", on and "hold" or "unhold", names))
end

return M
