--- Words of a line, as a POSIX shell cuts it: what Ansible does with the lines of hosts and with arguments for ssh.

local M = {}

local WHITE = "^[ \t\r\n]+"

---@class orrery.words.State
---@field line string
---@field at integer
---@field comments boolean

-- What stands in quotes, from behind the opening one; nil where they are not closed.
local function quoted(line, at, quote)
    local parts = {}
    while true do
        local stop, _, sign = line:find(quote == "'" and "(')" or '(["\\])', at)
        if not stop then return nil end
        parts[#parts + 1] = line:sub(at, stop - 1)
        if sign == quote then return table.concat(parts), stop + 1 end
        local escaped = line:sub(stop + 1, stop + 1)
        parts[#parts + 1] = (escaped == '"' or escaped == "\\") and escaped or "\\" .. escaped
        at = stop + 2
    end
end

-- One word; where it ends. A # ends it and the line, even in its middle.
local function word_at(state)
    local line, at, parts = state.line, state.at, {}
    while at <= #line do
        local sign = line:sub(at, at)
        if sign:find "%s" or (sign == "#" and state.comments) then break end
        if sign == "'" or sign == '"' then
            local text, behind = quoted(line, at + 1, sign)
            if not text then return nil, at, ("the quotes that begin with %s are not closed"):format(sign) end
            parts[#parts + 1], at = text, behind
        elseif sign == "\\" then
            if at == #line then return nil, at, "nothing follows the \\ at the end" end
            parts[#parts + 1], at = line:sub(at + 1, at + 1), at + 2
        else
            parts[#parts + 1], at = sign, at + 1
        end
    end
    return table.concat(parts), at
end

---@class orrery.words.Word
---@field text string without its quotes
---@field column integer of its first byte, from 1

--- Cuts a line.
---@param line string
---@param comments boolean whether # begins a comment
---@return orrery.words.Word[]? words nil where it cannot be cut
---@return string? why
---@return integer? column
function M.split(line, comments)
    local words, state = {}, { line = line, at = 1, comments = comments }
    while true do
        local _, last = line:find(WHITE, state.at)
        state.at = (last or state.at - 1) + 1
        if state.at > #line or (comments and line:sub(state.at, state.at) == "#") then return words end
        local text, at, why = word_at(state)
        if not text then return nil, why, at end
        words[#words + 1] = { text = text, column = state.at }
        state.at = at
    end
end

return M
