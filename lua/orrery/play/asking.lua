--- Requests of a host to a target: what goes along, and what comes back while the target works.

local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local modules = require "orrery.modules"
local receiver = require "orrery.receiver"
local resource = require "orrery.play.resource"
local select_for = require("orrery.select").select_for
local sources = require "orrery.play.sources"

local M = {}

local TARGET = "orrery.play.target"
local FACTS = "orrery.play.facts"
local HANDLERS = "orrery.play.handlers"

-- Events ------------------------------------------------------------------------------------------

---@param h orrery.play.Host
---@param list? table[]
function M.deliver(h, list)
    for _, event in ipairs(list or {}) do h.sink(event) end
end

-- One receiver for each context that a host works in, as long as the host lives.
local function inbox_of(h, ctx)
    local inbox = h.inboxes[ctx.id]
    if not inbox then
        inbox = receiver.receiver()
        h.inboxes[ctx.id] = inbox
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

-- Facts that are spoken of, as far as that can be seen.
local function add_facts(names, is_named)
    names[#names + 1] = FACTS
    names[#names + 1] = FACTS .. ".machine"
    for _, group in ipairs(require(FACTS).names()) do
        if is_named(group) then names[#names + 1] = FACTS .. "." .. group end
    end
end

local function facts_of(words)
    return function(group) return words[group] end
end

local function add_module(names, request, name)
    local own = request.own and request.own[name]
    if type(own) ~= "table" then names[#names + 1] = own or resource.BUILT_IN .. name end
    local definition = resource.find(name)
    for _, group in ipairs(definition and definition.facts or {}) do
        add_facts(names, function(other) return other == group end)
    end
end

-- Templates name them, too.
local function add_facts_of_texts(names, texts)
    for _, text in ipairs(texts) do
        if text:find("facts", 1, true) then
            add_facts(names, function(group) return text:find(group, 1, true) end)
        end
    end
end

-- Modules that the request will require, as far as that can be seen.
local function needed(request, opts)
    local names, literals = { TARGET }, opts.literals
    for _, each in ipairs(request.steps or {}) do
        add_module(names, request, each[1])
        local when = each.options.when
        if type(when) == "function" and debug.getinfo(when, "u").nparams > 1 then
            add_facts(names, facts_of(sources.literals(when).words))
        end
    end
    for name in pairs(literals and literals.words or {}) do
        if name:match "^[%a_][%w_]*$" and resource.find(name) then add_module(names, request, name) end
    end
    if literals and literals.words.facts then add_facts(names, facts_of(literals.words)) end
    if literals and literals.words.notify then names[#names + 1] = HANDLERS end
    add_facts_of_texts(names, opts.gathered.texts)
    return names
end

local function pack(...) return { n = select("#", ...), ... } end

local function wait(h, inbox, future, what)
    while not future:done() do
        local which, list = select_for(what, inbox, future)
        if which ~= inbox then break end
        M.deliver(h, list)
    end
    return future:take()
end

-- `select` raises what the future does, and that is taken again where it is looked at.
local function call(h, ctx, request, opts)
    if ctx.id == (core.self()) then return require(TARGET).run(request) end
    local inbox = inbox_of(h, ctx)
    request.sender = inbox:sender()
    local future = ctx:call_async(enter, modules.bundle(ctx.id, needed(request, opts)), request)
    local answer = pack(pcall(wait, h, inbox, future, ("%s on %s"):format(opts.what.title, h.name)))
    if not future:done() then future:cancel() end
    drain(h, inbox)
    if not answer[1] then error(answer[2], 0) end
    return unpack(answer, 2, answer.n)
end

local function answered(h, ctx, opts, ok, response, ...)
    if ok then
        M.deliver(h, response.events)
        if not response.error then return response, ... end
    end
    local err = resource.explain(context.locate(ctx, Error.from(ok and response.error or response)))
    local what = opts.what
    err.at = err.at or what.at
    if ok then
        err.results = response.results
    elseif what.id then -- the target could not say it
        err.step, err.resource, err.name = what.id, what.resource, what.title
    end
    error(err, 0)
end

---@class orrery.play.Asked what is asked for, for errors: a step, or what has several
---@field title string
---@field at? string
---@field id? string of one step; `resource` is there, too
---@field resource? string

-- Settings that a target has to know.
local function settings_of(h)
    local settings = h.settings
    return {
        check = settings.check or nil, diff = settings.diff or nil,
        tags = settings.tags, skip_tags = settings.skip_tags,
    }
end

--- Asks a host's context to do something, and handles what it tells meanwhile.
---@param h orrery.play.Host
---@param request orrery.play.Request
---@param opts { what: orrery.play.Asked, gathered: orrery.play.Gathered, literals?: orrery.play.Literals }
---@return orrery.play.Response
---@return any ... what a batch has returned
---Raises what went wrong, with the place in it.
function M.ask(h, request, opts)
    local ctx = h.ctx
    local ticket, over = sources.open(ctx, opts.gathered, function(step, done, size)
        h.sink {
            event = "step_progress", play = h.play or nil, host = h.name, step = step, done = done, total = size,
        }
    end)
    request.files, request.ticket = opts.gathered.files, ticket
    request.settings, request.tags = settings_of(h), h.tags or nil
    request.common = { host = h.name, play = h.play or nil }
    local answer = pack(pcall(call, h, ctx, request, opts))
    over()
    return answered(h, ctx, opts, unpack(answer, 1, answer.n))
end

return M
