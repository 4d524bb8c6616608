--- h:task: a step of the controller's that is made of others.

local Error = require "orrery.error"
local sched = require "orrery.sched"
local schema = require "orrery.play.schema"

local M = {}

local TEXTS = { "string", "list" }

local OPTIONS = {
    tags = { type = TEXTS, of = "string", doc = "names by which --tags and --skip-tags choose" },
    when = { type = { "function", "boolean" }, doc = "whether to do it at all" },
    retries = { type = "integer", doc = "how often to try all of it again when it fails" },
    delay = { type = "duration", default = 1, doc = "time between two tries" },
    until_ = { type = "function", doc = "a function of what fn returns: it is tried again until that returns true" },
    timeout = { type = "duration", doc = "time for each try" },
    ignore_errors = { type = "boolean", doc = "go on after a failure" },
    notify = { type = TEXTS, of = "string", doc = "handlers to run if something was changed" },
    run_once = { type = "boolean", doc = "on the first host of the play only" },
    throttle = { type = "integer", doc = "hosts that may do it at a time" },
    handler = { type = "boolean", doc = "for the runner: it is one" },
}
M.OPTIONS = OPTIONS

---@class orrery.play.TaskOptions
---@field tags? string|string[]
---@field when? boolean|fun(h: orrery.play.Host): boolean
---@field retries? integer
---@field delay? number|string
---@field until_? fun(...): boolean
---@field timeout? number|string
---@field ignore_errors? boolean
---@field notify? string|string[]
---@field run_once? boolean
---@field throttle? integer
---@field handler? boolean

local function pack(...) return { n = select("#", ...), ... } end

-- Steps inside count from one, in each try: so a step has the same id in every run.
local function inside(h, task, fn)
    local state = h.state
    local before = { prefix = state.prefix, count = state.count, tags = state.tags, handler = state.handler }
    state.prefix, state.count, state.tags = task.id .. ".", 0, task.tags
    state.handler = state.handler or task.opts.handler or false
    local emit = h.emit
    function h.emit(event)
        if event.event == "step_end" and event.status == "changed" then task.changed = true end
        if event.event == "step_end" and event.status == "unknown" then task.unknown = true end
        emit(event)
    end
    local returned = pack(xpcall(fn, Error.handler, h))
    h.emit = emit
    for key, value in pairs(before) do state[key] = value end
    return returned
end

local function try(h, task, fn)
    local timeout = task.opts.timeout
    if not timeout then return inside(h, task, fn) end
    local ok, returned = pcall(function() return sched.spawn(inside, h, task, fn):take(timeout) end)
    return ok and returned or { n = 2, false, Error.from(returned) }
end

local function is_end(err) return err.code == "interrupted" or err.code == "cancelled" or err.code == "dead" end

local function tries(h, task, fn)
    local opts = task.opts
    local most = 1 + (opts.retries or opts.until_ and 3 or 0)
    for n = 1, most do
        task.attempts = n > 1 and n or nil
        local returned = try(h, task, fn)
        local ok = returned[1]
        if ok and (not opts.until_ or h.check or opts.until_(unpack(returned, 2, returned.n))) then return returned end
        if n == most or (not ok and is_end(returned[2])) then
            if not ok then return returned end
            local text = ("'%s' (step %s): until_ did not hold in %d tries"):format(task.name, task.id, n)
            return { n = 2, false, Error.new { code = "resource", message = text, at = task.at } }
        end
        sched.sleep(opts.delay)
    end
end

local function tell(h, task, event)
    event.step, event.name, event.resource, event.host = task.id, task.name, "task", h.name
    event.handler = task.opts.handler or h.state.handler or nil
    h.emit(event)
end

local function over(h, task, status, result, err)
    result.name, result.resource, result.seconds = task.name, "task", sched.now() - task.started
    result.attempts, result.at = task.attempts, nil
    local notify = (result.changed or result.unknown) and task.opts.notify or nil
    if type(notify) == "string" then notify = { notify } end
    if notify then h.notify(notify) end
    tell(h, task, {
        event = "step_end", status = status, seconds = result.seconds, attempts = task.attempts,
        message = result.message,
        error = err and { code = err.code, message = err.message, at = err.at } or nil,
    })
    return result
end

local function perform(h, task, fn)
    local returned = tries(h, task, fn)
    if returned[1] then
        local result = { changed = task.changed or false, unknown = task.unknown }
        local status = task.changed and "changed" or task.unknown and "unknown" or "ok"
        over(h, task, status, result)
        return { n = returned.n, result, unpack(returned, 2, returned.n) }
    end
    local err = returned[2]
    if task.opts.ignore_errors and not is_end(err) then
        return { n = 1, over(h, task, "ignored", { changed = task.changed or false, failed = true, error = err }, err) }
    end
    over(h, task, "failed", { changed = task.changed or false }, err)
    error(err, 0)
end

local function once(h, task, fn)
    local key = ("%s\0%s"):format(h.owner and h.owner.name or "", task.name)
    local returned, mine = h.session.once:run(key, function() return perform(h, task, fn) end)
    if mine then
        h.session:note { event = "once", play = h.play, name = task.name }
        return returned
    end
    over(h, task, "skipped", { changed = false, skipped = true, message = "done once for all hosts" })
    return returned[1] and returned or { n = 1, returned } -- of an earlier run: only that it was done
end

local function limited(h, task, fn)
    local run = task.opts.run_once and h.session and once or perform
    if not task.opts.throttle or not h.session then return run(h, task, fn) end
    return h.session.throttle:run(task.name, task.opts.throttle, function() return run(h, task, fn) end)
end

local function unwanted(h, task)
    local why, nth = h:skips({ id = task.id, name = task.name, tags = task.tags }, true)
    task.nth = nth
    if why then return why end
    local when = task.opts.when
    if type(when) == "function" then when = when(h) end
    if when == false then return "its condition does not hold" end
end

---@param h orrery.play.Host
---@param name string
---@param opts? orrery.play.TaskOptions
---@param fn fun(h: orrery.play.Host): any
---@return orrery.play.Result
---@return any ...
function M.run(h, name, opts, fn)
    local at = Error.at()
    if type(opts) == "function" then opts, fn = {}, opts end
    if type(name) ~= "string" or type(fn) ~= "function" then
        Error.raise { code = "argument", at = at, message = "h:task takes a name, options, and a function" }
    end
    opts = schema.check("task", opts or {}, OPTIONS, at)
    local task = {
        id = h:next_id(), name = name, opts = opts, at = at, tags = h:all_tags(opts.tags), started = sched.now(),
    }
    local why = unwanted(h, task)
    tell(h, task, { event = "step_start", at = at, nth = task.nth })
    if why then return over(h, task, "skipped", { changed = false, skipped = true, message = why }) end
    local returned = limited(h, task, fn)
    return unpack(returned, 1, returned.n)
end

return M
