--- The `h` of a playbook: a context with resources as methods.
--
--     local h = play.host(orrery.ssh "web1")
--     h:file { path = "/srv/app", state = "directory", mode = "755" }
--
-- It works without a play. The runner of plays makes it with what a play knows: see `new`.

local asking = require "orrery.play.asking"
local context = require "orrery.context"
local engine = require "orrery.play.engine"
local Error = require "orrery.error"
local resource = require "orrery.play.resource"
local sources = require "orrery.play.sources"
local steps = require "orrery.play.step"

local M = {}

---@class orrery.play.Host
---@field name string
---@field vars table the host's variables
---@field facts table what is known of it; a group is found out when it is first asked for
---@field check boolean nothing is to be changed
---@field settings orrery.play.Settings
---@field context fun(as: any): orrery.Context opens it when it is first needed
---@field emit fun(event: table)
---@field notify fun(names: string[])
---@field gate orrery.play.Gate|false what decides which steps run
---@field acting any as whom steps are done; nil: as the play says
---@field state table what it shares with those that are made of it
local Host = {}
M.Host = Host

-- Steps -------------------------------------------------------------------------------------------

--- The id of the next step: where in the script it is, by the order in which a host comes to it.
---@return string
function Host:next_id()
    local state = self.state
    state.count = state.count + 1
    return state.prefix .. state.count
end

--- All tags of a step.
---@param more? string|string[]
---@return table<string, true>
function Host:all_tags(more)
    local all = {}
    for tag in pairs(self.state.tags) do all[tag] = true end
    for _, tag in ipairs(type(more) == "table" and more or { more }) do all[tag] = true end
    return all
end

local REASONS = {
    start = "before the step to start at", tags = "its tags were not asked for", step = "not confirmed",
}

--- Asks the play whether a step is to run.
---@param info { id: string, name: string, resource?: string, tags: table<string, true> }
---@param holds? boolean it holds others
---@return string? why it does not
---@return integer? nth how many steps of its name there were
function Host:skips(info, holds)
    if not self.gate then return nil end
    info.host = self.name
    local why = self.gate:skips(info, holds)
    return why and (REASONS[why] or why), self.gate:count(info.name)
end

local function entry(made, given, nth, skip)
    local definition = made.definition
    local module = resource.module_of(definition)
    return {
        definition.name, options = skip and { title = made.title } or given, at = made.at, nth = nth, skip = skip,
        module = module ~= resource.BUILT_IN .. definition.name and module or nil,
        definition = not module and definition or nil,
    }
end

local function info_of(h, made, id)
    return { id = id, name = made.title, resource = made.definition.name, tags = h:all_tags(made.modifiers.tags) }
end

-- Emits what a target would, for a step that does not get there.
local function pass_over(h, made, id, why, nth)
    local common = { step = id, name = made.title, resource = made.definition.name, host = h.name }
    local function say(event)
        for key, value in pairs(common) do event[key] = value end
        event.handler = h.state.handler or nil
        h.emit(event)
    end
    say { event = "step_start", at = made.at, nth = nth }
    say { event = "step_end", status = "skipped", message = why, seconds = 0 }
    return {
        changed = false, skipped = true, message = why, seconds = 0, resource = made.definition.name, name = made.title,
    }
end

-- Where a step is to be done.
local function place_of(h, modifiers)
    local where, user = modifiers.delegate_to, modifiers.as
    if user == nil then user = h.acting end
    if where == nil then return h.context(user) end
    if getmetatable(where) == context.Context then return where end
    if not h.session then
        Error.raise { code = "option", at = Error.at(), message = "delegate_to: outside of a play, give it a context" }
    end
    return h.session.connections:as(tostring(where), user)
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

local function send_one(h, made, given, id, nth)
    local gathered = sources.gather()
    sources.add_step(gathered, made, made.at)
    local response = asking.ask(h, place_of(h, made.modifiers), {
        id = id, single = true, steps = { entry(made, given, nth) },
        vars = vars_for(h, gathered, made.definition.vars),
    }, { at = made.at, gathered = gathered })
    return response.results[1]
end

-- What is to be done once in a play is done by the host that comes first.
local function send_once(h, made, given, id, nth)
    if not h.session then return send_one(h, made, given, id, nth) end
    local key = ("%s\0%s"):format(h.owner and h.owner.name or "", made.title)
    local result, mine = h.session.once:run(key, function() return send_one(h, made, given, id, nth) end)
    if mine then
        h.session:note { event = "once", play = h.play or nil, name = made.title }
        return result
    end
    pass_over(h, made, id, "done once for all hosts", nth)
    return result
end

