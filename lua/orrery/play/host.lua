--- The `h` of a playbook: a context with resources as methods.
--
--     local h = play.host(orrery.ssh "web1")
--     h:file { path = "/srv/app", state = "directory", mode = "755" }
--
-- It works without a play. The runner of plays gives it a conductor, who decides whether, where and how often a step is
-- performed.

local asking = require "orrery.play.asking"
local context = require "orrery.context"
local engine = require "orrery.play.engine"
local Error = require "orrery.error"
local options = require "orrery.options"
local resource = require "orrery.play.resource"
local sched = require "orrery.sched"
local sources = require "orrery.play.sources"
local steps = require "orrery.play.step"

local M = {}

---@class orrery.play.Host
---@field ctx orrery.Context where steps are performed
---@field name string
---@field vars table the host's variables
---@field facts table what is known of it; a group is found out when it is first asked for
---@field check boolean nothing is to be changed
---@field settings orrery.play.Settings
---@field sink fun(event: table)
---@field conductor orrery.play.Conductor|false
---@field scope { prefix: string, count: integer } for the ids of steps
---@field tags string[]|false which all steps have
local Host = {}
M.Host = Host

-- Steps -------------------------------------------------------------------------------------------

--- The id of the next step: where in the script it is, by the order in which a host comes to it.
---@param h orrery.play.Host
---@return string
function M.next_id(h)
    local scope = h.scope
    scope.count = scope.count + 1
    return scope.prefix .. scope.count
end

---@class orrery.play.StepCall what the runner of plays gets to know of a step that is to be performed
---@field id string
---@field resource string
---@field title? string
---@field modifiers table
---@field options? table of the resource
---@field how? "task"|"batch" it holds steps
---@field at? string

--- Raises "interrupted" after Ctrl-C: a script that catches what its steps raise, and goes on with others, begins none.
function M.refuse_interrupted()
    local interrupt = package.loaded["orrery.interrupt"]
    if not interrupt or not interrupt.happened() then return end
    sched.sleep(0) -- one that goes on for ever keeps nobody else from ending
    Error.raise { code = "interrupted", message = "interrupted by Ctrl-C", at = Error.at() }
end

--- Performs a step, or whatever the runner of plays does in its stead: it decides whether, where and how often.
---@param h orrery.play.Host
---@param info orrery.play.StepCall
---@param perform fun(): any
---@return any ... what perform returns
---Raises "interrupted" after Ctrl-C; what perform raises.
function M.conduct(h, info, perform)
    M.refuse_interrupted()
    local conductor = h.conductor
    if not conductor then return perform() end
    return conductor:step(h, info, perform)
end

local MT = {}

local function is_host(value)
    local mt = type(value) == "table" and getmetatable(value)
    return mt == MT or type(mt) == "table" and type(mt.__index) == "table" and is_host(mt.__index)
end

-- A function that goes to the target must not take this h along, which it would by a slip of the pen only.
local function refuse_captured(what, fn, at)
    if type(fn) ~= "function" then return end
    for i = 1, debug.getinfo(fn, "u").nups do
        local name, value = debug.getupvalue(fn, i)
        if is_host(value) then
            local text = "%s: the function runs on the target, and '%s' is not there: %s"
            local instead = what == "h:batch" and "it gets an h of its own, h:batch(function(h) ... end)"
                or "it gets what it is to judge as arguments"
            Error.raise { code = "argument", at = at, message = text:format(what, name, instead) }
        end
    end
end

local FUNCTIONS = { "when", "until_", "changed_when", "failed_when" }

local function make(definition, given, at)
    local step = steps.make(definition, given, at)
    for _, key in ipairs(FUNCTIONS) do
        refuse_captured(("%s: option '%s'"):format(definition.name, key), step.modifiers[key], at)
    end
    return step
end

local function info_of(step, id)
    step.id, step.resource = id, step.definition.name
    return step
end

-- The variables that templates of these steps name.
local function vars_for(h, gathered, wanted)
    if not wanted then return nil end
    local vars, some = {}, false
    for name, value in pairs(h.vars) do
        for _, text in ipairs(gathered.texts) do
            if type(name) == "string" and text:find(name, 1, true) then vars[name], some = value, true end
        end
    end
    return some and vars or nil
end

local function entry(step, given)
    return { step.definition.name, options = given, at = step.at }
end

-- Where the target finds a resource of the user's: in a module, or in the request.
local function add_own(own, definition)
    local module = resource.module_of(definition)
    if module == resource.BUILT_IN .. definition.name then return own end
    own = own or {}
    own[definition.name] = module or definition
    return own
end

local ELSEWHERE = { "as", "delegate_to" }

