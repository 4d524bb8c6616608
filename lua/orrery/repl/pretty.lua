--- Values as text for a person: bounded in all directions, and harmless to a terminal.
--
-- It runs where the value is, in any context, and what it makes travels. So it needs little, and nothing that a value
-- brings along is run but `__tostring`: tables are read with rawget and next.
--
-- First a tree of nodes is made, each of which knows how many columns it has on one line; then it is laid out.

local core = require "orrery.core"
local options = require "orrery.options"
local sgr = require "orrery.sgr"
local utf8 = require "orrery.utf8"

local M = {}

---@class orrery.repl.PrettyOptions
---@field width? integer columns that a table on one line may take (80)
---@field colour? boolean with SGR sequences, each of which ends on its line
---@field depth? integer tables in tables that are shown (6)
---@field items? integer entries of a table that are shown (100)
---@field length? integer bytes of a text that are shown (4000); of one in a table a tenth of it
---@field lines? integer in all (2000)

local function positive(n) return n >= 1, "must be 1 or more" end

local SCHEMA = {
    width = { type = "number", default = 80, check = positive },
    colour = { type = "boolean", default = false },
    depth = { type = "number", default = 6, check = positive },
    items = { type = "number", default = 100, check = positive },
    length = { type = "number", default = 4000, check = positive },
    lines = { type = "number", default = 2000, check = positive },
}

local MOST_BYTES = 262144   -- of the text in all
local MOST_STEPS = 2000000  -- entries of tables that are counted, in all
local EXACT = 100000        -- entries of a table among which the first are looked for; those behind are counted
local TAIL = " more"

-- They are readable on light and on dark backgrounds. What is missing has the terminal's own colour.
local COLOURS = { string = "32", number = "36", constant = "35", ["function"] = "2", other = "2", note = "2" }

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
    until while]]):gmatch "%a+" do KEYWORDS[word] = true end

---@class orrery.repl.pretty.Link a table, and how it was reached
---@field up? orrery.repl.pretty.Link
---@field key any
---@field open boolean it is being shown: what leads here again is a cycle

---@class orrery.repl.pretty.State
---@field opts orrery.repl.PrettyOptions
---@field seen table<table, orrery.repl.pretty.Link>
---@field bytes integer that may still be shown
---@field steps integer entries that may still be counted

---@class orrery.repl.pretty.Node
---@field width number columns on one line; infinite where it has several
---@field lines? string[] of what is no table, and what is missing of it
---@field note? string
---@field kind? string its colour
---@field entries? { key: string?, node: orrery.repl.pretty.Node }[]
---@field more? string entries that are missing

-- Texts -------------------------------------------------------------------------------------------

local ESCAPES = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\" }

local function hex(bytes)
    return (bytes:gsub(".", function(byte) return ("\\x%02x"):format(byte:byte()) end))
end

