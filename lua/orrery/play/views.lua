--- What people and machines see of a run. A sink takes the events of a run (docs/events.md) and hands them to views.
--
-- A view that fails is left out from then on, with a note: nothing that is shown may end a run.

local Error = require "orrery.error"
local ffi = require "ffi"
local sgr = require "orrery.sgr"
local text = require "orrery.play.views.text"

pcall(ffi.cdef, "int isatty(int fd);")

local M = {}

---@class orrery.play.views.Settings
---@field stream? { write: fun(self: any, text: string), flush?: fun(self: any) } stdout by default
---@field terminal? boolean whether that is one; looked at by default for stdout, else false
---@field columns? fun(): integer? columns of the terminal, or nil
---@field colour? boolean by default as the environment and the terminal say
---@field verbosity? integer -1: neither ok nor skipped; 0; 1: lines of commands and tracebacks, too
---@field diff? boolean whether diffs are shown (json, junit and html have them always)
---@field playbook? string what to call it in advice, as a shell has it: "site.lua -i hosts.ini"; default: the event's
---@field report? string file of the HTML report
---@field junit? string file of the JUnit report; by default it goes to the stream
---@field capture? boolean false: leave what the script prints alone
---@field time? false|fun(): number seconds since the epoch, for reports; of orrery.sys by default; false: the events'
---@field write? fun(text: string) made of `stream`
---@field screen? orrery.play.views.Screen where the live view draws
---@field utf8? boolean what the terminal shows; by default as the locale says
---@field clock? fun(): number seconds of any clock
---@field after? fun(seconds: number, fn: fun()): { cancel: fun(self: any) } calls it later

---@class orrery.play.views.View
---@field event fun(self: any, e: table)
---@field finish fun(self: any)

--- Those that there are.
M.NAMES = { "auto", "plain", "live", "json", "junit", "html" }

--- Which of them the command line means.
---@param name? string nil: live on a terminal, plain elsewhere
---@return string? name
---@return string? why not
function M.named(name)
    if name == nil then return "auto" end
    for _, known in ipairs(M.NAMES) do
        if known == name and known ~= "html" then return known end
    end
    return nil, ("must be plain, live, json or junit, not '%s'"):format(name)
end

local KNOWN = {}
for _, name in ipairs(M.NAMES) do KNOWN[name] = true end

local function prepared(settings)
    local own = setmetatable({}, { __index = settings })
    if not settings.stream then
        local write, out = io.stdout.write, io.stdout -- as it is now: views replace it for the script
        own.write = function(said)
            write(out, said)
            out:flush()
        end
        if settings.terminal == nil then own.terminal = ffi.C.isatty(1) == 1 end
    else
        own.write = function(said) settings.stream:write(said) end
    end
    own.clock = settings.clock or require("orrery.sched").now
    if settings.after == nil and not settings.clock then own.after = require("orrery.sched").after end
    if settings.colour == nil then own.colour = sgr.wanted(own.terminal or false) end
    return own
end

-- On a terminal that can move its cursor.
local function choose(settings)
    local able = settings.terminal and not settings.stream and (os.getenv "TERM" or "dumb") ~= "dumb"
    return able and "live" or "plain"
end

---@class orrery.play.views.Sink
---@field views { name: string, view: orrery.play.views.View }[]
---@field problems string[]
local Sink = {}
Sink.__index = Sink

--- Opens views.
---@param names string|string[] of M.NAMES: "auto" is "live" on a terminal, else "plain"
---@param settings? orrery.play.views.Settings
---@return orrery.play.views.Sink
---Raises "option" for a name that is not known, "file" where a report could not be written.
function M.open(names, settings)
    local own, self = prepared(settings or {}), setmetatable({ views = {}, problems = {} }, Sink)
    if type(names) == "string" then names = { names } end
    for _, name in ipairs(names) do
        if not KNOWN[name] then
            local known = table.concat(M.NAMES, ", ")
            Error.raise { code = "option", message = ("there is no view '%s' (%s)"):format(name, known) }
        end
        if name == "auto" then name = choose(own) end
        self.views[#self.views + 1] = { name = name, view = require("orrery.play.views." .. name).new(own) }
    end
    return self
end

---@private
function Sink:each(method, ...)
    for i = #self.views, 1, -1 do
        local entry = self.views[i]
        local ok, err = xpcall(entry.view[method], Error.handler, entry.view, ...)
        if not ok then
            table.remove(self.views, i)
            local problem = ("the %s view failed: %s"):format(entry.name, Error.from(err).message)
            self.problems[#self.problems + 1] = problem
            if entry.view.abandon then pcall(entry.view.abandon, entry.view) end
            io.stderr:write("orrery: ", text.printable(problem), "\n")
        end
    end
end

---@param e table
function Sink:event(e) self:each("event", e) end

--- Ends all views: shows what is left, writes reports. To be called however the run ended; once is enough.
---@return string[] problems of views that failed
function Sink:finish()
    if not self.finished then
        self.finished = true
        self:each "finish"
    end
    return self.problems
end

return M
