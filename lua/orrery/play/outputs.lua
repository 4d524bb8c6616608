--- The views of a run, by name.

local M = {}

local KINDS = { "plain", "live", "json", "junit" }

--- Which view is meant.
---@param name? string nil: live on a terminal, plain elsewhere
---@return string? kind
---@return string? why not
function M.check(name)
    if name == nil then return "auto" end
    for _, kind in ipairs(KINDS) do
        if kind == name then return kind end
    end
    return nil, ("must be one of %s, not '%s'"):format(table.concat(KINDS, ", "), name)
end

-- A line for each thing that happened, where there are no views.
local function bare()
    local view = {}
    function view.event(_, e)
        if e.event == "step_end" then
            print(("%s: %s: %s%s"):format(e.host, e.name, e.status, e.error and ": " .. tostring(e.error.message) or ""))
        elseif e.event == "message" then
            print((e.host and e.host .. ": " or "") .. e.text)
        elseif e.event == "host_end" and e.status ~= "ok" then
            print(("%s: %s: %s"):format(e.host, e.status, e.error and tostring(e.error.message) or "?"))
        elseif e.event == "play_start" then
            print(("play %d: %s"):format(e.play, e.name))
        elseif e.event == "run_end" then
            print(("ended with status %d after %.1f s"):format(e.status, e.seconds))
        end
    end
    return view
end

--- Opens the views of a run.
---@param kind string what check returned
---@param opts? { report?: string }
---@return table[]
function M.open(kind, opts)
    local _, _ = kind, opts
    return { bare() }
end

return M