--- Does one step.
---@param definition orrery.play.Resource
---@param given table
---@param at? string
---@return orrery.play.Result
function Host:one(definition, given, at)
    local made = steps.make(definition, given, at)
    local id = self:next_id()
    local why, nth = self:skips(info_of(self, made, id))
    if made.modifiers.when == false then why = "its condition does not hold" end
    if why then return pass_over(self, made, id, why, nth) end
    return (made.modifiers.run_once and send_once or send_one)(self, made, given, id, nth)
end

-- Lists -------------------------------------------------------------------------------------------

local SINGLE = { "delegate_to", "run_once" }

local function made_list(list, at)
    local all = {}
    for i, each in ipairs(list) do
        local definition, given = steps.entry(each, at)
        local made = steps.make(definition, given, at)
        for _, key in ipairs(SINGLE) do
            if made.modifiers[key] ~= nil then
                local message = ("%s: option '%s' has no place in a list"):format(definition.name, key)
                Error.raise { code = "option", at = at, message = message }
            end
        end
        all[i] = { made = made, given = given, as = made.modifiers.as }
    end
    return all
end

-- As many as can be done as the same user.
local function take_group(all, from)
    local group = {}
    for i = from, #all do
        if i > from and all[i].as ~= all[from].as then break end
        group[#group + 1] = all[i]
    end
    return group
end

local function send_group(h, group, id, results, at)
    local gathered, entries, some, wants_vars = sources.gather(), {}, false, false
    for i, each in ipairs(group) do
        local skip, nth = h:skips(info_of(h, each.made, ("%s.%d"):format(id, #results + i)))
        entries[i] = entry(each.made, each.given, nth, skip)
        if not entries[i].skip then
            some = true
            sources.add_step(gathered, each.made, at)
            wants_vars = wants_vars or each.made.definition.vars
        end
    end
    if not some then
        for i, each in ipairs(group) do
            local step_id = ("%s.%d"):format(id, #results + 1)
            results[#results + 1] = pass_over(h, each.made, step_id, entries[i].skip, entries[i].nth)
        end
        return
    end
    local response = asking.ask(h, place_of(h, group[1].made.modifiers), {
        id = id, steps = entries, first = #results, results = results, vars = vars_for(h, gathered, wants_vars),
    }, { at = at, gathered = gathered })
    for _, result in ipairs(response.results) do results[#results + 1] = result end
end

--- Brings a list of resources about, in one message (one for each user that is named by `as`). It ends at the first
--- that fails.
---@param list table[] `{ "file", path = ... }`; `when` of each gets the results so far, and facts
---@return orrery.play.Result[]
---Raises what went wrong; `results` of the error has those of the steps before.
function Host:apply(list)
    local at = Error.at()
    if type(list) ~= "table" then Error.raise { code = "argument", at = at, message = "h:apply takes a list" } end
    local all, results, id = made_list(list, at), {}, self:next_id()
    while #results < #all do send_group(self, take_group(all, #results + 1), id, results, at) end
    return results
end

-- Batches -----------------------------------------------------------------------------------------

local function drop_response(_, ...) return ... end

local function takes_files(literals)
    for name in pairs(literals) do
        local definition = name:match "^[%a_][%w_]*$" and resource.find(name)
        for _, option in pairs(definition and definition.options or {}) do
            if option.type == "source" then return true end
        end
    end
    return false
end

-- The gate goes along, so that steps are chosen there as they would be here; and comes back as it is then.
local function gate_for(h)
    local gate = h.gate
    if not gate then return nil end
    return { only = gate.only, skip = gate.skip, start = gate.start, seen = gate.seen }
end

local function take_gate(h)
    return function(response)
        if h.gate and response.gate then h.gate.start, h.gate.seen = response.gate.start, response.gate.seen end
    end
end

--- Runs a function on the target, as a whole and in one message. It gets an `h` with the same methods.
---@param opts { files?: string[], as?: any, name?: string }|function files of the controller that it may use beside
---those that it names literally
---@param fn? fun(h: orrery.play.TargetHost): any
---@return any ... what it returns
---Raises what it raises.
function Host:batch(opts, fn)
    local at = Error.at()
    if type(opts) == "function" then opts, fn = {}, opts end
    if type(fn) ~= "function" then
        Error.raise { code = "argument", at = at, message = "h:batch takes a function, which runs on the target" }
    end
    local id, name = self:next_id(), opts.name or "batch"
    if self.gate and self.gate.confirm then
        local why, nth = self:skips({ id = id, name = name, tags = self:all_tags() }, true)
        if why then
            pass_over(self, { definition = { name = "batch" }, title = name, at = at }, id, why, nth)
            return nil
        end
    end
    local literals, gathered = sources.literals(fn), sources.gather()
    sources.add_batch(gathered, literals, opts.files, takes_files(literals))
    return drop_response(asking.ask(self, place_of(self, opts), {
        id = id, batch = fn, vars = self.vars, gate = gate_for(self), tags = self:all_tags(),
    }, { at = at, gathered = gathered, literals = literals, on_response = take_gate(self) }))
end

-- Other methods -----------------------------------------------------------------------------------

--- The same host, whose steps are done as another user.
---@param user any a name, or { user =, method = }
---@return orrery.play.Host
function Host:as(user)
    local other = {}
    for key, value in pairs(self) do other[key] = value end
    other.acting, other.facts = user, nil
    return setmetatable(other, getmetatable(self))
end

local function say(level)
    return function(self, text)
        self.emit { event = "message", host = self.name, level = level, text = engine.scrub(tostring(text)) }
    end
end

--- Says something in the view.
Host.say, Host.warn = say "info", say "warning"

--- Runs a command, as a step: see the resource `command`.
---@param argv (string|number)[]
---@param opts? table
---@return orrery.play.Result result with code, stdout, stderr
function Host:run(argv, opts) return self:command(require("orrery.play.commands").given(argv, opts)) end

--- Calls a function on the target. It is the script's own: it also runs in check mode, and should look at h.check.
---@param fn function|string
---@param ... any
---@return any ...
function Host:call(fn, ...) return self.context(self.acting):call(fn, ...) end

function Host:put(from, to, opts) return require("orrery.play.transfers").put(self, from, to, opts) end

function Host:get(from, to, opts) return require("orrery.play.transfers").get(self, from, to, opts) end

--- A step that is made of others: they share its tags and what else is said of it.
---@param name string
---@param opts? orrery.play.TaskOptions
---@param fn fun(h: orrery.play.Host): any
---@return orrery.play.Result result changed: whether one of them has
---@return any ... what fn returns
function Host:task(name, opts, fn) return require("orrery.play.tasks").run(self, name, opts, fn) end

--- Runs the handlers that are owed by now.
function Host:flush_handlers() self.flush() end

local function remote_facts(h)
    return setmetatable({}, {
        __index = function(known, key)
            local value = h.context(h.acting):call("orrery.play.facts.get", key)
            rawset(known, key, value)
            return value
        end,
    })
end

local function index(h, key)
    if Host[key] ~= nil then return Host[key] end
    if key == "facts" then
        h.facts = remote_facts(h)
        return h.facts
    end
    if key == "ctx" then return h.context(h.acting) end
    if key == "acting" or key == "session" or key == "owner" or key == "play" then return nil end
    local definition = resource.find(key)
    if not definition then resource.unknown(key) end
    return function(self, given, ...)
        if type(given) ~= "table" then given = { given, ... } end
        return self:one(definition, given, Error.at())
    end
end

local MT = { __index = index }

local function nothing() end

-- A context of the script's, without a play; other users are reached by sudo from it.
local function opener(ctx)
    local others = {}
    return function(as)
        if as == nil then return ctx end
        local become = type(as) == "table" and as or { user = tostring(as) }
        local key = ("%s\0%s"):format(become.method or "sudo", become.user or "root")
        local opts = {}
        for name, value in pairs(become) do
            if name ~= "user" and name ~= "method" then opts[name] = value end
        end
        others[key] = others[key] or ctx[become.method or "sudo"](ctx, become.user or "root", opts)
        return others[key]
    end
end

---@class orrery.play.HostFields what a play knows of a host
---@field name? string
---@field vars? table
---@field settings? orrery.play.Settings
---@field context? fun(as: any): orrery.Context
---@field emit? fun(event: table) gets every event; must not raise
---@field sink? fun(event: table) the same
---@field notify? fun(names: string[])
---@field flush? fun()
---@field gate? orrery.play.Gate
---@field tags? table<string, true>
---@field play? integer
---@field session? orrery.play.Session
---@field owner? table the play

--- Makes a host: out of a context, or of what a play knows.
---@param ctx orrery.Context|orrery.play.HostFields
---@param fields? orrery.play.HostFields beside a context
---@return orrery.play.Host
function M.new(ctx, fields)
    if getmetatable(ctx) == context.Context then
        local all = { name = ctx.name, context = opener(ctx) }
        for key, value in pairs(fields or {}) do all[key] = value end
        fields = all
    else
        fields = ctx
    end
    local settings = fields.settings or {}
    return setmetatable({
        name = fields.name, vars = fields.vars or {}, settings = settings, check = settings.check or false,
        context = fields.context, emit = fields.emit or fields.sink or nothing, notify = fields.notify or nothing,
        flush = fields.flush or nothing, gate = fields.gate or false, play = fields.play, session = fields.session,
        owner = fields.owner,
        state = { prefix = "", count = 0, tags = fields.tags or {}, begun = {}, inboxes = {}, handler = false },
    }, MT)
end

return M
