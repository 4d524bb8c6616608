--- Writes JSON: tables with [1], or empty, are arrays; others are objects with their keys in order.

local M = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quote(text)
    return '"' .. text:gsub('[%c"\\]', function(c)
        return ESCAPES[c] or ("\\u%04x"):format(c:byte())
    end) .. '"'
end

local encode

local function array(list, indent)
    local flat, parts = true, {}
    for i, value in ipairs(list) do
        flat = flat and type(value) ~= "table"
        parts[i] = encode(value, indent .. "  ")
    end
    if flat then return "[" .. table.concat(parts, ", ") .. "]" end
    return ("[\n%s  %s\n%s]"):format(indent, table.concat(parts, ",\n  " .. indent), indent)
end

local function object(map, indent)
    local keys, parts = {}, {}
    for key in pairs(map) do keys[#keys + 1] = key end
    table.sort(keys)
    for i, key in ipairs(keys) do
        parts[i] = quote(key) .. ": " .. encode(map[key], indent .. "  ")
    end
    return ("{\n%s  %s\n%s}"):format(indent, table.concat(parts, ",\n  " .. indent), indent)
end

function encode(value, indent)
    local kind = type(value)
    if kind == "table" then
        if value[1] ~= nil or next(value) == nil then return array(value, indent) end
        return object(value, indent)
    end
    if kind == "string" then return quote(value) end
    -- JSON knows neither infinities nor NaN.
    if kind == "number" and (value ~= value or math.abs(value) == math.huge) then return "null" end
    if kind == "number" then return ("%.12g"):format(value) end
    return tostring(value)
end

---@param value any of nil, booleans, numbers, strings, tables
---@return string
function M.encode(value)
    return encode(value, "")
end

return M
