--- Values <-> payload: the bytes of a message after its header.
--
-- A payload is a sequence of values in the format of LuaJIT's string.buffer, one after another, so
-- nil and the number of values survive. What travels: nil, booleans, numbers, strings, tables
-- (nested at most 100 deep), 64-bit integers and complex numbers (cdata), NULL. Tables are copied,
-- one copy for each reference. A metatable travels only if it is one of the kinds below; others are
-- dropped, so an object arrives as its plain fields. Functions travel from parent to child only:
-- see closure.lua.
--
-- Values that are all plain (nil, booleans, numbers, strings) mostly do not come here: core.send_values
-- and core.wait put them into messages and take them out, in the same format.
--
-- The two lists below are part of the protocol: both ends must have the same names in the same
-- order. Whoever changes one raises FRAME_VERSION (runtime/wire/frame.h), which the handshake compares.

require "ffi" -- without it, string.buffer refuses 64-bit integers and complex numbers
local buffer = require "string.buffer"
local core = require "orrery.core"
local Error = require "orrery.error"
local closure = require "orrery.closure"

local M = {}

--- Kinds of tables that keep their metatable.
local KINDS = { "closures", "fnref", "error", "context", "sender", "blob", "result", "secret" }

--- Keys that travel as a number of 2 bytes.
local KEYS = {
    "id", "name", "route", "code", "message", "context", "traceback", "cause", "errors", "result",
    "value", "index", "item", "error", "at", "handle", "path", "mode", "owner", "group", "size",
    "mtime", "kind", "status", "signal", "stdout", "stderr", "argv", "env", "cwd", "stdin", "timeout",
    "changed", "ok", "n", "m", "k", "f", "t", "functions", "cells", "tables",
}

--- Most values in one payload: they become arguments or results, which have their place on a stack.
M.MAX_VALUES = 250

-- Buffers that have grown beyond this are not kept for the next message.
local KEEP = 2 ^ 20

-- Kinds -------------------------------------------------------------------------------------------

local metatables = { closures = closure.Bundle, fnref = closure.Ref, error = Error.metatable }
for _, name in ipairs(KINDS) do metatables[name] = metatables[name] or {} end

local options, typed       -- for string.buffer; metatable -> name
local spare_writer, spare_reader

local function prepare()
    options, typed = { dict = {}, metatable = {} }, {}
    for i, key in ipairs(KEYS) do options.dict[i] = key end
    for i, name in ipairs(KINDS) do
        options.metatable[i] = metatables[name]
        typed[metatables[name]] = name
    end
    spare_writer, spare_reader = nil, nil
end
prepare()

--- The metatable of a kind of value that travels as such. It exists from the start, so that no
--- module has to be loaded before another: a module takes it and fills it in.
---@param name "context"|"sender"|"error"|"blob"|"result"|"secret"
---@param mt? table use this one instead
---@return table metatable
---Raises "argument" for a kind that is not in the list.
function M.typed(name, mt)
    if not metatables[name] then
        local message = ("codec.typed: no kind '%s'"):format(tostring(name))
        Error.raise { code = "argument", message = message }
    end
    if mt and mt ~= metatables[name] then
        metatables[name] = mt
        prepare()
    end
    return metatables[name]
end

-- Encoding ----------------------------------------------------------------------------------------

-- A buffer is taken, not borrowed: a finalizer may run in the middle of a message, and send
-- another.
local function take_writer()
    local buf = spare_writer or buffer.new(options)
    spare_writer = nil
    return buf:reset()
end

local function put(buf, n, ...)
    if n == 1 then return buf:encode((...)):get() end
    for i = 1, n do buf:encode((select(i, ...))) end
    return buf:get()
end

-- In LuaJIT 2.1.0-beta3 (2022) an error that string.buffer raises in compiled code crashes the
-- process, be it about a value that cannot travel or about a payload. So what may raise is never
-- compiled.
jit.off(put)

local function write(n, ...)
    local buf = take_writer()
    local ok, payload = pcall(put, buf, n, ...)
    if ok and #payload <= KEEP then spare_writer = buf end
    return ok, payload
end

local function refuse(why)
    local message = "the values cannot travel: " .. tostring(why)
    Error.raise { code = "encode", message = message, at = Error.at() }
end

-- string.buffer has refused, without saying which value it was about: walk them.
local function encode_slowly(style, why, n, ...)
    local walk = { root = style.root, data = style.data, typed = typed, give = style.give }
    local bundle, values = closure.pack(walk, n, ...)
    if style.data then refuse(why) end
    local ok, payload = write(n + 1, bundle, unpack(values, 1, n))
    return ok and payload or refuse(payload)
end

local function encode(style, n, ...)
    if n > M.MAX_VALUES then
        local message = ("%d values in a message; %d can travel"):format(n, M.MAX_VALUES)
        Error.raise { code = "limit", message = message, at = Error.at() }
    end
    if type((...)) == "function" then return encode_slowly(style, nil, n, ...) end
    local ok, payload = write(n, ...)
    return ok and payload or encode_slowly(style, payload, n, ...)
end

local function argument(i) return ("args[%d]"):format(i) end
local function call_part(i) return i == 1 and "fn" or argument(i - 1) end
local function datum(i) return ("values[%d]"):format(i) end

local ARGS = { data = false, root = argument }
local CALL = { data = false, root = call_part }
local DATA = { data = true, root = datum }