-- Beyond ASCII: what is no UTF-8, the control characters that are, and what turns lines or ends them.
local function escape_high(text)
    local bad, from, parts = utf8.invalid(text), 1, {}
    while bad do
        parts[#parts + 1] = text:sub(from, bad - 1)
        parts[#parts + 1] = hex(text:sub(bad, bad))
        from = bad + 1
        bad = utf8.invalid(text, from)
    end
    text = table.concat(parts) .. text:sub(from)
    text = text:gsub("\194[\128-\159]", hex):gsub("\226\128[\168-\174]", hex):gsub("\226\129[\166-\169]", hex)
    return text
end

-- Which: the class of characters that are escaped.
local function escape(text, which)
    text = text:gsub(which, function(c) return ESCAPES[c] or hex(c) end)
    return text:find "[\128-\255]" and escape_high(text) or text
end

-- A little more than it is for some, since only what fits is decided with it: no tables travel for that.
local function columns(text)
    if not text:find "[\128-\255]" then return #text end
    local _, characters = text:gsub("[^\128-\191]", "")
    local _, wide = text:gsub("[\227-\237\239\240-\244]", "")
    local _, symbols = text:gsub("\226[\140-\173\186-\191]", "")
    return characters + wide + symbols
end

local function size(bytes)
    if bytes < 1024 then return ("%d byte%s"):format(bytes, bytes == 1 and "" or "s") end
    if bytes < 1048576 then return ("%.0f KiB"):format(bytes / 1024) end
    return ("%.1f MiB"):format(bytes / 1048576)
end

-- The head of a text, redacted. What is cut off must not leave a part of a secret, which nobody would know as one.
local function cut(text, limit)
    local short = text
    if #text > limit then
        local at = limit
        while at > limit - 3 and at > 0 and text:find("^[\128-\191]", at + 1) do at = at - 1 end
        short = text:sub(1, at)
        short = short:sub(1, #short - core.redact_held(short))
    end
    return core.redact(short), #text > #short and ("... " .. size(#text - #short) .. TAIL) or ""
end

-- Leaves ------------------------------------------------------------------------------------------

local function leaf(state, kind, text, note)
    note = note or ""
    state.bytes = state.bytes - #text - #note
    return { kind = kind, lines = { text }, note = note, width = columns(text) + #note }
end

local function limit_of(state, depth)
    local length = state.opts.length
    return math.floor(depth == 0 and length or math.max(math.min(length, 40), length / 10))
end

local function quoted(text) return '"' .. escape(text, '[%c"\\]') .. '"' end

-- Lines as they are, in [[ ]], where nothing in them has to be escaped; nil: quotes it is.
local function long_string(text)
    if not text:find "\n." or text:find "[%z\1-\8\11-\31\127]" then return nil end
    if text:find "[\128-\255]" and escape_high(text) ~= text then return nil end
    local level = ""
    while text:find("]" .. level .. "]", 1, true) or text:find("]" .. level .. "$") do level = level .. "=" end
    local lines = { "[" .. level .. "[" }
    for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
    lines[#lines] = lines[#lines] .. "]" .. level .. "]"
    return lines
end

local makers = {} ---@type table<string, fun(value: any, state: orrery.repl.pretty.State, depth: integer, link: table)>

makers["nil"] = function(_, state) return leaf(state, "constant", "nil") end

function makers.boolean(value, state) return leaf(state, "constant", tostring(value)) end

local function number(value)
    if value ~= value then return "nan" end
    if value == math.huge then return "inf" end
    if value == -math.huge then return "-inf" end
    if value == 0 then return 1 / value < 0 and "-0" or "0" end
    if value % 1 == 0 and math.abs(value) < 2 ^ 53 then return ("%.0f"):format(value) end
    for digits = 14, 16 do
        local text = ("%." .. digits .. "g"):format(value)
        if tonumber(text) == value then return text end
    end
    return ("%.17g"):format(value)
end

function makers.number(value, state) return leaf(state, "number", number(value)) end

function makers.string(value, state, depth)
    local text, note = cut(value, limit_of(state, depth))
    local node = leaf(state, "string", quoted(text), note)
    local lines = depth == 0 and node.width > state.opts.width and long_string(text)
    if lines then node.lines, node.width = lines, math.huge end
    return node
end

-- What a value says of itself. Several lines are some only where they do not stand in a table.
local function described(value, state, depth, kind)
    local ok, said = pcall(tostring, value)
    local kind_said = type(said)
    local is_text = kind_said == "string" or kind_said == "number"
    local text, note = cut(is_text and tostring(said) or "a " .. kind_said, limit_of(state, depth))
    if not (ok and is_text) then
        return leaf(state, "note", ("<__tostring failed: %s>"):format(escape(text, "%c")), note)
    end
    if depth > 0 then return leaf(state, kind, escape(text, "%c"), note) end
    local node = leaf(state, kind, "", note)
    local lines = {}
    for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = escape(line, "%c") end
    node.lines, node.width = lines, #lines > 1 and math.huge or columns(lines[1]) + #note
    state.bytes = state.bytes - #text
    return node
end

local LIBRARIES = { "string", "table", "math", "io", "os", "coroutine", "debug", "bit", "jit", "ffi", "_G" }
local builtins ---@type table<function, string>?

-- The name of a function of Lua's own; these have no file and line.
local function builtin(fn)
    if not builtins then
        builtins = {}
        for _, library in ipairs(LIBRARIES) do
            local prefix = library == "_G" and "" or library .. "."
            local functions = package.loaded[library]
            for key, value in next, type(functions) == "table" and functions or {} do
                if type(value) == "function" and type(key) == "string" then builtins[value] = prefix .. key end
            end
        end
    end
    return builtins[fn]
end

makers["function"] = function(value, state)
    local info = debug.getinfo(value, "S")
    local text
    if info.what == "C" then
        text = builtin(value) or "builtin"
    elseif info.what == "main" then
        text = info.short_src
    else
        text = ("%s:%d"):format(info.short_src, info.linedefined)
    end
    return leaf(state, "function", "function: " .. escape(text, "%c"))
end

local function other(value, state, depth) return described(value, state, depth, "other") end

makers.userdata, makers.thread = other, other

function makers.cdata(value, state, depth)
    local node = other(value, state, depth)
    if node.lines[1]:find "^%-?%d+U?LL$" then node.kind = "number" end
    return node
end

-- Tables ------------------------------------------------------------------------------------------

-- The first of many keys, without sorting them all: those behind the bar are not among them.
local function offer(list, key, most)
    local bar = list.bar
    if bar and key >= bar then return end
    list[#list + 1] = key
    if #list < 2 * most then return end
    table.sort(list)
    for i = #list, most + 1, -1 do list[i] = nil end
    list.bar = list[most]
end

local function sequence(t, most)
    local n = 0
    while n < most and rawget(t, n + 1) ~= nil do n = n + 1 end
    return n
end

-- The first of the keys after the sequence, of each kind, and how many entries there are: nil where it takes too long
-- to find out.
local function walk(t, n, room, state)
    local numbers, strings, others = {}, {}, {}
    local count, steps = 0, state.steps
    for key in next, t do
        count = count + 1
        if count > steps then break end
        if room > 0 and count <= n + EXACT then
            local kind = type(key)
            if kind == "string" then
                offer(strings, key, room)
            elseif kind ~= "number" then
                if #others < room then others[#others + 1] = key end
            elseif key < 1 or key > n or key % 1 ~= 0 then
                offer(numbers, key, room)
            end
        end
    end
    state.steps = math.max(0, steps - count)
    table.sort(numbers)
    table.sort(strings)
    return { numbers, strings, others }, count <= steps and count or nil
end

-- The keys that are shown, in their order, and what is said of the others.
local function keys_of(t, state)
    local most = math.floor(state.opts.items)
    local n = sequence(t, most)
    local lists, count = walk(t, n, most - n, state)
    local keys = {}
    for i = 1, n do keys[i] = i end
    for _, list in ipairs(lists) do
        for i = 1, math.min(#list, most - #keys) do keys[#keys + 1] = list[i] end
    end
    if count == #keys then return keys, n end
    return keys, n, count and ("... %d%s"):format(count - #keys, TAIL) or "... many" .. TAIL
end

local function is_name(key)
    return type(key) == "string" and #key <= 100 and key:find "^[%a_][%w_]*$" and not KEYWORDS[key]
end

local function says(t)
    local meta = debug.getmetatable(t)
    return type(meta) == "table" and rawget(meta, "__tostring") ~= nil
end

-- A table that is a key is not looked into.
local function key_text(key, state)
    if is_name(key) then return core.redact(key) end
    local kind = type(key)
    if kind == "table" and not says(key) then
        return "[{...}]"
    end
    local node = kind == "table" and other(key, state, 1) or makers[kind](key, state, 1)
    return "[" .. node.lines[1] .. node.note .. "]"
end

-- ".hosts[1].name"
local function path(link, state)
    local parts = {}
    while link.up do
        local text = key_text(link.key, state)
        table.insert(parts, 1, is_name(link.key) and "." .. text or text)
        link = link.up
    end
    return table.concat(parts)
end

local function known(link, state)
    local where = path(link, state)
    local what = not link.open and "same as " .. where or where == "" and "cycle" or "cycle: " .. where
    return leaf(state, "note", "<" .. what .. ">")
end

local function make(value, state, depth, link)
    return makers[type(value)](value, state, depth, link)
end

local function add_entries(node, t, state, depth, link)
    local keys, n, more = keys_of(t, state)
    local width = 2
    for i, key in ipairs(keys) do
        if state.bytes <= 0 then
            more = "... more"
            break
        end
        local name = i > n and key_text(key, state) .. " = " or nil
        state.bytes = state.bytes - (name and #name or 0) - 2 * depth - 4
        local part = make(rawget(t, key), state, depth + 1, { up = link, key = key })
        node.entries[i] = { key = name, node = part }
        width = width + 2 + (name and columns(name) or 0) + part.width
    end
    if more then
        node.more = more
        width = width + 2 + #more
    end
    node.width = width
end

function makers.table(t, state, depth, link)
    if says(t) then return described(t, state, depth) end
    if next(t) == nil then return leaf(state, nil, "{}") end
    if state.seen[t] then return known(state.seen[t], state) end
    if depth >= state.opts.depth then return leaf(state, "note", "{...}") end
    link = link or {}
    link.open = true
    state.seen[t] = link
    local node = { entries = {} }
    add_entries(node, t, state, depth, link)
    link.open = false
    return node
end

-- Layout ------------------------------------------------------------------------------------------

---@class orrery.repl.pretty.Out
---@field lines string[]
---@field colour boolean
---@field width integer
---@field last string the line that is being made

local function paint(out, kind, text)
    return sgr.paint(out.colour and COLOURS[kind], text)
end

local function finish_line(out)
    out.lines[#out.lines + 1] = out.last
    out.last = ""
end

local function put_leaf(out, node)
    for i, line in ipairs(node.lines) do
        if i > 1 then finish_line(out) end
        out.last = out.last .. paint(out, node.kind, line)
    end
    out.last = out.last .. paint(out, "note", node.note)
end

local function put_flat(out, node)
    if not node.entries then return put_leaf(out, node) end
    out.last = out.last .. "{ "
    for i, entry in ipairs(node.entries) do
        out.last = out.last .. (i > 1 and ", " or "") .. (entry.key or "")
        put_flat(out, entry.node)
    end
    if node.more then
        out.last = out.last .. (node.entries[1] and ", " or "") .. paint(out, "note", node.more)
    end
    out.last = out.last .. " }"
end

-- Used: columns of the line that are taken, and those that come behind.
local function put(out, node, indent, used)
    if not node.entries or used + node.width <= out.width then return put_flat(out, node) end
    out.last = out.last .. "{"
    finish_line(out)
    local inner = indent .. "  "
    for _, entry in ipairs(node.entries) do
        local key = entry.key or ""
        out.last = inner .. key
        put(out, entry.node, inner, #inner + columns(key) + 1)
        out.last = out.last .. ","
        finish_line(out)
    end
    if node.more then
        out.last = inner .. paint(out, "note", node.more)
        finish_line(out)
    end
    out.last = indent .. "}"
end

local function add_missing(out, n, noun)
    if n <= 0 then return end
    out.lines[#out.lines + 1] = paint(out, "note", ("... %d%s %s%s"):format(n, TAIL, noun, n == 1 and "" or "s"))
end

local function shorten(out, most)
    local missing = #out.lines - most
    for i = #out.lines, most + 1, -1 do out.lines[i] = nil end
    add_missing(out, missing, "line")
end

-- Values one after the other; the bounds are those of all together.
local function show(opts, n, ...)
    local out = { lines = {}, colour = opts.colour, width = opts.width, last = "" }
    local state = { opts = opts, bytes = MOST_BYTES, steps = MOST_STEPS }
    local shown = 0
    while shown < n and #out.lines < opts.lines and state.bytes > 0 do
        shown = shown + 1
        state.seen = {}
        put(out, make((select(shown, ...)), state, 0), "", 0)
        finish_line(out)
    end
    shorten(out, math.floor(opts.lines))
    add_missing(out, n - shown, "value")
    -- What was no text is in it by now: a secret may be a number.
    return core.redact(table.concat(out.lines, "\n"))
end

--- Values, each on a line of its own or on several.
---@param opts? orrery.repl.PrettyOptions
---@param n integer how many: the last may be nil
---@param ... any
---@return string text without a newline at its end; "" for none
---Raises "option".
function M.values(opts, n, ...)
    return show(options.check("pretty.values", opts, SCHEMA), n, ...)
end

--- One value.
---@param value any
---@param opts? orrery.repl.PrettyOptions
---@return string text without a newline at its end
---Raises "option".
function M.format(value, opts)
    return show(options.check("pretty.format", opts, SCHEMA), 1, value)
end

return M
