--- Services: functions that a context offers to those below it.
--
--     orrery.service("store", { get = function(caller, key) return kept[caller.name .. key] end })
--     ctx:call(function() return require("orrery").service("store").get("x") end)
--
-- They are all that a child can run in its parents, so what they do with their arguments is a matter of trust.
-- Who calls is said by the router, which checks it. A request is the values (service, function, arguments...)
-- on HANDLE_SERVICE, and answered as a call is; an empty one with the same number gives it up.

local codec = require "orrery.codec"
local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local handover = require "orrery.handover"
local link = require "orrery.link"
local options = require "orrery.options"
local sched = require "orrery.sched"

local M = {}

local LIMIT = 100 -- calls of one caller that run at once, in one service

---@alias orrery.ServiceFunction fun(caller: orrery.Context, ...: any): any
---@alias orrery.ServicePolicy
---| "children" # those below this context
---| orrery.Context[] # these
---| fun(caller: orrery.Context, name: string): boolean asked for each call, in its task

---@class orrery.Service
---@field name string
---@field package functions table<string, orrery.ServiceFunction>
---@field package allow orrery.ServicePolicy
---@field package limit integer
---@field package running table<integer, integer> calls by caller
local Service = {}
Service.__index = Service

---@type table<string, orrery.Service>
local services = {}

-- Serving ------------------------------------------------------------------------------------------

---@class orrery.service.Request
---@field src integer
---@field reply integer
---@field seq integer
---@field task? orrery.Task

---@type table<string, orrery.service.Request> those that run, by who asked with which number
local requests = {}

local function key_of(src, reply, seq) return ("%d %d %d"):format(src, reply, seq) end

local function answer_error(request, err)
    core.reply(request.src, request.reply, request.seq, codec.encode_error(err), true)
end

local function answer(request, ...)
    link.await_way(request.src)
    local ok, code, text = core.reply_values(request.src, request.reply, request.seq, ...)
    if ok == false then
        local payload = codec.encode_data(...)
        handover.give(request.src, payload)
        ok, code, text = core.reply(request.src, request.reply, request.seq, payload, false)
    end
    if not ok then Error.raise { code = code, message = text } end
end

local function is_allowed(service, caller, name)
    local allow = service.allow
    if type(allow) == "function" then return allow(caller, name) == true end
    if allow == "children" then return core.below(caller.id) end
    for _, ctx in ipairs(allow) do
        if ctx.id == caller.id then return true end
    end
    return false
end

local function run(request, service, name, ...)
    local caller = context.from_id(request.src)
    if not caller then return end -- it is lost already
    if not is_allowed(service, caller, name) then
        Error.raise {
            code = "denied", message = ("service '%s': %s may not call '%s'"):format(service.name, caller.name, name),
        }
    end
    local fn = service.functions[name]
    if not fn then
        Error.raise {
            code = "no_function", message = ("service '%s' has no function '%s'"):format(service.name, name),
        }
    end
    answer(request, fn(caller, ...))
end

local function find(request, name, fn)
    if type(name) ~= "string" or type(fn) ~= "string" then
        Error.raise { code = "decode", message = "malformed request for a service" }
    end
    local service = services[name]
    if not service then
        Error.raise { code = "no_service", message = ("there is no service '%s' here"):format(name) }
    end
    if (service.running[request.src] or 0) >= service.limit then
        Error.raise {
            code = "limit",
            message = ("service '%s': %d calls of this context run already"):format(name, service.limit),
        }
    end
    return service
end

-- Each in a task of its own.
local function begin(request, service, fn, ...)
    local src, key = request.src, key_of(request.src, request.reply, request.seq)
    service.running[src] = (service.running[src] or 0) + 1
    requests[key] = request
    request.task = sched.spawn(run, request, service, fn, ...)
    request.task:on_done(function(task)
        requests[key] = nil
        local left = service.running[src] - 1
        service.running[src] = left > 0 and left or nil
        if task.error then answer_error(request, task.error) end
    end)
end

local function open(request, payload)
    handover.check(request.src, payload)
    local function split(name, fn, ...)
        begin(request, find(request, name, fn), fn, ...)
    end
    split(codec.decode(payload))
end

local function on_request(seq, src, reply, _, payload)
    if payload == "" then
        local request = requests[key_of(src, reply, seq)]
        if request then request.task:cancel() end
    elseif reply ~= 0 then
        local request = { src = src, reply = reply, seq = seq }
        local ok, err = pcall(open, request, payload)
        if not ok then answer_error(request, err) end
    end
end

