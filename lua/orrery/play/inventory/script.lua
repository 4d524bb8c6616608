--- Inventories that are programs: with --list they print what inventory/json.lua reads.

local json = require "orrery.json"
local Model = require "orrery.play.inventory.model"
local reader = require "orrery.play.inventory.json"

local M = {}

local AT_ONCE = 8 -- programs that are asked for the variables of a host each

-- What it says on stderr is no part of what it prints.
local APART = 'errors=$1; shift; exec "$@" 2>"$errors"'

local function last_lines(text)
    local lines = {}
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    return table.concat(lines, "\n", math.max(1, #lines - 4))
end

local function take_file(path)
    local file = io.open(path, "rb")
    local text = file and file:read "*a" or ""
    if file then file:close() end
    os.remove(path)
    return text
end

-- Others run in the meantime. Returns what it printed, what errors call it, and what it said besides.
local function run(path, ...)
    local capture = (require "orrery") and require "orrery.capture"
    local program, name = path:find "/" and path or "./" .. path, table.concat({ path, ... }, " ")
    local errors = os.tmpname()
    local ok, output, status = pcall(capture.run, { "sh", "-c", APART, "sh", errors, program, ... })
    local said = last_lines(take_file(errors))
    said = said ~= "" and ":\n" .. said or ""
    if not ok then error(output, 0) end
    if status > 128 then Model.fail(name, ("it was killed by signal %d%s"):format(status - 128, said)) end
    if status ~= 0 then Model.fail(name, ("it ended with status %d%s"):format(status, said)) end
    return output, name, said
end

-- An inventory without _meta.hostvars wants to be asked for each host.
local function ask_for_hosts(model, path, from)
    local names = {}
    for i = from + 1, #model.host_names do names[#names + 1] = model.host_names[i] end
    local found, errors = require("orrery").map(names, { limit = AT_ONCE, raise = false }, function(name)
        local text, what = run(path, "--host", name)
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

--- Runs the program, and takes in what it prints.
---@param model orrery.inventory.Model
---@param path string
---Raises "inventory", "decode".
function M.read(model, path)
    local text, name, said = run(path, "--list")
    if not text:find "%S" then Model.fail(name, "it printed nothing" .. said) end
    local before = #model.host_names
    if not reader.read(model, text, name) then ask_for_hosts(model, path, before) end
end

return M
