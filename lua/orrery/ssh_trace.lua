--- From which file and line each option of a host's configuration comes.
--
-- `ssh -vvv -G` says which blocks of which files apply, in the order in which it reads them. Its files are
-- read beside that: where it says that a block applies, the keywords below count.

local system = require "orrery.ssh_system"

local M = {}

---@class orrery.SshTraceEvent
---@field kind "read"|"host"|"match"|"include"
---@field file? string
---@field line? integer
---@field path? string
---@field applies? boolean

-- What ssh said, as events.
local function events_of(text)
    local events = {}
    local function add(event) events[#events + 1] = event end
    for line in text:gmatch("[^\r\n]+") do
        local path = line:match("^debug1: Reading configuration data (.+)$")
        if path then add { kind = "read", path = path } end
        local file, number = line:match("^debug1: (.+) line (%d+): Applying options for ")
        if file then add { kind = "host", file = file, line = tonumber(number) } end
        local at, included
        file, at, included = line:match("^debug3: (.+) line (%d+): Including file (.-) depth %d+")
        if file then
            add { kind = "include", file = file, line = tonumber(at), path = included,
                applies = not line:find("(parse only)", 1, true) }
        end
        local verdict = line:match("^debug2: match (.*)found$")
        if verdict then add { kind = "match", applies = verdict == "" } end
    end
    return events
end

---@class orrery.SshTrace
---@field events orrery.SshTraceEvent[]
---@field at integer the next event
---@field sources table<string, string[]> by keyword in lower case: "FILE:LINE" of each place that sets it; where
---only one value counts, the first has it
---@field names table<string, string> as the keyword is written there
---@field seen table<string, boolean>
local Trace = {}
Trace.__index = Trace

-- Takes the next event where it is the one that is expected.
function Trace:take(kind, file, line)
    local event = self.events[self.at]
    if not event or event.kind ~= kind then return nil end
    if file and event.file ~= file or line and event.line ~= line then return nil end
    self.at = self.at + 1
    return event
end

function Trace:note(name, place)
    local keyword = name:lower()
    local key = keyword .. "\0" .. place
    if self.seen[key] then return end -- a second pass for "Match final"
    self.seen[key] = true
    self.names[keyword] = self.names[keyword] or name
    self.sources[keyword] = self.sources[keyword] or {}
    table.insert(self.sources[keyword], place)
end

-- One line of a file; returns whether those below it count.
function Trace:line(text, path, number, counts, applies)
    local name = text:match("^%s*(%a%w*)")
    if not name then return counts end
    local keyword = name:lower()
    if keyword == "host" then return self:take("host", path, number) ~= nil and applies end
    if keyword == "match" then
        local event = self:take("match")
        return event ~= nil and event.applies and applies
    end
    if keyword == "include" then
        local event = self:take("include", path, number)
        while event do
            self:file(event.path, counts and event.applies)
            event = self:take("include", path, number)
        end
    elseif counts then
        self:note(name, ("%s:%d"):format(path, number))
    end
    return counts
end

function Trace:file(path, applies)
    local next_event = self.events[self.at]
    if not next_event or next_event.kind ~= "read" or next_event.path ~= path then return end
    self.at = self.at + 1
    local file = io.open(path)
    if not file then return end
    local number, counts = 0, applies
    for text in file:lines() do
        number = number + 1
        counts = self:line(text, path, number, counts, applies)
    end
    file:close()
end

--- Asks ssh.
---@param query string[] the command that prints the configuration (ssh_config.query)
---@param run? fun(argv: string[]): string, integer for specs
---@return orrery.SshTrace trace its `sources` and `names`
function M.trace(query, run)
    local argv = { query[1], "-vvv" }
    for i = 2, #query do argv[#argv + 1] = query[i] end
    local text = (run or system.run)(argv)
    local trace = setmetatable({
        events = events_of(text), at = 1, sources = {}, names = {}, seen = {},
    }, Trace)
    while trace.events[trace.at] do
        local before = trace.at
        local event = trace.events[before]
        if event.kind == "read" then trace:file(event.path, true) end
        if trace.at == before then trace.at = before + 1 end -- what cannot be made out is passed over
    end
    return trace
end

return M
