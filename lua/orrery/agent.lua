--- What an agent does: run calls for its parent. Loaded, and so listening, before the parent's first
--- message; `serve` then runs until the parent is gone.

local breaking = require "orrery.breaking"
local closure = require "orrery.closure"
local codec = require "orrery.codec"
local core = require "orrery.core"
local Error = require "orrery.error"
local handover = require "orrery.handover"
local link = require "orrery.link"
local modules = require "orrery.modules"
local sched = require "orrery.sched"
require "orrery" -- contexts and senders that arrive in calls need their methods

local M = {}

local WITH_CODE = { code = true }
local LOG_WARN = 1

---@class orrery.Work: orrery.Task a call that runs here
---@field src integer who called
---@field reply integer where the answer goes; 0 for a cast
---@field seq integer
---@field other orrery.Work|false another one with the same seq, from elsewhere
local Work = setmetatable({ watched = true }, { __index = sched.Task })
Work.__index = Work

---@type table<integer, orrery.Work> by seq: calls that run, for cancel
local running = {}
---@type orrery.Work? one that has ended: most calls never block, and then nobody holds it
local spare

local function no_function(name, why)
    Error.raise { code = "no_function", message = ("'%s': %s"):format(name, why) }
end

-- "mod.sub.fn" is field fn of module mod.sub; a plain name is a global function.
local function find(module, field)
    if not module then
        local fn = _G[field]
        return type(fn) == "function" and fn or no_function(field, "there is no such global function")
    end
    local ok, loaded = pcall(require, module)
    if not ok then
        local err = Error.from(loaded)
        if err.code == "lua" then
            Error.raise { code = "module", message = ("module '%s': %s"):format(module, err.message) }
        end
        error(err, 0)
    end
    local fn = type(loaded) == "table" and loaded[field]
    local why = ("module '%s' has no '%s'"):format(module, field)
    return fn or no_function(module .. "." .. field, why)
end

-- The two parts of names that were called: cutting strings costs more than the rest of a call.
local MOST_NAMES = 1000
local modules_of, fields_of, name_count = {}, {}, 0

local function split(name)
    local module, field = name:match("^(.*)%.([^%.]+)$")
    if name_count == MOST_NAMES then modules_of, fields_of, name_count = {}, {}, 0 end
    modules_of[name], fields_of[name], name_count = module or false, field or name, name_count + 1
end

local function resolve(name)
    if not fields_of[name] then split(name) end
    local module, field = modules_of[name], fields_of[name]
    local loaded = package.loaded[module]
    return type(loaded) == "table" and loaded[field] or find(module, field)
end

-- An answer that is too large becomes an error that says so: the caller waits for something.
local function answer(work, ...)
    if work.reply == 0 then return end
    local ok, code, text = core.reply_values(work.src, work.reply, work.seq, ...)
    if ok == false then
        local payload = codec.encode_data(...)
        handover.give(work.src, payload)
        ok, code, text = core.reply(work.src, work.reply, work.seq, payload, false)
    end
    if not ok then Error.raise { code = code, message = text } end
end

local function call(work, fn, ...)
    if type(fn) == "string" then
        if closure.is_flat(fn) then return answer(work, closure.call(fn, ...)) end
        fn = resolve(fn)
    end
    return answer(work, fn(...))
end

local function call_encoded(work, payload)
    return call(work, codec.decode(payload, WITH_CODE))
end

local function answer_error(work, err)
    if work.reply == 0 then
        core.log(LOG_WARN, "agent", "a cast failed: " .. tostring(err))
        return
    end
    local ok, code, text = core.reply(work.src, work.reply, work.seq, codec.encode_error(err), true)
    if not ok then
        local payload = codec.encode_error(Error.new { code = code, message = text })
        core.reply(work.src, work.reply, work.seq, payload, true)
    end
end

function Work:describe() return "a call from context " .. self.src end

function Work:enter()
    self.other = running[self.seq] or false
    running[self.seq] = self
end

function Work:leave()
    local at = running[self.seq]
    if at == self then
        running[self.seq] = self.other or nil
        return
    end
    while at and at.other ~= self do at = at.other end
    if at then at.other = self.other end
end

function Work:ended(ok, err)
    if self.reply ~= 0 then self:leave() end
    if not ok then answer_error(self, err) end
    if self.kept then
        sched.Task.ended(self, ok, err)
    else
        self:leave_run()
        spare = self
    end
end

local function on_call(seq, src, reply, _, payload, ...)
    local work = spare or setmetatable({
        false, state = false, n = 0, error = false, observer = false,
        waiting = false, kept = false, co = false, run = false, src = 0, reply = 0, seq = 0, other = false,
    }, Work)
    spare = nil
    work.src, work.reply, work.seq = src, reply, seq
    if reply ~= 0 then work:enter() end
    if type(payload) == "string" then
        sched.begin(work, call_encoded, work, payload)
    else
        sched.begin(work, call, work, ...)
    end
    return true
end

local function find_work(src, reply, seq)
    local work = running[seq]
    while work and (work.src ~= src or work.reply ~= reply) do work = work.other end
    return work
end

local function on_cancel(seq, src, reply, _, payload)
    local work = find_work(src, reply, seq)
    if work then work:cancel(payload ~= "" and breaking.error() or nil) end
end

-- Calls that are to end for good; they may be computing.
local function take_breaks()
    for src, reply, seq in core.next_break do
        local work = find_work(src, reply, seq)
        if work then breaking.end_task(work, breaking.error()) end
    end
end

core.listen(core.handle.CALL, true)
core.listen(core.handle.CANCEL, true)
link.handle(core.handle.CALL, on_call)
link.handle(core.handle.CANCEL, on_cancel)
link.handle(core.handle.BREAK, take_breaks)
breaking.install(take_breaks, true)
link.expect(1) -- there is always a next call
modules.serve()
modules.install()

local parent_gone = false
link.on_dead(function(id)
    if id == core.parent() then parent_gone = true end
end)

function M.serve()
    sched.run_until(function() return parent_gone end)
end

return M
