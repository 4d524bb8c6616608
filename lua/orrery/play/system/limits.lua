--- What the resource limits does: a line of limits.conf(5).

local text = require "orrery.play.system.text"

local M = {}

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    if not o.domain:match "^[%w_.@%%:*$-]+$" then return ("'%s' is no domain for a limit"):format(o.domain) end
    if o.state == "present" and o.value == nil then return "option 'value' is missing" end
    if o.value and not tostring(o.value):match "^%-?%d+$" and o.value ~= "unlimited" and o.value ~= "infinity"
        and o.item ~= "chroot" then
        return "option 'value' must be a number, or 'unlimited'"
    end
end

--- The lines with a limit as wanted. "-" is both kinds, so a line of one of them for the same thing goes.
---@param lines string[]
---@param o table
---@return string[]
function M.merge(lines, o)
    local result, placed = {}, false
    local wanted = o.state == "present" and ("%s %s %s %s"):format(o.domain, o.kind, o.item, tostring(o.value)) or nil
    for _, line in ipairs(lines) do
        local words = text.words((line:gsub("#.*", "")))
        local same = words[1] == o.domain and words[3] == o.item and (words[2] == o.kind or o.kind == "-")
        if not same then
            result[#result + 1] = line
        elseif wanted and not placed then
            placed = true
            result[#result + 1] = table.concat(words, " ") == wanted and line or wanted
        end
    end
    if wanted and not placed then result[#result + 1] = wanted end
    return result
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local before = text.read(env, o.file)
    local after = text.join(M.merge(text.lines(before), o))
    if after == (before or "") then return nil, { file = o.file } end
    return { diff = { text.diff(o.file, before, after) }, after = after }, { file = o.file }
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    text.make_parent(env, o.file)
    text.write(env, o.file, plan.after)
end

return M