-- Nobody waits for what a lost context asked for.
local function on_dead(id, err)
    for _, request in pairs(requests) do
        if request.src == id then request.task:cancel(err) end
    end
end

local listening = false

local function listen()
    if listening then return end
    if not core.listen(core.handle.SERVICE, false) then
        Error.raise {
            code = "denied", at = Error.at(),
            message = "another thread of this process has services; all of them are to be registered there",
        }
    end
    listening = true
    link.handle(core.handle.SERVICE, on_request)
    link.on_dead(on_dead)
end

local function check_functions(name, functions)
    for key, fn in pairs(functions) do
        if type(key) ~= "string" or type(fn) ~= "function" then
            Error.raise {
                code = "argument", at = Error.at(),
                message = ("service '%s': functions by name were expected, '%s' is a %s"):format(
                    name, tostring(key), type(fn)),
            }
        end
    end
end

local OPTIONS = {
    allow = {
        type = { "string", "table", "function" }, default = "children",
        check = function(allow) return type(allow) ~= "string" or allow == "children", "must be 'children'" end,
    },
    limit = {
        type = "number", default = LIMIT, check = function(n) return n >= 1, "must be at least 1" end,
    },
}

local function register(name, functions, opts)
    opts = options.check("service", opts, OPTIONS)
    check_functions(name, functions)
    if services[name] then
        Error.raise {
            code = "argument", at = Error.at(), message = ("there is a service '%s' already"):format(name),
        }
    end
    listen()
    local service = setmetatable({
        name = name, functions = functions, allow = opts.allow, limit = opts.limit, running = {},
    }, Service)
    services[name] = service
    link.expect(1)
    return service
end

--- Removes it. Calls that run go on; further ones raise "no_service".
function Service:close()
    if services[self.name] ~= self then return end
    services[self.name] = nil
    link.expect(-1)
end

-- Calling ------------------------------------------------------------------------------------------

---@class orrery.service.Found what a proxy knows of its service
---@field name string
---@field at? integer the ancestor that has answered

local NOT_THERE = { no_service = true, no_handle = true }

-- The results, or nothing where that ancestor does not have it.
local function try(found, id, fn, ...)
    local function outcome(ok, ...)
        if ok then
            found.at = id
            return true, ...
        end
        local err = ...
        if not (Error.is(err) and NOT_THERE[err.code]) then error(err, 0) end
    end
    local future = context.ask(context.from_id(id), core.handle.SERVICE, found.name, fn, ...)
    return outcome(pcall(future.take, future))
end

local function search(found, fn, ids, i, ...)
    local id = ids[i]
    if not id then
        local message = #ids == 0 and "the controller has nobody above it"
            or "none of the contexts above this one has it"
        Error.raise {
            code = "no_service", message = ("no service '%s': %s"):format(found.name, message), at = Error.at(),
        }
    end
    local args, n = { ... }, select("#", ...)
    local function result(there, ...)
        if there then return ... end
        return search(found, fn, ids, i + 1, unpack(args, 1, n))
    end
    return result(try(found, id, fn, ...))
end

local function call(found, fn, ...)
    local ids = { core.ancestors() }
    if found.at then
        table.insert(ids, 1, found.at)
        found.at = nil -- until it has answered
    end
    return search(found, fn, ids, 1, ...)
end

local function proxy(name)
    local found = { name = name }
    return setmetatable({}, {
        __index = function(self, fn)
            local function remote(...) return call(found, fn, ...) end
            self[fn] = remote
            return remote
        end,
    })
end

--- With functions: offers them to contexts below this one, under a name. Each call runs in a task of its own, and
--- gets the context that calls as its first argument; what it returns or raises goes back as from a call.
---
--- Without: the functions of the nearest context above this one that has such a service when the first is called,
--- `orrery.service("store").get("x")`. These raise what the function raised; "no_service", "no_function"; "denied"
--- by its policy; "limit" where too many calls of this context run; "dead".
---@param name string
---@param functions? table<string, orrery.ServiceFunction>
---@param opts? { allow?: orrery.ServicePolicy, limit?: integer } limit: calls of one caller that may run at once,
---default 100
---@return orrery.Service|table<string, function> service with a close() method
---Raises "argument", "option"; "denied" where another thread of this process has services.
function M.service(name, functions, opts)
    if type(name) ~= "string" or (functions ~= nil and type(functions) ~= "table") then
        Error.raise {
            code = "argument", at = Error.at(),
            message = ("service(name, [functions, [options]]): got %s and %s"):format(type(name), type(functions)),
        }
    end
    if functions then return register(name, functions, opts) end
    return proxy(name)
end
options.declare(M.service, OPTIONS, 3)

return M
