--- One step: a resource with its options, checked and mended, with all that every resource takes (`when`, `retries`).
--
-- Runs where the resource does, which is on the target. Nothing here knows how steps get there.

local env = require "orrery.play.env"
local Error = require "orrery.error"
local sched = require "orrery.sched"
local tags = require "orrery.play.tags"

local M = {}

local DELAY = 1 -- seconds between two tries
local MOST_DIFF = 256 * 1024 -- bytes of a text in a diff; more says nothing to a person

---@class orrery.play.Settings what a run is like
---@field check? boolean
---@field diff? boolean
---@field tags? string[]
---@field skip_tags? string[]

---@class orrery.play.Result what a step has done. Fields of the resource's own stand beside these
---@field changed boolean in check mode: whether it would have
---@field unknown? boolean check mode cannot tell
---@field skipped? boolean
---@field failed? boolean with `ignore_errors`
---@field error? orrery.Error
---@field diff? table[]
---@field message? string
---@field seconds number
---@field resource string
---@field name? string
---@field attempts? integer

local function secrets() return package.loaded["orrery.secret"] end

--- Takes secrets out of a value that somebody will see.
function M.scrub(value)
    local secret = secrets()
    if not secret then return value end
    if type(value) == "string" then return secret.redact(value) end
    return type(value) == "table" and secret.scrub(value) or value
end

local function reveal(value)
    local secret = secrets()
    if not secret then return value end
    if secret.is(value) then return secret.reveal(value) end
    if type(value) ~= "table" or getmetatable(value) then return value end
    local copy = {}
    for key, each in pairs(value) do copy[key] = reveal(each) end
    return copy
end

local function options_of(step)
    local options = {}
    for name, value in pairs(step.options) do
        local option = step.definition.options[name]
        if option and option.sealed then options[name] = value else options[name] = reveal(value) end
    end
    return options
end

