--- What an inventory is shown as: the JSON that `ansible-inventory --list` prints, a tree, the reasons for variables.

local json = require "orrery.json"
local Model = require "orrery.play.inventory.model"

local M = {}

-- JSON ---------------------------------------------------------------------------------------------

local function list_of(names) return json.array(Model.copy(names)) end

local function add_group(model, name, data)
    local group, shown = model.groups[name], {}
    if name ~= "all" and #group.hosts > 0 then shown.hosts = list_of(group.hosts) end
    if #group.children > 0 then shown.children = list_of(group.children) end
    if next(shown) then data[name] = shown end
    for _, child in ipairs(group.children) do
        if not data[child] then add_group(model, child, data) end
    end
end

--- The inventory as an Ansible inventory script prints it. Variables of groups are in those of the hosts.
---@param inv orrery.Inventory
---@return table for json.encode
function M.list(inv)
    local data, hostvars = {}, {}
    add_group(inv.model, "all", data)
    for _, name in ipairs(inv.model.host_names) do
        local vars = inv:vars(name, true)
        if next(vars) then hostvars[name] = vars end
    end
    data._meta = { hostvars = hostvars }
    return data
end

-- A tree -------------------------------------------------------------------------------------------

local function value_of(value)
    local ok, text = pcall(json.encode, value)
    return ok and text or "a " .. type(value)
end

local function add_vars(lines, indent, vars)
    for _, key in ipairs(json.keys(vars)) do
        lines[#lines + 1] = ("%s--{%s = %s}"):format(indent, key, value_of(vars[key]))
    end
end

local function own_vars(entity)
    local vars = {}
    for _, setting in ipairs(entity.settings) do
        if not setting.option then vars[setting.key] = setting.value end
    end
    return vars
end

local function add_tree(inv, name, depth, with_vars, lines)
    local group = inv.model.groups[name]
    local indent = ("  |"):rep(depth)
    lines[#lines + 1] = (depth > 0 and indent .. "--@%s:" or "@%s:"):format(name)
    local below = indent .. "  |"
    for _, child in ipairs(group.children) do add_tree(inv, child, depth + 1, with_vars, lines) end
    for _, host in ipairs(name == "all" and {} or group.hosts) do
        lines[#lines + 1] = below .. "--" .. host
        if with_vars then add_vars(lines, below .. "  |", inv:vars(host, true)) end
    end
    if with_vars then add_vars(lines, below, own_vars(group)) end
end

--- Groups as a tree, with their hosts.
---@param inv orrery.Inventory
---@param group string where it begins; it exists
---@param with_vars boolean hosts with all of their variables, groups with their own
---@return string text without a newline at its end
function M.graph(inv, group, with_vars)
    local lines = {}
    add_tree(inv, group, 0, with_vars, lines)
    return table.concat(lines, "\n")
end

-- Why ----------------------------------------------------------------------------------------------

--- Why a host has its variables: each with what it wins over below it.
---@param inv orrery.Inventory
---@param name string
---@return string text without a newline at its end
function M.why(inv, name)
    local lines = {}
    for _, reason in ipairs(inv:why(name)) do
        local text = ("%s = %s"):format(reason.key, value_of(reason.value))
        lines[#lines + 1] = ("%s  (%s, %s)"):format(reason.wins and text or "    not " .. value_of(reason.value),
            reason.whose, reason.from)
    end
    return table.concat(lines, "\n")
end

return M
