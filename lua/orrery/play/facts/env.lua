--- Facts: the environment.

local M = {}

M.doc = "variables of the environment by name, as a login without a terminal has them: `facts.env.PATH`"

function M.gather(m)
    local found = {}
    for entry in (m:read "/proc/self/environ" or ""):gmatch "[^%z]+" do
        local name, value = entry:match "^([^=]+)=(.*)$"
        if name then found[name] = value end
    end
    return found
end

return M
