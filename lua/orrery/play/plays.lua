--- Runs plays: batches of hosts, a task for each host, handlers at its end.

local batches = require "orrery.play.batches"
local conductors = require "orrery.play.conductor"
local connections = require "orrery.play.connections"
local core = require "orrery.core"
local Error = require "orrery.error"
local handlers = require "orrery.play.handlers"
local host = require "orrery.play.host"
local options = require "orrery.options"
local parallel = require "orrery.parallel"
local schema = require "orrery.play.schema"
local session = require "orrery.play.session"
local tags = require "orrery.play.tags"
local task = require "orrery.play.task"

local M = {}

local FORKS = 100 -- hosts at a time where nobody says

local function positive(n) return n >= 1 and n % 1 == 0, "must be a whole number, 1 or more" end

local SHARE = { "number", "string" }

--- What a play is made of; docs/playbooks.md has the table.
local PLAY = {
    name = "string",
    hosts = { type = { "string", "table" }, required = true },
    run = { type = "function", required = true },
    become = { "boolean", "string", "table" },
    serial = { "number", "string", "table" },
    max_failures = SHARE,
    order = { enum = { "inventory", "reverse", "sorted", "shuffle" }, default = "inventory" },
    throttle = { type = "number", check = positive },
    tags = { "string", "table" },
    vars = { "table", "function" },
    handlers = "table",
    force_handlers = "boolean",
    timeout = { "number", "string" },
}

local TIMEOUT = { timeout = { type = "duration", doc = "for each host" } }

---@class orrery.PlaySpec
---@field name? string default "play N"
---@field hosts string|string[] an expression over the inventory, or names
---@field run fun(h: table): any what is done, in a task for each host
---@field become? boolean|string|orrery.play.Become who its steps run as
---@field serial? orrery.play.Share|orrery.play.Share[] hosts in one batch
---@field max_failures? orrery.play.Share so many hosts may fail; with one more, no further host is begun
---@field order? "inventory"|"reverse"|"sorted"|"shuffle"
---@field throttle? integer hosts at a time
---@field tags? string|string[] which all its steps have
---@field vars? table|fun(name: string, vars: table): table above those of the inventory
---@field handlers? table by name, or a list of { name, function }
---@field force_handlers? boolean they run on a host that failed, too
---@field timeout? number|string seconds for each host, or "30m"

---@class orrery.PlayResult
---@field ok boolean no host failed
---@field hosts string[] those that it ran on
---@field results table<string, any> what `run` returned
---@field failed table<string, orrery.Error> the hosts that failed or were lost

---@class orrery.play.Play
---@field session orrery.play.Session
---@field spec orrery.PlaySpec
---@field number integer
---@field name string
---@field key string the name, which tells it from others of the same name
---@field hosts string[]
---@field handlers orrery.play.Handlers
---@field allowed number
---@field results table<string, any>
---@field failed table<string, orrery.Error>
---@field failures integer
---@field stopped? string why no further host is begun
---@field h table<string, orrery.play.Host>
local Play = {}
Play.__index = Play

-- One host ------------------------------------------------------------------------------------------

-- An error as events have it. What was interrupted, the host's step says.
local function shown(err)
    local message = err.code == "interrupted" and "interrupted by Ctrl-C" or tostring(err.message)
    return {
        code = err.code, message = message, at = err.at, context = err.context, route = err.route,
        step = err.step, traceback = type(err.traceback) == "string" and err.traceback or nil,
    }
end

--- Tells what happens in this play.
---@param event table taken
---@param unrecorded? boolean
function Play:emit(event, unrecorded)
    event.play = self.number
    self.session:emit(event, unrecorded)
end

function Play:vars(name)
    local vars = {}
    local function merge(more)
        for key, value in pairs(more or {}) do vars[key] = value end
    end
    merge(self.session.inventory:vars(name))
    local settings = self.session.settings
    merge(settings.host_vars and settings.host_vars(name))
    local own = self.spec.vars
    merge(type(own) == "function" and own(name, vars) or own)
    merge(settings.vars)
    return vars
end

