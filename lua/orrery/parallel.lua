--- The same function for many items at once: hosts, files, whatever a list holds.

local Error = require "orrery.error"
local options = require "orrery.options"
local sched = require "orrery.sched"

local M = {}

local SHOWN = 3 -- failures that the message of a "partial" error spells out

local function positive(value) return value > 0, "must be greater than 0" end

local SCHEMA = {
    limit = { type = "number", check = function(value) return value >= 1, "must be at least 1" end },
    raise = { type = "boolean", default = true },
    timeout = { type = "number", check = positive },
}

local function name_of(item)
    if type(item) == "table" and type(item.name) == "string" then return item.name end
    local ok, text = pcall(tostring, item)
    return ok and text or type(item)
end

---@class orrery.parallel.Run
---@field list any[]
---@field fn function
---@field opts table
---@field limit number
---@field started integer
---@field running integer
---@field tasks table<integer, orrery.Task> those that have not ended
---@field results table
---@field errors table<integer, orrery.Error>
---@field finished orrery.Future
local Run = {}
Run.__index = Run

local function give_up_after(task, seconds)
    return sched.after(seconds, function()
        local message = ("timed out after %g s"):format(seconds)
        task:cancel(Error.new { code = "timeout", message = message })
    end)
end

function Run:start(index)
    local item = self.list[index]
    local task = sched.spawn(self.fn, item, index)
    local timer = self.opts.timeout and give_up_after(task, self.opts.timeout)
    self.tasks[index], self.running = task, self.running + 1
    task:on_done(function()
        if timer then timer:cancel() end
        self.tasks[index], self.running = nil, self.running - 1
        if task.state == "resolved" then
            self.results[index] = task[1]
        else
            self.errors[index] = task.error
            -- Whoever waits for this is interrupted as well, but perhaps later.
            if task.error.code == "interrupted" then self.stopped = true end
        end
        self:refill()
    end)
end

function Run:refill()
    while self.running < self.limit and self.started < #self.list and not self.stopped do
        self.started = self.started + 1
        self:start(self.started)
    end
    if self.running == 0 then self.finished:resolve() end
end

-- The caller was cancelled, or cannot wait: no item starts any more, and those that run end before
-- the caller goes on, so that nothing works behind its back.
function Run:stop(reason)
    self.stopped = true
    for index = 1, #self.list do
        if self.tasks[index] then self.tasks[index]:cancel(reason) end
    end
    if not pcall(self.finished.get, self.finished) then self.finished:cancel(reason) end
end

local function run(list, opts, fn)
    local self = setmetatable({
        list = list, fn = fn, opts = opts, limit = opts.limit or math.huge,
        started = 0, running = 0, tasks = {}, results = { n = #list }, errors = {},
        finished = sched.future("the items of a parallel operation"),
    }, Run)
    self.finished.inner = true
    self:refill()
    local ok, err = pcall(self.finished.get, self.finished)
    if not ok then
        self:stop(Error.is(err) and err or nil)
        error(err, 0)
    end
    return self
end

local function partial(self)
    local failed, shown = {}, {}
    for index = 1, #self.list do
        local err = self.errors[index]
        if err then
            local name = name_of(self.list[index])
            failed[#failed + 1] = { index = index, item = name, error = err }
            if #failed <= SHOWN then shown[#failed] = ("%s: %s"):format(name, tostring(err.message)) end
        end
    end
    if #failed > SHOWN then shown[#shown + 1] = ("and %d more"):format(#failed - SHOWN) end
    return Error.new {
        code = "partial", at = Error.at(), errors = failed, results = self.results,
        message = ("%d of %d failed: %s"):format(#failed, #self.list, table.concat(shown, ", ")),
    }
end

local function start(where, list, opts, fn)
    if fn == nil then opts, fn = nil, opts end
    if type(list) ~= "table" or type(fn) ~= "function" then
        Error.raise {
            code = "argument", at = Error.at(),
            message = ("%s(list, [options,] fn): got %s and %s"):format(where, type(list), type(fn)),
        }
    end
    opts = options.check(where, opts, SCHEMA)
    local done = run(list, opts, fn)
    local failed = next(done.errors) ~= nil
    if failed and opts.raise then error(partial(done), 0) end
    return done.results, failed and done.errors or nil
end

---@class orrery.ParallelOptions
---@field limit? integer most items at once; default: all
---@field raise? boolean raise if an item failed; default true
---@field timeout? number seconds for each item, from when it starts

--- Calls `fn(item, index)` for each item, each in a task of its own, and returns when all have
--- ended. An item that fails does not stop the others.
---@param list any[]
---@param opts orrery.ParallelOptions|fun(item: any, index: integer) may be left out
---@param fn? fun(item: any, index: integer)
---@return table<integer, orrery.Error>? errors with `raise = false`: those that failed, by index
---Raises "partial" if items failed: `errors` is a list of `{index=, item=, error=}`, `results` what
---the
---others returned. Raises "cancelled" when the caller is; the items are cancelled with it.
function M.each(list, opts, fn)
    local _, errors = start("each", list, opts, fn)
    return errors
end

--- As each, and gathers what the calls return.
---@param list any[]
---@param opts orrery.ParallelOptions|fun(item: any, index: integer): any may be left out
---@param fn? fun(item: any, index: integer): any
---@return table results in the order of the list, nil where an item failed; `n` is the list's
---length
---@return table<integer, orrery.Error>? errors with `raise = false`: those that failed, by index
---Raises what each raises.
function M.map(list, opts, fn)
    return start("map", list, opts, fn)
end

options.declare(M.each, SCHEMA, 2)
options.declare(M.map, SCHEMA, 2)

return M
