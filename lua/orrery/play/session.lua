--- One run of a playbook: what its plays share, from the first to the end of the script.
--
-- The command gives the settings before the script is read; a script that runs otherwise may do so itself
-- (play.configure). What happens is an event, which goes to the record, to the tally and to the views, in this order,
-- so that what a person has seen is written down.

local core = require "orrery.core"
local Error = require "orrery.error"
local filter = require "orrery.play.filter"
local once = require "orrery.play.once"
local record = require "orrery.play.record"
local sys = require "orrery.sys"
local tally = require "orrery.play.tally"

local M = {}

---@class orrery.play.RunSettings
---@field playbook? string path of the script
---@field inventory? string[] files
---@field vars? table<string, any> --var, above all others
---@field limit? string hosts
---@field tags? string[]
---@field skip_tags? string[]
---@field check? boolean
---@field diff? boolean
---@field start_at? string
---@field failed? boolean go on with what the last run left
---@field from_start? boolean with that: those hosts from their first step
---@field step? boolean
---@field forks? integer hosts at a time
---@field list? "hosts"|"tasks" say what there is, and run nothing
---@field force_handlers? boolean
---@field ssh? table options of orrery.ssh for all hosts
---@field open? fun(name: string, vars: table): orrery.Context opens hosts otherwise,
---and closes them; where it returns nil, they are opened as ever
---@field host_vars? fun(name: string): table? variables above those of the inventory
---@field views? table[]
---@field record? boolean false: keep none
---@field confirm? fun(step: orrery.play.StepInfo): boolean

---@class orrery.play.Session
---@field settings orrery.play.RunSettings
---@field plays integer how many began
---@field out table<string, string> hosts that take no part any more, and why
---@field tally orrery.play.Tally
---@field once orrery.play.Once
---@field throttle orrery.play.Throttle
---@field history? orrery.play.History of the last run
---@field connections orrery.play.Connections
---@field inventory table
---@field finished boolean
local Session = {}
Session.__index = Session

---@type orrery.play.Session?
local current

-- Events --------------------------------------------------------------------------------------------

local function complain(text) io.stderr:write("orrery: ", text, "\n") end

local function scrubbed(event)
    local loaded = package.loaded["orrery.secret"]
    return loaded and loaded.scrub and loaded.scrub(event) or event
end

-- A view that fails is a matter of the view: the run goes on.
local function show(self, event)
    for i = #self.views, 1, -1 do
        local view = self.views[i]
        local ok, why = xpcall(view.event, Error.handler, view, event)
        if not ok then
            table.remove(self.views, i)
            complain("a view failed, and shows nothing any more: " .. Error.format(why))
        end
    end
end

--- Something happened.
---@param event table taken
---@param unrecorded? boolean the record knows already
function Session:emit(event, unrecorded)
    event = scrubbed(event)
    event.time = event.time or sys.time()
    if not unrecorded then self.record:event(event) end
    self.tally:event(event)
    show(self, event)
end

--- Something that only the record is told of.
---@param event table taken
function Session:note(event)
    event.time = sys.time()
    self.record:event(scrubbed(event))
end

--- Says something that a person should know.
---@param text string
---@param host? string
function Session:warn(text, host)
    local play = self.plays > 0 and self.plays or nil
    self:emit { event = "message", play = play, host = host, level = "warning", text = text }
end

-- Gates ---------------------------------------------------------------------------------------------

local function start_of(self, host)
    local settings = self.settings
    if settings.failed then
        local point = self.history and self.history:point(host)
        if not point then return nil, true end
        if settings.from_start then return { play = point.play } end
        return point
    end
    return settings.start_at and filter.point(settings.start_at) or nil
end