-- Without a conductor, the host itself goes where a step is to be done.
local function place_of(h, modifiers)
    if h.conductor then return h end
    for _, key in ipairs(ELSEWHERE) do
        local value = modifiers[key]
        if key == "as" and value ~= nil then return h:as(value) end
        if value ~= nil then
            local ctx = type(value) == "table" and (value.ctx or value) or nil
            if ctx and ctx.id then return setmetatable({ ctx = ctx }, { __index = h }) end
            local message = "delegate_to: outside of a play, give it a context"
            Error.raise { code = "option", at = Error.at(), message = message }
        end
    end
    return h
end

local function send_one(h, step, given)
    if resource.is_here(step.definition, step.options) then
        return require("orrery.play.here").perform(place_of(h, step.modifiers), step)
    end
    local gathered = sources.gather()
    sources.add_step(gathered, step, step.at)
    h = place_of(h, step.modifiers)
    local response = asking.ask(h, {
        id = step.id, single = true, steps = { entry(step, given) }, own = add_own(nil, step.definition),
        vars = vars_for(h, gathered, step.definition.vars),
    }, { what = step, gathered = gathered })
    return response.results[1]
end

--- Does one step.
---@param definition orrery.play.Resource
---@param given table
---@param at? string
---@return orrery.play.Result
function Host:one(definition, given, at)
    local step = make(definition, given, at)
    return M.conduct(self, info_of(step, M.next_id(self)), function() return send_one(self, step, given) end)
end

-- Lists -------------------------------------------------------------------------------------------

local NOT_IN_LISTS = { "as", "delegate_to", "run_once" }

local function refuse_in_list(step, at)
    if resource.is_here(step.definition, step.options) then
        local message = ("%s: has no place in a list, since it is done at the controller"):format(step.definition.name)
        Error.raise { code = "option", at = at, message = message }
    end
    for _, key in ipairs(NOT_IN_LISTS) do
        if step.modifiers[key] ~= nil then
            local text = "%s: option '%s' has no place in a list: use h:as(user):apply, or a step of its own"
            Error.raise { code = "option", at = at, message = text:format(step.definition.name, key) }
        end
    end
end

--- Brings a list of resources about, in one message. It ends at the first that fails.
---@param list table[] `{ "file", path = ... }`; `when` of each gets the results so far, and facts
---@return orrery.play.Result[]
---Raises what went wrong; `results` of the error has those of the steps before.
function Host:apply(list)
    local at = Error.at()
    if type(list) ~= "table" then Error.raise { code = "argument", at = at, message = "h:apply takes a list" } end
    if #list == 0 then return {} end
    local id, infos, entries, own = M.next_id(self), {}, {}, nil
    for i, each in ipairs(list) do
        local name, given = steps.entry(each, at)
        local definition = resource.find(name) or resource.unknown(name, at)
        local step = make(definition, given, at)
        refuse_in_list(step, at)
        own = add_own(own, definition)
        infos[i], entries[i] = info_of(step, ("%s.%d"):format(id, i)), entry(step, given)
    end
    M.refuse_interrupted()
    if self.conductor then self.conductor:list(self, infos, entries) end
    local gathered, wants_vars = sources.gather(), false
    for i, step in ipairs(infos) do
        if not entries[i].skip then
            sources.add_step(gathered, step, at)
            wants_vars = wants_vars or step.definition.vars
        end
    end
    return asking.ask(self, {
        id = id, steps = entries, own = own, vars = vars_for(self, gathered, wants_vars),
    }, { what = { title = "a list of steps", at = at }, gathered = gathered }).results
end

-- Batches -----------------------------------------------------------------------------------------

local function drop_response(_, ...) return ... end

-- The resources that a function names, as it seems: a word that is one by chance does no harm.
local function resources_in(literals)
    local own, takes_files = nil, false
    for name in pairs(literals.words) do
        local definition = name:match "^[%a_][%w_]*$" and resource.find(name)
        if definition then own = add_own(own, definition) end
        for _, option in pairs(definition and definition.options or {}) do
            takes_files = takes_files or option.type == "source"
        end
    end
    return own, takes_files
end

--- Runs a function on the target, as a whole and in one message. It gets an `h` with the same methods.
---@param opts { files?: string[], name?: string }|function `files` of the controller that it may use beside those
---that it names literally
---@param fn? fun(h: orrery.play.TargetHost): any
---@return any ... what it returns
---Raises what it raises.
function Host:batch(opts, fn)
    local at = Error.at()
    if type(opts) == "function" then opts, fn = {}, opts end
    if type(opts) ~= "table" or type(fn) ~= "function" then
        Error.raise { code = "argument", at = at, message = "h:batch takes a function, which runs on the target" }
    end
    refuse_captured("h:batch", fn, at)
    local info = {
        id = M.next_id(self), resource = "batch", title = opts.name or "batch", modifiers = {}, how = "batch", at = at,
    }
    return M.conduct(self, info, function()
        local literals, gathered = sources.literals(fn), sources.gather()
        local own, takes_files = resources_in(literals)
        sources.add_batch(gathered, literals, opts.files, takes_files)
        return drop_response(asking.ask(self, {
            id = info.id, batch = fn, own = own, vars = self.vars,
            handlers = self.conductor and self.conductor.play.handlers.names or nil,
        }, { what = { title = info.title, at = at }, gathered = gathered, literals = literals }))
    end)
