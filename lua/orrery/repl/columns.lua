--- Texts and tables for a screen of some width.

local M = {}

local NARROWEST, WIDEST = 20, 200
local LEAST = 8 -- columns for the last part of a row

--- Columns of the screen.
---@param repl orrery.repl.Prompt
---@return integer
function M.width(repl)
    local screen_size = require("orrery.core").screen_size -- a stock luajit has none
    local width = repl.width or screen_size and screen_size() or 80
    return math.max(NARROWEST, math.min(WIDEST, width))
end

--- How many columns a text takes, where each character takes one.
---@param text string UTF-8
---@return integer
function M.length(text)
    local _, count = text:gsub("[^\128-\191]", "")
    return count
end

--- The text, and spaces behind it.
---@param text string
---@param width integer
---@return string
function M.pad(text, width) return text .. (" "):rep(width - M.length(text)) end

--- A text that is too long loses its end.
---@param text string
---@param width integer
---@return string
function M.cut(text, width)
    if M.length(text) <= width then return text end
    local kept, count = {}, 0
    for char in text:gmatch "[^\128-\191][\128-\191]*" do
        if count == width - 1 then break end
        kept[#kept + 1], count = char, count + 1
    end
    return table.concat(kept) .. "…"
end

-- What fits of a word that is too long, and what is left; types are divided at their bars.
local function split(word, room)
    local to, count, bar = 0, 0, nil
    for char in word:gmatch "[^\128-\191][\128-\191]*" do
        if count == room then break end
        to, count = to + #char, count + 1
        if char == "|" then bar = to end
    end
    return word:sub(1, bar or to), word:sub((bar or to) + 1)
end

--- Adds words in lines that are no longer than the width.
---@param lines string[]
---@param indent string in front of each
---@param text string
---@param width integer
function M.wrap(lines, indent, text, width)
    local line
    for word in text:gmatch "%S+" do
        if line and M.length(line) + 1 + M.length(word) > width then
            lines[#lines + 1] = line
            line = nil
        end
        while not line and M.length(indent .. word) > width do
            local first
            first, word = split(word, math.max(1, width - #indent))
            lines[#lines + 1] = indent .. first
        end
        line = line and line .. " " .. word or indent .. word
    end
    if line then lines[#lines + 1] = line end
end

--- Adds a term and what it means: side by side, or below where there is no room for that.
---@param lines string[]
---@param left string
---@param column integer where the text begins
---@param text string
---@param width integer
function M.entry(lines, left, column, text, width)
    if M.length(left) + 2 > column or width - column < 24 then
        M.wrap(lines, left:match "^ *", left, width)
        M.wrap(lines, "      ", text, width)
        return
    end
    local wrapped = {}
    M.wrap(wrapped, "", text, width - column)
    wrapped[1] = wrapped[1] or ""
    for i, line in ipairs(wrapped) do
        lines[#lines + 1] = (M.pad(i == 1 and left or "", column) .. line):gsub(" +$", "")
    end
end

-- A line that has columns of its own.
local function add_fixed(lines, line, width)
    local left, text = line:match "^(%s+%S.-)%s%s+(%S.*)$"
    if M.length(line) <= width then
        lines[#lines + 1] = line
    elseif left then
        M.entry(lines, left, #line - #text, text, width)
    else
        M.wrap(lines, line:match "^%s*", line, width)
    end
end

--- Adds paragraphs. Lines that begin with a space stay lines.
---@param lines string[]
---@param text string
---@param width integer
function M.paragraphs(lines, text, width)
    local words = {}
    local function flush()
        if words[1] then M.wrap(lines, "", table.concat(words, " "), width) end
        words = {}
    end
    for line in (text .. "\n"):gmatch "(.-)\n" do
        if line == "" or line:find "^%s" then
            flush()
            add_fixed(lines, line, width)
        else
            words[#words + 1] = line
        end
    end
    flush()
end

--- A table whose columns are as wide as what is in them. The last one gets what room is left, and is cut there; where
--- little is left, it goes to a line of its own.
---@param rows string[][] with the heading
---@param width integer
---@param right? table<integer, true> columns whose numbers stand at the right
---@return string[] lines
function M.table(rows, width, right)
    local widths, last = {}, #rows[1]
    for _, row in ipairs(rows) do
        for i = 1, last do widths[i] = math.max(widths[i] or 0, M.length(row[i])) end
    end
    local used = 0
    for i = 1, last - 1 do used = used + widths[i] + 2 end
    local lines, narrow = {}, width - used < math.min(LEAST, widths[last])
    for _, row in ipairs(rows) do
        local cells = {}
        for i = 1, last - 1 do
            local space = (" "):rep(widths[i] - M.length(row[i]))
            cells[i] = right and right[i] and space .. row[i] or row[i] .. space
        end
        local line = table.concat(cells, "  ")
        local cell = row[last]
        if right and right[last] then cell = (" "):rep(widths[last] - M.length(cell)) .. cell end
        if not narrow then line = line .. "  " .. M.cut(cell, width - used) end
        lines[#lines + 1] = M.cut((line:gsub(" +$", "")), width)
        if narrow and row[last] ~= "" then lines[#lines + 1] = M.cut("    " .. row[last], width) end
    end
    return lines
end

return M
