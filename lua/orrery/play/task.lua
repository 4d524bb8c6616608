--- `h:task(name, options, fn)`: several steps, and whatever Lua does between them, as one.

local Error = require "orrery.error"
local host = require "orrery.play.host"
local options = require "orrery.options"
local resource = require "orrery.play.resource"
local schema = require "orrery.play.schema"
local sched = require "orrery.sched"
local tags = require "orrery.play.tags"

local Host = host.Host

local M = {}

local DELAY = 1 -- seconds between two tries
local TRIES = 3 -- after the first, where `until_` says no more

-- Most of what every resource takes, and with the same meaning.
local SHARED = {
    "tags", "when", "retries", "delay", "until_", "run_once", "delegate_to", "as", "ignore_errors", "notify", "timeout",
}

---@type orrery.play.Schema
local TASK = { throttle = { type = "integer", doc = "so many hosts do it at a time" } }
for _, name in ipairs(SHARED) do TASK[name] = resource.MODIFIERS[name] end

---@class orrery.play.TaskOptions
---@field tags? string|string[] which its steps have, too
---@field when? boolean|fun(): any whether to do it
---@field retries? integer how often to try again when it fails, or while `until_` does not hold
---@field delay? number|string seconds between two tries, or "1m"; default 1
---@field until_? fun(value: any): any of what fn returns
---@field run_once? boolean on the first host that gets there; the others wait, and get what it returned
---@field throttle? integer so many hosts at a time
---@field delegate_to? string|orrery.Context|orrery.play.Host where its steps are done instead
---@field as? boolean|string|orrery.play.Become who they are done as; false: whoever logs in
---@field ignore_errors? boolean go on after a failure; returns nil and the error
---@field notify? string|string[] handlers, if one of its steps changed something
---@field timeout? number|string seconds for each try

local function list(value)
    if type(value) == "string" then return { value } end
    return value
end

-- One try, in a task of its own where there is a limit.
local function try(h, opts, fn)
    if not opts.timeout then return fn(h) end
    return sched.spawn(fn, h):take(opts.timeout)
end

local function is_final(err)
    return err.code == "cancelled" or err.code == "interrupted" or err.code == "dead"
end

-- Until it is as wanted, or there are no tries left.
local function tries(h, opts, fn, state)
    local most = 1 + (opts.retries or opts.until_ and TRIES or 0)
    local first = h.scope.count
    for n = 1, most do
        state.attempts, h.scope.count = n, first -- the same steps again
        local ok, value = xpcall(try, Error.handler, h, opts, fn)
        if not ok and (is_final(value) or n == most) then error(value, 0) end
        if ok and (not opts.until_ or h.settings.check or opts.until_(value)) then return value end
        if ok and n == most then
            Error.raise { code = "resource", message = ("until_ did not hold in %d tries"):format(n) }
        end
        sched.sleep(opts.delay or DELAY)
    end
end

local function inside(h, id, opts, fn, state)
    local scope, before = rawget(h, "scope"), rawget(h, "tags") -- of h:as(...), these are another's
    local all = {}
    for tag in pairs(tags.set(h.tags or nil, opts.tags)) do all[#all + 1] = tag end
    table.sort(all)
    h.scope = { prefix = id .. ".", count = 0 }
    h.tags = #all > 0 and all or false
    local ok, value = xpcall(tries, Error.handler, h, opts, fn, state)
    h.scope, h.tags = scope, before
    return ok, value
end

local function changes(h) return h.conductor and h.conductor.changes or 0 end

local function tell(h, info, event)
    event.play, event.host, event.step, event.name = h.play or nil, h.name, info.id, info.title
    event.resource, event.handler = "task", info.handler
    h.sink(event)
end

local function tell_end(h, info, status, fields)
    fields.event, fields.status, fields.seconds = "step_end", status, sched.now() - info.began
    if fields.attempts == 1 then fields.attempts = nil end
    tell(h, info, fields)
end

local function failed(h, info, opts, err, attempts)
    local shown = { code = err.code, message = tostring(err.message), at = err.at }
    tell_end(h, info, opts.ignore_errors and "ignored" or "failed", { error = shown, attempts = attempts })
    if not opts.ignore_errors or err.code == "interrupted" then error(err, 0) end
    return { changed = false, failed = true, error = err }
end

local function perform(h, info, opts, fn)
    info.began = sched.now()
    tell(h, info, { event = "step_start", at = info.at })
    if opts.when == false or type(opts.when) == "function" and not opts.when() then
        tell_end(h, info, "skipped", { message = "its condition does not hold" })
        return { changed = false, skipped = true }
    end
    local before, state = changes(h), {}
    local ok, value = inside(h, info.id, opts, fn, state)
    if not ok then return failed(h, info, opts, Error.from(value), state.attempts) end
    local changed = changes(h) > before
    local owed = changed and opts.notify or nil
    tell_end(h, info, changed and "changed" or "ok", { attempts = state.attempts, notify = owed })
    return { changed = changed, value = value }
end

-- Few at a time, where that is wanted; the turn is waited for before the task begins.
local function in_turn(h, info, opts, fn)
    local conductor = h.conductor
    if not opts.throttle or not conductor then return perform(h, info, opts, fn) end
    return conductor.session.throttle:run(conductor.play.key .. "\0" .. info.title, opts.throttle, function()
        return perform(h, info, opts, fn)
    end)
end

--- As h:task, but returns { changed, skipped, failed, error, value }.
---@param h orrery.play.Host
---@param name string
---@param opts orrery.play.TaskOptions
---@param fn fun(h: orrery.play.Host): any
---@param handler? boolean it is one
---@return table
function M.run(h, name, opts, fn, handler)
    local at = Error.at()
    opts = schema.check("h:task", opts, TASK, at)
    opts.notify = list(opts.notify)
    local info = {
        id = host.next_id(h), resource = "task", title = name, modifiers = opts, how = "task", at = at,
        handler = handler,
    }
    return host.conduct(h, info, function() return in_turn(h, info, opts, fn) end)
end

--- Does several steps as one, which has a name, tags, tries and the like. Failures in it are caught by pcall.
---@param name string
---@param opts orrery.play.TaskOptions|fun(h: orrery.play.Host): any may be left out
---@param fn? fun(h: orrery.play.Host): any
---@return any value what fn returned; nil where it did not run
---@return orrery.Error? err with `ignore_errors`
---Raises what fn raised.
function Host:task(name, opts, fn)
    if type(opts) == "function" then opts, fn = {}, opts end
    if type(name) ~= "string" or type(fn) ~= "function" then
        Error.raise {
            code = "argument", at = Error.at(),
            message = "h:task(name, [options,] fn): a name and a function were expected",
        }
    end
    local result = M.run(self, name, opts, fn)
    return result.value, result.error
end
options.declare(Host.task, TASK, 2)

--- Runs the handlers that this host owes now, instead of at the end of the play.
function Host:flush_handlers()
    if self.conductor then self.conductor.play:flush(self.conductor, self) end
end

return M