-- What a person can read of a diff.
local function presentable(diff, settings)
    if type(diff) ~= "table" then return nil end
    local shown = {}
    for _, part in ipairs(diff) do
        local text = part.path ~= nil
        local long = #tostring(part.before or "") > MOST_DIFF or #tostring(part.after or "") > MOST_DIFF
        if text and long then
            shown[#shown + 1] = { path = part.path, message = "too large to show" }
        elseif not text or settings.diff then
            shown[#shown + 1] = part
        end
    end
    return #shown > 0 and shown or nil
end

local function merge(into, from)
    for key, value in pairs(from or {}) do into[key] = value end
    return into
end

-- One try: check, and apply where something differs.
local function try(step, settings)
    local definition, check = step.definition, settings.check
    if step.modifiers.check_mode ~= nil then check = step.modifiers.check_mode end
    local e, finish = env.new(step, { check = check or false, diff = settings.diff or false })
    local ok, result = xpcall(function()
        local options = options_of(step)
        local plan, out = definition.check(options, e)
        local result = merge({}, out)
        if plan and not check then
            step.begin_change()
            e.applying = true
            merge(result, definition.apply and definition.apply(options, plan, e))
        end
        if result.changed == nil then result.changed = plan ~= nil and not (check and plan.unknown) end
        result.unknown = plan and check and plan.unknown or nil
        result.message = result.message or plan and plan.message
        result.diff = M.scrub(presentable(plan and plan.diff, settings))
        return result
    end, Error.handler)
    finish()
    if not ok then error(result, 0) end
    return result
end

local function try_in_time(step, settings)
    local timeout = step.modifiers.timeout
    if not timeout or step.definition.options.timeout then return try(step, settings) end
    return sched.spawn(try, step, settings):take(timeout)
end

local function asked(value, ...)
    if type(value) == "function" then return value(...) end
    return value
end

-- Facts cost something: only a function that takes them gets them.
local function condition_holds(step)
    local when = step.modifiers.when
    if type(when) ~= "function" then return when end
    local info = debug.getinfo(when, "u")
    return when(step.results, (info.isvararg or info.nparams > 1) and step.facts() or nil)
end

-- What the script says of a result that there is, or of a failure that has one. Of what nobody knows its functions can
-- say nothing.
local function judge(step, ok, result)
    local m = step.modifiers
    local known = result
    if ok and result.unknown and type(m.changed_when) ~= "boolean" then return ok, result end
    if not ok then
        known = { changed = false, failed = true, error = result }
        merge(known, type(result.result) == "table" and result.result or nil)
    end
    if m.failed_when ~= nil then
        local failed = asked(m.failed_when, known)
        if failed then
            local text = type(failed) == "string" and failed or "failed_when holds"
            local cause = not ok and result or nil
            return false, Error.new { code = "resource", message = text, result = known, cause = cause }
        end
        ok, result = true, known
        known.failed, known.error = nil, nil
    end
    if ok and m.changed_when ~= nil then
        result.changed = asked(m.changed_when, result) and true or false
        result.unknown = nil
    end
    return ok, result
end

local function is_given_up(err) return err.code == "cancelled" or err.code == "interrupted" end

local function attempt(step, settings)
    local ok, result = xpcall(try_in_time, Error.handler, step, settings)
    if not ok and is_given_up(result) then error(result, 0) end
    return judge(step, ok, result)
end

-- Until it is as wanted, or there are no tries left.
local function attempts(step, settings)
    local m = step.modifiers
    local tries = 1 + (m.retries or m.until_ and 3 or 0)
    for n = 1, tries do
        local ok, result = attempt(step, settings)
        local wanted = ok and (not m.until_ or result.unknown or m.until_(result))
        if wanted then return true, result, n end
        if n == tries then
            if ok then
                local text = ("until_ did not hold in %d tries"):format(n)
                result = Error.new { code = "resource", message = text, result = result }
            end
            return false, result, n
        end
        sched.sleep(m.delay or DELAY)
    end
end

local function described(step)
    local shown = M.scrub(step.title)
    if step.named then return ("'%s' (%s, step %s)"):format(shown, step.definition.name, step.id) end
    return ("%s (step %s)"):format(shown, step.id)
end

-- The failure as the script gets it: which step, where in the script, and why.
local function wrapped(step, cause)
    local hidden = step.modifiers.no_log
    local text = hidden and "failed; no_log hides how" or M.scrub(tostring(cause.message))
    local err = {
        code = cause.code, step = step.id, resource = step.definition.name, name = step.title, at = step.at or cause.at,
        errno = cause.errno, message = ("%s: %s"):format(described(step), text),
    }
    if not hidden then
        err.traceback = cause.code == "lua" and M.scrub(cause.traceback) or nil
        err.result, err.cause = M.scrub(cause.result), M.scrub(cause.cause)
    end
    return Error.new(err)
end

local function status_of(result)
    if result.skipped then return "skipped" end
    if result.failed then return "ignored" end
    if result.unknown then return "unknown" end
    return result.changed and "changed" or "ok"
end

local function tell_end(step, status, result, err)
    local m = step.modifiers
    local owed = (result.changed or result.unknown) and m.notify or nil
    step.events:emit {
        event = "step_end", step = step.id, name = step.title, resource = step.definition.name, status = status,
        seconds = result.seconds, attempts = result.attempts, notify = owed,
        diff = not m.no_log and M.scrub(result.diff) or nil,
        message = not m.no_log and result.message and M.scrub(result.message) or nil,
        error = err and { code = err.code, message = err.message, at = err.at } or nil,
    }
    if owed then step.events:flush() end
end

local function skip(step, why)
    local result = {
        changed = false, skipped = true, message = why, seconds = 0, resource = step.definition.name, name = step.title,
    }
    tell_end(step, "skipped", result)
    return result
end

local function set_or_nil(list) return list and tags.set(list) or nil end

-- Why the run does not want this step; nil: it does.
local function unwanted(step, settings)
    if step.skip then return step.skip end
    local all = tags.set(step.modifiers.tags, step.tags)
    if not tags.wanted(set_or_nil(settings.tags), set_or_nil(settings.skip_tags), all) then
        return "its tags were not asked for"
    end
    if step.modifiers.when ~= nil and not condition_holds(step) then
        return "its condition does not hold"
    end
end

local function succeed(step, result)
    tell_end(step, status_of(result), result, result.error)
    return result
end

local function fail(step, cause, seconds, n)
    local err = wrapped(step, cause)
    local result = {
        changed = false, failed = true, error = err, seconds = seconds, attempts = n > 1 and n or nil,
        resource = step.definition.name, name = step.title,
    }
    if step.modifiers.ignore_errors then
        return succeed(step, merge(result, type(err.result) == "table" and err.result or nil))
    end
    tell_end(step, "failed", result, err)
    error(err, 0)
end

--- Performs a step.
---@param step orrery.play.Step
---@param settings orrery.play.Settings
---@return orrery.play.Result
---Raises what went wrong, with `step`, `resource`, `name` and `at`.
function M.perform(step, settings)
    step.scrub = M.scrub
    step.begin_change = function()
        if not step.modifiers.notify then return end
        -- Who hears of its beginning, and not of its end, takes it for granted that it has changed something.
        step.events:flush()
    end
    step.events:emit {
        event = "step_start", step = step.id, name = step.title, resource = step.definition.name, at = step.at,
        notify = step.modifiers.notify,
    }
    local started = sched.now()
    local wanted, why = pcall(unwanted, step, settings)
    if not wanted then return fail(step, Error.from(why), 0, 1) end
    if why then return skip(step, why) end
    local ran, ok, result, n = xpcall(attempts, Error.handler, step, settings)
    if not ran and is_given_up(ok) then error(ok, 0) end
    if not ran then ok, result, n = false, ok, 1 end -- a function of the script's that judges has failed itself
    local seconds = sched.now() - started
    if not ok then return fail(step, result, seconds, n) end
    result.seconds, result.resource, result.name = seconds, step.definition.name, step.title
    result.attempts = n > 1 and n or nil
    return succeed(step, result)
end

return M
