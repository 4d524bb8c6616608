--- The history of a prompt: what readline searches, and a file that all prompts of a person share.
--
-- The file has one entry a line; a newline in an entry is written as \n there, and a backslash as two. Entries that
-- begin with a space are not kept.

local line = require "orrery.line"
local xdg = require "orrery.xdg"

local M = {}

local MOST = 10000

---@class orrery.repl.History
---@field path? string nil: nothing is kept
---@field warn fun(text: string)
---@field package last? string
local History = {}
History.__index = History

--- Where it is, unless somebody says so: in $XDG_STATE_HOME, or ~/.local/state.
---@return string? path nil without a home directory
function M.path()
    local state = xdg.state()
    return state and state .. "/orrery/history"
end

--- An entry as a line of the file.
---@param text string
---@return string
function M.encode(text)
    return (text:gsub("[\\\n]", { ["\\"] = "\\\\", ["\n"] = "\\n" })) .. "\n"
end

---@param text string a line of the file, without its newline
---@return string
function M.decode(text)
    return (text:gsub("\\(.?)", function(c) return c == "n" and "\n" or c == "\\" and c or "\\" .. c end))
end

---@param path? string nil: entries are kept as long as the prompt is there
---@param warn fun(text: string) called once at most
---@return orrery.repl.History
function M.open(path, warn)
    local self = setmetatable({ path = path, warn = warn }, History)
    line.history_bound(MOST)
    local text, why
    if path then text, why = line.history_read(path, MOST) end
    if path and not text then self:give_up(why) end
    for entry in (text or ""):gmatch "[^\n]+" do
        self.last = M.decode(entry)
        line.history_add((self.last:gsub("%z", "")))
    end
    return self
end

---@private
function History:give_up(why)
    self.warn(("the history is not kept: cannot write %s: %s"):format(self.path, why))
    self.path = nil
end

--- Adds an entry, unless it is like the last one.
---@param text string
function History:add(text)
    if text:find "^%s" or text == "" or text == self.last or text:find("\0", 1, true) then return end
    self.last = text
    line.history_add(text)
    if not self.path then return end
    local ok, why = line.history_append(self.path, M.encode(text))
    if not ok then self:give_up(why) end
end

return M
