--- Contexts as a script sees them: `web1:call(fn)`, `web1:run{...}`, `web1:put(...)`.
--
-- A context is a plain table {id, name, route}, so it can be an argument or a result of a call. The
-- way there is looked up by its id, once in each process.

local codec = require "orrery.codec"
local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local sched = require "orrery.sched"

---@class orrery.Context
---@field id integer unique in the tree
---@field name string "web1"
---@field route string how it is reached, "ssh:web1"
local Context = codec.typed "context"
Context.__index = Context

local M = { Context = Context }

--- How long a closing child may take to end by itself, seconds.
local LINGER = 3

---@type table<orrery.Context, userdata>
local ways = setmetatable({}, { __mode = "k" })
---@type table<orrery.Context, userdata> proxies that close what this script opened
local owners = setmetatable({}, { __mode = "k" })

function Context:__tostring()
    return ("context %s (%s)"):format(self.name, self.route)
end

function Context.__eq(a, b) return a.id == b.id end

--- Puts the place into an error that has none.
---@param ctx orrery.Context
---@param err orrery.Error
---@return orrery.Error
function M.locate(ctx, err)
    if err.context == nil or err.context == ctx.name then
        err.context, err.route = ctx.name, err.route or ctx.route
    end
    return err
end

---@param ctx orrery.Context
---@return userdata way to send by, for the functions of orrery.core
function M.way(ctx)
    local way = ways[ctx]
    if way then return way end
    if getmetatable(ctx) ~= Context then
        Error.raise { code = "argument", message = "not a context: call it as ctx:method(...)" }
    end
    way = core.context(ctx.id)
    if not way then
        Error.raise {
            code = "dead", message = "the context is lost, or was closed", context = ctx.name,
            route = ctx.route, at = Error.at(),
        }
    end
    ways[ctx] = way
    return way
end

--- The context for an id; of the ones that this script opened, its own object is elsewhere.
---@param id integer
---@return orrery.Context?
function M.from_id(id)
    local way, name, route = core.context(id)
    if not way then return nil end
    local ctx = setmetatable({ id = id, name = name, route = route }, Context)
    ways[ctx] = way
    return ctx
end

--- Sends, and raises what the way says with the place in it.
function M.send(ctx, handle, seq, payload, wants_reply)
    local ok, code, text = core.send(M.way(ctx), handle, seq, payload, wants_reply)
    if not ok then
        Error.raise {
            code = code, message = text, context = ctx.name, route = ctx.route, at = Error.at(),
        }
    end
end

-- Opening -----------------------------------------------------------------------------------------

local await_opening = link.answers(core.handle.HELLO, function(id) core.close(id, 0) end)

---@class orrery.HostInfo what the agent says of its host
---@field hostname string
---@field kernel string
---@field machine string
---@field pid integer
---@field uid integer
---@field uploaded integer bytes of agent that had to be sent
---@field how string
---@type table<orrery.Context, orrery.HostInfo>
local infos = setmetatable({}, { __mode = "k" })

local function own(ctx)
    local proxy = newproxy(true)
    local id = ctx.id
    getmetatable(proxy).__gc = function() core.close(id, LINGER) end
    owners[ctx] = proxy
end

--- Opens a child and waits until its agent is there.
---@param request table for core.open: name, route and so on
---@return orrery.Context
---Raises "connect", "hostkey", "auth", "bootstrap", "timeout", "cancelled".
function M.open(request)
    local ok, code, text = core.open(request)
    local future = sched.future {
        what = function() return "opening " .. request.name end,
        on_cancel = function() core.cancel_open(ok) end,
    }
    if ok then
        await_opening(ok, future)
    else
        future:reject(Error.new { code = code, message = text })
    end
    local fine, id, payload = pcall(future.take, future)
    if not fine then
        local err = Error.from(id)
        err.at = err.at or Error.at()
        err.context, err.route = err.context or request.name, err.route or request.route
        error(err, 0)
    end
    local ctx = setmetatable({ id = id, name = request.name, route = request.route }, Context)
    M.way(ctx)
    own(ctx)
    local info = {}
    info.hostname, info.kernel, info.machine, info.pid, info.uid, info.uploaded, info.how =
        core.unpack("sss448s", payload)
    infos[ctx] = info
    return ctx
end

--- What the agent said of its host when it came up.
---@return orrery.HostInfo? info nil for a context that another one opened
function Context:info() return infos[self] end

--- Closes it: what was sent still arrives, running commands end, the agent exits. Returns when it is
--- gone. Closing twice is fine.
---@param timeout? number seconds until it is cut off, default 3
function Context:close(timeout)
    owners[self] = nil
    if not core.context(self.id) then return end
    local gone = sched.future { what = "the end of " .. self.name }
    local stop = link.on_dead(function(id)
        if id == self.id then gone:resolve() end
    end)
    link.expect(1)
    core.close(self.id, timeout or LINGER)
    local ok, err = pcall(gone.get, gone)
    link.expect(-1)
    stop()
    if not ok then error(err, 0) end
end

-- Calls -------------------------------------------------------------------------------------------

local function on_reply(ctx, future, flags, payload)
    if flags == core.DEAD then
        future:reject(M.locate(ctx, link.dead_error(payload)))
    elseif flags == core.ERROR then
        local err = Error.from(codec.decode(payload))
        err.remote = err.traceback ~= nil
        future:reject(M.locate(ctx, err))
    else
        future:resolve(codec.decode(payload))
    end
end

--- Starts a call. Functions travel with their upvalues, by value; a loaded module goes by its name.
---@param fn function|string a function, or "module.name"
---@param ... any arguments
---@return orrery.Future future get(timeout), done(), cancel(): a cancelled call is told to end there
---Raises "encode" naming what cannot travel; "dead".
function Context:call_async(fn, ...)
    if type(fn) ~= "function" and type(fn) ~= "string" then
        Error.raise {
            code = "argument", at = Error.at(),
            message = "call: a function or 'module.name' was expected, this is a " .. type(fn),
        }
    end
    local payload = codec.encode_call(fn, ...)
    local conversation
    local future = sched.future {
        what = function() return ("a call in %s"):format(self.name) end,
        on_cancel = function()
            link.finish(conversation)
            pcall(M.send, self, core.handle.CANCEL, conversation.seq, "", false)
        end,
    }
    conversation = link.converse(self.id, function(flags, reply)
        link.finish(conversation)
        local ok, err = pcall(on_reply, self, future, flags, reply)
        if not ok then future:reject(M.locate(self, Error.from(err))) end
    end, function(err)
        future:reject(M.locate(self, err))
    end)
    local ok, err = pcall(M.send, self, core.handle.CALL, conversation.seq, payload, true)
    if not ok then
        link.finish(conversation)
        error(err, 0)
    end
    return future
end

--- Calls a function there and returns what it returns.
---@param fn function|string
---@param ... any
---@return any ...
---Raises what the function raised, with its own traceback; "dead" when the context is lost.
function Context:call(fn, ...)
    return self:call_async(fn, ...):take()
end

--- Calls a function there and does not wait. What it returns or raises is dropped there (an error
--- goes to the context's log).
---@param fn function|string
---@param ... any
function Context:cast(fn, ...)
    M.send(self, core.handle.CALL, 0, codec.encode_call(fn, ...), false)
end

--- Sends a value to a receiver there.
---@param handle integer|orrery.Sender
---@param ... any
function Context:send(handle, ...)
    if type(handle) == "table" then handle = handle.handle end
    M.send(self, handle, 0, codec.encode(...), false)
end

return M