--- Encodes values for a child; functions may be among them.
---@param ... any
---@return string payload
---Raises "encode" with the path to what cannot travel, `args[2].hooks.on_exit: a userdata cannot
---travel`; "limit" for more than MAX_VALUES values.
function M.encode(...)
    return encode(ARGS, select("#", ...), ...)
end

--- As encode, for a call: the first value is the function or its name, and the numbers in paths
--- count the arguments after it, as the user does.
---@param fn function|string
---@param ... any
---@return string payload
function M.encode_call(fn, ...)
    return encode(CALL, 1 + select("#", ...), fn, ...)
end

--- As encode_call, for another thread of this process.
---@param give fun(value: table): integer? the number of a table that does not travel as it is: decode gets
---what to put in its place
---@param fn function
---@param ... any
---@return string payload
function M.encode_given(give, fn, ...)
    local style = { data = false, root = call_part, give = give }
    return encode_slowly(style, nil, 1 + select("#", ...), fn, ...)
end

--- Encodes values for a parent or a sibling, where no functions may go. Paths start at `values[1]`.
---@param ... any
---@return string payload
function M.encode_data(...)
    return encode(DATA, select("#", ...), ...)
end

local function text_of(value)
    local ok, text = pcall(tostring, value)
    return ok and text or type(value)
end

-- A copy with text in place of what cannot travel. `levels` ends a chain of causes that bites its
-- tail.
local function portable(err, levels)
    local copy = {}
    for key, value in next, err do
        if key == "cause" and Error.is(value) and levels > 0 then
            copy.cause = portable(value, levels - 1)
        elseif type(key) == "string" then
            copy[key] = key ~= "cause" and pcall(M.encode_data, value) and value or text_of(value)
        end
    end
    return Error.new(copy)
end

--- Encodes an error so that it always arrives: fields that cannot travel go as their text.
---@param err any what was thrown
---@return string payload
function M.encode_error(err)
    err = Error.scrub(Error.from(err))
    local ok, payload = pcall(M.encode_data, err)
    return ok and payload or M.encode_data(portable(err, 20))
end

-- Decoding ----------------------------------------------------------------------------------------

local function malformed(what)
    Error.raise { code = "decode", message = "malformed payload: " .. what }
end

local function get(buf, n)
    if n == 1 then return (buf:decode()) end
    local values = {}
    for i = 1, n do values[i] = buf:decode() end
    return unpack(values, 1, n)
end

jit.off(get) -- see put

local function unbundle(opts, n, bundle, ...)
    if not (opts and opts.code == true) then
        local message = "a function came from a context that may not send code"
        Error.raise { code = "denied", message = message }
    end
    local ok, values = pcall(closure.unpack, bundle, { ... }, n, opts.given)
    if not ok then
        if Error.is(values) then error(values, 0) end
        malformed(tostring(values))
    end
    return unpack(values, 1, n)
end

-- How a value of a kind begins in a payload: a tag, and its number.
local SENDER_TAG, SECRET_TAG = "\14" .. string.char(4), "\14" .. string.char(7)
assert(KINDS[5] == "sender" and KINDS[8] == "secret")

local function find_kind(kind, value, found)
    if type(value) ~= "table" then return end
    if typed[getmetatable(value)] == kind then found[#found + 1] = value end
    for key, part in next, value do
        find_kind(kind, key, found)
        find_kind(kind, part, found)
    end
end

-- Copies of what there is of a kind in a payload, also in what functions capture.
local function all_of(kind, payload)
    local found = {}
    local buf = buffer.new(options):set(payload)
    local n = core.scan(payload)
    for _ = 1, n or 0 do
        local ok, value = pcall(get, buf, 1)
        if not ok then break end
        find_kind(kind, value, found)
    end
    return found
end

--- The senders in a payload, also those that functions in it capture. Costs little where there is none.
---@param payload string one that encode made, or that decode has taken
---@return { context: integer, handle: integer }[]? copies of them; nil where there is none
function M.senders(payload)
    if not payload:find(SENDER_TAG, 1, true) then return nil end
    local found = all_of("sender", payload)
    return found[1] and found
end

local function finish(buf, opts, n, ok, ...)
    spare_reader = buf:reset() -- lets go of the payload
    if not ok then malformed(tostring((...))) end
    if n > 0 and getmetatable((...)) == closure.Bundle then return unbundle(opts, n - 1, ...) end
    return ...
end

--- Decodes what encode made. Checks all of it first: a malformed payload costs no more than its
--- size.
---@param payload string
---@param opts? { code?: boolean, given?: table } `code`: the sender is the parent, and may send functions.
---They are loaded, and the modules they need are required, so this may block then. `given`: see
---encode_given
---@return any ... the values
---Raises "decode" for a malformed payload, "denied" for a function where `code` is not set,
---"module"
---where a function needs a module that does not load, "limit" for more than MAX_VALUES values.
function M.decode(payload, opts)
    if type(payload) ~= "string" then malformed("a payload is a string, not a " .. type(payload)) end
    -- Nothing is decoded that has not been walked: see runtime/vm/scan.h.
    local n, why = core.scan(payload)
    if not n then malformed(why) end
    if n > M.MAX_VALUES + 1 then -- the bundle is one more
        Error.raise { code = "limit", message = ("%d values in a message"):format(n) }
    end
    -- Before anything else is done with it: what that says must not show them.
    if payload:find(SECRET_TAG, 1, true) then
        for _, secret in ipairs(all_of("secret", payload)) do require("orrery.secret").learn(secret) end
    end
    local buf = spare_reader or buffer.new(options)
    spare_reader = nil
    return finish(buf, opts, n, pcall(get, buf:set(payload), n))
end

return M
