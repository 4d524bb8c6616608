--- Texts of sections, and of options in them: what the resource `ini` does, without files.
--
-- The text stays as it is but for the lines that are wrong: comments, order, indentation and the writing of
-- "name = value" are kept.

local lines = require "orrery.play.text.lines"

local M = {}

---@class orrery.play.IniEdit
---@field section? string nil: what stands before the first section
---@field option? string nil: the section as a whole
---@field values string[] one line each; none: the option has no value
---@field exclusive? boolean lines of this option with other values go
---@field spaces? boolean "a = b" and not "a=b", in new lines
---@field create? boolean

local function is_comment(line) return line:find "^%s*[#;]" ~= nil end

local function section_of(line) return line:match "^%s*%[%s*(.-)%s*%]%s*$" or line:match "^%s*%[%s*(.-)%s*%]%s*[#;]" end

-- What a line says: the name, what stands before the value, and the value; nil for one that says nothing.
local function parse(line)
    if is_comment(line) or not line:find "%S" then return nil end
    local head, name, sep, value = line:match "^(%s*)(.-)(%s*[=:]%s*)(.-)%s*$"
    if head and name ~= "" then return name, head .. name .. sep, value end
    return line:match "^%s*(.-)%s*$", line, nil
end

-- A value goes on behind a backslash, and in lines that stand further to the right and are no option themselves.
local function end_of_value(doc, at, last)
    local indent = #doc[at]:match "^%s*"
    local i = at + 1
    while i <= last do
        local line = doc[i]
        local further = #line:match "^%s*" > indent and line:find "%S" and not line:find "[=:]" and not is_comment(line)
        if not further and doc[i - 1]:sub(-1) ~= "\\" then break end
        i = i + 1
    end
    return i - 1
end

-- The first and the last line between the section's own and the next one's.
local function find_section(doc, name)
    local head, first = nil, name == nil and 1 or nil
    for i, line in ipairs(doc) do
        local section = section_of(line)
        if section and first then return head, first, i - 1 end
        if section and section == name then head, first = i, i + 1 end
    end
    if first then return head, first, #doc end
end

-- Without the blank lines and comments that belong to the next section.
local function last_said(doc, first, last)
    for i = last, first, -1 do
        if parse(doc[i]) then return i end
    end
    return first - 1
end

local function write(edit, value)
    if value == nil then return edit.option end
    local sep = edit.spaces == false and "=" or " = "
    return edit.option .. sep .. value
end

---@return { at: integer, to: integer, prefix: string, value: string? }[]
local function find_options(doc, first, last, option)
    local found, i = {}, first
    while i <= last do
        local name, prefix, value = parse(doc[i])
        local to = name and end_of_value(doc, i, last) or i
        if name == option then
            found[#found + 1] = { at = i, to = to, prefix = prefix, value = value }
        end
        i = to + 1
    end
    return found
end

-- A line like "#name = x" is where whoever wrote the file expected it.
local function commented(doc, first, last, option)
    for i = first, last do
        local text = doc[i]:match "^%s*[#;]%s?(.*)$"
        if text and parse(text) == option and text:find "=" then return i end
    end
end

local function place(doc, first, last, option, found)
    if #found > 0 then return found[#found].to + 1 end
    local comment = commented(doc, first, last, option)
    return comment and comment + 1 or last_said(doc, first, last) + 1
end

-- Which of the lines that are there say what is wanted; each value once.
local function match_values(found, values)
    local missing = {}
    for _, value in ipairs(values) do
        local hit
        for _, one in ipairs(found) do
            if not one.used and one.value == value and one.to == one.at then
                hit = one
                break
            end
        end
        if hit then hit.used = true else missing[#missing + 1] = value end
    end
    return missing
end

-- Lines that say something else are changed in their places, which keeps what surrounds them; what is left over goes.
local function change_lines(doc, found, missing, edit)
    local changes = {}
    for _, one in ipairs(found) do
        if not one.used and edit.exclusive ~= false then
            changes[#changes + 1] = { one, table.remove(missing, 1) }
        end
    end
    for i = #changes, 1, -1 do
        local one, value = unpack(changes[i])
        lines.remove(doc, one.at, one.to)
        if value then
            local text = one.value and one.prefix .. value or write(edit, value)
            lines.insert(doc, one.at, { text })
        end
    end
end

local function set_values(doc, first, last, edit)
    local found = find_options(doc, first, last, edit.option)
    local missing = match_values(found, edit.values)
    change_lines(doc, found, missing, edit)
    if #missing == 0 then return end
    local _, from, to = find_section(doc, edit.section)
    found = find_options(doc, from, to, edit.option)
    local new = {}
    for i, value in ipairs(missing) do new[i] = write(edit, value) end
    lines.insert(doc, place(doc, from, to, edit.option, found), new)
end

-- An option without a value, as in my.cnf: skip-networking.
local function set_bare(doc, first, last, edit)
    local found = find_options(doc, first, last, edit.option)
    local kept
    for i = #found, 1, -1 do
        local one = found[i]
        if one.value == nil and not kept then
            kept = true
        elseif edit.exclusive ~= false then
            lines.remove(doc, one.at, one.to)
        end
    end
    if kept then return end
    local _, from, to = find_section(doc, edit.section)
    lines.insert(doc, place(doc, from, to, edit.option, {}), { edit.option })
end

local function add_section(doc, name)
    local new = { ("[%s]"):format(name) }
    if #doc > 0 and doc[#doc]:find "%S" then table.insert(new, 1, "") end
    lines.insert(doc, #doc + 1, new)
end

--- Makes sure that the option has these values, each in a line of its own, or that the section is there.
---@param text string
---@param edit orrery.play.IniEdit
---@return string text
function M.present(text, edit)
    local doc = lines.split(text)
    local head, first, last = find_section(doc, edit.section)
    if not first or (edit.section and not head) then
        add_section(doc, edit.section)
        first, last = #doc + 1, #doc
    end
    if edit.option and #edit.values == 0 then
        set_bare(doc, first, last, edit)
    elseif edit.option then
        set_values(doc, first, last, edit)
    end
    local result = lines.join(doc)
    return result ~= lines.join(lines.split(text)) and result or text
end

-- With values, only the lines that have them.
local function is_wanted_away(one, values)
    if #values == 0 then return true end
    for _, value in ipairs(values) do
        if one.value == value then return true end
    end
    return false
end

--- Removes the option, or the whole section where there is no option.
---@param text string
---@param edit orrery.play.IniEdit
---@return string text
function M.absent(text, edit)
    local doc = lines.split(text)
    local head, first, last = find_section(doc, edit.section)
    if not first then return text end
    if not edit.option then
        lines.remove(doc, head or first, last)
        return lines.join(doc)
    end
    local found, removed = find_options(doc, first, last, edit.option), false
    for i = #found, 1, -1 do
        if is_wanted_away(found[i], edit.values) then
            lines.remove(doc, found[i].at, found[i].to)
            removed = true
        end
    end
    return removed and lines.join(doc) or text
end

return M
