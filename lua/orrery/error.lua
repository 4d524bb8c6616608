--- Error objects: what every failure in Orrery is, from the place where it happened to the
--- terminal.
--
-- Nothing is flattened into a string on its way: an error that crosses a stream keeps its code, its
-- traceback with remote file names, and its cause. `codec` registers the metatable below, so an
-- error decoded from a peer is an error here too. Its fields may then hold anything, so nothing in
-- this module trusts their types.

local core = require "orrery.core"

---@class orrery.Error
---@field code string one of `codes`; what a script tests to decide what to do
---@field message string one line or more for the operator
---@field context? string name of the context where it happened; nil means here
---@field route? string how that context is reached, "controller > bastion > web1"
---@field at? string "file:line" in the user's script
---@field traceback? string the stack where it was raised, without a header line
---@field remote? boolean the traceback is of another process
---@field cause? orrery.Error what led to it
---@field errors? table[] aggregates: `{index=, item=, error=}` for each part that failed
---@field value? any the original value, where something else than an Error or a string was thrown
local Error = {}

local M = { metatable = Error }

--- Every code, and when it is used.
---@type table<string, string>
M.codes = {
    lua = "a Lua error without an object: error('text'), a nil index, a thrown table",
    timeout = "the time given for an operation was over",
    cancelled = "someone called cancel() on the operation",
    interrupted = "Ctrl-C, while this was waited for",
    dead = "the context was lost: its stream ended, its host or process died",
    closed = "the object was closed before, by this script",
    deadlock = "nothing that is left can ever end the wait",
    encode = "a value cannot travel",
    decode = "a payload is malformed",
    option = "an unknown option, or a wrong value for one",
    argument = "a wrong argument that is not an option",
    inventory = "an inventory, or an expression for hosts, is wrong",
    command = "a command ended with a status that was not expected",
    resource = "a resource could not be brought into the state that a playbook asks for",
    file = "a file operation failed",
    connect = "a context could not be reached",
    auth = "the other side refused every credential",
    hostkey = "the host key is unknown, changed or revoked",
    bootstrap = "the way in works, but the agent did not come up",
    protocol = "a peer broke the protocol; its stream is closed",
    module = "a module could not be found or loaded",
    no_function = "a call named a function that does not exist",
    no_handle = "nobody listens on the handle",
    no_service = "no ancestor has a service of that name",
    system = "a system call of the runtime itself failed",
    template = "a template is wrong, or went wrong; `at` is its line",
    vault = "an encrypted file is none, is damaged, or its passphrase is another",
    partial = "some items of a parallel operation failed; see `errors`",
    denied = "the peer may not do this",
    limit = "a limit was reached: size, depth, queue, handles, children",
}

--- Longest chain of causes that is printed; a peer may send any.
local MAX_CAUSES = 20

---@param x any
---@return boolean
function M.is(x)
    return type(x) == "table" and getmetatable(x) == Error
end

-- Secrets are in no message, wherever that is shown.
local function redacted(text)
    return type(text) == "string" and core.redact(text) or text
end

--- Makes an error out of its fields, and takes the table.
---@param fields table `code` is "lua" and `message` the code's meaning where they are missing
---@return orrery.Error
function M.new(fields)
    fields.code = fields.code or "lua"
    fields.message = redacted(fields.message) or M.codes[fields.code] or fields.code
    return setmetatable(fields, Error)
end

--- Raises an error made out of the fields. Takes the table.
---@param fields table
function M.raise(fields)
    error(M.new(fields), 0)
end

-- Frames at the bottom of every stack, which say how this library got to the user's code: a task's,
-- a call's in an agent, a thread's, a script's.
local BOTTOMS = {
    "\n%[C%]: in function 'xpcall'\n[^\n]*orrery/sched%.lua:%d+: [^\n]*\n[^\n]*orrery/sched%.lua:%d+: [^\n]*$",
    "\n[^\n]*orrery/agent%.lua:%d+: in function <[^\n]*$",
    "\n[^\n]*orrery/thread_main%.lua:%d+: in function <[^\n]*$",
    "\n%[C%]: in function 'xpcall'\n[^\n]*orrery/script%.lua:%d+: .*$",
}

--- Drops what says nothing to the reader: the header line, the tabs that debug.traceback adds, and
--- the frames above.
local function tidy(traceback)
    if type(traceback) ~= "string" then return nil end
    traceback = traceback:gsub("^%s*stack traceback:", ""):gsub("^%s+", ""):gsub("\n%s+", "\n")
    for _, bottom in ipairs(BOTTOMS) do traceback = traceback:gsub(bottom, "") end
    return traceback
end

