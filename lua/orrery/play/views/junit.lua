--- JUnit's XML, as Jenkins and GitLab read it: a suite for each play, a case for each step of each host.

local above = require "orrery.play.views.above"
local changes = require "orrery.play.views.changes"
local problem = require "orrery.play.views.problem"
local report = require "orrery.play.views.report"
local text = require "orrery.play.views.text"

local M = {}

local MOST = 200 -- lines of output that are kept of a step

local NAMES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\n"] = "&#10;" }

-- XML has no way at all to write most control characters, nor U+FFFE.
local function clean(s)
    s = tostring(s):gsub("\r\n?", "\n"):gsub("[%z\1-\8\11-\31]", "?")
    return (text.utf8(s):gsub("\239\191[\190\191]", "?"))
end

local function attribute(s) return (clean(s):gsub('[&<>"\n]', NAMES)) end

local function content(s) return (clean(s):gsub("[&<>]", NAMES)) end

---@class orrery.play.views.Suite
---@field name string
---@field time? number
---@field cases string[]
---@field tests integer
---@field failures integer
---@field errors integer
---@field skipped integer
---@field seconds number

---@class orrery.play.views.Junit
---@field suites orrery.play.views.Suite[]
---@field by_play table<any, orrery.play.views.Suite>
---@field output table<string, string[]>
---@field failed table<string, boolean> hosts of the current play with a case that says so
local Junit = {}
Junit.__index = Junit

---@param settings orrery.play.views.Settings
---@return orrery.play.views.Junit
function M.new(settings)
    if settings.junit then report.check(settings.junit) end
    local self = setmetatable({
        write = settings.write, path = settings.junit, suites = {}, by_play = {}, output = {}, failed = {},
    }, Junit)
    if not self.path and not settings.stream and settings.capture ~= false then
        local function aside(said) io.stderr:write(said) end -- on stdout there is nothing but XML
        self.above = above.install({ io.stdout }, aside, aside)
    end
    return self
end

---@private
function Junit:suite(e)
    local suite = self.by_play[e.play or 0]
    if not suite then
        suite = {
            name = e.name or ("play " .. tostring(e.play)), time = e.time, cases = {}, tests = 0, failures = 0,
            errors = 0, skipped = 0, seconds = 0,
        }
        self.by_play[e.play or 0], self.suites[#self.suites + 1] = suite, suite
    end
    return suite
end

local function lines_of(list)
    local out = {}
    for i, line in ipairs(list) do out[i] = line.text end
    return table.concat(out, "\n")
end

local function failure(kind, err, step)
    local code = type(err) == "table" and err.code or "failed"
    return ('    <%s message="%s" type="%s">%s</%s>\n'):format(kind, attribute(problem.message(err)), attribute(code),
        content(lines_of(problem.lines(err, step))), kind)
end

local function add_case(suite, host, name, seconds, inner)
    suite.tests = suite.tests + 1
    local open = ('  <testcase classname="%s" name="%s" time="%.3f"'):format(
        attribute(suite.name .. "." .. host), attribute(name), seconds)
    suite.cases[#suite.cases + 1] = inner == "" and open .. "/>\n" or open .. ">\n" .. inner .. "  </testcase>\n"
end

local on = {}

function on.play_start(self, e)
    self.failed = {}
    self:suite(e)
end

function on.play_end(self, e) self:suite(e).seconds = e.seconds or 0 end

function on.step_line(self, e)
    local key = text.key(e.host, e.step)
    local lines = self.output[key] or {}
    self.output[key] = lines
    if #lines < MOST then
        lines[#lines + 1] = text.printable(e.line or "")
    elseif #lines == MOST then
        lines[#lines + 1] = "(more is left out)"
    end
end

function on.step_end(self, e)
    local suite, inner, key = self:suite { play = e.play }, "", text.key(e.host, e.step)
    if e.status == "failed" then
        suite.failures, self.failed[e.host] = suite.failures + 1, true
        inner = failure("failure", e.error or e.message, e)
    elseif e.status == "skipped" then
        suite.skipped = suite.skipped + 1
        inner = ('    <skipped message="%s"/>\n'):format(attribute(e.message or "skipped"))
    end
    local said = {}
    if e.status ~= "failed" and e.status ~= "skipped" then said[1] = "status: " .. tostring(e.status) end
    if e.message and e.status ~= "skipped" then said[#said + 1] = tostring(e.message) end
    if e.status == "ignored" and e.error then said[#said + 1] = lines_of(problem.lines(e.error, e)) end
    local diff = lines_of(changes.lines(e.diff))
    if diff ~= "" then said[#said + 1] = diff end
    for _, line in ipairs(self.output[key] or {}) do said[#said + 1] = line end
    self.output[key] = nil
    if #said > 0 then
        inner = inner .. ("    <system-out>%s</system-out>\n"):format(content(table.concat(said, "\n")))
    end
    local name = ("%s %s"):format(tostring(e.step), text.step_name(e))
    add_case(suite, e.host, name, e.seconds or 0, inner)
end

-- A host that failed of no step, or was lost, is a case of its own.
function on.host_end(self, e)
    if e.status == "ok" or e.status == "failed" and self.failed[e.host] then return end
    local suite = self:suite { play = e.play }
    suite.errors = suite.errors + 1
    add_case(suite, e.host, "the host's part of the play", 0, failure("error", e.error or e.status))
end

---@param e table
function Junit:event(e)
    local handle = on[e.event]
    if handle then handle(self, e) end
end

local COUNTS = ' tests="%d" failures="%d" errors="%d" skipped="%d" time="%.3f"'

local function opening(suite)
    local stamp = suite.time and (' timestamp="%s"'):format(os.date("!%Y-%m-%dT%H:%M:%S", math.floor(suite.time))) or ""
    return ('<testsuite name="%s"' .. COUNTS .. "%s>\n"):format(attribute(suite.name), suite.tests, suite.failures,
        suite.errors, suite.skipped, suite.seconds, stamp)
end

---@return string
function Junit:document()
    local all = { tests = 0, failures = 0, errors = 0, skipped = 0, seconds = 0 }
    local out = {}
    for _, suite in ipairs(self.suites) do
        for key in pairs(all) do all[key] = all[key] + suite[key] end
        out[#out + 1] = opening(suite) .. table.concat(suite.cases) .. "</testsuite>\n"
    end
    local head = ("<testsuites" .. COUNTS .. ">\n"):format(all.tests, all.failures, all.errors, all.skipped,
        all.seconds)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' .. head .. table.concat(out) .. "</testsuites>\n"
end

function Junit:abandon()
    if self.above then io.stderr:write(self.above:remove()) end
    self.above = nil
end

function Junit:finish()
    self:abandon()
    if self.path then report.write(self.path, self:document()) else self.write(self:document()) end
end

return M
