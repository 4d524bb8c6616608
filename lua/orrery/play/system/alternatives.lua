--- What the resource alternatives does, by update-alternatives of dpkg, and of chkconfig, where it shows less.

local resource = require "orrery.play.resource"
local tool = require "orrery.play.system.tool"

local M = {}

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    if not o.name:match "^[%w_][%w_.+-]*$" then return ("'%s' is no name of a group"):format(o.name) end
    if o.state ~= "auto" and not o.path then return ("state '%s' needs a path"):format(o.state) end
end

---@class orrery.play.Alternatives
---@field link? string
---@field mode "auto"|"manual"
---@field value? string the one that is chosen
---@field best? string
---@field choices table<string, integer> priorities by path

--- Reads what `update-alternatives --query` says.
---@param output string
---@return orrery.play.Alternatives
function M.parse(output)
    local found, choice = { mode = "auto", choices = {} }, nil
    for line in output:gmatch "[^\n]+" do
        local key, value = line:match "^(%a+): (.+)$"
        if key == "Alternative" then
            choice = value
            found.choices[choice] = 0
        elseif key == "Priority" and choice then
            found.choices[choice] = tonumber(value)
        elseif key == "Link" then
            found.link = value
        elseif key == "Status" then
            found.mode = value
        elseif key == "Value" and value ~= "none" then
            found.value = value
        elseif key == "Best" then
            found.best = value
        end
    end
    return found
end

--- Reads what `update-alternatives --display` of chkconfig says.
---@param output string
---@return orrery.play.Alternatives
function M.parse_display(output)
    local found = {
        mode = output:match "status is (%a+)" or "auto", choices = {},
        value = output:match "link currently points to (%S+)",
    }
    for path, priority in output:gmatch "\n(/%S+) %- .-priority (%d+)" do found.choices[path] = tonumber(priority) end
    return found
end

local function query(o, env)
    local r = tool.look(env, { "update-alternatives", "--query", o.name })
    if r.code == 0 then return M.parse(r.stdout) end
    r = tool.look(env, { "update-alternatives", "--display", o.name })
    if r.code == 0 and r.stdout:find("link currently points", 1, true) then return M.parse_display(r.stdout) end
    return { mode = "auto", choices = {} }
end

local function note(plan, verb, what, before, after)
    plan.verbs[#plan.verbs + 1] = verb
    plan.diff[#plan.diff + 1] = { what = what, before = before, after = after }
end

local function check_missing(o, env, now, plan)
    if now.choices[o.path] then return end
    if not o.link and not now.link then
        resource.fail(("%s is none of the alternatives of %s; with `link` it is added"):format(o.path, o.name))
    end
    if not env.check_mode and not env.sys.stat(o.path) then resource.fail(o.path .. " is not there") end
    note(plan, "install", "alternative", "absent", o.path)
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    if not tool.find(env, "update-alternatives") then resource.fail "there is no update-alternatives here" end
    local now, plan = query(o, env), { verbs = {}, diff = {} }
    plan.link = o.link or now.link
    if o.state == "absent" then
        if now.choices[o.path] then note(plan, "remove", "alternative", o.path, "absent") end
    elseif o.state == "auto" then
        if now.mode ~= "auto" then note(plan, "auto", "mode", now.mode, "auto") end
    else
        check_missing(o, env, now, plan)
        if o.state == "selected" and (now.value ~= o.path or now.mode ~= "manual") then
            note(plan, "set", "selected", ("%s (%s)"):format(now.value or "none", now.mode), o.path .. " (manual)")
        end
    end
    if #plan.verbs == 0 then return nil, { path = now.value } end
    return plan, { path = now.value }
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    local words = {
        install = { "--install", plan.link, o.name, o.path, o.priority }, remove = { "--remove", o.name, o.path },
        auto = { "--auto", o.name }, set = { "--set", o.name, o.path },
    }
    local list = {}
    for i, verb in ipairs(plan.verbs) do
        local what = ("%s the alternative of %s"):format(verb, o.name)
        list[i] = { verb, function() tool.must(env, what, tool.words("update-alternatives", words[verb])) end }
    end
    tool.steps(list)
    return { path = query(o, env).value }
end

return M
