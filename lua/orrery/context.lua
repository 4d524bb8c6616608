--- Contexts as a script sees them: `web1:call(fn)`, `web1:run{...}`, `web1:put(...)`.
--
-- A context is a plain table {id, name, route}, so it can be an argument or a result of a call. The
-- way there is looked up by its id, once in each process.

local ask = require "orrery.ask"
local breaking = require "orrery.breaking"
local closure = require "orrery.closure"
local codec = require "orrery.codec"
local core = require "orrery.core"
local Error = require "orrery.error"
local Future = require("orrery.future").Future
local handover = require "orrery.handover"
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
--- What CANCEL says where a call is to end for good, and how long it has until BREAK follows, seconds.
local FOR_GOOD, PATIENCE = "\1", 0.2
local MOST_BREAKS = 50

---@type table<orrery.Context, userdata>
local ways = setmetatable({}, { __mode = "k" })
---@type table<orrery.Context, table> proxies that close what this script opened, and what it was opened in
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

--- The context for an id: one of this process's, by whichever of its threads it was opened. Who opened it
--- has an object of its own, with which it ends.
---@param id integer
---@return orrery.Context? context nil where no way leads there
function M.from_id(id)
    local way, name, route = core.context(id)
    if not way then return nil end
    local ctx = setmetatable({ id = id, name = name, route = route }, Context)
    ways[ctx] = way
    return ctx
end

local function not_sent(ctx, code, text)
    local attached = code == "dead" and core.attached()
    if attached then text = attached .. ": the process that this one was attached to has ended" end
    Error.raise {
        code = code, message = text, context = ctx.name, route = ctx.route, at = Error.at(),
    }
end

--- Sends, and raises what the way says with the place in it. Waits while what was sent there before is
--- not taken.
function M.send(ctx, handle, seq, payload, wants_reply)
    local way = M.way(ctx)
    local ok, code, text = core.send(way, handle, seq, payload, wants_reply)
    while code == "full" do
        link.await_room(ctx, handle)
        ok, code, text = core.send(way, handle, seq, payload, wants_reply)
    end
    if not ok then not_sent(ctx, code, text) end
end

-- False where the values need the codec, or have to wait, which is M.send's part.
local function check_sent(ctx, ok, code, text)
    if ok == nil and code ~= "full" then not_sent(ctx, code, text) end
    return ok
end

--- The same with values, which `encode` (of orrery.codec) encodes where they are not plain.
function M.send_values(ctx, handle, seq, wants_reply, encode, ...)
    local way = ways[ctx] or M.way(ctx)
    if not check_sent(ctx, core.send_values(way, handle, seq, wants_reply, ...)) then
        local payload = encode(...)
        handover.give(ctx.id, payload)
        M.send(ctx, handle, seq, payload, wants_reply)
    end
end

local function send_call(ctx, seq, wants_reply, fn, ...)
    if type(fn) == "function" then
        local way, call = ways[ctx] or M.way(ctx), core.handle.CALL
        if check_sent(ctx, core.send_values(way, call, seq, wants_reply, closure.flat(fn, ...))) then
            return
        end
    end
    M.send_values(ctx, core.handle.CALL, seq, wants_reply, codec.encode_call, fn, ...)
end

--- Lets two children send to each other; see orrery.allow.
---@param a orrery.Context
---@param b orrery.Context
function M.allow(a, b)
    M.way(a)
    M.way(b)
    local ok, code, text = core.allow(a.id, b.id)
    if not ok then not_sent(a, code, text) end
end

-- Opening -----------------------------------------------------------------------------------------

local REPORT = "ssssssssss88888"
local REPORT_FIELDS = 15

---@class orrery.SshReport what SSH inside this process did; texts are "" and times 0 where it did not get there
---@field address string of the host, or of the last jump host's far end
---@field banner string of the server
---@field kex string
---@field host_key string
---@field cipher string
---@field mac string
---@field fingerprint string "SHA256:..."
---@field trusted string "FILE:LINE" of the line in known_hosts that vouches for the key
---@field auth string how it logged in
---@field tried string what else was tried
---@field resolve number seconds, as all times
---@field connect number
---@field key_exchange number
---@field authentication number
---@field exec number

---@return orrery.SshReport? report nil where there was no SSH in this process
local function report(...)
    local r = {}
    r.address, r.banner, r.kex, r.host_key, r.cipher, r.mac, r.fingerprint, r.trusted, r.auth, r.tried = ...
    r.resolve, r.connect, r.key_exchange, r.authentication, r.exec = select(11, ...)
    local spent = 0
    for field, value in pairs(r) do
        if type(value) == "number" then
            r[field] = value / 1e6
            spent = spent + value
        end
    end
    return (spent > 0 or r.address ~= "" and r.address ~= nil) and r or nil
end

local function some(text) return text ~= "" and text or nil end

