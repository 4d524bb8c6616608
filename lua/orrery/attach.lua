--- Other processes in a running tree: one listens on a socket, others of the same user attach to it, and
--- use the contexts that it has opened. See runtime/call/listener.h.

local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local options = require "orrery.options"
local sched = require "orrery.sched"

local M = {}

local function check_path(where, path)
    if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
        Error.raise {
            code = "argument", at = Error.at(),
            message = ("%s: a path was expected, not %s"):format(where, tostring(path)),
        }
    end
end

local function must(ok, code, text)
    if not ok then Error.raise { code = code, message = text, at = Error.at() } end
end

-- Listening ---------------------------------------------------------------------------------------

---@class orrery.Listener
---@field path string
local Listener = {}
Listener.__index = Listener

local LISTEN_OPTIONS = {
    timeout = {
        type = "number", default = 10,
        check = function(seconds) return seconds > 0, "must be greater than 0" end,
    },
}

--- Lets other processes of this user (or root) attach, until it is closed, or the end of this process. The
--- socket has mode 0600, and must be in a directory that nobody else can write to.
---@param path string
---@param opts? { timeout?: number } seconds in which whoever connects must have said who it is; default 10
---@return orrery.Listener
---Raises "denied" for a directory that others may write to; "file" where something is there already.
function M.listen(path, opts)
    check_path("listen", path)
    opts = options.check("listen", opts, LISTEN_OPTIONS)
    must(core.listen_at(path, opts.timeout))
    return setmetatable({ path = path }, Listener)
end
options.declare(M.listen, LISTEN_OPTIONS, 2)

--- Parts from those that are attached, and removes the socket. Closing twice is fine.
function Listener:close()
    if self.closed then return end
    self.closed = true
    core.unlisten_at()
end

-- Attaching ---------------------------------------------------------------------------------------

-- All that can be waited for comes from there; what is waited for now never comes.
local function end_with(parent)
    link.on_dead(function(id, err)
        if id ~= parent then return end
        sched.interrupt(function()
            return Error.new { code = "dead", message = ("%s: %s"):format(core.attached(), err.message) }
        end, 0)
    end)
end

local function find(list)
    local contexts = {}
    for i, fields in ipairs(list) do
        contexts[i] = setmetatable({ id = fields[1], name = fields[2], route = fields[3] }, context.Context)
    end
    return contexts
end

local function unpack_list(payload)
    local list, n, rest = {}, core.unpack("4*", payload)
    for i = 1, n do
        local id, name, route
        id, name, route, rest = core.unpack("4ss*", rest)
        list[i] = { id, name, route }
    end
    return list
end

local function ask(parent)
    local future = sched.future("the list of contexts")
    local conversation
    conversation = link.converse(parent, function(flags, payload)
        link.finish(conversation)
        if flags == core.DEAD then future:reject(link.dead_error(payload)) else future:resolve(payload) end
    end, function(err) future:reject(err) end)
    context.send(context.from_id(parent), core.handle.CONTEXTS, conversation.seq, "", true)
    return unpack_list(future:get())
end

--- The contexts that can be used here: those that this process has opened; or, where it is attached, those of
--- the process that it is attached to.
---@return orrery.Context[] contexts in the order in which they were opened
---Raises "dead" when that process has ended.
function M.contexts()
    return find(core.attached() and ask(core.parent()) or core.contexts_below())
end

--- Makes this process a context in the tree of the process that listens at a path. It can use the contexts
--- there, as that process can, and opens none of its own. What it waits for raises "dead" when that process
--- has ended.
---@param path string
---@return orrery.Context[] contexts those that are there now
---Raises "connect" where nobody listens; "denied" where another user does; "argument" where this process has
---opened contexts already.
function M.attach(path)
    check_path("attach", path)
    must(core.attach(path))
    end_with(core.parent())
    return M.contexts()
end

return M