--- What decides about the steps of a host, through all plays.
---@param host string
---@return orrery.play.Gate? gate nil: this run is not about the host
function Session:gate(host)
    local gate = self.gates[host]
    if gate ~= nil then return gate or nil end
    local settings = self.settings
    local start, left_out = start_of(self, host)
    gate = not left_out and filter.gate {
        only = settings.tags and filter.set(settings.tags) or nil,
        skip = settings.skip_tags and filter.set(settings.skip_tags) or nil,
        confirm = settings.confirm, start = start,
    }
    self.gates[host] = gate
    return gate or nil
end

--- What a play is known by in records: its name, with a number where there was one of that name before.
---@param name string
---@return string
function Session:key(name)
    self.names[name] = (self.names[name] or 0) + 1
    return self.names[name] == 1 and name or ("%s #%d"):format(name, self.names[name])
end

--- Handlers that an earlier run owes to a host.
---@param play string its key
---@param host string
---@return string[]
function Session:owed(play, host)
    local plays = self.history and self.history.owed[play]
    return plays and plays[host] or {}
end

-- Beginning and end ---------------------------------------------------------------------------------

local function playbook_path(settings)
    local path = settings.playbook
    if not path or path == "-" then return nil end
    local cwd = sys.readlink "/proc/self/cwd" or os.getenv "PWD" or "/"
    return record.absolute(path, cwd)
end

-- What --failed is to go on with.
local function check_left(history)
    if not history then
        Error.raise {
            code = "usage", message = "orrery play: there is no record of an earlier run of this playbook",
        }
    end
    if history:open() then return end
    Error.raise {
        code = "usage", nothing_left = true, message = "orrery play: the last run of this playbook left nothing to do",
    }
end