-- u8 code, u8 whether ssh(1) could do better, str text, report, and what came on stderr.
local function opening_error(payload)
    local fields = { core.unpack("11s" .. REPORT .. "*", payload) }
    local code, could, text = fields[1], fields[2], fields[3]
    return Error.new {
        code = core.error_name(code or 1), message = text or "malformed error",
        openssh_could = could == 1 or nil, ssh = report(unpack(fields, 4, 3 + REPORT_FIELDS)),
        stderr = some(fields[4 + REPORT_FIELDS]),
    }
end

local await_opening = link.answers(core.handle.HELLO, opening_error, function(id) core.close(id, 0) end)

---@class orrery.HostInfo what the agent says of its host
---@field hostname string
---@field kernel string
---@field machine string
---@field pid integer
---@field uid integer
---@field uploaded integer bytes of agent that had to be sent
---@field how string
---@field ssh? orrery.SshReport
---@type table<orrery.Context, orrery.HostInfo>
local infos = setmetatable({}, { __mode = "k" })

local function own(ctx, above)
    local proxy = newproxy(true)
    local id = ctx.id
    getmetatable(proxy).__gc = function() core.close(id, LINGER) end
    owners[ctx] = { proxy, above }
end

--- The route of a child of this context.
---@param route string "local:x"
---@return string "ssh:jump/local:x"
function M.route_from_here(route)
    local _, _, _, here = core.self()
    if here == "" or route == "" then return here .. route end
    return here .. "/" .. route
end

--- An object for a context that was opened for this process, which is closed with it.
---@param id integer
---@param request table its name, and its whole route
---@param info orrery.HostInfo
---@param above? orrery.Context in which it was opened; lives as long
---@return orrery.Context
function M.adopt(id, request, info, above)
    local ctx = setmetatable({ id = id, name = request.name, route = request.route }, Context)
    M.way(ctx)
    own(ctx, above)
    infos[ctx] = info
    return ctx
end

---@class orrery.Plan how a child is to be opened, as plain data: what can be done here or in any other
---context (orrery.nested). One of `argv` and `ssh`, or neither: a process of the same machine.
---@field name string "web1"
---@field route string "ssh:web1": how it is reached from the context that opens it
---@field argv? string[] a command that becomes an agent by way of a shell; in its last word {} stands for what
---`sh -c` is to run, which has no single quote in it
---@field ssh? table see get_ssh in runtime/call/bind/bind.c
---@field no_cache? boolean
---@field cache? string
---@field deferred? boolean
---@field bootstrap_timeout? number
---@field keepalive? number
---@field asking? table see get_asking there
---@field explain? fun(err: orrery.Error): orrery.Error makes of an error the one to raise
---@field ask? fun(question: orrery.Asked): string? answers what only a person knows

--- Opens a child and waits until its agent is there.
---@param plan orrery.Plan
---@return orrery.Context
---Raises "connect", "hostkey", "auth", "credentials", "bootstrap", "timeout", "cancelled"; "limit" where
---contexts would nest too deeply.
function M.open(plan)
    local request = setmetatable({ route = M.route_from_here(plan.route) }, { __index = plan })
    ask.prepare(request)
    local ok, code, text = core.open(request)
    local future = sched.future {
        what = function() return "opening " .. request.name end,
        on_cancel = function() core.cancel_open(ok) end,
    }
    if ok then
        await_opening(ok, future)
        ask.serve(ok, request)
    else
        future:reject(Error.new { code = code, message = text })
    end
    local fine, id, payload = pcall(future.take, future)
    if ok then ask.done(ok) end
    if not fine then
        -- It came up when its task had been cancelled already, and had not had its turn.
        if future.state == "resolved" then core.close(future[1], 0) end
        local err = Error.from(id)
        if request.explain then err = request.explain(err) end
        err.at = err.at or Error.at()
        err.context, err.route = err.context or request.name, err.route or request.route
        error(err, 0)
    end
    local fields, info = { core.unpack("sss448s" .. REPORT, payload) }, {}
    info.hostname, info.kernel, info.machine, info.pid, info.uid, info.uploaded, info.how = unpack(fields, 1, 7)
    info.ssh = report(unpack(fields, 8, 7 + REPORT_FIELDS))
    return M.adopt(id, request, info)
end

--- What the agent said of its host when it came up.
---@return orrery.HostInfo? info nil for a context that another one opened
function Context:info() return infos[self] end

--- Closes it: what was sent still arrives, running commands end, what was opened in it is closed, the agent
--- exits. Returns when it is gone. Closing twice is fine.
---@param timeout? number seconds until it is cut off, default 3
---Raises "denied" where this process is attached: contexts are closed by whoever opened them.
function Context:close(timeout)
    if core.attached() then
        Error.raise {
            code = "denied", message = "a process that is attached closes no contexts", context = self.name,
            route = self.route, at = Error.at(),
        }
    end
    owners[self] = nil
    if not core.below(self.id) then return end
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

---@class orrery.Call: orrery.Future, orrery.Question one that was made, and its results
---@field ctx orrery.Context
local Call = setmetatable({}, { __index = Future })
Call.__index = Call

function Call:describe() return "a call in " .. self.ctx.name end

-- Where it is cancelled: an empty message there, with the same number.
Call.cancel_handle = core.handle.CANCEL

