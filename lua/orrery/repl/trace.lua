--- The messages of an input, as a table: when, which, from and to whom, how large, by which way.

local columns = require "orrery.repl.columns"
local core = require "orrery.core"

local M = {}

---@class orrery.repl.Traced a message that this process has sent or received
---@field at number seconds since the trace began
---@field sent boolean
---@field name string of the handle: "CALL"; "#17" where it has none
---@field handle integer
---@field src integer context
---@field dst integer context
---@field seq integer
---@field reply integer handle that the answer goes to; 0: none is wanted
---@field bytes integer with its header
---@field error boolean
---@field dead boolean a context, or a message, is lost
---@field more boolean further pieces of it follow
---@field stream string by which it went

-- Pieces are one message, whose time is that of its first.
local function join(list)
    local whole, open = {}, {}
    for _, entry in ipairs(list) do
        local key = table.concat({ tostring(entry.sent), entry.src, entry.dst, entry.handle, entry.seq }, ":")
        local first = open[key]
        if first then
            first.bytes = first.bytes + entry.bytes
        else
            whole[#whole + 1] = entry
        end
        open[key] = entry.more and (first or entry) or nil
    end
    return whole
end

---@class orrery.repl.Trace
---@field list orrery.repl.Traced[]
---@field more integer so many more there were, that are not kept
---@field problem? any what the function has raised
---@field contexts table<integer, { name: string, route: string }> those that there were before, and are now

local function add_contexts(to)
    for _, each in ipairs(core.contexts_below() or {}) do to[each[1]] = { name = each[2], route = each[3] } end
end

--- Runs fn, and keeps what is sent and received meanwhile. Others that run at the same time are seen, too.
---@param fn function
---@param ... any its arguments
---@return orrery.repl.Trace
function M.run(fn, ...)
    local contexts = {}
    add_contexts(contexts)
    core.trace(true)
    local began = core.now()
    local ok, err = pcall(fn, ...)
    local list, more = core.trace(false)
    add_contexts(contexts)
    for _, entry in ipairs(list) do entry.at = entry.at - began end
    return { list = join(list), more = more, problem = not ok and err or nil, contexts = contexts }
end

-- Names ----------------------------------------------------------------------------------------------

-- What routers tell each other is addressed to nobody: it goes to the other end of the stream.
local function who(id, entry, known)
    if id == known.self then return "here", "" end
    if id == 0 then return entry.sent and entry.stream or "here", "" end
    local ctx = known.contexts[id]
    if ctx then return ctx.name, ctx.route end
    local way, name, route = core.context(id)
    if way and name ~= "" then return name, route end
    return ("%s #%d"):format(entry.stream, id), "" -- it came and went: what is known is by which stream
end

-- Answers go to handles that say nothing by themselves: they are called as what they answer.
local function name_all(list)
    local asked, names = {}, {}
    for i, entry in ipairs(list) do
        local dynamic = entry.name:find "^#" ~= nil
        local question = dynamic and asked[table.concat({ entry.dst, entry.handle, entry.seq }, ":")]
        if entry.reply ~= 0 and not dynamic then
            asked[table.concat({ entry.src, entry.reply, entry.seq }, ":")] = entry.name
        end
        local kind = entry.dead and "lost" or entry.error and "error" or question and "answer"
        local name = question or not dynamic and entry.name or not kind and "message" or nil
        names[i] = name and kind and name .. " " .. kind or name or kind
    end
    return names
end

-- Tables ---------------------------------------------------------------------------------------------

local NARROW = 60 -- columns: below that, only the other end is named

local function row_of(entry, name, known, narrow)
    local from, from_route = who(entry.src, entry, known)
    local to, to_route = who(entry.dst, entry, known)
    local ends = narrow and (entry.sent and to or from) or from .. " > " .. to
    local row = { ("%.2f"):format(entry.at * 1000), entry.sent and ">" or "<", name, ends, ("%d"):format(entry.bytes) }
    if not narrow then row[6] = to_route ~= "" and to_route or from_route end
    return row
end

--- The table.
---@param trace orrery.repl.Trace
---@param width integer columns
---@return string
function M.text(trace, width)
    local list, narrow = trace.list, width < NARROW
    if #list == 0 then return "no messages" end
    local known = { self = (core.self()), contexts = trace.contexts }
    local names = name_all(list)
    local rows = { { "MS", "", "MESSAGE", narrow and "WITH" or "FROM > TO", "BYTES", not narrow and "ROUTE" or nil } }
    for i, entry in ipairs(list) do rows[i + 1] = row_of(entry, names[i], known, narrow) end
    local most = math.max(8, math.floor(width * (narrow and 0.25 or 0.4)))
    for _, row in ipairs(rows) do row[4] = columns.cut(row[4], most) end
    local lines = columns.table(rows, width, { true, [5] = true })
    if trace.more > 0 then lines[#lines + 1] = ("and %d more, which are not kept"):format(trace.more) end
    return table.concat(lines, "\n")
end

return M