--- Runs the handlers that a host owes.
---@param conductor orrery.play.Conductor
---@param h orrery.play.Host
function Play:flush(conductor, h)
    if conductor.gate:seeking() or conductor.in_handler then return end
    conductor.in_handler = true
    local ok, err = pcall(conductor.pending.flush, conductor.pending, function(name, fn)
        local result = task.run(h, name, { tags = { "always" } }, fn, true)
        if self.session.settings.check or result.skipped then return end
        self.session:note { event = "paid", play = self.number, host = conductor.name, handler = name }
    end)
    conductor.in_handler = false
    if not ok then error(err, 0) end
end

-- What an earlier run left to be done at the end.
function Play:owed(conductor)
    local names = {}
    for _, name in ipairs(self.session:owed(self.key, conductor.name)) do
        if self.handlers.by_name[name] then names[#names + 1] = name end
    end
    if #names == 0 then return end
    conductor:notify(names)
    self:emit {
        event = "message", host = conductor.name, level = "info",
        text = "handlers that an earlier run owes: " .. table.concat(names, ", "),
    }
end

local function make_host(self, conductor, ctx)
    local settings = self.session.settings
    local h = host.new(ctx, {
        name = conductor.name, vars = self:vars(conductor.name), play = self.number, conductor = conductor,
        settings = {
            check = settings.check or false, diff = settings.diff or false, tags = settings.tags,
            skip_tags = settings.skip_tags,
        },
        sink = function(event) conductor:event(event) end,
    })
    local own = self.spec.tags
    h.tags = type(own) == "string" and { own } or own or false
    return h
end

function Play:host_steps(conductor)
    local ctx = self.session.connections:as(conductor.name, self.spec.become)
    local h = make_host(self, conductor, ctx)
    self.h[conductor.name] = h
    self:owed(conductor)
    self.results[conductor.name] = self.spec.run(h)
    host.refuse_interrupted() -- one that has caught it is not through
    conductor.gate:ends(self.number)
    self.session:note { event = "ending", play = self.number, host = conductor.name }
    self:flush(conductor, h)
end

local function how_ended(self, conductor, err)
    if err.code == "interrupted" or err.code == "cancelled" then return "cancelled" end
    if err.unreachable or not self.session.connections:alive(conductor.name) then return "lost" end
    return "failed"
end

local function force(self, conductor)
    local h = self.h[conductor.name]
    if not h or not (self.spec.force_handlers or self.session.settings.force_handlers) then return end
    pcall(self.flush, self, conductor, h) -- what fails now says so as a step, and the host has failed anyway
end

function Play:host_failed(conductor, err)
    local name, status = conductor.name, how_ended(self, conductor, err)
    if status == "failed" then force(self, conductor) else conductor:give_up() end
    self.failed[name], self.session.out[name] = err, status
    self.failures = self.failures + 1
    local owed = conductor.pending:left()
    self:emit {
        event = "host_end", host = name, status = status, error = shown(err), owed = #owed > 0 and owed or nil,
    }
    if status == "cancelled" then error(err, 0) end
    if self.failures > self.allowed and not self.stopped then
        self:stop(("%d of %d hosts failed, and %d may"):format(self.failures, #self.hosts, self.allowed))
    end
end

function Play:stop(why)
    self.stopped = why
    self.session:warn(("play '%s': %s: no further host is begun"):format(self.name, why))
end

--- All of a play on one host; runs in a task of its own.
function Play:host(name)
    if self.stopped then return end
    local conductor = conductors.new(self, name, self.session:gate(name))
    self:emit { event = "host_start", host = name }
    local ok, err = xpcall(self.host_steps, Error.handler, self, conductor)
    if not ok then return self:host_failed(conductor, err) end
    self:emit { event = "host_end", host = name, status = "ok" }
end

-- The play ------------------------------------------------------------------------------------------

-- Steps are found again by where they are, so the plays must be those of that run.
local function check_same(self)
    local settings, history = self.session.settings, self.session.history
    local was = settings.failed and not settings.from_start and history and history.plays[self.number]
    if was and was ~= self.key then
        Error.raise {
            code = "usage",
            message = ("orrery play: the playbook has changed since the last run: play %d was '%s', and is '%s' now; "
                .. "--failed --from-start takes the hosts alone"):format(self.number, was, self.key),
        }
    end
end

-- A host that has failed is out; one that an earlier run was through with is not in.
function Play:choose()
    check_same(self)
    local chosen, skip = {}, self.session.settings.skip_tags
    if skip and not tags.wanted(nil, tags.set(skip), tags.set(self.spec.tags, "always")) then return {} end
    for _, name in ipairs(self.session.inventory:hosts(self.spec.hosts, self.session.settings.limit)) do
        local gate = not self.session.out[name] and self.session:gate(name)
        if gate and gate:play(self.number) then chosen[#chosen + 1] = name end
    end
    return batches.order(self.spec.order, chosen)
end

-- What breaks every host of a batch would break the next ones.
function Play:look_back(count, failures, is_last)
    if self.spec.max_failures ~= nil or self.stopped or count == 0 or failures < count then return end
    local why = count == 1 and "the only host of a batch failed" or ("all %d hosts of a batch failed"):format(count)
    if is_last then self.stopped = why else self:stop(why) end
end

function Play:batch(names, is_last)
    local settings = self.session.settings
    local at_once = math.min(settings.forks or FORKS, self.spec.throttle or math.huge)
    if settings.confirm and not settings.forks then at_once = 1 end
    local before, items = self.failures, {}
    for i, name in ipairs(names) do items[i] = { name = name } end
    local errors = parallel.each(items, { limit = at_once, timeout = self.spec.timeout, raise = false }, function(item)
        self:host(item.name)
    end)
    for i, err in pairs(errors or {}) do
        if err.code == "interrupted" or not self.failed[names[i]] then error(err, 0) end
    end
    self:look_back(#names, self.failures - before, is_last)
end

local function summary(self)
    local list, texts = {}, {}
    for _, name in ipairs(self.hosts) do
        local err = self.failed[name]
        if err then
            list[#list + 1] = { index = #list + 1, item = name, error = err }
            if #list <= 3 then texts[#list] = ("%s: %s"):format(name, tostring(err.message)) end
        end
    end
    if #list > 3 then texts[4] = ("and %d more"):format(#list - 3) end
    return list, table.concat(texts, "; ")
end

function Play:result()
    if self.stopped then
        local list, text = summary(self)
        Error.raise {
            code = "partial", play_stopped = true, errors = list,
            message = ("play '%s' was stopped: %s: %s"):format(self.name, self.stopped, text),
        }
    end
    return {
        ok = self.failures == 0, hosts = self.hosts, results = self.results, failed = self.failed,
    }
end

function Play:run_batches()
    local all = batches.split(self.hosts, self.spec.serial)
    for i, names in ipairs(all) do
        if self.stopped then return end
        self:batch(names, i == #all)
    end
end

function Play:run()
    local start = core.now()
    local key = self.key ~= self.name and self.key or nil
    self:emit { event = "play_start", name = self.name, key = key, hosts = self.hosts }
    if #self.hosts == 0 then
        self:emit { event = "message", level = "info", text = ("play '%s': no host takes part"):format(self.name) }
    end
    local ok, err = xpcall(self.run_batches, Error.handler, self)
    local status = self.stopped and "stopped" or self.failures > 0 and "failed" or "ok"
    if not ok then status = Error.from(err).code == "interrupted" and "interrupted" or "error" end
    self:emit { event = "play_end", name = self.name, status = status, seconds = core.now() - start }
    if not ok then error(err, 0) end
    return self:result()
end

--- Runs a play, and returns when all its hosts have come to its end, or failed.
---@param spec orrery.PlaySpec
---@return orrery.PlayResult
---Raises "option"; "partial" where the play was stopped: more hosts failed than may, or all of a batch; "interrupted"
---after Ctrl-C.
function M.play(spec)
    host.refuse_interrupted()
    spec = options.check("play", spec, PLAY)
    spec.timeout = schema.check("play", { timeout = spec.timeout }, TIMEOUT, Error.at()).timeout
    local run = session.current()
    run.plays = run.plays + 1
    local self = setmetatable({
        session = run, spec = spec, number = run.plays, name = spec.name or ("play %d"):format(run.plays),
        handlers = handlers.read(spec.handlers), results = {}, failed = {}, failures = 0, h = {},
    }, Play)
    self.key = run:key(self.name)
    connections.become(spec.become)
    batches.sizes(spec.serial, 1)
    self.hosts = self:choose()
    self.allowed = batches.allowed(spec.max_failures, #self.hosts)
    if run.settings.list then return require("orrery.play.listing").play(self) end
    run:begin()
    return self:run()
end
options.declare(M.play, PLAY, 1)

return M
