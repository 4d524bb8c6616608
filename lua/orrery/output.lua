--- What children print: lines for a function of the script's, instead of this process's stderr.
--
-- The lines of one child come in the order in which it wrote them. What is not taken yet is bounded for each child
-- (runtime/call/text.h): one that goes on has to wait for a moment, and then loses lines.

local core = require "orrery.core"
local Error = require "orrery.error"
local inbox = require "orrery.inbox"
local link = require "orrery.link"
local sched = require "orrery.sched"

local M = {}

local STREAMS = { "stdout", "stderr" } -- by number, TEXT_STDOUT and so on; the others are logs

---@alias orrery.OutputFunction fun(name: string, stream: "stdout"|"stderr"|"log", line: string)
---@type orrery.OutputFunction?
local on_line
local messages = inbox.new("what children print")
local handling = false

-- Lines that were on their way when the function was taken back.
local function show(name, _, line) io.stderr:write(("[%s] %s\n"):format(name, line)) end

local function handle(payload)
    local name, rest = core.unpack("s*", payload)
    while rest and rest ~= "" do
        local stream, line
        stream, line, rest = core.unpack("1s*", rest)
        if not line then return end
        local ok, err = xpcall(on_line or show, Error.handler, name, STREAMS[stream] or "log", line)
        if not ok then sched.on_orphan_error(err, "the function for what children print") end
    end
end

-- One task, so that lines stay in order although the function may block; none while there is nothing.
local function handle_all()
    while not messages:empty() do
        local src, raw, seq, payload = messages:pop()
        handle(payload)
        if raw then core.raw_text_taken(src, seq) else core.credit(core.handle.TEXT) end
    end
    handling = false
end

link.handle(core.handle.TEXT, function(seq, src, _, flags, payload)
    messages:push(src, flags == core.ERROR, seq, payload)
    if handling then return end
    handling = true
    local task = setmetatable(sched.future(), sched.Task)
    task.watched, task.waiting = true, false
    sched.begin(task, handle_all)
    return true
end)

--- Calls a function with each line that a child prints (print, io.write: "stdout"; io.stderr and what its process
--- says on stderr otherwise: "stderr") or logs ("log"). It may block: further lines wait. Without it, or with nil,
--- lines go to this process's stderr with the name in front, and those of logs to the log.
---@param fn? orrery.OutputFunction
---Raises "argument"; "denied" in a child.
function M.on_output(fn)
    if fn ~= nil and type(fn) ~= "function" then
        Error.raise {
            code = "argument", at = Error.at(),
            message = "on_output: a function was expected, this is a " .. type(fn),
        }
    end
    if core.parent() then
        Error.raise {
            code = "denied", at = Error.at(), message = "on_output: what is printed goes to the controller",
        }
    end
    on_line = fn
    core.watch_text(fn ~= nil)
end

return M
