--- What the resource hostname does: hostnamectl where systemd runs; else hostname(1) and its file.

local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local FILE, HOSTS = "/etc/hostname", "/etc/hosts"

--- What is wrong with these options; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    if #o.name > 64 or not o.name:match "^[%w]" or not o.name:match "^[%w.-]+$" or o.name:find("..", 1, true)
        or o.name:match "[.-]$" then
        return ("'%s' is no name of a host: letters, digits, - and dots, 64 at most"):format(o.name)
    end
end

--- /etc/hosts with a name for 127.0.1.1. Other names on that line stay behind it.
---@param content? string
---@param name string
---@return string
function M.hosts(content, name)
    local lines, placed = text.lines(content), false
    local short = name:match "^[^.]+"
    local names = short ~= name and { name, short } or { name }
    for i, line in ipairs(lines) do
        local words = text.words(line)
        if words[1] == "127.0.1.1" and not placed then
            placed = true
            lines[i] = words[2] == name and line or "127.0.1.1 " .. table.concat(names, " ")
        end
    end
    if not placed then
        local at = lines[1] and lines[1]:match "^127%.0%.0%.1" and 2 or #lines + 1
        table.insert(lines, at, "127.0.1.1 " .. table.concat(names, " "))
    end
    return text.join(lines)
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local plan = { diff = {} }
    local now = env.sys.hostname()
    if now ~= o.name then plan.diff[1] = { what = "name", before = now, after = o.name } end
    local file = text.read(env, FILE)
    if text.trim(file or "") ~= o.name then
        plan.file, plan.file_before = o.name .. "\n", file
        plan.diff[#plan.diff + 1] = text.diff(FILE, file, plan.file)
    end
    local hosts = o.hosts and text.read(env, HOSTS)
    if o.hosts and M.hosts(hosts, o.name) ~= hosts then
        plan.hosts, plan.hosts_before = M.hosts(hosts, o.name), hosts
        plan.diff[#plan.diff + 1] = text.diff(HOSTS, hosts, plan.hosts)
    end
    plan.now = now
    if #plan.diff == 0 then return nil, { name = o.name } end
    return plan, { name = o.name }
end

local function set(env, name)
    local systemd = env.sys.stat "/run/systemd/system" and tool.find(env, "hostnamectl")
    if systemd and tool.run(env, { "hostnamectl", "set-hostname", "--", name }).code == 0 then return end
    tool.must(env, "set the name of the host", { "hostname", name })
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    if plan.now ~= o.name then set(env, o.name) end
    local ok, why = pcall(function()
        if plan.file then text.write(env, FILE, plan.file) end
        if plan.hosts then text.write(env, HOSTS, plan.hosts) end
    end)
    if ok then return end
    if plan.now ~= o.name then pcall(set, env, plan.now) end
    if plan.file then pcall(text.restore, env, FILE, plan.file_before) end
    error(why, 0)
end

return M
