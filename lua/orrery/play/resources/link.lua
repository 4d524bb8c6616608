--- link: a path is a link to another.

local attributes = require "orrery.play.attributes"
local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local function is_same_file(o, there)
    local other = sys.stat(o.target)
    return other and other.ino == there.ino and other.dev == there.dev
end

local function is_there(o, there)
    if not there then return false end
    if o.hard then return there.type ~= "link" and is_same_file(o, there) end
    return there.type == "link" and there.target == o.target
end

local function refuse_other_kinds(o, there)
    if not there or there.type == "link" or o.force then return end
    resource.fail(("%s is a %s, and not a link; force = true removes it"):format(o.path, there.type))
end

local function check_absent(o, there, out)
    if not there then return nil, out end
    refuse_other_kinds(o, there)
    return { diff = { { what = "target", before = there.target or there.type } } }, out
end

local function check(o, env)
    local there = paths.look(o.path)
    local out = { path = o.path, target = o.target }
    if o.state == "absent" then return check_absent(o, there, out) end
    local plan = { diff = {} }
    if not is_there(o, there) then
        refuse_other_kinds(o, there)
        plan.make, plan.replaces = true, there
        plan.diff[1] = { what = "target", before = there and (there.target or there.type), after = o.target }
    end
    if not o.hard then
        plan.wanted = attributes.wanted({ owner = o.owner, group = o.group }, env, not plan.make and there or nil)
        plan.unknown = plan.wanted.unknown and true or nil
        attributes.diff(plan.wanted, not plan.make and there or nil, plan.diff)
    end
    return #plan.diff > 0 and plan or nil, out
end

-- Made beside and renamed, so that there is no moment without one.
local function make(o, plan)
    local replaced = plan.replaces
    if replaced and replaced.type == "directory" then paths.remove(o.path) end
    local temporary = paths.beside(o.path)
    resource.must("make the link", (o.hard and sys.link or sys.symlink)(o.target, temporary))
    local ok, why, code = sys.rename(temporary, o.path)
    sys.unlink(temporary) -- it stays where the two were the same file already
    resource.must("make the link", ok, why, code)
end

local function apply(o, plan)
    if o.state == "absent" then return paths.remove(o.path) end
    if plan.make then make(o, plan) end
    if plan.wanted then attributes.apply(o.path, plan.wanted, paths.look(o.path)) end
end

return resource.define {
    name = "link",
    doc = "A path is a link to another path; an old link is replaced in one step.",
    options = {
        path = { type = "path", required = true, doc = "the link" },
        target = { type = "string", doc = "what it leads to, as it stands in the link: it need not exist" },
        state = { enum = { "present", "absent" }, default = "present", doc = "'absent': it is gone" },
        hard = { type = "boolean", default = false, doc = "a hard link: another name of the same file" },
        owner = attributes.options.owner, group = attributes.options.group,
        force = { type = "boolean", default = false, doc = "also where a file or directory is: it is removed" },
    },
    returns = { path = "the link", target = "what it leads to" },
    example = [[h:link { path = "/srv/app/current", target = "releases/42" }]],
    validate = function(o)
        if o.state == "present" and not o.target then return "option 'target' is missing" end
        if o.hard and (o.owner or o.group) then return "a hard link has the owner of its file" end
    end,
    check = check,
    apply = apply,
}
