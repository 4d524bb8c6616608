--- What the resources file and directory do.

local attributes = require "orrery.play.attributes"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local M = {}

local must = resource.must

--- What is at a path; nil: nothing.
---@param path string
---@param follow? boolean
---@return table? stat
function M.look(path, follow)
    local st, why, code = (follow and sys.stat or sys.lstat)(path)
    if not st and code ~= "ENOENT" and code ~= "ENOTDIR" then
        resource.fail(("cannot look at %s: %s"):format(path, why))
    end
    return st
end

--- Removes a path, and all that is in it; nothing outside by way of links.
---@param path string
function M.remove(path)
    local st = sys.lstat(path)
    if not st then return end
    if st.type ~= "directory" then
        must("remove", sys.unlink(path))
        return
    end
    for _, name in ipairs(must("list", sys.list(path))) do M.remove(path .. "/" .. name) end
    must("remove", sys.rmdir(path))
end

--- A name beside a path, which nobody has: for what is to take its place.
---@param path string
---@return string
function M.beside(path)
    return (path:gsub("[^/]*$", (".orrery-%d-%d"):format(sys.getpid(), sys.time() * 1e6 % 1e9)))
end

--- Creates a directory with those above it.
---@param path string
---@param mode? integer of each new one
---@return string[] made those that are new, the uppermost first
function M.make_directories(path, mode)
    local made, missing, at = {}, {}, path
    while at ~= "/" and not sys.stat(at) do
        table.insert(missing, 1, at)
        at = at:match "^(.*)/[^/]+$"
        if at == "" then at = "/" end
    end
    for _, each in ipairs(missing) do
        must("create the directory", sys.mkdir(each, mode))
        made[#made + 1] = each
    end
    return made
end

--- Calls a function with each path in a directory, and with the directory itself.
function M.walk(path, fn)
    local st = sys.lstat(path)
    if not st then return end
    fn(path, st)
    if st.type ~= "directory" then return end
    for _, name in ipairs(sys.list(path) or {}) do M.walk(path .. "/" .. name, fn) end
end

local KIND = { file = "file", touch = "file", directory = "directory" }

local function wrong_kind(o, there, kind)
    if there.type == kind then return false end
    if kind == "file" and there.type ~= "directory" and there.type ~= "link" then return false end
    if not o.force then
        resource.fail(("%s is a %s, and not a %s; force = true removes it"):format(o.path, there.type, kind))
    end
    return true
end

-- A link to what is wanted will do.
local function found(o, kind)
    local there = M.look(o.path)
    local behind = there and there.type == "link" and M.look(o.path, true)
    return behind and behind.type == kind and behind or there
end

local function differing(o, env, plan, kind)
    if not o.recurse or kind ~= "directory" then return end
    M.walk(o.path, function(path, st)
        if path == o.path or st.type == "link" then return end
        local wanted = attributes.wanted(o, env, st, st.type == "directory")
        local diff = attributes.diff(wanted, st)
        if #diff == 0 then return end
        plan.inside[#plan.inside + 1] = { path = path, wanted = wanted, there = st }
        for _, part in ipairs(diff) do
            part.what = path .. ": " .. part.what
            plan.diff[#plan.diff + 1] = part
        end
    end)
end

local function check_absent(o)
    local there = M.look(o.path)
    if not there then return nil, { path = o.path, state = "absent" } end
    return { diff = { { what = "state", before = there.type, after = "absent" } } }, { path = o.path, state = "absent" }
end

---@param o table options of file
---@param env orrery.play.Env
function M.check(o, env)
    if o.state == "absent" then return check_absent(o) end
    local kind = KIND[o.state]
    local there = found(o, kind)
    local plan, out = { diff = {}, inside = {}, there = there }, { path = o.path, state = o.state }
    if there and wrong_kind(o, there, kind) then
        plan.remove, plan.there = true, nil
        plan.diff[1] = { what = "state", before = there.type, after = kind }
    elseif not there then
        plan.diff[1] = { what = "state", before = "absent", after = kind }
    end
    plan.wanted = attributes.wanted(o, env, plan.there, kind == "directory")
    plan.unknown = plan.wanted.unknown and true or nil
    attributes.diff(plan.wanted, plan.there, plan.diff)
    if plan.there then differing(o, env, plan, kind) end
    if o.state == "touch" and plan.there then plan.diff[#plan.diff + 1] = { what = "mtime", after = "now" } end
    return #plan.diff > 0 and plan or nil, out
end

local function create(o, plan, kind)
    if kind == "directory" then
        M.make_directories(o.path)
    else
        must("create", sys.write_atomic(o.path, "", plan.wanted))
    end
end

function M.apply(o, plan)
    if o.state == "absent" then return M.remove(o.path) end
    if plan.remove then M.remove(o.path) end
    if not plan.there then create(o, plan, KIND[o.state]) end
    attributes.apply(o.path, plan.wanted, plan.there or M.look(o.path))
    for _, each in ipairs(plan.inside) do attributes.apply(each.path, each.wanted, each.there) end
    if o.state == "touch" then must("touch", sys.utimes(o.path)) end
end

return M
