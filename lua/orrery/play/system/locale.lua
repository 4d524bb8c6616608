--- What the resource locale does. Debian and its kin list locales in /etc/locale.gen and have locale-gen make them;
--- elsewhere localedef does.

local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local LIST = "/etc/locale.gen"

local function names_of(o) return type(o.names) == "string" and { o.names } or o.names or {} end

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    local all = { o.lang, unpack(names_of(o)) }
    if not o.lang then all = names_of(o) end
    for _, name in ipairs(all) do
        if not name:match "^[%a][%w_.@-]*$" then return ("'%s' is no name of a locale"):format(name) end
    end
    for key, value in pairs(o.variables or {}) do
        if not key:match "^L[%u_]+$" or not value:match "^[%w_.:@-]*$" then return ("'%s' is wrong"):format(key) end
    end
    if #names_of(o) == 0 and not o.lang and not o.variables then return "nothing is asked for: give names, or lang" end
end

--- As `locale -a` shows it: "de_DE.UTF-8" as "de_de.utf8".
---@param name string
---@return string
function M.normal(name)
    local language, rest = name:match "^([^.@]+)(.*)$"
    return language:lower() .. rest:lower():gsub("-", "")
end

local BUILT_IN = { c = true, posix = true, ["c.utf8"] = true }

--- Those of a list that are not there.
---@param names string[]
---@param output string of `locale -a`
---@return string[]
function M.missing(names, output)
    local there, missing = {}, {}
    for line in output:gmatch "[^\n]+" do there[M.normal(line)] = true end
    for _, name in ipairs(names) do
        if not there[M.normal(name)] and not BUILT_IN[M.normal(name)] then missing[#missing + 1] = name end
    end
    return missing
end

local function charset(name) return name:match "%.([^@]+)" or "ISO-8859-1" end

--- The lines of /etc/locale.gen with some locales switched on.
---@param lines string[]
---@param names string[]
---@return string[]
function M.enable(lines, names)
    local result, placed = {}, {}
    for _, line in ipairs(lines) do
        local name = line:match "^#?%s*(%S+)%s+%S+%s*$"
        if name and text.has(names, name) and not placed[name] then
            placed[name] = true
            line = line:gsub("^#%s*", "")
        end
        result[#result + 1] = line
    end
    for _, name in ipairs(names) do
        if not placed[name] then result[#result + 1] = ("%s %s"):format(name, charset(name)) end
    end
    return result
end

--- The file of variables with these set.
---@param content? string
---@param variables table<string, string>
---@return string
function M.set(content, variables)
    local lines, left = text.lines(content), {}
    for key, value in pairs(variables) do left[key] = value end
    for i, line in ipairs(lines) do
        local key, now = line:match "^%s*([%u_]+)=(.*)$"
        if key and left[key] then
            if now:gsub("[\"']", "") ~= left[key] then lines[i] = key .. "=" .. left[key] end
            left[key] = nil
        end
    end
    local keys = {}
    for key in pairs(left) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do lines[#lines + 1] = key .. "=" .. left[key] end
    return text.join(lines)
end

-- systemd's, and Debian's, to which the first is a link there in newer ones.
local function variables_file(env)
    if env.sys.stat "/etc/default/locale" or env.sys.stat "/etc/debian_version" then return "/etc/default/locale" end
    return "/etc/locale.conf"
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local plan, file = { diff = {} }, variables_file(env)
    plan.missing = #names_of(o) > 0 and M.missing(names_of(o), tool.look(env, { "locale", "-a" }).stdout) or {}
    for _, name in ipairs(plan.missing) do
        plan.diff[#plan.diff + 1] = { what = "locale", before = "absent", after = name }
    end
    local variables = { LANG = o.lang }
    for key, value in pairs(o.variables or {}) do variables[key] = value end
    if next(variables) then
        local before = text.read(env, file)
        local after = M.set(before, variables)
        if after ~= (before or "") then
            plan.file, plan.content = file, after
            plan.diff[#plan.diff + 1] = text.diff(file, before, after)
        end
    end
    if #plan.diff == 0 then return nil, { file = file } end
    return plan, { file = file }
end

local function generate(env, names)
    local before = text.read(env, LIST)
    text.write(env, LIST, text.join(M.enable(text.lines(before), names)))
    local ok, why = pcall(tool.must, env, "make the locales", { "locale-gen", "--keep-existing" })
    local missing = M.missing(names, tool.look(env, { "locale", "-a" }).stdout)
    if ok and #missing == 0 then return end
    text.restore(env, LIST, before)
    if not ok then error(why, 0) end
    resource.fail(("locale-gen has not made %s"):format(table.concat(missing, ", ")))
end

local function make(env, names)
    if env.sys.stat(LIST) and tool.find(env, "locale-gen") then return generate(env, names) end
    for _, name in ipairs(names) do
        local input = name:gsub("%.[^@]*", "")
        tool.must(env, "make the locale " .. name, { "localedef", "-c", "-i", input, "-f", charset(name), name })
    end
end

---@param _ table
---@param plan table
---@param env orrery.play.Env
function M.apply(_, plan, env)
    local list = {}
    if #plan.missing > 0 then list[1] = { "locales", function() make(env, plan.missing) end } end
    if plan.file then
        list[#list + 1] = { plan.file, function()
            text.make_parent(env, plan.file)
            text.write(env, plan.file, plan.content)
        end }
    end
    tool.steps(list)
end

return M
