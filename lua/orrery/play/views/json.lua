--- Events for machines: one a line, as JSON, as soon as they happen. docs/events.md has the fields.
--
-- What the script itself prints on stdout becomes events too ("print"), so that there is nothing but JSON.

local above = require "orrery.play.views.above"
local json = require "orrery.json"

local M = {}

local DEPTH = 20
local LISTS = { hosts = true, diff = true, notify = true, owed = true, errors = true }

-- What of a value can be written: no functions, no circles, no numbers that JSON does not have.
local function plain(value, depth)
    local kind = type(value)
    if kind == "string" or kind == "boolean" then return value end
    if kind == "number" then
        return value == value and math.abs(value) ~= math.huge and value or tostring(value)
    end
    if kind ~= "table" then return kind ~= "nil" and tostring(value) or nil end
    if depth > DEPTH then return nil end
    local out, length = {}, #value
    if length > 0 then
        for i = 1, length do out[i] = plain(value[i], depth + 1) or json.null end
        return out
    end
    for key, part in pairs(value) do
        if type(key) ~= "function" and type(key) ~= "table" then out[tostring(key)] = plain(part, depth + 1) end
    end
    for name in pairs(LISTS) do
        if type(out[name]) == "table" and next(out[name]) == nil then json.array(out[name]) end
    end
    return out
end

--- An event, or a part of one, as it is written.
---@param value table
---@return table
function M.plain(value) return plain(value, 1) end

---@class orrery.play.views.Json
---@field write fun(text: string)
local Json = {}
Json.__index = Json

---@param settings orrery.play.views.Settings
---@return orrery.play.views.Json
function M.new(settings)
    local self = setmetatable({ write = settings.write }, Json)
    if settings.capture ~= false and not settings.stream then
        local function said(lines)
            for line in lines:gmatch "[^\n]*" do
                if line ~= "" then self:event { event = "print", line = line } end
            end
        end
        self.above = above.install({ io.stdout }, said, said)
    end
    return self
end

---@param e table
function Json:event(e) self.write(json.encode(M.plain(e)) .. "\n") end

function Json:finish()
    local rest = self.above and self.above:remove() or ""
    if rest ~= "" then self:event { event = "print", line = rest } end
    self.above = nil
end

Json.abandon = Json.finish

return M
