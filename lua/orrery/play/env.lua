--- What a resource is given besides its options: `env`, one for each try of a step.

local context = require "orrery.context"
local core = require "orrery.core"
local sys = require "orrery.sys"

local M = {}

---@class orrery.play.Env
---@field check_mode boolean only look: apply is not called
---@field diff boolean somebody wants to see differences of contents
---@field facts table what is known of this machine; each is found when it is first asked for
---@field vars table of the host, those that its files name
---@field sys table require "orrery.sys"
---@field run fun(argv: (string|number)[], opts?: orrery.play.RunOptions): orrery.CommandResult
---@field file fun(source: any): string content of a file of the controller, for options of type "source"
---@field source fun(source: any): orrery.play.Source the same, without fetching what is large
---@field say fun(text: string) a message to the view
---@field warn fun(text: string)
---@field progress fun(done: integer, total?: integer) bytes, for a bar
---@field cleanup fun(fn: function) is called when this try is over, the last one first

---@class orrery.play.RunOptions: orrery.CommandOptions
---@field live? boolean show its lines in the view: by default while applying, and not while checking

local PROGRESS = 0.1 -- seconds between two

-- Commands speak the language that resources read.
local LANGUAGE = { LC_ALL = "C", LANGUAGE = false, LANG = false }

local function environment(modifiers, opts)
    local all = {}
    for key, value in pairs(LANGUAGE) do all[key] = value end
    for key, value in pairs(modifiers.env or {}) do all[key] = value end
    for key, value in pairs(opts.env or {}) do all[key] = value end
    return all
end

local function tee(first, second)
    if not first or not second then return first or second end
    return function(line)
        first(line)
        second(line)
    end
end

-- The context of this very process, whose command service runs what is asked for; and not `os.execute`, so that
-- other calls go on, the timeout holds and nothing outlives this process.
local self_context

local function myself()
    if not self_context then self_context = context.from_id((core.self())) end
    return self_context
end

---@param env orrery.play.Env
---@param step table id, events, modifiers, files: see engine.lua
local function add_run(env, step)
    local function line_of(stream)
        return function(line) step.events:line(step.id, stream, step.scrub(line)) end
    end
    function env.run(argv, opts)
        local all = {}
        for key, value in pairs(opts or {}) do all[key] = value end
        local live = all.live
        all.live = nil
        if live == nil then live = env.applying end
        all.env = environment(step.modifiers, all)
        if live and not step.modifiers.no_log then
            all.on_stdout = tee(line_of "stdout", all.on_stdout)
            all.on_stderr = tee(line_of "stderr", all.on_stderr)
        end
        return (env.runner or myself)():run(argv, all)
    end
end

local function add_view(env, step)
    local last = 0
    function env.progress(done, total)
        local now = core.now()
        if now - last < PROGRESS and done ~= total then return end
        last = now
        step.events:emit { event = "step_progress", step = step.id, done = done, total = total }
    end
    local function message(level)
        return function(text)
            if step.modifiers.no_log then return end
            step.events:emit { event = "message", level = level, text = step.scrub(tostring(text)), step = step.id }
        end
    end
    env.say, env.warn = message "info", message "warning"
end

---@param step table
---@param settings { check: boolean, diff: boolean }
---@return orrery.play.Env env
---@return fun() finish runs what was given to cleanup
function M.new(step, settings)
    local cleanups = {}
    local env = {
        check_mode = settings.check, diff = settings.diff, applying = false, sys = sys,
        vars = step.vars,
        file = function(source) return step.files:content(source) end,
        source = function(source) return step.files:source(source, step.id) end,
        cleanup = function(fn) cleanups[#cleanups + 1] = fn end,
    }
    setmetatable(env, { __index = function(_, key) return key == "facts" and step.facts() or nil end })
    add_run(env, step)
    add_view(env, step)
    if step.extend then step.extend(env) end
    return env, function()
        for i = #cleanups, 1, -1 do pcall(cleanups[i]) end
    end
end

return M
