--- Files: `ctx:put` and `ctx:get`. What moves them is in runtime/call/file.h.

local context = require "orrery.context"
local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local options = require "orrery.options"
local sched = require "orrery.sched"

local Context = context.Context

local await_transfer = link.answers(core.handle.FILE, link.service_error)

local OPTIONS = {
    mode = "number", owner = { "string", "number" }, group = { "string", "number" },
    timeout = "number", on_progress = "function",
}

local function hex(bytes)
    return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function check_path(where, i, path)
    if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
        Error.raise {
            code = "argument", at = Error.at(),
            message = ("%s: argument %d must be a path, not %s"):format(where, i, tostring(path)),
        }
    end
end

local MOMENT = 0.1 -- seconds between two looks at how far it is

-- Calls the function while the future is not settled. It runs in the loop and must not block.
local function watch(progress, on_progress, future)
    local last = -1
    local function look()
        if future:done() then return end
        local done, size = core.look_at(progress)
        if size > 0 and done ~= last then
            last = done
            on_progress(done, size)
        end
        sched.after(MOMENT, look)
    end
    sched.after(MOMENT, look)
end

local function transfer(ctx, where, start, from, to, opts)
    opts = options.check(where, opts, OPTIONS)
    check_path(where, 1, from)
    check_path(where, 2, to)
    local progress = opts.on_progress and core.progress() or nil
    local seq, code, text = start(context.way(ctx), from, to, opts.mode or -1,
        opts.owner and tostring(opts.owner), opts.group and tostring(opts.group), progress)
    if not seq then
        Error.raise { code = code, message = text, context = ctx.name, route = ctx.route,
            at = Error.at() }
    end
    local future = sched.future {
        what = function() return ("%s %s to %s"):format(where, from, to) end,
        on_cancel = function() core.cancel_file(seq) end,
    }
    await_transfer(seq, future)
    if progress then watch(progress, opts.on_progress, future) end
    local ok, src, payload = pcall(future.take, future, opts.timeout)
    if not ok then
        local err = context.locate(ctx, Error.from(src))
        err.at = err.at or Error.at()
        error(err, 0)
    end
    local _, changed, sent, size, digest = core.unpack("1188s", payload)
    return { changed = changed == 1, sent = sent, size = size, hash = hex(digest) }
end

---@class orrery.TransferOptions
---@field mode? integer that of `from` by default
---@field owner? string|integer that which a new file gets, by default
---@field group? string|integer
---@field timeout? number seconds
---@field on_progress? fun(done: integer, size: integer) bytes that are there, and in all; a few times a second,
---and not at all where nothing has to be sent. Must not block

---@class orrery.TransferResult
---@field changed boolean whether the file, its mode or its owner is new
---@field sent integer bytes of content that were sent; 0 for an unchanged file
---@field size integer bytes
---@field hash string XXH3-128 of the content, hex, as `xxhsum -H2` prints it. It tells contents apart that
---nobody has crafted; whether a file must be sent is decided by BLAKE2b

--- Copies a file from here to the context. The new file appears under its name whole and verified,
--- or not at all.
---@param from string a path here
---@param to string a path there; with "/" at its end, the name is that of `from`
---@param opts? orrery.TransferOptions
---@return orrery.TransferResult
---Raises "file" naming the path, the side and the cause; "timeout"; "dead".
function Context:put(from, to, opts)
    return transfer(self, "put", core.put, from, to, opts)
end

--- Copies a file from the context to here, in the same way.
---@param from string a path there
---@param to string a path here
---@param opts? orrery.TransferOptions
---@return orrery.TransferResult
function Context:get(from, to, opts)
    return transfer(self, "get", core.get, from, to, opts)
end

options.declare(Context.put, OPTIONS, 3)
options.declare(Context.get, OPTIONS, 3)

return {}