end

-- Other methods -----------------------------------------------------------------------------------

--- What is known of where a host's steps are performed.
---@param h { ctx: orrery.Context }
---@return orrery.Facts
function M.facts(h)
    return require("orrery.play.facts").of(function() return h.ctx end)
end

-- Users of a context of the script's are reached by sudo, or by the launcher that is named.
local function become(h, user)
    if user == false then return h.ctx end
    if user == true then user = "root" end
    local who = type(user) == "table" and user or { user = tostring(user) }
    local key = ("%d\0%s\0%s"):format(h.ctx.id, who.method or "sudo", who.user or "root")
    if not h.others[key] then
        local opts = {}
        for name, value in pairs(who) do
            if name ~= "user" and name ~= "method" then opts[name] = value end
        end
        h.others[key] = h.ctx[who.method or "sudo"](h.ctx, who.user or "root", opts)
    end
    return h.others[key]
end

--- The same host, whose steps are done as another user.
---@param user any a name, or { user =, method = }
---@return orrery.play.Host
function Host:as(user)
    local conductor = self.conductor
    local ctx = conductor and conductor.session.connections:as(self.name, user) or become(self, user)
    local other = { ctx = ctx }
    other.facts = M.facts(other)
    return setmetatable(other, { __index = self }) -- all else is the host's, also what changes: its scope
end

local function say(level)
    return function(self, text)
        self.sink {
            event = "message", play = self.play or nil, host = self.name, level = level,
            text = engine.scrub(tostring(text)),
        }
    end
end

--- Says something in the view.
Host.say, Host.warn = say "info", say "warning"

--- Runs a command, as a step: see the resource `command`.
---@param argv (string|number)[]
---@param opts? table
---@return orrery.play.Result result with code, stdout, stderr
function Host:run(argv, opts) return self:command(require("orrery.play.commands").given(argv, opts)) end
options.declare(Host.run, function() return resource.all_options "command" end, 2)

--- Calls a function on the target. It is the script's own: it also runs in check mode, and should look at h.check.
---@param fn function|string
---@param ... any
---@return any ...
function Host:call(fn, ...) return self.ctx:call(fn, ...) end

--- Copies a file from here to the target, as a step.
---@param from string
---@param to string
---@param opts? table as for ctx:put
---@return orrery.play.Result result with changed, sent, size, hash
function Host:put(from, to, opts) return require("orrery.play.transfers").put(self, from, to, opts) end

--- Copies a file from the target to here, as a step.
function Host:get(from, to, opts) return require("orrery.play.transfers").get(self, from, to, opts) end

options.declare_as(Host.put, context.Context.put)
options.declare_as(Host.get, context.Context.get)

local function index(h, key)
    if Host[key] ~= nil then return Host[key] end
    if key == "facts" then
        h.facts = M.facts(h)
        return h.facts
    end
    local definition = resource.find(key)
    if not definition then resource.unknown(key) end
    return function(self, ...) return Host.one(self, definition, steps.given(...), Error.at()) end
end

MT.__index = index

--- Finds methods: those that are here, and resources.
M.index = index

options.declare_fields(index, {
    names = function()
        local names = { facts = "table" }
        for _, name in ipairs(resource.names()) do names[name] = "function" end
        for name, method in pairs(Host) do names[name] = type(method) end
        return names
    end,
    options = function(name)
        if Host[name] == nil then return resource.all_options(name) end
        local declared = options.of(Host[name])
        return declared and declared.schema
    end,
})

---@class orrery.play.HostOptions
---@field name? string default: the context's
---@field vars? table
---@field settings? orrery.play.Settings
---@field sink? fun(event: table) gets every event; must not raise
---@field play? integer for events
---@field conductor? orrery.play.Conductor who decides about steps
---@field tags? string[] which all steps have
---@field reopen? fun(): orrery.Context connects again, for `reboot`

local function ignore() end

--- Makes a host out of a context.
---@param ctx orrery.Context
---@param opts? orrery.play.HostOptions
---@return orrery.play.Host
function M.new(ctx, opts)
    opts = opts or {}
    local settings = opts.settings or {}
    return setmetatable({
        ctx = ctx, name = opts.name or ctx.name, vars = opts.vars or {}, settings = settings,
        check = settings.check or false, sink = opts.sink or ignore, play = opts.play or false,
        conductor = opts.conductor or false, tags = opts.tags or false, scope = { prefix = "", count = 0 },
        inboxes = {}, others = {}, reopen = opts.reopen or false,
    }, MT)
end

return M
