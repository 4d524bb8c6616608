--- The short way to write many names: "web[1-3],db1", "r[1-2]n[1-4]". nodeset.expand gives them back.

local ranges = require "orrery.play.inventory.ranges"

local M = {}

-- What has a meaning in an expression: names with these are left as they are.
local function is_special(name) return name:find("[%[%],!&^*?]") or name:sub(1, 1) == "@" end

---@class orrery.fold.Box names that differ in their numbers: all combinations of these
---@field [integer] string[] for each place the numbers that can be there
---@field text string[] the same, written as ranges

local function new_box(numbers)
    local box = { text = {} }
    for axis, number in ipairs(numbers) do
        box[axis], box.text[axis] = { number }, number
    end
    return box
end

-- What boxes have in common that differ in one place only.
local function key_without(box, axis)
    local text = box.text
    local own = text[axis]
    text[axis] = ""
    local key = table.concat(text, "\0")
    text[axis] = own
    return key
end

-- Unites the boxes that differ in this place only. They have no name in common, so that stays true.
local function merge(boxes, axis)
    local merged, by_key, grown = {}, {}, {}
    for _, box in ipairs(boxes) do
        local key = key_without(box, axis)
        local first = by_key[key]
        if first then
            for _, number in ipairs(box[axis]) do table.insert(first[axis], number) end
            grown[first] = true
        else
            by_key[key], merged[#merged + 1] = box, box
        end
    end
    for box in pairs(grown) do box.text[axis] = ranges.fold(box[axis]) end
    return merged
end

local function merge_all(boxes, axes)
    local count
    repeat
        count = #boxes
        for axis = axes, 1, -1 do boxes = merge(boxes, axis) end
    until #boxes == count or axes == 1
    return boxes
end

local function write(pattern, box)
    local axis = 0
    return (pattern:gsub("%z", function()
        axis = axis + 1
        return #box[axis] > 1 and "[" .. box.text[axis] .. "]" or box.text[axis]
    end))
end

-- The names by what they have between their numbers, in the order in which they are there, each once.
local function sort_out(names)
    local families, by_pattern, seen = {}, {}, {}
    for _, name in ipairs(names) do
        if not seen[name] then
            seen[name] = true
            local pattern, numbers = name, {}
            if not is_special(name) then pattern, numbers = ranges.cut(name) end
            local family = by_pattern[pattern]
            if not family then
                family = { pattern = pattern, axes = #numbers, boxes = {} }
                by_pattern[pattern], families[#families + 1] = family, family
            end
            table.insert(family.boxes, new_box(numbers))
        end
    end
    return families
end

--- Folds names. Equal ones count once.
---@param names string[]
---@return string "web[1-3],db1": in the order in which they are there, numbers in their own
function M.fold(names)
    local shown = {}
    for _, family in ipairs(sort_out(names)) do
        if family.axes == 0 then
            shown[#shown + 1] = family.pattern
        else
            for _, box in ipairs(merge_all(family.boxes, family.axes)) do
                shown[#shown + 1] = write(family.pattern, box)
            end
        end
    end
    return table.concat(shown, ",")
end

--- The same with their number in front, as results are reported.
---@param names string[]
---@return string "17 hosts: web[1-17]"
function M.count(names)
    return ("%d %s: %s"):format(#names, #names == 1 and "host" or "hosts", M.fold(names))
end

return M
