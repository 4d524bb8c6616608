--- An error in lines: what went wrong, where, what led to it, and what the command said.

local text = require "orrery.play.views.text"

local M = {}

local MOST_CAUSES, MOST_PARTS, MOST_OUTPUT = 8, 10, 20

---@class orrery.play.views.Line
---@field kind string a colour's word
---@field text string printable

local function add(lines, kind, shown) lines[#lines + 1] = { kind = kind, text = text.printable(shown) } end

--- The message of an error in one line.
---@param err any
---@return string
function M.message(err)
    if type(err) ~= "table" then return text.first_line(err == nil and "failed" or err) end
    return text.first_line(err.message or err.code or "failed")
end

--- The same without the host's name, so that hosts that failed of the same are known.
---@param err any
---@param host string
---@return string
function M.general(err, host)
    local name = host:gsub("%p", "%%%0")
    return (M.message(err):gsub("%f[%w]" .. name .. "%f[^%w]", "\0"))
end

--- For a key of what is equal.
---@param err any
---@return string
function M.key(err)
    if type(err) ~= "table" then return tostring(err) end
    local cause = type(err.cause) == "table" and M.key(err.cause) or ""
    local said = type(err.result) == "table" and (tostring(err.result.stdout) .. tostring(err.result.stderr)) or ""
    return text.key(err.code, err.message, err.at, said, cause)
end

-- The last lines of what a command said, if the error has it.
local function add_output(lines, result)
    if type(result) ~= "table" then return end
    for _, stream in ipairs { "stdout", "stderr" } do
        local said = type(result[stream]) == "string" and result[stream] or ""
        local all = said ~= "" and text.lines(said) or {}
        if #all > MOST_OUTPUT then add(lines, "dim", ("%s: (the last %d lines)"):format(stream, MOST_OUTPUT)) end
        for i = math.max(1, #all - MOST_OUTPUT + 1), #all do add(lines, "plain", ("%s| %s"):format(stream, all[i])) end
    end
end

local function add_parts(lines, parts)
    if type(parts) ~= "table" then return end
    for i, part in ipairs(parts) do
        if i > MOST_PARTS then
            add(lines, "dim", ("and %d more"):format(#parts - MOST_PARTS))
            return
        end
        local who = type(part) == "table" and (part.item or part.index) or i
        add(lines, "plain", ("- %s: %s"):format(tostring(who), M.message(type(part) == "table" and part.error or part)))
    end
end

local function add_message(lines, err, label)
    local all = text.lines(type(err) == "table" and (err.message or err.code or "failed") or err)
    add(lines, "plain", label .. all[1])
    for i = 2, #all do add(lines, "plain", "  " .. all[i]) end
end

local function add_place(lines, err, step)
    local words = {}
    local at = err.at or step and step.at
    if at then words[#words + 1] = "at " .. tostring(at) end
    if step and step.step then words[#words + 1] = "step " .. tostring(step.step) end
    if err.code then words[#words + 1] = "code " .. tostring(err.code) end
    if step and (step.attempts or 1) > 1 then words[#words + 1] = ("%d attempts"):format(step.attempts) end
    if #words > 0 then add(lines, "dim", table.concat(words, ", ")) end
end

--- All that there is to say.
---@param err any an Error, a table like one, or a text
---@param step? { step?: string, at?: string, attempts?: integer }
---@param traceback? boolean with it
---@return orrery.play.views.Line[]
function M.lines(err, step, traceback)
    local lines = {}
    if err == nil then err = "failed" end
    add_message(lines, err, "")
    add_place(lines, type(err) == "table" and err or {}, step)
    local cause, depth = err, 0
    while type(cause) == "table" and depth < MOST_CAUSES do
        if depth > 0 then add_message(lines, cause, "cause: ") end
        add_output(lines, cause.result)
        add_parts(lines, cause.errors)
        if traceback and type(cause.traceback) == "string" then
            for _, line in ipairs(text.lines(cause.traceback)) do add(lines, "dim", line) end
        end
        cause, depth = cause.cause, depth + 1
        if cause ~= nil and type(cause) ~= "table" then add_message(lines, cause, "cause: ") end
    end
    return lines
end

return M
