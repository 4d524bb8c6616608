--- Commands: `ctx:run{...}` and `ctx:shell "..."`. The protocol is in runtime/call/command.h.

local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local inbox = require "orrery.inbox"
local link = require "orrery.link"
local options = require "orrery.options"
local sched = require "orrery.sched"
local secret = require "orrery.secret"

local Context = context.Context

local STDIN_PIECE = 65536
local WINDOW = 262144 -- bytes of stdin that may be on their way, COMMAND_WINDOW
local WITH_STDIN, MERGE, FINISH = 1, 2, 4
local LONGEST_LINE = 4 * 1024 * 1024 -- bytes; what never ends a line must not fill the memory

local MOMENT = 1.5 -- seconds between TERM and KILL for what Ctrl-C has interrupted
local CERTAINTY = 3 -- seconds in which its end should be known

local function positive(value) return value > 0, "must be greater than 0" end

local OPTIONS = {
    cwd = "string",
    env = "table",
    stdin = { type = "string", secret = true },
    timeout = { type = "number", check = positive },
    grace = { type = "number", default = 3, check = positive },
    on_stdout = "function",
    on_stderr = "function",
    merge = "boolean",
    capture = { type = "boolean", default = true },
    check = { type = "boolean", default = true },
    on_disconnect = { enum = { "kill", "finish" }, default = "kill" },
}

---@class orrery.CommandOptions
---@field cwd? string directory to run in
---@field env? table<string, string|orrery.Secret|false> variables to set; false unsets
---@field stdin? string|orrery.Secret what the command reads; without it, stdin is /dev/null
---@field timeout? number seconds; then its process group gets TERM, and KILL after `grace`
---@field grace? number seconds, default 3
---@field on_stdout? fun(line: string) each line as it comes, without its newline; may block. One of
---more than 4 MiB comes in parts
---@field on_stderr? fun(line: string)
---@field merge? boolean stderr goes where stdout goes, in order
---@field capture? boolean keep the output in the result, default true
---@field check? boolean raise when it does not end with status 0, default true
---@field on_disconnect? "kill"|"finish" what becomes of it when the context, or this script, ends before it:
---"kill" (default) ends it; with "finish" it runs on, as soon as it has all of its stdin, and what it says
---is dropped. Its timeout holds. Cancelling it, or Ctrl-C, ends it all the same

---@class orrery.CommandResult
---@field code integer exit status; 128 + signal when it was killed
---@field signal? integer
---@field stdout string
---@field stderr string
---@field timed_out? boolean

local function argument_error(where, text)
    Error.raise { code = "argument", message = where .. ": " .. text, at = Error.at() }
end

