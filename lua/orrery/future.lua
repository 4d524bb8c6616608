--- Futures: one result that is not there yet.
--
-- A future knows nothing of tasks or loops. Who waits is an observer: a callback, or an object with
-- a `wake` method. How to wait is given by the scheduler, in `M.wait`.

local Error = require "orrery.error"

---@class orrery.Future
---@field what string|fun():string what one waits for, "the reply of web1", for error messages
---@field state false|"resolved"|"rejected"|"cancelled"
---@field n integer how many results; they are at [1] to [n]
---@field error false|orrery.Error
---@field on_cancel false|fun(future: orrery.Future, err: orrery.Error)
---@field inner boolean what one waits for waits for something else: a task
local Future = { what = "a result", on_cancel = false, observers = false, inner = false }
Future.__index = Future

local M = { Future = Future, TIMED_OUT = {} }

--- Blocks until the future is settled. Set by the scheduler.
---@type fun(future: orrery.Future, timeout?: number): table|nil returns nil when it is settled,
---TIMED_OUT,
---or the Error that ended the wait
function M.wait() error("orrery.future: no scheduler is loaded", 0) end

--- Receives errors of callbacks, which have no caller who could catch them. Set by the scheduler.
---@type fun(err: orrery.Error)
function M.on_error(err) error(err, 0) end

--- What settling writes is there from the start: it then allocates nothing.
---@param what? string|fun():string
---@param on_cancel? fun(future: orrery.Future, err: orrery.Error)
---@return orrery.Future
function M.new(what, on_cancel)
    return setmetatable({
        false, what = what, on_cancel = on_cancel,
        state = false, n = 0, error = false, observer = false,
    }, Future)
end

local function guarded(fn, ...)
    local ok, err = xpcall(fn, Error.handler, ...)
    if not ok then M.on_error(err) end
end

local function notify(future, observer)
    if type(observer) == "function" then
        guarded(observer, future)
    elseif observer then
        observer:wake()
    end
end

--- Enters a final state, whose fields are set already, and tells everyone.
---@param state "resolved"|"rejected"|"cancelled"
---@private
function Future:settle(state)
    local first, rest = self.observer, self.observers
    self.state, self.observer = state, false
    notify(self, first)
    if not rest then return end
    self.observers = false
    for i = 1, #rest do notify(self, rest[i]) end
end

---@param observer function|{ wake: function } told once, when the future is settled
---@private
function Future:observe(observer)
    if not self.observer then
        self.observer = observer
    else
        self.observers = self.observers or {}
        table.insert(self.observers, observer)
    end
end

---@private
function Future:unobserve(observer)
    if self.observer == observer then self.observer = false end
    for i = self.observers and #self.observers or 0, 1, -1 do
        if self.observers[i] == observer then table.remove(self.observers, i) end
    end
end

--- The text of `what`.
---@return string
function Future:describe()
    return type(self.what) == "function" and self.what() or tostring(self.what)
end

---@return boolean done whether there is a result or an error
function Future:done()
    return self.state ~= false
end

--- Gives the results. Only the first resolve, reject or cancel counts.
---@param ... any
---@return boolean first whether this one did
function Future:resolve(...)
    if self.state then return false end
    local n = select("#", ...)
    self.n = n
    if n == 1 then
        self[1] = (...)
    else
        for i = 1, n do self[i] = (select(i, ...)) end
    end
    self:settle("resolved")
    return true
end

--- Ends it with an error.
---@param err any what is no Error is wrapped in one
---@return boolean first
function Future:reject(err)
    if self.state then return false end
    self.error = Error.from(err)
    self:settle("rejected")
    return true
end

--- The error for a cancelled wait.
---@param reason? string|orrery.Error an Error is used as it is
---@return orrery.Error
---@private
function Future:cancellation(reason)
    if Error.is(reason) then return reason end
    local why = reason ~= nil and ": " .. tostring(reason) or ""
    return Error.new { code = "cancelled", message = self:describe() .. " was cancelled" .. why }
end

--- Gives up. Runs the on_cancel hook once; whoever waits gets an Error "cancelled".
---@param reason? string|orrery.Error an Error is raised as it is, whatever its code
---@return boolean first false if it was settled before
function Future:cancel(reason)
    if self.state then return false end
    self.error = self:cancellation(reason)
    -- Not pending any more while the hook runs, so that a hook cannot settle it otherwise.
    self.state = "cancelled"
    local hook = self.on_cancel
    self.on_cancel = false
    if hook then guarded(hook, self, self.error) end
    self:settle("cancelled")
    return true
end

--- The results of a settled future.
---@return any ...
---@private
function Future:result()
    if self.state ~= "resolved" then error(self.error, 0) end
    if self.n == 1 then return self[1] end
    return unpack(self, 1, self.n)
end

local function failure(future, why, timeout)
    if why ~= M.TIMED_OUT then return why end
    return Error.new {
        code = "timeout", at = Error.at(),
        message = ("timed out after %g s: %s"):format(timeout, future:describe()),
    }
end

--- Waits and returns the results. The future goes on if the wait fails.
---@param timeout? number seconds; nil waits for ever
---@return any ...
---Raises the error that it was rejected with, unchanged; "timeout"; "cancelled" if it or the
---waiting
---task was cancelled; "deadlock" where nothing is left that could settle it.
function Future:get(timeout)
    if not self.state then
        local why = M.wait(self, timeout)
        if why then error(failure(self, why, timeout), 0) end
    end
    return self:result()
end

--- As get, for a caller who is the only one to wait: if the wait fails, the future is cancelled.
---@param timeout? number seconds
---@return any ...
function Future:take(timeout)
    if not self.state then
        local why = M.wait(self, timeout)
        if why then
            local err = failure(self, why, timeout)
            self:cancel(err)
            error(err, 0)
        end
    end
    return self:result()
end

--- Calls back once it is settled; at once if it is. The callback must not block.
---@param callback fun(future: orrery.Future)
function Future:on_done(callback)
    if self.state then notify(self, callback) else self:observe(callback) end
end

return M
