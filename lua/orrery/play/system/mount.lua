--- What the resource mount does: fstab, and what is mounted now.

local fstab = require "orrery.play.system.fstab"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local IN_FSTAB = { mounted = true, present = true, remounted = true }

local function mounted(env, path) return fstab.mounted(env.sys.read "/proc/self/mountinfo" or "", path) end

-- A symbolic link on the way would make it another path once it is mounted.
local function real(env, path) return env.sys.realpath(path) or path end

local function entry_of(o)
    if not IN_FSTAB[o.state] then return nil end
    local options = fstab.options(o.options)
    return { src = o.src, path = o.path, fstype = o.fstype, options = options, dump = o.dump, pass = o.pass }
end

local function check_fstab(o, env, plan)
    if o.state == "unmounted" then return end
    local before = text.read(env, o.fstab)
    local after = text.join(fstab.merge(text.lines(before), o.path, entry_of(o)))
    if after == text.join(text.lines(before)) then return end
    plan.fstab, plan.fstab_before = after, before
    plan.diff[#plan.diff + 1] = text.diff(o.fstab, before, after)
end

local function note(plan, verb, before, after)
    plan.verb = verb
    plan.diff[#plan.diff + 1] = { what = "state", before = before, after = after }
end

local function check_state(o, plan, now)
    local is = now and "mounted" or "unmounted"
    if o.state == "mounted" or o.state == "remounted" then
        if not now then
            note(plan, "mount", is, o.state)
        elseif o.state == "remounted" or plan.fstab then
            -- What has changed in fstab is to hold now, too.
            note(plan, "remount", is, "remounted")
        end
    elseif now and (o.state == "unmounted" or o.state == "absent") then
        note(plan, "unmount", is, "unmounted")
    end
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local plan = { diff = {}, at = real(env, o.path) }
    local now = mounted(env, plan.at)
    check_fstab(o, env, plan)
    check_state(o, plan, now)
    local out = { path = o.path, mounted = now ~= nil, src = now and now.src }
    if #plan.diff == 0 then return nil, out end
    return plan, out
end

local VERBS = {}

function VERBS.mount(o, env, plan)
    plan.made = not env.sys.stat(o.path)
    if plan.made then
        text.make_parent(env, o.path)
        resource.must("create", env.sys.mkdir(o.path, 0x1ed))
    end
    tool.must(env, "mount " .. o.path, { "mount", "-t", o.fstype, "-o", fstab.options(o.options), o.src, o.path })
end

-- Some kinds cannot be remounted with other options; taken away and put back they can.
function VERBS.remount(o, env)
    local options = fstab.options(o.options)
    local r = tool.run(env, { "mount", "-o", "remount," .. options, o.path })
    if r.code == 0 then return end
    tool.must(env, "unmount " .. o.path .. " to mount it again", { "umount", o.path })
    tool.must(env, "mount " .. o.path .. " again", { "mount", "-t", o.fstype, "-o", options, o.src, o.path })
end

function VERBS.unmount(o, env) tool.must(env, "unmount " .. o.path, { "umount", o.path }) end

-- fstab is as before when mounting fails: a boot would stop at what is wrong in it.
---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    if plan.fstab then text.write(env, o.fstab, plan.fstab) end
    local ok, why = pcall(function()
        if plan.verb then VERBS[plan.verb](o, env, plan) end
    end)
    if not ok then
        if plan.fstab then text.restore(env, o.fstab, plan.fstab_before) end
        if plan.made then env.sys.rmdir(o.path) end
        error(why, 0)
    end
    local now = mounted(env, real(env, o.path))
    return { mounted = now ~= nil, src = now and now.src }
end

return M
