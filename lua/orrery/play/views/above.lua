--- What the script itself prints while the bottom of the terminal is drawn: it goes above that.
--
-- print, io.write, io.stdout:write and, where it is the same terminal, io.stderr:write are ours for that time. Lines
-- are passed on whole; what has no end yet waits for it, or until the script reads from stdin, since then it is a
-- question.

local M = {}

---@class orrery.play.views.Above
---@field write fun(text: string) takes whole lines
---@field suspend fun(text: string) shows a text without an end and takes the region away
---@field begun table<file*, string>
---@field restore fun()[]
local Above = {}
Above.__index = Above

local function joined(...)
    local parts = {}
    for i = 1, select("#", ...) do
        local part = select(i, ...)
        if type(part) ~= "string" and type(part) ~= "number" then
            error(("bad argument #%d to 'write' (string expected, got %s)"):format(i, type(part)), 3)
        end
        parts[i] = tostring(part)
    end
    return table.concat(parts)
end

---@private
function Above:add(file, said)
    local all = (self.begun[file] or "") .. said
    local whole, rest = all:match "^(.*\n)([^\n]*)$"
    self.begun[file] = rest or all
    if whole then self.write(whole) end
end

--- What has been begun and has no end.
---@return string
function Above:rest()
    local rest = ""
    for file, said in pairs(self.begun) do
        rest = rest .. said
        self.begun[file] = nil
    end
    return rest
end

---@private
function Above:replace(owner, key, make)
    local original = owner[key]
    local replacement = make(original)
    rawset(owner, key, replacement)
    table.insert(self.restore, function()
        if owner[key] == replacement then rawset(owner, key, original) end
    end)
end

---@private
function Above:replace_reading(owner, key, is_ours)
    self:replace(owner, key, function(original)
        return function(...)
            if is_ours(...) then self.suspend(self:rest()) end
            return original(...)
        end
    end)
end

--- Takes over.
---@param ours file*[] those that lead to the terminal
---@param write fun(text: string)
---@param suspend fun(text: string)
---@return orrery.play.views.Above
function M.install(ours, write, suspend)
    local self = setmetatable({ write = write, suspend = suspend, begun = {}, restore = {} }, Above)
    local is_ours = {}
    for _, file in ipairs(ours) do is_ours[file] = true end
    local methods = debug.getmetatable(io.stdout).__index
    self:replace(methods, "write", function(original)
        return function(file, ...)
            if not is_ours[file] then return original(file, ...) end
            self:add(file, joined(...))
            return file
        end
    end)
    self:replace(io, "write", function()
        return function(...) return io.output():write(...) end
    end)
    self:replace(_G, "print", function()
        return function(...)
            local parts = {}
            for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
            io.stdout:write(table.concat(parts, "\t"), "\n")
        end
    end)
    self:replace_reading(methods, "read", function(file) return file == io.stdin end)
    self:replace_reading(io, "read", function() return io.input() == io.stdin end)
    self:replace_reading(os, "execute", function() return true end)
    return self
end

--- Gives all back as it was.
---@return string rest what has been begun
function Above:remove()
    for i = #self.restore, 1, -1 do self.restore[i]() end
    self.restore = {}
    return self:rest()
end

return M
