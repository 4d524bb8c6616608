--- A text as lines, so that what is edited comes out with the ends of lines that it had.

local M = {}

---@class orrery.play.Lines
---@field [integer] string each without its end
---@field eol "\n"|"\r\n"
---@field open boolean the last line has no end

--- A text is in lines of "\r\n" if all of its lines end so.
---@param text string
---@return orrery.play.Lines
function M.split(text)
    local lines, at = { eol = "\n", open = false }, 1
    while true do
        local found = text:find("\n", at, true)
        if not found then break end
        lines[#lines + 1] = text:sub(at, found - 1)
        at = found + 1
    end
    if #lines > 0 then
        lines.eol = "\r\n"
        for _, line in ipairs(lines) do
            if line:sub(-1) ~= "\r" then lines.eol = "\n" end
        end
    end
    if lines.eol == "\r\n" then
        for i, line in ipairs(lines) do lines[i] = line:sub(1, -2) end
    end
    if at <= #text then
        lines[#lines + 1] = text:sub(at)
        lines.open = true
    end
    return lines
end

---@param lines orrery.play.Lines
---@return string
function M.join(lines)
    if #lines == 0 then return "" end
    return table.concat(lines, lines.eol) .. (lines.open and "" or lines.eol)
end

--- Inserts in front of the line that is number `at` now. Behind the last one, that one gets an end.
---@param lines orrery.play.Lines
---@param at integer
---@param new string[]
function M.insert(lines, at, new)
    if at > #lines then lines.open = false end
    for i, line in ipairs(new) do table.insert(lines, at + i - 1, line) end
end

---@param lines orrery.play.Lines
---@param first integer
---@param last integer
function M.remove(lines, first, last)
    if last >= #lines then lines.open = false end
    for _ = first, last do table.remove(lines, first) end
end

--- The line that a matcher finds something in.
---@param lines orrery.play.Lines
---@param matcher orrery.play.Matcher
---@param first? boolean the first and not the last
---@return integer? at
function M.find(lines, matcher, first)
    local from, to, step = #lines, 1, -1
    if first then from, to, step = 1, #lines, 1 end
    for i = from, to, step do
        if matcher:find(lines[i]) then return i end
    end
end

--- Where something new goes.
---@param lines orrery.play.Lines
---@param where { after: orrery.play.Matcher|"EOF"|nil, before: orrery.play.Matcher|"BOF"|nil, first: boolean? }
---@return integer at the line in front of which it goes; the end where nothing matches
function M.place(lines, where)
    if where.before == "BOF" then return 1 end
    if where.before then return M.find(lines, where.before, where.first) or #lines + 1 end
    if where.after and where.after ~= "EOF" then
        local at = M.find(lines, where.after, where.first)
        if at then return at + 1 end
    end
    return #lines + 1
end

return M
