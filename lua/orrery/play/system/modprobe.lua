--- What the resource modprobe does.

local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    if not o.name:match "^[%w_][%w_-]*$" then return ("'%s' is no name of a module"):format(o.name) end
    if o.params and o.params:find "\n" then return "option 'params' must be one line" end
    if o.params and o.state == "absent" then return "params are for a module that is present" end
end

-- In names of modules the two are one.
local function normal(name) return (name:gsub("-", "_")) end

--- Is it in /proc/modules?
---@param modules string
---@param name string
---@return boolean
function M.is_loaded(modules, name)
    for each in modules:gmatch "([^\n]-) [^\n]*" do
        if each == normal(name) then return true end
    end
    return false
end

--- Is it in modules.builtin: "kernel/drivers/net/loopback.ko"?
---@param list string
---@param name string
---@return boolean
function M.is_built_in(list, name)
    for each in list:gmatch "([^/\n]+)%.ko[^\n]*" do
        if normal(each) == normal(name) then return true end
    end
    return false
end

local function built_in(env, name, loaded)
    local list = env.sys.read(("/lib/modules/%s/modules.builtin"):format(env.sys.uname().release)) or ""
    -- One with parameters shows there as well; a loaded one, too, but that is in /proc/modules.
    return M.is_built_in(list, name) or not loaded and env.sys.stat("/sys/module/" .. normal(name)) ~= nil
end

local function files(o)
    local present = o.state == "present"
    return {
        { path = "/etc/modules-load.d/orrery-" .. o.name .. ".conf", content = present and o.name .. "\n" or nil },
        {
            path = "/etc/modprobe.d/orrery-" .. o.name .. ".conf",
            content = present and o.params and ("options %s %s\n"):format(o.name, o.params) or nil,
        },
    }
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local loaded = M.is_loaded(env.sys.read "/proc/modules" or "", o.name)
    local fixed = built_in(env, o.name, loaded)
    local plan, is = { diff = {}, files = {} }, loaded or fixed
    if fixed and o.state == "absent" then
        resource.fail(("%s is a part of this kernel, and cannot be removed"):format(o.name))
    end
    if is ~= (o.state == "present") then
        plan.load = o.state == "present" and "load" or "remove"
        plan.diff[1] = { what = "state", before = is and "loaded" or "not loaded", after = o.state }
    end
    for _, file in ipairs(o.persist and files(o) or {}) do
        file.before = text.read(env, file.path)
        if file.before ~= file.content then
            plan.files[#plan.files + 1] = file
            plan.diff[#plan.diff + 1] = text.diff(file.path, file.before, file.content)
        end
    end
    local out = { loaded = is, built_in = fixed }
    if #plan.diff == 0 then return nil, out end
    return plan, out
end

local function put(env, path, content)
    if content then text.make_parent(env, path) end
    text.restore(env, path, content)
end

-- First what the kernel may refuse.
---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    if plan.load then
        tool.must(env, ("%s the module %s"):format(plan.load, o.name),
            tool.words("modprobe", plan.load == "remove" and "-r", o.name, o.params and text.words(o.params)))
    end
    for i, file in ipairs(plan.files) do
        local ok, why = pcall(put, env, file.path, file.content)
        if not ok then
            for j = 1, i - 1 do pcall(put, env, plan.files[j].path, plan.files[j].before) end
            error(why, 0)
        end
    end
    return { loaded = o.state == "present" }
end

return M