--- Wraps whatever was thrown. An Error is returned as it is.
---@param x any
---@param traceback? string as debug.traceback gives it
---@return orrery.Error
function M.from(x, traceback)
    if M.is(x) then return x end
    if type(x) == "string" then
        return M.new { code = "lua", message = x, traceback = tidy(traceback) }
    end
    local shown, text = pcall(tostring, x)
    local message = ("a %s was thrown: %s"):format(type(x), shown and text or "?")
    return M.new { code = "lua", message = message, value = x, traceback = tidy(traceback) }
end

--- For xpcall: turns what was thrown into an Error that knows its traceback. An Error that has one
--- keeps it, since the first is nearest to the fault (and may be remote).
---@param x any
---@return orrery.Error
function M.handler(x)
    local err = M.from(x)
    if not err.traceback then err.traceback = tidy(debug.traceback("", 2)) end
    return err
end

-- How the source of each module of this library begins, to tell its frames from the user's.
local own = debug.getinfo(1, "S").source:match("^(.*)error%.lua$")
    or debug.getinfo(1, "S").source:match("^(.*)error$")

--- Finds the user's part of the stack.
---@return string? at "file:line" of the innermost Lua frame outside of this library
function M.at()
    for level = 2, 50 do
        local info = debug.getinfo(level, "Sl")
        if not info then return nil end
        local library = own and own ~= "" and info.source:sub(1, #own) == own
        if info.currentline > 0 and not library then
            return info.short_src .. ":" .. info.currentline
        end
    end
end

local function text_of(value)
    return core.redact(type(value) == "string" and value or tostring(value))
end

-- Where it happened, for a person: "web1, controller > web1".
local function place(err)
    local known = {}
    if err.context ~= nil then known[#known + 1] = text_of(err.context) end
    if err.route ~= nil then known[#known + 1] = text_of(err.route) end
    return table.concat(known, ", ")
end

function Error.__tostring(err)
    local where = place(err)
    local text = ("%s: %s"):format(text_of(err.code), text_of(err.message))
    return where == "" and text or ("%s [%s]"):format(text, where)
end

function Error.__concat(left, right)
    return tostring(left) .. tostring(right)
end

local function add(lines, indent, text)
    for line in (text_of(text) .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = indent .. line end
end

local function add_field(lines, indent, label, value)
    if value ~= nil then add(lines, indent, ("  %-9s %s"):format(label .. ":", text_of(value))) end
end

-- Where each part failed, and its stack. Many fail alike: a stack is printed once.
local function add_parts(lines, indent, errors)
    if type(errors) ~= "table" then return end
    local seen = {}
    for _, part in ipairs(errors) do
        if type(part) == "table" then
            local item = text_of(part.item)
            add(lines, indent .. "  ", ("%s: %s"):format(item, text_of(part.error)))
            local stack = M.is(part.error) and part.error.traceback
            if type(stack) == "string" and seen[stack] then
                add(lines, indent, ("      traceback: the same as %s's"):format(seen[stack]))
            elseif type(stack) == "string" then
                seen[stack] = item
                local where = part.error.remote and "remote traceback:" or "traceback:"
                add(lines, indent, "      " .. where)
                add(lines, indent .. "        ", stack)
            end
        end
    end
end

local function add_error(lines, indent, err, depth)
    add(lines, indent, err.message)
    add_field(lines, indent, "code", err.code)
    add_field(lines, indent, "context", err.context)
    add_field(lines, indent, "route", err.route)
    add_field(lines, indent, "at", err.at)
    add_parts(lines, indent, err.errors)
    if err.cause ~= nil and depth < MAX_CAUSES then
        add(lines, indent, "  caused by:")
        if M.is(err.cause) then
            add_error(lines, indent .. "    ", err.cause, depth + 1)
        else
            add(lines, indent .. "    ", err.cause)
        end
    end
    if err.traceback ~= nil then
        add(lines, indent, err.remote and "  remote traceback:" or "  traceback:")
        add(lines, indent .. "    ", err.traceback)
    end
end

-- Texts at any depth; each table once.
local function scrub(value, seen)
    if type(value) == "string" then return core.redact(value) end
    if type(value) ~= "table" or seen[value] then return value end
    local mt = debug.getmetatable(value)
    if mt ~= nil and mt ~= Error then return value end
    seen[value] = true
    for key, part in next, value do value[key] = scrub(part, seen) end
    return value
end

--- Takes secrets out of all of its texts, also of what a command has said, before it leaves this process.
---@param err orrery.Error changed
---@return orrery.Error err the same
function M.scrub(err)
    if core.redact_any() then scrub(err, {}) end
    return err
end

--- The text for a terminal, the message first.
---@param err any an Error; other values are wrapped
---@return string text several lines, without a newline at the end
function M.format(err)
    local lines = {}
    add_error(lines, "", M.from(err), 0)
    return table.concat(lines, "\n")
end

-- `err:format()` reads well in a script. Fields win over it, as __index is asked last.
Error.__index = { format = M.format }

return M
