--- Tests of playbooks: hosts that are sandboxes on this machine, thrown away afterwards. For busted, or any other.
--
--     local testing = require "orrery.testing"
--     local site = testing.playbook("site.lua", { inventory = { web = { hosts = { "web1" } } } })
--     local first, second = site:twice()                       -- the second run must change nothing
--     site:host("web1"):has_file("/etc/motd", { mode = "644", contains = "welcome" })
--     site:close()
--
-- A sandbox is what this machine's file system is, with all that is changed kept in memory (an overlay), and processes
-- of its own; the network is this machine's. That takes root. Without it, a sandbox is a plain directory, which a
-- playbook has to put in front of its paths: h.vars.root, which is "" in an overlay.

local Error = require "orrery.error"
local options = require "orrery.options"
local sandbox = require "orrery.testing.sandbox"
local session = require "orrery.play.session"

local M = {}

M.sandbox = sandbox.open

local function collector()
    local view = { events = {} }
    function view.event(_, event) view.events[#view.events + 1] = event end
    return view
end

---@class orrery.testing.Run what came of a run
---@field status integer as of `orrery play`
---@field error? orrery.Error what the script raised
---@field events table[] all that happened, see docs/events.md
---@field changed string[] steps that changed something: "web1: file /srv/app"
---@field failed string[]
---@field unknown string[]

local HOLDERS = { task = true, batch = true }

local function run_of(status, err, events)
    local run = { status = status, error = err, events = events, changed = {}, failed = {}, unknown = {} }
    for _, e in ipairs(events) do
        local list = e.event == "step_end" and not HOLDERS[e.resource or ""] and run[e.status]
        if type(list) == "table" then
            local why = e.error and ": " .. tostring(e.error.message) or ""
            list[#list + 1] = ("%s: %s%s"):format(e.host, e.name or e.resource, why)
        elseif e.event == "host_end" and e.error then
            run.failed[#run.failed + 1] = ("%s: %s"):format(e.host, tostring(e.error.message))
        end
    end
    return run
end

local RUN = {
    check = "boolean", diff = "boolean", vars = "table", limit = "string", tags = { "string", "table" },
    skip_tags = { "string", "table" }, start_at = "string", args = "table",
}

---@class orrery.testing.RunOptions
---@field check? boolean
---@field diff? boolean
---@field vars? table<string, any> above all others
---@field limit? string
---@field tags? string|string[]
---@field skip_tags? string|string[]
---@field start_at? string
---@field args? string[] the script's `arg`

local PLAYBOOK = {
    inventory = { type = { "string", "table" }, required = true },
    kind = { enum = { "auto", "overlay", "directory" }, default = "auto" },
    vars = { type = "table", default = {} }, args = "table",
}

---@class orrery.testing.Playbook
---@field path string
---@field hosts table<string, orrery.testing.Sandbox>
local Playbook = {}
Playbook.__index = Playbook

--- A playbook that is to be tested. A sandbox is made for each host when it is first used, and kept until `close`.
---@param path string
---@param opts { inventory: string|table, kind?: "auto"|"overlay"|"directory", vars?: table, args?: string[] }
---`inventory` as for --inventory, or a table as an inventory file returns
---@return orrery.testing.Playbook
function M.playbook(path, opts)
    opts = options.check("testing.playbook", opts, PLAYBOOK)
    return setmetatable({ path = path, opts = opts, hosts = {} }, Playbook)
end
options.declare(M.playbook, PLAYBOOK, 2)

--- The sandbox of a host.
---@param name string
---@return orrery.testing.Sandbox
function Playbook:host(name)
    self.hosts[name] = self.hosts[name] or sandbox.open { name = name, kind = self.opts.kind }
    return self.hosts[name]
end

local function merged(first, second)
    local all = {}
    for _, vars in ipairs { first, second or {} } do
        for key, value in pairs(vars) do all[key] = value end
    end
    return all
end

local function list_of(value)
    if type(value) == "string" then return { value } end
    return value
end

-- The script as a program has it, without being one.
local function run_script(path, arguments)
    local chunk, why = loadfile(path)
    if not chunk then Error.raise { code = "lua", message = why } end
    local path_before, arg_before = package.path, rawget(_G, "arg")
    local dir = path:match "^(.*)/[^/]*$" or "."
    local words = { [0] = path, unpack(arguments or {}) }
    package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(dir, dir, package.path)
    rawset(_G, "arg", words)
    local ok, err = xpcall(chunk, Error.handler, unpack(words))
    package.path = path_before
    rawset(_G, "arg", arg_before)
    if not ok then error(err, 0) end
end

--- Runs it.
---@param opts? orrery.testing.RunOptions
---@return orrery.testing.Run
function Playbook:run(opts)
    opts = options.check("run", opts, RUN)
    local view, inventory = collector(), self.opts.inventory
    session.reset()
    session.configure {
        playbook = self.path, inventory = type(inventory) == "string" and { inventory } or { inventory },
        vars = merged(self.opts.vars, opts.vars), check = opts.check, diff = opts.diff, limit = opts.limit,
        tags = list_of(opts.tags), skip_tags = list_of(opts.skip_tags), start_at = opts.start_at,
        record = false, views = { view },
        open = function(name) return self:host(name).ctx end,
        host_vars = function(name) return { root = self:host(name).root } end,
    }
    local ok, err = pcall(run_script, self.path, opts.args or self.opts.args)
    if ok then err = nil end
    local run = session.running()
    local status = run and run:finish(err) or err ~= nil and 1 or 0
    session.reset()
    return run_of(status, err ~= nil and Error.from(err) or nil, view.events)
end
options.declare(Playbook.run, RUN, 1)

local function fail(text, list)
    Error.raise { code = "resource", at = Error.at(), message = text .. ":\n  " .. table.concat(list, "\n  ") }
end

local function must_succeed(run, which)
    if run.status == 0 then return end
    local why = #run.failed > 0 and run.failed or { run.error and Error.format(run.error) or "it does not say why" }
    fail(("the %s run ended with status %d"):format(which, run.status), why)
end

--- Runs it twice. Both must succeed, and the second must change nothing.
---@param opts? orrery.testing.RunOptions
---@return orrery.testing.Run first
---@return orrery.testing.Run second
---Raises what went wrong, with the steps.
function Playbook:twice(opts)
    local first = self:run(opts)
    must_succeed(first, "first")
    local second = self:run(opts)
    must_succeed(second, "second")
    if #second.changed > 0 then fail("the second run changed something", second.changed) end
    return first, second
end

--- Runs it in check mode, which must succeed.
---@param opts? orrery.testing.RunOptions
---@return orrery.testing.Run
function Playbook:check(opts)
    local with = merged(opts or {}, { check = true })
    local run = self:run(with)
    must_succeed(run, "check")
    return run
end

--- Throws the sandboxes away.
function Playbook:close()
    for _, box in pairs(self.hosts) do box:close() end
    self.hosts = {}
end

return M
