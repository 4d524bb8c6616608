--- Requests of a host to a target: what goes along, and what comes back while the target works.

local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local modules = require "orrery.modules"
local receiver = require "orrery.receiver"
local resource = require "orrery.play.resource"
local select = require("orrery.select").select
local sources = require "orrery.play.sources"

local M = {}

local TARGET = "orrery.play.target"
local FACTS = "orrery.play.facts"

-- Events ------------------------------------------------------------------------------------------

-- Handlers of steps that have begun to change something, and whose end is not heard of yet.
local function note_change(h, event)
    local begun = h.state.begun
    if event.event == "step_change" then
        begun[event.step] = event.notify
        return true
    end
    if event.event == "step_end" then
        begun[event.step] = nil
        if event.notify then h.notify(event.notify) end
    end
end

---@param h orrery.play.Host
---@param list? table[]
function M.deliver(h, list)
    for _, event in ipairs(list or {}) do
        if not note_change(h, event) then h.emit(event) end
    end
end

-- The target is lost, and with it the end of what it was doing.
local function owe_begun(h)
    for step, names in pairs(h.state.begun) do
        h.state.begun[step] = nil
        h.notify(names)
    end
end

-- One receiver for each context that a host works in, as long as the host lives.
local function inbox_of(h, ctx)
    local inbox = h.state.inboxes[ctx.id]
    if not inbox then
        inbox = receiver.receiver()
        h.state.inboxes[ctx.id] = inbox
    end
    return inbox
end

local function drain(h, inbox)
    while true do
        local ok, list = pcall(inbox.get, inbox, 0)
        if not ok then return end
        M.deliver(h, list)
    end
end

-- Sending -----------------------------------------------------------------------------------------

-- Runs there. What it needs of modules comes along, so that loading them takes no round trips.
local function enter(bundle, request)
    if bundle then require("orrery.modules").add(bundle) end
    return require("orrery.play.target").run(request)
end

-- Modules that the request will require, as far as that can be seen.
local function needed(request, literals)
    local names = { TARGET }
    local facts = literals and literals.facts
    for _, each in ipairs(request.steps or {}) do
        if not each.definition then names[#names + 1] = each.module or resource.BUILT_IN .. each[1] end
        facts = facts or type(each.options.when) == "function" or nil
    end
    for name in pairs(literals or {}) do
        local definition = name:match "^[%a_][%w_]*$" and resource.find(name)
        if definition then names[#names + 1] = resource.module_of(definition) end
    end
    if facts and resource.module_exists(FACTS) then names[#names + 1] = FACTS end
    return names
end

local function pack(...) return { n = _G.select("#", ...), ... } end

local function wait(h, inbox, future)
    while not future:done() do
        local which, list = select(inbox, future)
        if which ~= inbox then break end
        M.deliver(h, list)
    end
    return future:take()
end

-- `select` raises what the future does, and that is taken again where it is looked at.
local function call(h, ctx, request, literals)
    if ctx.id == (core.self()) then return require(TARGET).run(request) end
    local inbox = inbox_of(h, ctx)
    request.sender = inbox:sender()
    local future = ctx:call_async(enter, modules.bundle(ctx.id, needed(request, literals)), request)
    local answer = pack(pcall(wait, h, inbox, future))
    if not future:done() then future:cancel() end
    drain(h, inbox)
    if not answer[1] then error(answer[2], 0) end
    return unpack(answer, 2, answer.n)
end

local function answered(h, ctx, opts, ok, response, ...)
    if ok then
        M.deliver(h, response.events)
        h.state.begun = {}
        if opts.on_response then opts.on_response(response) end
        if not response.error then return response, ... end
    end
    owe_begun(h)
    local err = context.locate(ctx, Error.from(ok and response.error or response))
    err.at = err.at or opts.at
    if ok then err.results = response.results end
    error(err, 0)
end

--- Asks a context to do something, and handles what it tells meanwhile.
---@param h orrery.play.Host
---@param ctx orrery.Context
---@param request orrery.play.Request
---@param opts { at?: string, gathered: orrery.play.Gathered, literals?: table<string, true>, on_response?: function }
---@return orrery.play.Response
---@return any ... what a batch has returned
---Raises what went wrong, with the place in it.
function M.ask(h, ctx, request, opts)
    local ticket, over = sources.open(ctx, opts.gathered)
    request.files, request.ticket = opts.gathered.files, ticket
    request.settings = { check = h.check or nil, diff = h.settings.diff or nil }
    request.common = { host = h.name, handler = h.state.handler or nil }
    local answer = pack(pcall(call, h, ctx, request, opts.literals))
    over()
    return answered(h, ctx, opts, unpack(answer, 1, answer.n))
end

return M
