--- What a step changed, in lines: attributes as "mode: 644 -> 600", texts as unified diffs.

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

-- One hunk: what differs between the lines that both begin and end with.
local function simple(before, after, name)
    local a, b = before ~= "" and text.lines(before) or {}, after ~= "" and text.lines(after) or {}
    local head, tail, least = 0, 0, math.min(#a, #b)
    while head < least and a[head + 1] == b[head + 1] do head = head + 1 end
    while tail < least - head and a[#a - tail] == b[#b - tail] do tail = tail + 1 end
    local out = { "--- " .. name, "+++ " .. name }
    local from, keep = math.max(1, head - 2), math.min(3, tail)
    local function count(list) return #list - tail + keep - from + 1 end
    out[#out + 1] = ("@@ -%d,%d +%d,%d @@"):format(from, count(a), from, count(b))
    for i = from, head do out[#out + 1] = " " .. a[i] end
    for i = head + 1, #a - tail do out[#out + 1] = "-" .. a[i] end
    for i = head + 1, #b - tail do out[#out + 1] = "+" .. b[i] end
    for i = 1, keep do out[#out + 1] = " " .. a[#a - tail + i] end
    return out
end

local found, diff = pcall(require, "orrery.play.diff")

local function unified(change)
    local before, after = change.before or "", change.after or ""
    local name = tostring(change.path or change.what or "")
    if not found then return simple(before, after, name) end
    return text.lines(diff.unified(before, after, { name = name }))
end

local function is_text(change)
    if change.path then return true end
    local before, after = change.before, change.after
    return type(before) == "string" and before:find "\n" or type(after) == "string" and after:find "\n"
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
            local what = ("%s: %s -> %s"):format(change.what or "?", show(change.before), show(change.after))
            lines[#lines + 1] = { kind = "plain", text = text.printable(what) }
        end
    end
    return lines
end

return M