-- The record is opened last: what stood in the former one is known by then.
local function open_record(self)
    local settings, path = self.settings, playbook_path(self.settings)
    local base = path and settings.record ~= false and record.base()
    local dir = base and base .. "/" .. record.id(path)
    if dir then self.history = record.last(dir, self.inventory:id()) end
    if settings.failed then check_left(self.history) end
    if settings.list or settings.check or settings.record == false or not path then return end
    self.record = record.open(dir, function(text) self.warnings[#self.warnings + 1] = text end)
    self:note {
        event = "begin", version = 1, playbook = path, inventory = self.inventory:id(), failed = settings.failed,
        before = self.history and self.history:left() or {},
    }
end

local NO_RECORD = { event = function() end, close = function() end }

-- The path of the script that runs, where the command does not say it.
local function running_script()
    local arguments = rawget(_G, "arg")
    return type(arguments) == "table" and type(arguments[0]) == "string" and arguments[0] or nil
end

local function views_of(settings)
    if settings.views or settings.list then return settings.views or {} end
    return { require("orrery.play.views").open("plain", { diff = settings.diff }) }
end

local function preload_once(self)
    for play, names in pairs(self.settings.failed and self.history and self.history.once or {}) do
        for name in pairs(names) do self.once:done(play .. "\0" .. name, { changed = false, skipped = true }) end
    end
end

--- A run that is to begin.
---@param settings orrery.play.RunSettings
---@return orrery.play.Session
function M.new(settings)
    settings.playbook = settings.playbook or running_script()
    local self = setmetatable({
        settings = settings, plays = 0, out = {}, gates = {}, names = {}, tally = tally.new(), once = once.new(),
        throttle = once.throttle(), views = views_of(settings), record = NO_RECORD, warnings = {}, finished = false,
    }, Session)
    self.inventory = require("orrery.play.hosts").open(settings)
    self.connections = require("orrery.play.connections").new(self)
    open_record(self)
    preload_once(self)
    return self
end

--- The run begins, before its first play.
function Session:begin()
    if self.begun or self.settings.list then return end
    self.begun = core.now()
    local settings = self.settings
    self:emit {
        event = "run_start", playbook = settings.playbook, check = settings.check, diff = settings.diff,
        recorded = self.record.path ~= nil,
    }
    for _, text in ipairs(self.warnings) do self:warn(text) end
    self.warnings = {}
    if not settings.failed then return end
    local failed, when = self.history:failed(), os.date("%Y-%m-%d %H:%M:%S", math.floor(self.history.head.time or 0))
    local whom = #failed > 0 and table.concat(failed, ",") or "plays that had not begun"
    self:emit {
        event = "message", level = "info", text = ("going on with what the run of %s left: %s"):format(when, whom),
    }
end

local function hosts_of(tallied)
    local hosts = {}
    for name, count in pairs(tallied.hosts) do hosts[name] = count end
    return hosts
end

--- Whether an error is that of a play which was stopped: its hosts have said why.
---@param err any
---@return boolean
function M.is_stop(err) return Error.is(err) and err.play_stopped == true end

--- The status of a run that has come so far.
---@param err? any what the script raised
---@return integer
function Session:status(err)
    if err ~= nil then
        err = Error.from(err)
        if err.code == "interrupted" then return 130 end
        -- A play that was stopped: its hosts say why.
        if not M.is_stop(err) then return 1 end
    end
    local status = self.tally:status()
    return status == 0 and err ~= nil and 2 or status
end

-- Where no host has come to the step that the user named, there is none of that name.
local function missed_start(self)
    local start = self.settings.start_at
    if not start or not next(self.gates) then return nil end
    for _, gate in pairs(self.gates) do
        if not gate or not gate:seeking() then return nil end
    end
    return Error.new { code = "argument", message = ("there is no step '%s' to start at"):format(start) }
end

-- A slip in --tags must not look as if all had been done.
local function warn_of_tags(self)
    local wanted = self.settings.tags
    if not wanted or not next(self.tally.hosts) then return end
    for _, count in pairs(self.tally.hosts) do
        for status, n in pairs(count) do
            if status ~= "skipped" and n > 0 then return end
        end
    end
    self:warn(("no step has run: none has the tag '%s'"):format(table.concat(wanted, "' or '")))
end

--- The run is over: the views and the record are told, connections are closed. The second time does nothing.
---@param err? any what the script raised
---@return integer status
function Session:finish(err)
    if self.finished then return self.final end
    local missed = err == nil and missed_start(self) or nil
    if missed then
        err = missed
        self:warn(missed.message)
    elseif err == nil then
        warn_of_tags(self)
    end
    self.finished, self.final = true, self:status(err)
    if self.begun then
        self:emit {
            event = "run_end", seconds = core.now() - self.begun, status = self.final, hosts = hosts_of(self.tally),
        }
    end
    for _, view in ipairs(self.views) do
        if view.finish then pcall(view.finish, view) end
    end
    self:note { event = "end", complete = err == nil }
    self.record:close()
    self.connections:close()
    return self.final
end

-- The one of this process ---------------------------------------------------------------------------

local settings = {}

--- Sets what the run that is to begin is like; what is given already by the command stays.
---@param more orrery.play.RunSettings
---@param weak? boolean what is set already wins
function M.configure(more, weak)
    if current and not current.finished then
        Error.raise { code = "argument", at = Error.at(), message = "play.configure: the first play has begun" }
    end
    for name, value in pairs(more) do
        if not weak or settings[name] == nil then settings[name] = value end
    end
end

-- A program that is not the command has to say where its end is. As the Lua state closes is too late to do anything.
local function remind(run)
    local sentinel = newproxy(true)
    getmetatable(sentinel).__gc = function()
        if run.begun and not run.finished then complain "the script ended without play.finish(): there is no recap" end
    end
    run.sentinel = sentinel
end

--- The run of this process; it begins when it is first asked for.
---@return orrery.play.Session
function M.current()
    if not current or current.finished then
        current = M.new(settings)
        remind(current)
    end
    return current
end

---@return orrery.play.Session? session nil where no play has begun
function M.running() return current and not current.finished and current or nil end

--- Forgets everything, for tests that run several playbooks in one process.
function M.reset()
    if current then current.finished = true end
    current, settings = nil, {}
end

return M