-- One that is to end for good is still heard of, until it has.
local Ending = {}
Ending.__index = Ending

function Ending:answered()
    link.finish(self)
    self.list[self] = nil
end

function Ending:lost() self.list[self] = nil end

local function insist(call, list)
    local ctx = call.ctx
    local ending = setmetatable({ context = ctx.id, seq = call.seq, list = list }, Ending)
    link.open(ending)
    list[ending] = ctx.name
    local left = MOST_BREAKS
    local function again()
        if not list[ending] or left == 0 then return end
        left = left - 1
        if pcall(M.send, ctx, core.handle.BREAK, ending.seq, "", true) then sched.after(PATIENCE, again) end
    end
    sched.after(PATIENCE, again)
end

-- A call that nobody waits for any more is told to end there.
function Call:on_cancel(err)
    link.finish(self)
    local list = self.cancel_handle == core.handle.CANCEL and breaking.unfinished(err)
    if pcall(M.send, self.ctx, self.cancel_handle, self.seq, list and FOR_GOOD or "", true) and list then
        insist(self, list)
    end
end

local function settle(call, flags, payload, ...)
    if flags == core.DEAD then
        call:reject(M.locate(call.ctx, link.dead_error(payload)))
    elseif flags == core.ERROR then
        local value = ...
        if type(payload) == "string" then value = codec.decode(payload) end
        local err = Error.from(value)
        err.remote = err.traceback ~= nil
        call:reject(M.locate(call.ctx, err))
    else
        handover.check(call.context, payload)
        call:resolve(codec.decode(payload))
    end
end

function Call:answered(flags, payload, ...)
    link.finish(self)
    if flags == 0 and type(payload) == "number" then
        self:resolve(...)
        return
    end
    local ok, err = pcall(settle, self, flags, payload, ...)
    if not ok then self:lost(Error.from(err)) end
end

function Call:lost(err) self:reject(M.locate(self.ctx, err)) end

local function check_callable(fn)
    if type(fn) ~= "function" and type(fn) ~= "string" then
        Error.raise {
            code = "argument", at = Error.at(),
            message = "call: a function or 'module.name' was expected, this is a " .. type(fn),
        }
    end
end

local function new_call(ctx, seq)
    local task = sched.running()
    local call = setmetatable({
        false, state = false, n = 0, error = false, observer = false,
        ctx = ctx, context = ctx.id, seq = seq, run = task and task.run,
    }, Call)
    link.open(call)
    return call
end

--- Starts a call. Functions travel with their upvalues, by value; a loaded module goes by its name.
---@param fn function|string a function, or "module.name"
---@param ... any arguments
---@return orrery.Future future get(timeout), done(), cancel(): a cancelled call is told to end there
---Raises "encode" naming what cannot travel; "dead".
function Context:call_async(fn, ...)
    check_callable(fn)
    local call = new_call(self, 0)
    local ok, err = pcall(send_call, self, call.seq, true, fn, ...)
    if not ok then
        link.finish(call)
        error(err, 0)
    end
    return call
end

--- Cancels the calls that were made by a run.
---@param run orrery.TaskRun
---@param err orrery.Error
function M.cancel_calls(run, err)
    for _, question in ipairs(link.questions()) do
        if getmetatable(question) == Call and question.run == run then question:cancel(err) end
    end
end

--- Asks what listens on a reserved handle there, with values; an empty message there gives it up.
---@param ctx orrery.Context
---@param handle integer
---@param ... any
---@return orrery.Future future of what a call would return, or raise
---Raises "encode" naming what cannot travel; "dead".
function M.ask(ctx, handle, ...)
    local call = new_call(ctx, 0)
    call.cancel_handle = handle
    local payload = codec.encode_data(...)
    handover.give(ctx.id, payload)
    local ok, err = pcall(M.send, ctx, handle, call.seq, payload, true)
    if not ok then
        link.finish(call)
        error(err, 0)
    end
    return call
end

-- What came first is the answer, mostly. If it is not plain, or something else, the call becomes one that is
-- waited for as any other.
local function first(ctx, seq, what, ...)
    if what == true then return ... end
    local call = new_call(ctx, seq)
    link.dispatch(what, ...)
    return call:take()
end

--- Calls a function there and returns what it returns.
---@param fn function|string
---@param ... any
---@return any ...
---Raises what the function raised, with its own traceback; "dead" when the context is lost.
function Context:call(fn, ...)
    if not sched.idle() then return self:call_async(fn, ...):take() end
    check_callable(fn)
    local seq = link.next_seq()
    send_call(self, seq, true, fn, ...)
    return first(self, seq, core.answer(self.id, seq))
end

--- Calls a function there and does not wait. What it returns or raises is dropped there (an error
--- goes to the context's log).
---@param fn function|string
---@param ... any
function Context:cast(fn, ...)
    send_call(self, 0, false, fn, ...)
end

--- Sends a value to a receiver there.
---@param handle integer|orrery.Sender
---@param ... any
function Context:send(handle, ...)
    if type(handle) == "table" then handle = handle.handle end
    M.send_values(self, handle, 0, false, codec.encode, ...)
end

return M
