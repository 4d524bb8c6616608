--- What a step is called that has no name: its resource and what it is about, "file /srv/app". Both ends use it.

local core = require "orrery.core"

local M = {}

-- Options that say what it is about, in this order.
local SUBJECTS = { "path", "dest", "name", "names", "user", "url", "repo", "key", "argv", "cmd", "command" }
local LONGEST = 80

-- A list by its first words. What has a metatable may be a secret.
local function text_of(value)
    if type(value) == "table" and not getmetatable(value) then
        local words = {}
        for i = 1, math.min(#value, 3) do
            if type(value[i]) ~= "string" then return nil end
            words[i] = value[i]
        end
        value = #words > 0 and table.concat(words, " ") .. (#value > 3 and " ..." or "") or nil
    end
    return type(value) == "string" and value or nil
end

--- A name for a step.
---@param resource string
---@param options table
---@return string
function M.of(resource, options)
    for _, key in ipairs(SUBJECTS) do
        local text = text_of(options[key])
        if text then -- what is cut off a secret is not known as one any more
            return ("%s %s"):format(resource, core.redact(text):gsub("%c.*", "..."):sub(1, LONGEST))
        end
    end
    return resource
end

return M
