--- A block of lines between two marks: what the resource `block` does, without files.

local lines = require "orrery.play.text.lines"

local M = {}

---@class orrery.play.BlockEdit
---@field first_mark string
---@field last_mark string
---@field block string ""  for none
---@field after? orrery.play.Matcher|"EOF"
---@field before? orrery.play.Matcher|"BOF"
---@field first? boolean

-- Marks that do not pair would make anything between them a part of the block, or leave two of them.
local function find_marks(doc, edit)
    local first, last
    for i, line in ipairs(doc) do
        if line == edit.first_mark then
            if first then return nil, ("line %d: '%s' is there a second time"):format(i, line) end
            first = i
        elseif line == edit.last_mark then
            if last or not first then
                return nil, ("line %d: '%s' without '%s' before it"):format(i, line, edit.first_mark)
            end
            last = i
        end
    end
    if first and not last then
        return nil, ("line %d: '%s' without '%s' after it"):format(first, edit.first_mark, edit.last_mark)
    end
    return { first = first, last = last }
end

local function block_lines(edit)
    local body = lines.split(edit.block)
    local all = { edit.first_mark }
    for i, line in ipairs(body) do
        if line == edit.first_mark or line == edit.last_mark then
            return nil, ("line %d of the block is one of its marks"):format(i)
        end
        all[#all + 1] = line
    end
    all[#all + 1] = edit.last_mark
    return all
end

---@param text string
---@param edit orrery.play.BlockEdit
---@return string? text nil where the marks are in disorder
---@return string? problem
function M.present(text, edit)
    local doc = lines.split(text)
    local marks, problem = find_marks(doc, edit)
    if not marks then return nil, problem end
    local new
    new, problem = block_lines(edit)
    if not new then return nil, problem end
    local at = marks.first
    if at then
        lines.remove(doc, marks.first, marks.last)
    else
        at = lines.place(doc, edit)
    end
    lines.insert(doc, at, new)
    return lines.join(doc)
end

---@param text string
---@param edit orrery.play.BlockEdit
---@return string? text
---@return string? problem
function M.absent(text, edit)
    local doc = lines.split(text)
    local marks, problem = find_marks(doc, edit)
    if not marks then return nil, problem end
    if not marks.first then return text end
    lines.remove(doc, marks.first, marks.last)
    return lines.join(doc)
end

return M
