--- Questions of a connection that is being made to the function that the script gave for them.
--
-- A function runs in a task of its own, so it may wait for whatever it likes: a call in another context, a
-- command, a file.

local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local sched = require "orrery.sched"

--- What only a person, or whoever speaks for one, can answer.
---@class orrery.Asked
---@field kind "passphrase"|"password"|"prompt"|"hostkey"
---@field host string for whom, as the script calls it
---@field subject string the key file; user@host; the fingerprint; or ""
---@field text string what to show: "root@web1's password: "
---@field detail string more to show before it, in lines; or ""
---@field echo boolean what is typed may be seen
---@field attempt integer from 1: how often the same was asked, since the answer was wrong

local M = {}

local KINDS = { [0] = "passphrase", "password", "prompt", "hostkey" }
local NUMBERS = {}
for number, kind in pairs(KINDS) do NUMBERS[kind] = number end

--- The functions, and their tasks that run, by the number of the opening.
---@type table<integer, { fn: fun(question: orrery.Asked): string?, depth: integer,
---tasks: table<orrery.Task, true> }>
local openings = {}
--- How deep the openings of such a task are.
---@type table<orrery.Task, integer>
local asking = setmetatable({}, { __mode = "k" })

local function decode(payload)
    local kind, echo, attempt, host, subject, text, detail = core.unpack("114ssss", payload)
    return {
        kind = KINDS[kind], echo = echo == 1, attempt = attempt, host = host, subject = subject, text = text,
        detail = detail,
    }
end

local function run(opening, seq, question)
    local ok, answer = pcall(opening.fn, question)
    if not ok then
        core.answer_question(seq, nil, Error.from(answer).message)
    elseif answer ~= nil and type(answer) ~= "string" then
        core.answer_question(seq, nil, "it returned a " .. type(answer))
    else
        core.answer_question(seq, answer)
    end
end

---@type table<integer, orrery.Future> those of `person`
local inquiries = {}

local function answered(seq, flags, payload)
    local future = inquiries[seq]
    if not future then return end
    inquiries[seq] = nil
    link.expect(-1)
    if flags == core.ERROR then future:reject(link.service_error(payload)) else future:resolve(payload) end
end

link.handle(core.handle.ASK, function(seq, number, _, flags, payload)
    if number == 0 then return answered(seq, flags, payload) end
    local opening = openings[number]
    if not opening then
        core.answer_question(seq)
        return
    end
    local task
    task = sched.spawn(function()
        run(opening, seq, decode(payload))
        opening.tasks[task] = nil
    end)
    opening.tasks[task], asking[task] = true, opening.depth + 1
end)

--- Asks whoever there is for what another context needs: a program, or the terminal.
---@param question orrery.Asked
---@param program? string to ask with
---@return string
---Raises "credentials" where there is nobody; "cancelled" where there is no answer.
function M.person(question, program)
    local seq = core.inquire(NUMBERS[question.kind], question.echo, question.attempt, question.host,
        question.subject, question.text, question.detail,
        { program = program, depth = asking[sched.current()] or 0 })
    local future = sched.future { what = "an answer", on_cancel = function() core.retract(seq) end }
    inquiries[seq] = future
    link.expect(1)
    return future:take()
end

--- Completes a request for core.open.
---@param request table
function M.prepare(request)
    local asked = request.asking or {}
    asked.script = type(request.ask) == "function"
    -- One is asked at a time: one that an answer depends on would wait for ever.
    asked.depth = asking[sched.current()] or 0
    request.asking = asked
end

--- Takes the questions of an opening that was started.
---@param number integer what core.open returned
---@param request table
function M.serve(number, request)
    if type(request.ask) == "function" then
        openings[number] = { fn = request.ask, depth = request.asking.depth, tasks = {} }
    end
end

--- The opening is over: nobody waits for an answer any more.
---@param number integer
function M.done(number)
    local opening = openings[number]
    if not opening then return end
    openings[number] = nil
    for task in pairs(opening.tasks) do task:cancel() end
end

return M
