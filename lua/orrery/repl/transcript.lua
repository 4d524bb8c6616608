--- What was typed at a prompt, and what of it went well, where: for :edit and :save.

---@class orrery.repl.Entry an input that went well
---@field text string
---@field targets? string[] names of the hosts where it ran; nil: here
---@field shell? boolean a command for a shell
---@field values? integer values that were shown; nil: not known

---@class orrery.repl.Transcript
---@field private typed string[] all inputs, the last one last
---@field private entries orrery.repl.Entry[]
---@field private dropped integer entries that are not kept any more
local Transcript = {}
Transcript.__index = Transcript

local M = {}

local MOST = 10000 -- of either

local function push(list, value)
    list[#list + 1] = value
    if #list <= MOST then return 0 end
    table.remove(list, 1)
    return 1
end

---@return orrery.repl.Transcript
function M.new() return setmetatable({ typed = {}, entries = {}, dropped = 0 }, Transcript) end

--- Keeps what was typed, whatever comes of it.
---@param text string
function Transcript:type(text) push(self.typed, text) end

--- What was typed before.
---@param n integer 1: the last input
---@return string?
function Transcript:typed_before(n) return self.typed[#self.typed + 1 - n] end

--- Keeps an input that went well.
---@param entry orrery.repl.Entry
function Transcript:add(entry) self.dropped = self.dropped + push(self.entries, entry) end

--- Forgets all.
function Transcript:clear() self.typed, self.entries, self.dropped = {}, {}, 0 end

--- The session as a script.
---@param repl orrery.repl.Prompt knows how hosts are opened
---@return string text, integer count of inputs in it
function Transcript:script(repl)
    local head = { ("-- Inputs of orrery repl, %s."):format(os.date "%Y-%m-%d") }
    if self.dropped > 0 then head[2] = ("-- The first %d of the session are not kept."):format(self.dropped) end
    return require("orrery.repl.script").text(head, self.entries, repl), #self.entries
end

return M
