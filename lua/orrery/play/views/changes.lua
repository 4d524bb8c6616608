--- What a step changed, in lines: attributes as "mode: 644 -> 600", texts as unified diffs.

local diff = require "orrery.play.diff"
local text = require "orrery.play.views.text"

local M = {}

local MOST = 1000 -- lines of one step: a diff of a whole dump helps nobody

local KINDS = { ["+"] = "add", ["-"] = "del", ["@"] = "hunk", [" "] = "plain", ["\\"] = "dim" }

local function show(value)
    if value == nil then return "(none)" end
    if type(value) == "table" then
        local parts = {}
        for i, part in ipairs(value) do parts[i] = tostring(part) end
        return "{" .. table.concat(parts, ", ") .. "}"
    end
    return tostring(value)
end

local function unified(change)
    local name = tostring(change.path or change.what or "")
    return text.lines(diff.unified(change.before, change.after, { from = name, to = name }) or "")
end

local function is_text(change)
    local before, after = change.before, change.after
    if before ~= nil and type(before) ~= "string" or after ~= nil and type(after) ~= "string" then return false end
    if change.path and not change.what then return true end
    return (before or ""):find "\n" ~= nil or (after or ""):find "\n" ~= nil
end

local function add_unified(lines, change)
    local header = true
    for _, line in ipairs(unified(change)) do
        local kind = KINDS[line:sub(1, 1)] or "plain"
        if kind == "hunk" then header = false end
        if header and line:find "^[-+][-+][-+] " then kind = "bold" end
        lines[#lines + 1] = { kind = kind, text = text.printable(line) }
        if #lines >= MOST then
            lines[#lines + 1] = { kind = "dim", text = "(more is not shown)" }
            return
        end
    end
end

--- For a key of what is equal.
---@param list table
---@return string
function M.key(list)
    local parts = {}
    for _, change in ipairs(list) do
        local c = type(change) == "table" and change or { what = change }
        parts[#parts + 1] = text.key(c.what, c.path, show(c.before), show(c.after))
    end
    return table.concat(parts, "\1")
end

--- A diff as events have it.
---@param list any
---@return orrery.play.views.Line[]
function M.lines(list)
    local lines = {}
    if type(list) ~= "table" then return lines end
    for _, change in ipairs(list) do
        if #lines >= MOST then break end
        if type(change) ~= "table" then
            lines[#lines + 1] = { kind = "plain", text = text.printable(change) }
        elseif is_text(change) then
            add_unified(lines, change)
        else
            local what = change.what or change.path or "?"
            what = ("%s: %s -> %s"):format(what, show(change.before), show(change.after))
            lines[#lines + 1] = { kind = "plain", text = text.printable(what) }
        end
    end
    return lines
end

return M
