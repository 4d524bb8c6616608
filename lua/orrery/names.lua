--- Names for what every context can load for itself: modules, their functions, the standard
--- library.
--
-- Such a value travels as its name. The index below maps it back; it is made out of package.loaded.

local Error = require "orrery.error"

local M = {}

-- Libraries whose userdata fields (io.stdout, ffi.C) exist in every context.
local NAMED_USERDATA = { io = true, ffi = true }

---@class orrery.Name
---@field module string a key of package.loaded
---@field key? string the field, where the value is not the module itself

---@type table<any, orrery.Name>
local index = setmetatable({}, { __mode = "k" })

-- package.loaded as it was when the index was made, and how many entries it had.
local seen, seen_count = setmetatable({}, { __mode = "v" }), -1

-- Not a userdata: while a module loads, and when that has failed, package.loaded holds a light one.
local function is_module(value)
    return type(value) == "table" or type(value) == "function"
end

-- A global function of the user is nothing that the other side has under this name, nor is a
-- userdata in his module: only a name that will mean the same there is of use.
local function means_the_same(module, value)
    if type(value) == "function" then
        return module ~= "_G" or debug.getinfo(value, "S").what == "C"
    end
    return type(value) == "userdata" and NAMED_USERDATA[module] == true
end

local function add_fields(module, fields)
    local keys = {}
    for key, value in next, fields do
        if type(key) == "string" and means_the_same(module, value) then keys[#keys + 1] = key end
    end
    table.sort(keys)
    for _, key in ipairs(keys) do
        local value = fields[key]
        if not index[value] then index[value] = { module = module, key = key } end
    end
end

-- Sorted, so that the same value has the same name each time; _G last, so that `local match =
-- lpeg.match` is found in its module although the user has made it a global too.
local function rebuild()
    local modules = {}
    for name, value in pairs(package.loaded) do
        if type(name) == "string" and is_module(value) then modules[#modules + 1] = name end
    end
    table.sort(modules, function(a, b)
        if a == "_G" or b == "_G" then return b == "_G" and a ~= "_G" end
        return a < b
    end)
    index = setmetatable({}, { __mode = "k" })
    for _, name in ipairs(modules) do
        local value = package.loaded[name]
        index[value] = index[value] or { module = name }
    end
    for _, name in ipairs(modules) do
        local value = package.loaded[name]
        if type(value) == "table" then add_fields(name, value) end
    end
end

--- Makes the index again if other modules are loaded than before. A field that is added to a module
--- later is not noticed before that, and its function travels by value.
function M.refresh()
    local count, same = 0, true
    for name, value in next, package.loaded do
        if is_module(value) then
            count = count + 1
            if seen[name] ~= value then same = false end
        end
    end
    if same and count == seen_count then return end
    rebuild()
    seen, seen_count = setmetatable({}, { __mode = "v" }), count
    for name, value in next, package.loaded do
        if is_module(value) then seen[name] = value end
    end
end

---@param value any
---@return string? module nil if the value has no name, or lost it
---@return string? key the field of the module; nil for the module itself
function M.find(value)
    local name = index[value]
    local module = name and package.loaded[name.module]
    if not module then return nil end
    local named = module
    if name.key then named = type(module) == "table" and rawget(module, name.key) end
    if named ~= value then return nil end
    return name.module, name.key
end

--- The value of a name, in this context. Requires the module where it is not loaded, so it may
--- block.
---@param module string
---@param key? string
---@return any
---Raises "module" where the module does not load, or has no such field; "cancelled".
function M.load(module, key)
    local value = package.loaded[module]
    if not is_module(value) then
        local ok, result = xpcall(require, Error.handler, module)
        if not ok then
            if result.code == "cancelled" then error(result, 0) end
            local text = "module '%s', which a function needs, does not load: %s"
            local message = text:format(module, tostring(result.message))
            Error.raise { code = "module", cause = result, message = message }
        end
        value = result
    end
    if key == nil then return value end
    local field = type(value) == "table" and value[key]
    if not field then
        local message = ("module '%s' has no '%s' here"):format(module, tostring(key))
        Error.raise { code = "module", message = message }
    end
    return field
end

return M
