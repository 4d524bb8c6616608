--- h:put and h:get: files of any size between the controller and a target, as steps.

local Error = require "orrery.error"
local host = require "orrery.play.host"
local sched = require "orrery.sched"
local sources = require "orrery.play.sources"

local M = {}

local function tell(h, info, event)
    event.play, event.host, event.step = h.play or nil, h.name, info.id
    event.name, event.resource = info.title, info.resource
    h.sink(event)
end

-- As ctx:put does: a directory's name takes the file under its own.
local function full_path(from, to) return to:sub(-1) == "/" and to .. from:match "[^/]*$" or to end

-- What is at a path, in the words of orrery.sys. Runs on either side.
local function look(path)
    local s = require "orrery.sys"
    local st = s.stat(path)
    if not st or st.type ~= "file" then return nil end
    return st.size, s.hash(path, "blake2b")
end

-- Whether it would change something there, found without doing anything.
local function foresee(h, info)
    local function here(path) return look(path) end
    local function there(path) return h.ctx:call(look, path) end
    if info.resource == "get" then here, there = there, here end
    local size, hash = here(info.from)
    if not size then
        local message = ("%s: there is no file %s"):format(info.resource, info.from)
        Error.raise { code = "file", message = message }
    end
    local old_size, old_hash = there(info.to)
    return { changed = size ~= old_size or hash ~= old_hash, size = size, sent = 0 }
end

local function transfer(h, info, opts)
    if h.check then return foresee(h, info) end
    local all = {}
    for key, value in pairs(opts or {}) do all[key] = value end
    function all.on_progress(done, size)
        tell(h, info, { event = "step_progress", done = done, total = size })
    end
    return h.ctx[info.resource](h.ctx, info.from, info.to, all)
end

local function perform(h, info, opts)
    local began = sched.now()
    tell(h, info, { event = "step_start", at = info.at })
    local ok, result = pcall(transfer, h, info, opts)
    local seconds = sched.now() - began
    if not ok then
        local err = Error.from(result)
        err.at, err.step, err.resource, err.name = info.at, info.id, info.resource, info.title
        tell(h, info, {
            event = "step_end", status = "failed", seconds = seconds,
            error = { code = err.code, message = err.message, at = err.at },
        })
        error(err, 0)
    end
    result.seconds, result.resource, result.name = seconds, info.resource, info.title
    tell(h, info, { event = "step_end", status = result.changed and "changed" or "ok", seconds = seconds })
    return result
end

local function step(h, kind, from, to, opts)
    local at = Error.at()
    for i, path in ipairs { from, to } do
        if type(path) ~= "string" or path == "" then
            local message = ("h:%s: argument %d must be a path"):format(kind, i)
            Error.raise { code = "argument", at = at, message = message }
        end
    end
    local info = {
        id = host.next_id(h), resource = kind, title = ("%s %s"):format(kind, to), modifiers = {}, at = at,
        from = kind == "put" and sources.path(from) or from, to = full_path(from, to),
    }
    return host.conduct(h, info, function() return perform(h, info, opts) end)
end

---@param h orrery.play.Host
---@param from string relative to the script
---@param to string
---@param opts? table as for ctx:put
---@return table result
function M.put(h, from, to, opts) return step(h, "put", from, to, opts) end

---@param h orrery.play.Host
---@param from string
---@param to string
---@param opts? table as for ctx:get
---@return table result
function M.get(h, from, to, opts) return step(h, "get", from, to, opts) end

return M
