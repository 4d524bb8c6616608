--- Keys that sign packages: where they are kept, and how they get there.

local format = require "orrery.play.system.repository_text"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local SUFFIXES = { "asc", "gpg" }

local function path_of(o, suffix) return ("%s/%s.%s"):format(o.directory, o.name, suffix) end

local function found(env, o)
    for _, suffix in ipairs(SUFFIXES) do
        local content = text.read(env, path_of(o, suffix))
        if content then return path_of(o, suffix), content end
    end
end

-- Text shows in a diff; what is none has only its size.
local function shown(content)
    if not content then return "" end
    return content:find "[%z\1-\8\14-\31\127-\255]" and ("(%d bytes)\n"):format(#content) or content
end

--- What is to be done about a key.
---@param o { name: string, state: string, directory: string, key?: any, key_url?: string }
---@param env orrery.play.Env
---@param diff table[] to add to
---@return { path?: string, content?: string, url?: string, remove?: string, before?: string }? work nil: nothing
---@return string? path where it is, or will be
function M.plan(o, env, diff)
    local there, before = found(env, o)
    if o.state == "absent" then
        if not there then return nil end
        diff[#diff + 1] = text.diff(there, shown(before), "")
        return { remove = there, before = before }
    end
    if o.key_url then
        if there then return nil, there end
        diff[#diff + 1] = { what = "key", before = "absent", after = o.key_url }
        return { url = o.key_url }, path_of(o, "asc")
    end
    local content = env.file(o.key)
    local wrong = format.wrong_content(content)
    if wrong then resource.fail(("the key of %s: %s"):format(o.name, wrong)) end
    local path = path_of(o, format.key_suffix(content))
    if there == path and before == content then return nil, path end
    diff[#diff + 1] = text.diff(path, shown(before), shown(content))
    return { path = path, content = content, remove = there ~= path and there or nil, before = before }, path
end

local DOWNLOADERS = {
    { "curl", "-fsSL", "--retry", "2", "-o", "FILE", "--", "URL" },
    { "wget", "-q", "-O", "FILE", "URL" },
    { "/usr/lib/apt/apt-helper", "download-file", "URL", "FILE" },
}

local function download(env, url)
    local file = resource.must("create", env.sys.mkstemp())
    env.cleanup(function() env.sys.unlink(file) end)
    for _, way in ipairs(DOWNLOADERS) do
        if tool.find(env, way[1]) then
            local argv = {}
            for i, word in ipairs(way) do argv[i] = word == "FILE" and file or word == "URL" and url or word end
            tool.must(env, "fetch " .. url, argv)
            return text.read(env, file)
        end
    end
    resource.fail(("cannot fetch %s: there is neither curl nor wget here"):format(url))
end

--- Does it. Returns where the key is, and what undoes it.
---@param o table
---@param env orrery.play.Env
---@param work table of plan
---@return string? path
---@return fun() undo
function M.perform(o, env, work)
    if work.url then
        work.content = download(env, work.url)
        local wrong = format.wrong_content(work.content)
        if wrong then resource.fail(("what is at %s: %s"):format(work.url, wrong)) end
        work.path = path_of(o, format.key_suffix(work.content))
    end
    if work.path then
        text.make_parent(env, work.path)
        text.write(env, work.path, work.content)
    end
    if work.remove then resource.must("remove", env.sys.unlink(work.remove)) end
    return work.path, function()
        if work.path and work.path ~= work.remove then
            text.restore(env, work.path, not work.remove and work.before or nil)
        end
        if work.remove then text.restore(env, work.remove, work.before) end
    end
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local diff = {}
    local work, path = M.plan(o, env, diff)
    if not work then return nil, { path = path } end
    return { diff = diff, work = work }, { path = path }
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env) return { path = (M.perform(o, env, plan.work)) } end

return M
