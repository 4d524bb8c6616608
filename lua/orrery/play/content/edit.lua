--- Files that are edited: what the resources line, replace, block and ini have in common.
--
-- They say what becomes of a text. This reads the file, shows the difference, and puts the new one in its place:
-- written beside it, with the old one's mode and owner, validated there, and renamed. A link is followed, and stays.

local attributes = require "orrery.play.attributes"
local match = require "orrery.play.text.match"
local replace = require "orrery.play.replace"
local resource = require "orrery.play.resource"

local M = {}

local MOST = 64 * 1024 * 1024 -- bytes of a file that is edited as a text

local function has_place(value)
    local text = type(value) == "table" and table.concat(value, " ") or value
    return text:find("%s", 1, true) ~= nil, "must hold %s, which stands for the new file"
end

---@type orrery.play.Schema
local OPTIONS = {
    path = { type = "path", required = true, doc = "the file; a link is followed" },
    create = { type = "boolean", default = false, doc = "make the file if there is none" },
    backup = { type = "boolean", default = false, doc = "keep the old file beside it, with the time in its name" },
    validate = {
        type = { "string", "list" }, of = "string", check = has_place,
        doc = "a command that must end with status 0 for the new file, whose path it gets for %s; no shell, words are "
            .. "parted by blanks",
    },
    in_place = {
        type = "boolean", default = false,
        doc = "write into the file itself: for one that cannot be renamed over, as a container's /etc/hosts. What "
            .. "fails in the middle leaves it half written",
    },
}

--- The options of matching, for resources that take a regular expression.
---@type orrery.play.Schema
M.MATCHING = {
    regexp = { type = "string", doc = "a regular expression, as in Perl and Python" },
    pattern = { type = "string", doc = "a Lua pattern instead" },
    literal = { type = "string", doc = "plain text instead" },
}

--- A resource's own options with those of every edit.
---@param own orrery.play.Schema
---@param ... orrery.play.Schema
---@return orrery.play.Schema
function M.options(own, ...)
    local all = {}
    for _, schema in ipairs { OPTIONS, attributes.options, own, ... } do
        for name, option in pairs(schema) do all[name] = option end
    end
    return all
end

M.RETURNS = { backup = "path of the old file, with `backup`" }

--- The matcher of the options, or an error that names what is wrong with it.
---@param o table
---@param opts? table
---@return orrery.play.Matcher?
function M.matcher(o, opts)
    local matcher, problem = match.of(o, opts)
    if problem then resource.fail(problem) end
    return matcher
end

--- Where something new goes, of the options insert_after and insert_before: a regular expression, "EOF" or "BOF", or
--- { pattern = } or { literal = }.
---@param value any
---@return orrery.play.Matcher|string|nil
function M.place(value)
    if value == nil or value == "EOF" or value == "BOF" then return value end
    return M.matcher(type(value) == "table" and value or { regexp = value })
end

-- Where it is really, and what it is; nil, and why there is none.
local function look(o, env)
    local sys = env.sys
    local real, why, code = sys.realpath(o.path)
    if not real then
        if code ~= "ENOENT" then resource.fail(("cannot edit %s: %s"):format(o.path, why)) end
        if sys.lstat(o.path) then
            resource.fail(("cannot edit %s: it is a link to what is not there"):format(o.path))
        end
        return nil
    end
    local st = resource.must("edit", sys.stat(real))
    if st.type ~= "file" then resource.fail(("cannot edit %s: it is a %s"):format(o.path, st.type)) end
    return real, st
end

local function missing(o, env)
    local parent = o.path:match "^(.*)/[^/]*$"
    local made = o.create and env.sys.stat(parent == "" and "/" or parent) ~= nil
    if made then return nil end
    local what = o.create and "there is no directory for " .. o.path or "there is no file " .. o.path
    if not env.check_mode then resource.fail(what .. (o.create and "" or ", and `create` is not set")) end
    return { unknown = true, message = what .. " yet" } -- a step before may make it
end

--- Tells what differs.
---@param o table the options
---@param env orrery.play.Env
---@param change fun(text: string): string?, table|string|nil the text as it should be, and more for the result; or nil
---and what is wrong with it
---@return table? plan
---@return table? out
function M.check(o, env, change)
    local real, st = look(o, env)
    if not real then
        local gone = missing(o, env)
        if gone then return gone end
    end
    local before = real and resource.must("read", env.sys.read(real, MOST)) or ""
    local after, out = change(before)
    if not after then resource.fail(("%s: %s"):format(o.path, out)) end
    local want, diff = attributes.wanted(o, env, st), {}
    if after ~= before or not real then
        diff[1] = { path = o.path, before = real and before or nil, after = after }
    end
    if st then attributes.diff(want, st, diff) end
    if #diff == 0 then return nil, out end
    local new = not real or after ~= before
    return { path = real or o.path, stat = st, want = want, after = new and after or nil, diff = diff }, out
end

--- A new name beside a file, which is gone when the step is over.
---@param path string
---@param env orrery.play.Env
---@return string path of an empty file
function M.beside(path, env)
    local directory = path:match "^(.*/)[^/]*$" or "./"
    local name = resource.must("write beside " .. path, env.sys.mkstemp(directory .. ".orrery-"))
    env.cleanup(function() env.sys.unlink(name) end)
    return name
end

local function write_here(path, text)
    local file, why = io.open(path, "r+b")
    if not file then resource.fail(("cannot write %s: %s"):format(path, why)) end
    local ok = file:write(text)
    local closed = file:close()
    if not ok or not closed then resource.fail(("cannot write %s"):format(path)) end
end

-- In place: shorter than before, the old tail must go, which only a new opening does.
local function overwrite(path, text, old_size)
    if #text >= old_size then return write_here(path, text) end
    local file, why = io.open(path, "wb")
    if not file then resource.fail(("cannot write %s: %s"):format(path, why)) end
    file:write(text)
    if not file:close() then resource.fail(("cannot write %s"):format(path)) end
end

local function attributes_of_new(plan)
    local st, want = plan.stat, plan.want
    return { mode = want.mode or st and st.mode or nil, uid = want.uid or st and st.uid or nil,
        gid = want.gid or st and st.gid or nil, sync = true }
end

local function put_in_place(o, plan, env)
    local out, sys = {}, env.sys
    local temporary
    if o.validate or not o.in_place then
        temporary = M.beside(plan.path, env)
        resource.must("write " .. temporary, sys.write_atomic(temporary, plan.after, attributes_of_new(plan)))
    end
    if o.validate then replace.judge(o.validate, temporary, env) end
    if o.backup and plan.stat then out.backup = replace.keep(plan.path) end
    if o.in_place and plan.stat then
        overwrite(plan.path, plan.after, plan.stat.size)
        attributes.apply(plan.path, plan.want, plan.stat)
    else
        local ok, why, code = sys.rename(temporary, plan.path)
        local hint = code == "EBUSY" and "; it is a mount point: see the option in_place" or ""
        if not ok then resource.fail(("cannot replace %s: %s%s"):format(plan.path, why, hint)) end
    end
    return out
end

--- Mends it.
---@param o table
---@param plan table of M.check
---@param env orrery.play.Env
---@return table out
function M.apply(o, plan, env)
    if plan.after then return put_in_place(o, plan, env) end
    attributes.apply(plan.path, plan.want, plan.stat)
    return {}
end

return M
