--- Handlers of a play: what is to be done once at its end, on each host that asked for it.
--
-- A handler that was notified and has not run is owed. It stays so when its host fails, and the record of the run
-- keeps it, so that a later run pays.

local Error = require "orrery.error"
local options = require "orrery.options"

local M = {}

---@class orrery.play.Handlers
---@field names string[] in the order of a list; of a table with names, sorted
---@field by_name table<string, fun(h: table)>
---@field listed boolean they run in the order of `names`, else in that in which they were notified
local Handlers = {}
Handlers.__index = Handlers

local function wrong(text)
    Error.raise { code = "option", at = Error.at(), message = "play: option 'handlers' " .. text }
end

-- { ["restart nginx"] = fn } or { { "restart nginx", fn }, ... }: the second has an order.
local function entry(key, value)
    if type(key) == "string" then return key, value end
    if type(value) ~= "table" then wrong("must have a name and a function for each") end
    return value.name or value[1], value.run or value[2]
end

--- Reads what a play says.
---@param spec nil|table
---@return orrery.play.Handlers
---Raises "option".
function M.read(spec)
    local self = setmetatable({ names = {}, by_name = {}, listed = false }, Handlers)
    for key, value in pairs(spec or {}) do
        local name, fn = entry(key, value)
        if type(name) ~= "string" or type(fn) ~= "function" then
            wrong("must have a name and a function for each")
        end
        if self.by_name[name] then wrong(("has '%s' twice"):format(name)) end
        self.by_name[name] = fn
    end
    self.listed = #(spec or {}) > 0
    for _, value in ipairs(spec or {}) do self.names[#self.names + 1] = (entry(1, value)) end
    if not self.listed then
        for name in pairs(self.by_name) do self.names[#self.names + 1] = name end
        table.sort(self.names)
    end
    return self
end

local function has(list, name)
    for _, other in ipairs(list) do
        if other == name then return true end
    end
    return false
end

--- Those of one host that were notified and have not run.
---@class orrery.play.Pending
---@field handlers orrery.play.Handlers
---@field list string[] in the order in which they were notified
local Pending = {}
Pending.__index = Pending

---@return orrery.play.Pending
function Handlers:pending() return setmetatable({ handlers = self, list = {} }, Pending) end

---@param name string
---@return boolean
function Pending:has(name) return has(self.list, name) end

function Pending:remove(name)
    for i, other in ipairs(self.list) do
        if other == name then return table.remove(self.list, i) end
    end
end

--- Makes sure that there are handlers of these names. Both ends ask this before a step begins.
---@param names? string[] what a step notifies
---@param known string[] all handlers of the play
---@param at? string
---Raises "argument".
function M.check(names, known, at)
    for _, name in ipairs(names or {}) do
        if not has(known, name) then
            local near = type(name) == "string" and #name <= 64 and options.nearest(name, known)
            local hint = near and ("; did you mean '%s'?"):format(near) or ""
            Error.raise {
                code = "argument", at = at or Error.at(),
                message = ("the play has no handler '%s'%s"):format(tostring(name), hint),
            }
        end
    end
end

---@param names? string[]
---Raises "argument".
function Handlers:require(names) M.check(names, self.names) end

--- Notes that a handler is to run.
---@param name string
---@return boolean new
---Raises "argument" where the play has none of that name.
function Pending:notify(name)
    self.handlers:require { name }
    if self:has(name) then return false end
    table.insert(self.list, name)
    return true
end

---@return string? name of the one that is to run next
function Pending:next()
    if not self.handlers.listed then return self.list[1] end
    for _, name in ipairs(self.handlers.names) do
        if self:has(name) then return name end
    end
end

--- What is owed, in the order in which it would run.
---@return string[]
function Pending:left()
    if not self.handlers.listed then return { unpack(self.list) } end
    local names = {}
    for _, name in ipairs(self.handlers.names) do
        if self:has(name) then names[#names + 1] = name end
    end
    return names
end

--- Runs what is owed, and what is notified meanwhile. One that fails stays owed, with all behind it.
---@param run fun(name: string, fn: function)
---Raises what a handler raised.
function Pending:flush(run)
    local name = self:next()
    while name do
        -- It may be notified again while it runs, by another.
        run(name, self.handlers.by_name[name])
        self:remove(name)
        name = self:next()
    end
end

return M
