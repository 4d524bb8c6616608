--- What the resource sysctl does.

local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    if not o.name:match "^[%w_][%w_./*:@-]*$" or o.name:find("..", 1, true) then
        return ("'%s' is no name of a setting"):format(o.name)
    end
    if o.state == "present" and o.value == nil then return "option 'value' is missing" end
    if o.value and tostring(o.value):find "\n" then return "option 'value' must be one line" end
    if not o.persist and not o.live then return "with neither persist nor live there is nothing to do" end
end

--- Where the kernel has a setting. As with sysctl(8), the first separator says which is which: in
--- "net/ipv4/conf/eth0.1/forwarding" a dot is a dot.
---@param name string
---@return string
function M.path(name)
    local separator = name:match "[./]"
    if separator == "." then
        name = name:gsub("[./]", { ["."] = "/", ["/"] = "." })
    end
    return "/proc/sys/" .. name
end

-- The kernel shows tabs where blanks were written.
local function normal(value) return table.concat(text.words(tostring(value)), " ") end

local function same_name(a, b) return M.path(a) == M.path(b) end

--- The lines of a file with the setting as wanted, the value that it had there, and whether that differs.
---@param lines string[]
---@param name string
---@param value? string nil: without it
---@return string[] lines
---@return string? before
function M.merge(lines, name, value)
    local result, before, placed = {}, nil, false
    for _, line in ipairs(lines) do
        local key, now = line:match "^%s*%-?%s*([^#;=%s][^=%s]*)%s*=%s*(.-)%s*$"
        if key and same_name(key, name) then
            before = now
            if value and not placed then
                result[#result + 1] = normal(now) == value and line or ("%s = %s"):format(name, value)
                placed = true
            end
        else
            result[#result + 1] = line
        end
    end
    if value and not placed then result[#result + 1] = ("%s = %s"):format(name, value) end
    return result, before
end

local function check_live(o, env, plan, wanted)
    local now, why = env.sys.read(M.path(o.name))
    if not now then
        if o.ignore_missing then return end
        if not env.check_mode then resource.fail(("this kernel does not know %s: %s"):format(o.name, why)) end
        plan.unknown, plan.message = true, "this kernel does not know it (yet)"
        return
    end
    if normal(now) ~= wanted then
        plan.live, plan.live_before = wanted, normal(now)
        plan.diff[#plan.diff + 1] = { what = "value", before = plan.live_before, after = wanted }
    end
    return normal(now)
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local plan = { diff = {} }
    local wanted = o.state == "present" and normal(o.value) or nil
    local now = wanted and o.live and check_live(o, env, plan, wanted)
    if o.persist then
        local before = text.read(env, o.file)
        local after = text.join(M.merge(text.lines(before), o.name, wanted))
        if after ~= (before or "") then
            plan.file, plan.file_before = after, before
            plan.diff[#plan.diff + 1] = text.diff(o.file, before, after)
        end
    end
    local out = { value = now or nil, file = o.persist and o.file or nil }
    if #plan.diff == 0 and not plan.unknown then return nil, out end
    return plan, out
end

local function set(o, env, value)
    -- The file is not one that can be replaced; the program writes into it.
    tool.must(env, ("set %s to '%s'"):format(o.name, value), { "sysctl", "-q", "-w", ("%s=%s"):format(o.name, value) })
end

-- First what the kernel may refuse.
---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    if plan.live then
        set(o, env, plan.live)
        local now = normal(env.sys.read(M.path(o.name)) or "")
        if now ~= plan.live then
            resource.fail(("%s was set to '%s', and is '%s'"):format(o.name, plan.live, now))
        end
    end
    if not plan.file then return { value = plan.live } end
    local ok, why = pcall(function()
        text.make_parent(env, o.file)
        text.write(env, o.file, plan.file)
    end)
    if not ok then
        if plan.live then pcall(set, o, env, plan.live_before) end
        error(why, 0)
    end
    return { value = plan.live }
end

return M