local function pack_list(list)
    local parts = { core.pack("4", #list) }
    for i, s in ipairs(list) do parts[i + 1] = core.pack("s", s) end
    return table.concat(parts)
end

-- What becomes a string in C.
local function check_text(where, what, text)
    if text:find("\0", 1, true) then argument_error(where, what .. " holds a NUL byte") end
    return text
end

local function flags_of(opts)
    return (opts.stdin and WITH_STDIN or 0) + (opts.merge and MERGE or 0)
        + (opts.on_disconnect == "finish" and FINISH or 0)
end

local function pack_request(where, argv, opts)
    if type(argv) ~= "table" or #argv == 0 then
        argument_error(where, "a list of arguments was expected: { 'tar', 'xzf', name }")
    end
    local words, env = {}, {}
    for i, word in ipairs(argv) do
        if secret.is(word) then
            argument_error(where, ("argument %d is a secret, and arguments are seen by all users of the machine; "
                .. "stdin or env take it to the command"):format(i))
        elseif type(word) ~= "string" and type(word) ~= "number" then
            argument_error(where, ("argument %d is a %s"):format(i, type(word)))
        end
        words[i] = check_text(where, "argument " .. i, tostring(word))
    end
    for name, value in pairs(opts.env or {}) do
        if type(name) ~= "string" or name == "" or name:find("=", 1, true) then
            argument_error(where, ("env: '%s' cannot be the name of a variable"):format(tostring(name)))
        end
        value = secret.reveal(value)
        local setting = value and ("%s=%s"):format(name, tostring(value)) or name
        env[#env + 1] = check_text(where, "env: " .. name, setting)
    end
    table.sort(env)
    local cwd = check_text(where, "cwd", opts.cwd or "")
    return "R" .. pack_list(words) .. core.pack("s", cwd) .. pack_list(env)
        .. core.pack("441", (opts.timeout or 0) * 1000, opts.grace * 1000, flags_of(opts))
end

-- Cuts a stream into lines. The beginning of one is kept in pieces, so that a long one costs no more
-- than its length.
local function line_cutter(on_line)
    local begun, size = {}, 0
    local function emit(tail)
        local line = #begun == 0 and tail or table.concat(begun) .. tail
        begun, size = {}, 0
        on_line(line)
    end
    local function feed(data)
        local from = 1
        while true do
            local at = data:find("\n", from, true)
            if not at then break end
            emit(data:sub(from, at - 1))
            from = at + 1
        end
        if from > #data then return end
        begun[#begun + 1] = data:sub(from)
        size = size + #data - from + 1
        if size >= LONGEST_LINE then emit("") end
    end
    local function finish()
        if size > 0 then emit("") end
    end
    return feed, finish
end

-- Collects a stream's pieces, and gives its lines to the callback as they are complete.
local function collector(on_line, capture)
    local pieces = {}
    local feed_lines, end_lines
    if on_line then feed_lines, end_lines = line_cutter(on_line) end
    local function feed(data)
        if capture then pieces[#pieces + 1] = data end
        if feed_lines then feed_lines(data) end
    end
    local function finish()
        if end_lines then end_lines() end
        return table.concat(pieces)
    end
    return feed, finish
end

---@class orrery.command.Run one command on its way
---@field ctx orrery.Context
---@field conversation orrery.Conversation
---@field messages orrery.Inbox
local Run = {}
Run.__index = Run

function Run:send(payload)
    context.send(self.ctx, core.handle.RUN, self.conversation.seq, payload, true)
end

-- As much stdin as the window allows; an empty piece is its end.
function Run:feed_stdin()
    while self.stdin and self.window > 0 do
        local piece = self.stdin:sub(self.stdin_at, self.stdin_at + math.min(STDIN_PIECE, self.window) - 1)
        self:send("I" .. core.pack("s", piece))
        self.stdin_at, self.window = self.stdin_at + #piece, self.window - #piece
        if piece == "" then self.stdin = nil end
    end
end

function Run:output(feed, data)
    feed(data) -- may block: the command is held up, and nobody else
    self:send("C" .. core.pack("4", #data))
end

-- Asks for it, and handles messages until the last one, whose payload it returns.
function Run:follow(request, out, err)
    self:send(request)
    self:feed_stdin()
    while true do
        local payload = self.messages:pop()
        local kind, data = payload:sub(1, 1), payload:sub(2)
        if kind == "O" then
            self:output(out, core.unpack("s", data))
        elseif kind == "E" then
            self:output(err, core.unpack("s", data))
        elseif kind == "W" then
            self.window = self.window + (core.unpack("4", data) or 0)
            self:feed_stdin()
        elseif kind == "X" then
            return data
        elseif kind == "F" then
            error(context.locate(self.ctx, link.service_error(data)), 0)
        end
    end
end

-- Ends it. After Ctrl-C somebody sits there who wants to know that it has ended; otherwise whoever does not
-- wait any more need not wait for that either.
---@return boolean ended
function Run:abandon(interrupted)
    if not pcall(self.send, self, interrupted and "K" .. core.pack("4", MOMENT * 1000) or "K") then return false end
    local deadline = sched.now() + CERTAINTY
    while interrupted do
        local ok, payload = pcall(self.messages.pop, self.messages, math.max(0, deadline - sched.now()))
        local kind = ok and payload:sub(1, 1)
        if not ok or kind == "F" then return false end
        if kind == "X" then return true end
        if kind == "O" or kind == "E" then self:output(function() end, core.unpack("s", payload:sub(2))) end
    end
    return false
end

local function shown(argv)
    local words = {}
    for i, word in ipairs(argv) do
        word = tostring(word)
        words[i] = word:match("^[%w_%-%./:=,@%%+]+$") and word or ("'%s'"):format(word:gsub("\n.*", "..."))
    end
    local text = core.redact(table.concat(words, " ")) -- before it is cut: a part of a secret is not known as one
    return #text > 120 and text:sub(1, 117) .. "..." or text
end

local function new_run(ctx, argv, stdin)
    local messages = inbox.new(("%s in %s"):format(argv, ctx.name))
    local run = setmetatable({
        ctx = ctx, messages = messages, stdin = stdin, stdin_at = 1, window = WINDOW,
    }, Run)
    run.conversation = link.converse(ctx.id, function(flags, payload)
        if flags == core.DEAD then
            messages:close(context.locate(ctx, link.dead_error(payload)))
        else
            messages:push(payload)
        end
    end, function(err)
        messages:close(context.locate(ctx, err))
    end)
    return run
end

local function last_line(text) return text:match("([^\n]*)\n*$") end

local function check(ctx, argv, opts, result)
    if not opts.check or (result.code == 0 and not result.timed_out) then return result end
    local how = ("exited with status %d"):format(result.code)
    if result.timed_out then
        how = ("ran longer than %g s and was ended"):format(opts.timeout)
    elseif result.signal then
        how = ("was killed by signal %d"):format(result.signal)
    end
    local said = last_line(result.stderr ~= "" and result.stderr or result.stdout)
    Error.raise {
        code = result.timed_out and "timeout" or "command",
        message = ("%s: %s%s"):format(shown(argv), how, said ~= "" and ": " .. said or ""),
        context = ctx.name, route = ctx.route, result = result, at = Error.at(),
    }
end

local function run(ctx, where, argv, opts)
    opts = options.check(where, opts, OPTIONS)
    local request = pack_request(where, argv, opts)
    local out, out_end = collector(opts.on_stdout, opts.capture)
    local err, err_end = collector(opts.on_stderr, opts.capture)
    local command = new_run(ctx, shown(argv), opts.stdin)
    local ok, last = xpcall(command.follow, Error.handler, command, request, out, err)
    if not ok then -- whatever ended the wait ends the command
        last.ended = command:abandon(last.code == "interrupted") or nil
    end
    link.finish(command.conversation)
    if not ok then
        last.at = last.at or Error.at()
        error(last, 0)
    end
    local code, signal, timed_out = core.unpack("441", last)
    return check(ctx, argv, opts, {
        code = signal > 0 and 128 + signal or code, signal = signal > 0 and signal or nil,
        stdout = out_end(), stderr = err_end(), timed_out = timed_out == 1 or nil,
    })
end

--- Runs a command there and waits for its end. No shell is involved. When the wait ends early (a
--- cancelled task, a lost context), its whole process group is ended.
---@param argv (string|number)[] the program and its arguments
---@param opts? orrery.CommandOptions
---@return orrery.CommandResult
---Raises "command" when it cannot start or, unless `check = false`, when it does not end with status
---0 (the error's `result` has the output); "timeout"; "dead".
function Context:run(argv, opts)
    return run(self, "run", argv, opts)
end
options.declare(Context.run, OPTIONS, 2)

--- Runs text with the context's `sh`. Further arguments are its $1, $2 ...: no quoting is needed.
---@param text string
---@param ... string|number|orrery.CommandOptions arguments; a table at the end is options
---@return orrery.CommandResult
function Context:shell(text, ...)
    if secret.is(text) then
        argument_error("shell", "the text is a secret, and arguments are seen by all users of the machine; stdin or "
            .. "env take it to the command")
    elseif type(text) ~= "string" then
        argument_error("shell", "the text must be a string")
    end
    local args, opts = { ... }, nil
    if type(args[#args]) == "table" and not secret.is(args[#args]) then opts = table.remove(args) end
    return run(self, "shell", { "sh", "-c", text, "sh", unpack(args) }, opts)
end
options.declare(Context.shell, OPTIONS)

return {}
