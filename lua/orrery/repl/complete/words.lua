--- Words that are no Lua: those of a shell, expressions of hosts, and paths in quotes of either.

local M = {}

-- Shell -------------------------------------------------------------------------------------------

-- What runs the command that stands behind it.
local BEFORE = {}
for name in ("sudo doas env exec nohup nice time command xargs"):gmatch "%S+" do BEFORE[name] = true end

---@class orrery.repl.ShellWord the word at the end of a command
---@field from integer byte where what can be replaced begins: behind its last "/", and its open quote
---@field value string what it stands for so far
---@field quote? "'"|'"' that is open
---@field first boolean it is the name of a program

---@class orrery.repl.ShellScan: orrery.repl.ShellWord
---@field text string
---@field any boolean the word has begun
local Scan = {}
Scan.__index = Scan

function Scan:new_word(at, first)
    self.from, self.value, self.any, self.first = at + 1, "", false, first
end

function Scan:add(text, at)
    self.value, self.any = self.value .. text, true
    if text:sub(-1) == "/" then self.from = at + 1 end
end

function Scan:space(at)
    if not self.any then
        self.from = at + 1
        return
    end
    self:new_word(at, self.first and (BEFORE[self.value] or self.value:find "^[%a_][%w_]*=" ~= nil) or false)
end

function Scan:plain(c, at)
    if c:find "%s" then
        self:space(at)
    elseif c:find "[;|&(`]" then
        self:new_word(at, true)
    elseif c:find "[<>]" then
        self:new_word(at, false)
    elseif c:find "['\"]" then
        self.quote, self.any, self.from = c, true, math.max(self.from, at + 1)
        self.opened = at
    else
        self:add(c, at)
    end
end

function Scan:quoted(c, at)
    if c ~= self.quote then return self:add(c, at) end
    self.quote = nil
    -- What is replaced then begins in front of the quote, where that is in the same name.
    if self.from == self.opened + 1 then self.from = self.opened end
end

function Scan:step(at)
    local c = self.text:sub(at, at)
    if c == "\\" and self.quote ~= "'" then
        local escaped = self.text:sub(at + 1, at + 1)
        if self.quote and not escaped:find '["$`\\]' then escaped = c .. escaped end
        self:add(escaped, at + 1)
        return at + 2
    end
    if self.quote then self:quoted(c, at) else self:plain(c, at) end
    return at + 1
end

--- The word at the end of a shell's command.
---@param text string
---@return orrery.repl.ShellWord
function M.shell(text)
    local scan = setmetatable({ text = text }, Scan)
    scan:new_word(0, true)
    local at = 1
    while at <= #text do at = scan:step(at) end
    return scan
end

--- A name as a shell takes it.
---@param name string
---@param quote? string that is open
---@return string
function M.shell_quoted(name, quote)
    if quote == "'" then return (name:gsub("'", "'\\''")) end
    if quote then return (name:gsub('["$`\\]', "\\%0")) end
    if name:find "[%c\n]" then return "'" .. name:gsub("'", "'\\''") .. "'" end
    return (name:gsub("[^%w_./:@%%+=,~\128-\255-]", "\\%0"):gsub("^[~=]", "\\%0"))
end

-- Lua ---------------------------------------------------------------------------------------------

local LETTERS = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" }

--- A text as it stands in a string of Lua.
---@param text string
---@param quote string what the string begins with
---@return string? quoted nil where it cannot be written so
function M.lua_quoted(text, quote)
    if #quote > 1 then
        local ends = "]" .. quote:sub(2, -2) .. "]"
        return not text:find(ends, 1, true) and not text:find "[%c]" and text or nil
    end
    return (text:gsub("[%c\\" .. quote .. "]", function(c)
        if c == "\\" or c == quote then return "\\" .. c end
        return LETTERS[c] or ("\\%03d"):format(c:byte())
    end))
end

--- What ends a string.
---@param quote string what it begins with
---@return string
function M.closing(quote) return (quote:gsub("%[", "]")) end

-- Hosts -------------------------------------------------------------------------------------------

--- The operand at the end of an expression of hosts.
---@param text string "@web,db"
---@return integer? from nil: it is in a range
---@return string? operand
function M.operand(text)
    local from, operand = text:match "()([^,!&^%s]*)$"
    local open = text:match ".*()%["
    if open and not text:find("]", open, true) then return nil end
    return from, operand
end

return M
