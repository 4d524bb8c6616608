--- Playbooks: plays over hosts, made of steps that say what is to be so.
--
--     local play = require "orrery.play"
--     play.play {
--         name = "web", hosts = "@web", become = true,
--         run = function(h) h:package { names = { "nginx" } } end,
--     }
--
-- docs/playbooks.md explains it. Nothing is opened before the first play begins.

local options = require "orrery.options"
local plays = require "orrery.play.plays"
local session = require "orrery.play.session"

local M = { play = plays.play }

--- Makes an `h`, with resources as methods, out of a context: without a play.
---@param ctx orrery.Context
---@param opts? orrery.play.HostOptions
---@return orrery.play.Host
function M.host(ctx, opts) return require("orrery.play.host").new(ctx, opts) end

--- Finds what a playbook uses: play.resource.define, play.fail.
M.resource = require "orrery.play.resource"
M.fail = M.resource.fail

--- Sets what the run is like, where the command line does not say: { inventory = { "hosts.ini" }, forks = 20 ... }.
---@param settings orrery.play.RunSettings
---Raises "argument" when a play has begun already; "option".
function M.configure(settings)
    session.configure(require("orrery.play.settings").check(settings), true)
end
options.declare(M.configure, function() return require("orrery.play.settings").schema end, 1)

--- Ends the run: says the recap and closes all. The end of a script does it by itself.
---@return integer status 0: all is well; 2: some host failed; 3: some was not reached, or was lost
function M.finish()
    local run = session.running()
    return run and run:finish() or 0
end

--- Says something to whoever watches, in its place among the steps.
---@param text string
function M.say(text)
    session.current():emit { event = "message", level = "info", text = tostring(text) }
end

--- Runs the handlers that are owed on this host now, instead of at the end of the play.
---@param h table
function M.flush_handlers(h) h:flush_handlers() end

-- orrery.play.schema, orrery.play.template ...: read when they are used.
local PARTS = { schema = "table", template = "table", facts = "table", inventory = "table", vault = "table" }

local function index(_, name)
    if type(name) ~= "string" or not PARTS[name] then return nil end
    return require(name == "vault" and "orrery.vault" or "orrery.play." .. name)
end
options.declare_fields(index, { names = function() return PARTS end })

return setmetatable(M, { __index = index })
