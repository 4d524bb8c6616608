--- The inputs of a prompt, where they run: here, or by a call in another context. It keeps what they leave: their
--- locals, and the last results.
--
-- A local is kept as a function whose only upvalue it is, so that a function which an earlier input has made and the
-- next input share one variable. A local that is declared again is another one.

local chunk = require "orrery.repl.chunk"
local codec = require "orrery.codec"
local Error = require "orrery.error"
local options = require "orrery.options"

local M = {}

---@class orrery.repl.Session
---@field cells table<string, function> by the name of a local: a function that has it as its upvalue
---@field results function[] the cells of `_1` and so on
---@field first function that of `_`
---@field count integer how many results are kept
---@field capture fun(holds: function)

---@type table<string, orrery.repl.Session>
local sessions = {}

-- How many results of one input are kept.
local MOST_RESULTS = 50

local OPTIONS = {
    name = { type = "string", default = "=stdin" },
    pretty = "table",
}

---@class orrery.repl.EvalOptions
---@field name? string of the chunk, as `load` takes it; "=stdin"
---@field pretty? table options of pretty.values

---@class orrery.repl.Outcome
---@field kind "values"|"incomplete"|"syntax"|"error"
---@field n? integer how many values
---@field text? string the values
---@field hidden? true the input ended in a semicolon: they are not to be shown
---@field error? orrery.Error that can travel
---@field thrown? string what was raised, as a value, where that was neither an Error nor a string

-- Never called. It assigns, since LuaJIT may take what is never assigned to for a constant.
local function new_cell(value)
    return function(other)
        value, other = other, value
        return other
    end
end

local function adopt(holds, i)
    local cell = new_cell()
    debug.upvaluejoin(cell, 1, holds, i)
    return cell
end

local function new_session()
    local session = { cells = {}, results = {}, first = new_cell(), count = 0 }
    function session.capture(holds)
        local i = 1
        local name = debug.getupvalue(holds, i)
        while name do
            session.cells[name] = adopt(holds, i)
            i = i + 1
            name = debug.getupvalue(holds, i)
        end
    end
    return session
end

local function session_of(id)
    local session = sessions[id]
    if not session then
        session = new_session()
        session.cells.orrery = new_cell(require "orrery")
        sessions[id] = session
    end
    return session
end

-- Makes the function's variables those of the session.
local function connect(fn, cells)
    local i = 1
    local name = debug.getupvalue(fn, i)
    while name do
        if cells[name] then debug.upvaluejoin(fn, i, cells[name], 1) end
        i = i + 1
        name = debug.getupvalue(fn, i)
    end
end

-- Results ---------------------------------------------------------------------------------------------------------

local function keep_results(session, n, ...)
    local cells, results = session.cells, session.results
    debug.setupvalue(session.first, 1, (...))
    cells._ = session.first
    n = math.min(n, MOST_RESULTS)
    for i = 1, n do
        results[i] = results[i] or new_cell()
        debug.setupvalue(results[i], 1, (select(i, ...)))
        cells["_" .. i] = results[i]
    end
    for i = n + 1, session.count do
        debug.setupvalue(results[i], 1, nil)
        cells["_" .. i] = nil
    end
    session.count = n
end

-- Without the frames that led to the input.
local function cut(traceback)
    local bottom = traceback:find "\n%[C%]: in function 'xpcall'\n[^\n]*repl/session%.lua:"
    if not bottom then return (traceback:gsub("\n%.%.%.\n.*", "\n...")) end
    return traceback:sub(1, bottom - 1)
end

local function show(opts, n, ...)
    return require("orrery.repl.pretty").values(opts.pretty or {}, n, ...)
end

-- All of its fields travel.
local function portable(err)
    if pcall(codec.encode_data, err) then return err end
    return codec.decode(codec.encode_error(err))
end

-- What Error.from has wrapped, as text: it may be anything, and need not travel.
local function thrown(opts, err)
    if err.value == nil or not err.message:find "^a %a+ was thrown: " then return nil end
    local ok, text = pcall(show, opts, 1, err.value)
    return ok and text or nil
end

-- Of a copy, since the script may hold what it has raised.
local function failure(opts, raised)
    local err = {}
    for key, value in next, Error.from(raised) do err[key] = value end
    Error.new(err)
    if type(err.traceback) == "string" and not err.remote then err.traceback = cut(err.traceback) end
    local text = thrown(opts, err)
    if text then err.value = nil end
    return { kind = "error", error = portable(err), thrown = text }
end

local function finish(session, opts, hidden, ok, ...)
    if not ok then return failure(opts, (...)) end
    local n = select("#", ...)
    if n > 0 then keep_results(session, n, ...) end
    if hidden or n == 0 then return { kind = "values", n = n, text = "", hidden = hidden or nil } end
    local shown, text = xpcall(show, Error.handler, opts, n, ...)
    if not shown then return failure(opts, text) end
    return { kind = "values", n = n, text = text }
end

-- What is public --------------------------------------------------------------------------------------------------

--- Runs an input. Blocks as the input does.
---@param id string the session's name
---@param text string
---@param opts? orrery.repl.EvalOptions
---@return orrery.repl.Outcome|orrery.repl.Mistake
function M.eval(id, text, opts)
    opts = options.check("eval", opts, OPTIONS)
    local input, mistake = chunk.parse(text)
    if not input then return mistake end
    local session = session_of(id)
    local fn, err = chunk.build(input, opts.name, session.cells, session.capture)
    if not fn then return { kind = "error", error = err } end
    connect(fn, session.cells)
    return finish(session, opts, input.hidden, xpcall(fn, Error.handler))
end

--- Whether an input can be run, or goes on in the next line.
---@param text string
---@return "complete"|"incomplete"|"syntax"
---@return orrery.repl.Mistake? mistake
function M.ready(text)
    local input, mistake = chunk.parse(text)
    if input then return "complete" end
    return mistake.kind, mistake
end

--- The names of a session's locals, sorted.
---@param id string
---@return string[]
function M.locals(id)
    local names = {}
    for name in pairs(sessions[id] and sessions[id].cells or {}) do names[#names + 1] = name end
    table.sort(names)
    return names
end

--- Looks at a local.
---@param id string
---@param name string
---@return boolean found
---@return any value
function M.lookup(id, name)
    local cell = sessions[id] and sessions[id].cells[name]
    if not cell then return false end
    local _, value = debug.getupvalue(cell, 1)
    return true, value
end

--- Declares a local.
---@param id string
---@param name string
---@param value any
function M.define(id, name, value)
    session_of(id).cells[name] = new_cell(value)
end

--- Drops a session and what only it holds.
---@param id string
function M.forget(id) sessions[id] = nil end

return M
