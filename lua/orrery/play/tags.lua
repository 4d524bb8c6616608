--- Tags of steps, and which of them are wanted. Both ends use it.

local M = {}

--- A set of tags.
---@param ... nil|string|string[]|table<string, true>
---@return table<string, true>
function M.set(...)
    local set = {}
    for i = 1, select("#", ...) do
        local tags = select(i, ...)
        if type(tags) == "string" then set[tags] = true end
        for key, value in pairs(type(tags) == "table" and tags or {}) do
            set[type(key) == "number" and value or key] = true
        end
    end
    return set
end

local function meets(set, tags)
    for tag in pairs(tags or {}) do
        if set[tag] then return true end
    end
    return false
end

--- Whether something with these tags is wanted.
---@param only? table<string, true> --tags; nil: all
---@param skip? table<string, true> --skip-tags
---@param tags? table<string, true>
---@return boolean
function M.wanted(only, skip, tags)
    tags = tags or {}
    if skip and meets(skip, tags) then return false end
    if only and next(only) then return tags.always == true or meets(only, tags) end
    return not tags.never
end

return M
