--- What an agent does: run calls for its parent. Loaded, and so listening, before the parent's first
--- message; `serve` then runs until the parent is gone.

local codec = require "orrery.codec"
local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local modules = require "orrery.modules"
local sched = require "orrery.sched"
require "orrery" -- contexts and senders that arrive in calls need their methods

local M = {}

local WITH_CODE = { code = true }
local LOG_WARN = 1

---@type table<string, orrery.Task> calls that run, for cancel
local running = {}

local function no_function(name, why)
    Error.raise { code = "no_function", message = ("'%s': %s"):format(name, why) }
end

-- "mod.sub.fn" is field fn of module mod.sub; a plain name is a global function.
local function resolve(name)
    local module, field = name:match("^(.*)%.([^%.]+)$")
    if not module then
        local fn = _G[name]
        return type(fn) == "function" and fn or no_function(name, "there is no such global function")
    end
    local ok, loaded = pcall(require, module)
    if not ok then
        local err = Error.from(loaded)
        if err.code == "lua" then
            Error.raise { code = "module", message = ("module '%s': %s"):format(module, err.message) }
        end
        error(err, 0)
    end
    local fn = type(loaded) == "table" and loaded[field]
    return fn or no_function(name, ("module '%s' has no '%s'"):format(module, field))
end

local function invoke(fn, ...)
    if type(fn) == "string" then fn = resolve(fn) end
    return fn(...)
end

local function run(payload)
    return codec.encode_data(invoke(codec.decode(payload, WITH_CODE)))
end

-- An answer that is too large becomes an error that says so: the caller waits for something.
local function answer(src, reply, seq, payload, is_error)
    local ok, code, text = core.reply(src, reply, seq, payload, is_error)
    if not ok then
        core.reply(src, reply, seq, codec.encode_error(Error.new { code = code, message = text }), true)
    end
end

local function finish(task, src, reply, seq)
    if reply == 0 then
        if task.error then core.log(LOG_WARN, "agent", "a cast failed: " .. tostring(task.error)) end
    elseif task.error then
        answer(src, reply, seq, codec.encode_error(task.error), true)
    else
        answer(src, reply, seq, task[1], false)
    end
end

local function on_call(seq, src, reply, _, payload)
    local key = src .. ":" .. seq
    local task = sched.spawn(run, payload)
    if reply ~= 0 then running[key] = task end
    task:on_done(function()
        running[key] = nil
        finish(task, src, reply, seq)
    end)
end

local function on_cancel(seq, src)
    local task = running[src .. ":" .. seq]
    if task then task:cancel() end
end

core.listen(core.handle.CALL, true)
core.listen(core.handle.CANCEL, true)
link.handle(core.handle.CALL, on_call)
link.handle(core.handle.CANCEL, on_cancel)
link.expect(1) -- there is always a next call
modules.serve()
modules.install()

local parent_gone = false
link.on_dead(function(id)
    if id == core.parent() then parent_gone = true end
end)

function M.serve()
    sched.run_until(function() return parent_gone end)
end

return M
