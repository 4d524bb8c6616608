--- What a prompt says of what came of an input: values, mistakes, errors; of one context, or of many.

local Error = require "orrery.error"
local fold = require "orrery.repl.fold"

local M = {}

-- Errors --------------------------------------------------------------------------------------------

-- What needs no place: it is about what was just typed.
local PLAIN = { interrupted = true, inventory = true, usage = true }

-- The frames of what the person wrote. Those of Lua's and this library's own say nothing, nor does a single one.
local function own_frames(traceback)
    local frames, times = {}, {}
    for line in (traceback or ""):gmatch "[^\n]+" do
        local ours = line:find "^%s*%[" or line:find "^%s*orrery/" or line:find "^stack traceback"
        local again = line == frames[#frames]
        if again then times[#frames] = times[#frames] + 1 end
        if not ours and not again then frames[#frames + 1], times[#frames + 1] = line, 1 end
    end
    if #frames < 2 then return nil end
    for i, n in ipairs(times) do
        if n > 1 then frames[i] = ("%s (%d times)"):format(frames[i], n) end
    end
    return table.concat(frames, "\n")
end

--- An error as somebody reads it who has just typed what raised it.
---@param thrown any
---@param name? string of the host that it is shown with: that it was there needs no saying, and hosts that failed alike
---are to be folded
---@return string
function M.error(thrown, name)
    local err = Error.from(thrown)
    if PLAIN[err.code] or (err.code == "dead" and not err.context) then return err.message end
    local shown = {}
    for key, value in pairs(err) do shown[key] = value end
    shown.traceback = own_frames(err.traceback)
    if err.code == "lua" then shown.code = nil end
    if name and err.context == name then shown.code, shown.context, shown.route = nil, nil, nil end
    return Error.format(setmetatable(shown, getmetatable(err)))
end

local function line_of(text, number)
    local at = 0
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do
        at = at + 1
        if at == number then return line end
    end
end

-- "line 2, column 5: unexpected symbol near '='", with the line and a caret below it.
local function mistake(text, problem, name)
    local near = problem.near and (" near '%s'"):format(problem.near) or ""
    local file = name and name:match "^@(.*)" .. ", " or ""
    local what = ("%sline %d, column %d: %s%s"):format(file, problem.line, problem.column, problem.message, near)
    local line = line_of(text, problem.line)
    if not line then return what end
    local indent = line:sub(1, problem.byte - 1):gsub("[^\t\128-\191]", " "):gsub("[\128-\191]", "")
    return ("%s\n  %s\n  %s^"):format(what, line, indent)
end

-- Outcomes -------------------------------------------------------------------------------------------

---@class orrery.repl.Said
---@field text string what is to be shown; "": nothing
---@field wrong? string what went wrong, which is all there is to say
---@field failed boolean somewhere

-- What is raised may be any value. It is shown in the colour of errors.
local function failure(outcome, name)
    if not outcome.thrown then return M.error(outcome.error, name) end
    return "raised: " .. outcome.thrown:gsub("\27%[[%d;]*m", "")
end

---@param answer orrery.repl.Answer
---@return orrery.repl.Outcome
local function outcome_of(answer)
    return answer.ok and answer.value or { kind = "error", error = answer.value }
end

local function is_mistake(outcome) return outcome.kind == "syntax" or outcome.kind == "incomplete" end

local function said_by_one(outcome)
    if outcome.kind == "error" then return { text = "", wrong = failure(outcome), failed = true } end
    return { text = outcome.hidden and "" or fold.harmless(outcome.text), failed = false }
end

local function said_by_many(answers, opts)
    local list, failed = {}, false
    for _, answer in ipairs(answers) do
        local outcome = outcome_of(answer)
        if outcome.kind == "error" then
            failed = true
            list[#list + 1] = { name = answer.name, kind = "error", text = failure(outcome, answer.name) }
        elseif not outcome.hidden and outcome.text ~= "" then
            list[#list + 1] = { name = answer.name, kind = "value", text = outcome.text }
        end
    end
    return { text = #list > 0 and fold.format(list, opts) or "", failed = failed }
end

--- What came of an input.
---@param text string the input
---@param name? string of its chunk
---@param answers orrery.repl.Answer[] of session.eval, from each place
---@param many boolean say whose answers these are
---@param opts { width: integer, colour: boolean }
---@return orrery.repl.Said
function M.read(text, name, answers, many, opts)
    local first = outcome_of(answers[1])
    if is_mistake(first) then return { text = "", wrong = mistake(text, first, name), failed = true } end
    if not many then return said_by_one(first) end
    return said_by_many(answers, opts)
end

--- Hosts that an action could not reach, those of one cause together.
---@param failures orrery.repl.Failure[]
---@param opts { width: integer, colour: boolean }
---@return string "" where there are none
function M.failures(failures, opts)
    local list = {}
    for i, each in ipairs(failures) do
        list[i] = { name = each.name, text = M.error(each.error, each.name), kind = "error" }
    end
    if #list == 0 then return "" end
    if #list == 1 then
        local name, text = list[1].name, list[1].text
        return text:sub(1, #name) == name and text or name .. ": " .. text
    end
    return fold.format(list, opts)
end

return M
