--- One line in a text: what the resource `line` does, without files.

local lines = require "orrery.play.text.lines"

local M = {}

---@class orrery.play.LineEdit
---@field line? string
---@field matcher? orrery.play.Matcher
---@field backrefs? boolean the line may refer to what the matcher captured
---@field after? orrery.play.Matcher|"EOF"
---@field before? orrery.play.Matcher|"BOF"
---@field first? boolean of several lines that match, the first and not the last

local function find_same(doc, line)
    for i, other in ipairs(doc) do
        if other == line then return i end
    end
end

local function wanted(edit, doc, at)
    if not edit.backrefs then return edit.line end
    local first, last, captures = edit.matcher:find(doc[at])
    return edit.matcher:expand(edit.line, doc[at]:sub(first, last), captures)
end

--- Makes sure that the line is there: in the place of what matches, or else, unless it is somewhere already, where
--- `after` and `before` say.
---@param text string
---@param edit orrery.play.LineEdit
---@return string text
function M.present(text, edit)
    local doc = lines.split(text)
    local at = edit.matcher and lines.find(doc, edit.matcher, edit.first)
    if at then
        local line = wanted(edit, doc, at)
        if line == doc[at] then return text end
        doc[at] = line
    elseif edit.backrefs or find_same(doc, edit.line) then
        return text
    else
        lines.insert(doc, lines.place(doc, edit), { edit.line })
    end
    return lines.join(doc)
end

--- Removes all lines that match, or that are the line.
---@param text string
---@param edit orrery.play.LineEdit
---@return string text
---@return integer removed
function M.absent(text, edit)
    local doc, removed = lines.split(text), 0
    for i = #doc, 1, -1 do
        local is_one = edit.matcher and edit.matcher:find(doc[i]) or (not edit.matcher and doc[i] == edit.line)
        if is_one then
            lines.remove(doc, i, i)
            removed = removed + 1
        end
    end
    if removed == 0 then return text, 0 end
    return lines.join(doc), removed
end

return M
