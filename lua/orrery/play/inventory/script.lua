--- Inventories that are programs: with --list they print what inventory/json.lua reads.

local Error = require "orrery.error"
local json = require "orrery.json"
local Model = require "orrery.play.inventory.model"
local reader = require "orrery.play.inventory.json"

local M = {}

local TIMEOUT = 600 -- seconds; clouds are asked for many hosts
local AT_ONCE = 8   -- runs for the variables of a host each

local function last_lines(text)
    local lines = {}
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    return table.concat(lines, "\n", math.max(1, #lines - 4))
end

local PASSED_ON = { interrupted = true, cancelled = true, inventory = true, decode = true }

-- Returns what it printed, what errors call it, and what it said besides.
local function run(ctx, path, ...)
    local name = table.concat({ path, ... }, " ")
    local ok, result = pcall(ctx.run, ctx, { path:find "/" and path or "./" .. path, ... },
        { check = false, timeout = TIMEOUT })
    if not ok then
        local err = Error.from(result)
        if PASSED_ON[err.code] then error(err, 0) end
        Error.raise { code = "inventory", message = ("%s: %s"):format(name, err.message), cause = err }
    end
    local said = result.stderr ~= "" and ":\n" .. last_lines(result.stderr) or ""
    if result.timed_out then Model.fail(name, ("it ran longer than %d s%s"):format(TIMEOUT, said)) end
    if result.signal then Model.fail(name, ("it was killed by signal %d%s"):format(result.signal, said)) end
    if result.code ~= 0 then Model.fail(name, ("it ended with status %d%s"):format(result.code, said)) end
    return result.stdout, name, said
end

-- An inventory without _meta.hostvars wants to be asked for each host.
local function ask_for_hosts(ctx, model, path, from)
    local names = {}
    for i = from + 1, #model.host_names do names[#names + 1] = model.host_names[i] end
    local found, errors = require("orrery").map(names, { limit = AT_ONCE, raise = false }, function(name)
        local text, what = run(ctx, path, "--host", name)
        if not text:find "%S" then return {} end
        return json.decode(text, { name = what, ordered = true })
    end)
    for i, name in ipairs(names) do
        if errors and errors[i] then error(errors[i], 0) end
        local origin = ("%s --host %s"):format(path, name)
        if type(found[i]) ~= "table" or getmetatable(found[i]) == json.Array then
            Model.fail(origin, "it must print an object: variables by name")
        end
        for _, key in ipairs(json.keys(found[i])) do Model.set(model.hosts[name], key, found[i][key], origin) end
    end
end

local function take(ctx, model, path)
    local text, name, said = run(ctx, path, "--list")
    if not text:find "%S" then Model.fail(name, "it printed nothing" .. said) end
    local before = #model.host_names
    if not reader.read(model, text, name) then ask_for_hosts(ctx, model, path, before) end
end

--- Runs the program, and takes in what it prints. It runs below a child of this process, and so ends with that,
--- whatever becomes of us.
---@param model orrery.inventory.Model
---@param path string
---Raises "inventory", "decode".
function M.read(model, path)
    local ctx = require("orrery").localhost { name = "inventory" }
    local ok, err = pcall(take, ctx, model, path)
    pcall(ctx.close, ctx)
    if not ok then error(err, 0) end
end

return M
