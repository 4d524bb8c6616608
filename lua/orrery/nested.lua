--- Children of children: what can be opened here can be opened in any other context.
--
--     local jump = orrery.ssh "jump"
--     local inner = jump:localhost { name = "inner" }     -- a child of jump's: ssh:jump/local:inner
--
-- A way to open contexts is a *planner*: a function that makes of its arguments a plan (orrery.Plan), and does
-- nothing else. `nested.add("podman", planner)` makes it a method of contexts. A plan is data, but for `explain`
-- and `ask`: the first travels as functions do; questions are asked where the script is.
--
-- Who opens a context for another holds it until that closes it, by its id as any other, or is gone itself: then
-- this process is, too.

local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local options = require "orrery.options"
local receiver = require "orrery.receiver"
local sched = require "orrery.sched"

local M = {}

-- In the context that opens ------------------------------------------------------------------------

---@type table<string, orrery.Context|false> by the opener's key; false: it is being opened
local held = {}

link.on_dead(function(id)
    for key, ctx in pairs(held) do
        if ctx and ctx.id == id then held[key] = nil end
    end
end)

-- The answer is the script's, which may take its time.
local function ask_above(questions, question)
    local answers = receiver.receiver()
    questions:send(question, answers:sender())
    local ok, answered, answer = pcall(answers.get, answers)
    answers:close()
    if not ok then error(answered, 0) end
    if not answered then Error.raise { code = "cancelled", message = answer } end
    return answer
end

--- Opens a context for the one that calls this.
---@param key string
---@param plan orrery.Plan
---@param questions? orrery.Sender
---@return integer id
---@return string route
---@return orrery.HostInfo
function M.hold(key, plan, questions)
    if questions then plan.ask = function(question) return ask_above(questions, question) end end
    held[key] = false
    local ok, ctx = pcall(context.open, plan)
    local wanted = held[key] ~= nil
    held[key] = ok and wanted and ctx or nil
    if not ok then error(ctx, 0) end
    if not wanted then
        ctx:close()
        Error.raise { code = "cancelled" }
    end
    return ctx.id, ctx.route, ctx:info()
end

--- The one that called is not interested any more: it may have missed what `hold` returned, or not wait for it.
---@param key string
function M.drop(key)
    local ctx = held[key]
    held[key] = nil
    if ctx then ctx:close() end
end

-- In the context that asks for it ------------------------------------------------------------------

local function answer(ask, question, answers)
    local ok, text = pcall(ask, question)
    answers:send(ok, ok and text or Error.from(text).message)
end

-- Returns where to send questions, if there is somebody to answer them, and a function that ends it.
local function answer_questions(ask)
    if type(ask) ~= "function" then return nil, function() end end
    local questions = receiver.receiver()
    local task = sched.spawn(function()
        for question, answers in questions:each() do answer(ask, question, answers) end
    end)
    return questions:sender(), function()
        questions:close()
        task:cancel()
    end
end

local last_key = 0

-- Unique among all that call the same context.
local function new_key()
    last_key = last_key + 1
    local id, handle = core.self()
    return ("%d.%d.%d"):format(id, handle, last_key)
end

local function copy(plan)
    local plain = {}
    for name, value in pairs(plan) do plain[name] = value end
    return plain
end

-- An error of the opening is as good as one that was raised here.
local function raise(err)
    if err.context then
        err.traceback, err.remote = nil, nil
        err.at = Error.at() or err.at
    end
    error(err, 0)
end

--- Opens a child of another context.
---@param ctx orrery.Context
---@param plan orrery.Plan what travels; see above
---@return orrery.Context
---Raises what context.open raises, with the place of the child; "dead" where ctx is lost.
function M.open(ctx, plan)
    if ctx.id == core.self() then return context.open(plan) end
    local key, plain = new_key(), copy(plan)
    local questions, finish = answer_questions(plan.ask)
    if questions then plain.ask = nil end
    local ok, id, route, info = pcall(ctx.call, ctx, "orrery.nested.hold", key, plain, questions)
    finish()
    if not ok then
        pcall(ctx.cast, ctx, "orrery.nested.drop", key)
        raise(Error.from(id))
    end
    return context.adopt(id, { name = plan.name, route = route }, info, ctx)
end

--- Makes a planner a method of contexts: ctx:<name>(...) opens what planner(...) returns, as a child of ctx.
---@param name string
---@param planner fun(...: any): orrery.Plan raises what is wrong with its arguments
function M.add(name, planner)
    local function open(self, ...) return M.open(self, planner(...)) end
    context.Context[name] = options.declare_as(open, planner)
end

return M
