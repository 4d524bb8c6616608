--- Files of the controller that steps ask for: which they are, what goes along, and who may ask for more.
--
-- A target gets what the script has named: files that options name, and in a batch those that its function names
-- literally (or that were given to it as `files`). One that was taken over by somebody gets no others.

local Error = require "orrery.error"
local files = require "orrery.play.files"
local sys = require "orrery.sys"

local M = {}

local MOST_READ = 32 * 1024 * 1024 -- bytes that a target may have as one string
local MOST_TOGETHER = 1024 * 1024 -- bytes that go along with one message

--- Where relative names begin: the directory of the script, unless it is set.
---@type string?
M.base = nil

local function directory_of_script()
    local script = type(arg) == "table" and type(arg[0]) == "string" and arg[0] or ""
    return script:match "^(.*)/[^/]*$" or "."
end

--- The path of a file that a script names.
---@param name string
---@return string
function M.path(name)
    if name:sub(1, 1) == "/" then return name end
    if name:sub(1, 2) == "~/" then return (os.getenv "HOME" or "") .. name:sub(2) end
    return (M.base or directory_of_script()) .. "/" .. name
end

---@type table<string, { key: string, hash: string }> by path
local hashes = {}

local function hash_of(path, st)
    local key = ("%d %d %d %.9f"):format(st.dev, st.ino, st.size, st.mtime)
    local known = hashes[path]
    if known and known.key == key then return known.hash end
    local hash = sys.hash(path, "blake2b")
    hashes[path] = { key = key, hash = hash }
    return hash
end

--- What a target is told of a file: all of it, where it is small and there is room.
---@param name string
---@param room integer bytes
---@return table entry `missing` says why there is none
function M.describe(name, room)
    local path = M.path(name)
    local st, why = sys.stat(path)
    if not st then return { missing = "cannot read the controller's file " .. why } end
    if st.type ~= "file" then
        return { missing = ("the controller's %s is a %s, and not a file"):format(path, st.type) }
    end
    local entry = { size = st.size, mode = st.mode }
    if st.size <= math.min(files.SMALL, room) then
        entry.content, why = sys.read(path)
        if not entry.content then return { missing = "cannot read the controller's file " .. why } end
        entry.size = #entry.content
    else
        entry.hash, why = hash_of(path, st)
        if not entry.hash then return { missing = "cannot read the controller's file " .. why } end
    end
    return entry
end

---@class orrery.play.Gathered
---@field files table<string, table>
---@field names table<string, true> that may be asked for
---@field room integer
---@field texts string[] contents, for what they name
---@field complete boolean nothing is left to ask for

---@return orrery.play.Gathered
function M.gather() return { files = {}, names = {}, room = MOST_TOGETHER, texts = {}, complete = true } end

--- Adds a file.
---@param gathered orrery.play.Gathered
---@param name string
---@param more? fun(text: string, name: string): string[]
---@return table entry
function M.add(gathered, name, more)
    local entry = gathered.files[name]
    if entry then return entry end
    entry = M.describe(name, gathered.room)
    gathered.files[name], gathered.names[name] = entry, true
    if entry.content then
        gathered.room = gathered.room - #entry.content
        gathered.texts[#gathered.texts + 1] = entry.content
        for _, other in ipairs(more and more(entry.content, name) or {}) do M.add(gathered, other, more) end
    elseif not entry.missing then
        gathered.complete = false
    end
    return entry
end

-- Options of type "source", and those of them that hold a name.
local function named(definition, options)
    local names = {}
    for option, spec in pairs(definition.options) do
        local value = spec.type == "source" and options[option]
        if type(value) == "table" then value = value.file end
        if type(value) == "string" then names[#names + 1] = value end
    end
    table.sort(names)
    return names
end

--- Adds the files that a step's options name.
---@param gathered orrery.play.Gathered
---@param made orrery.play.Step
---@param at? string
---Raises "file" for one that cannot be read.
function M.add_step(gathered, made, at)
    -- A template that stands in the script names variables and files as one in a file does.
    local text, more = made.options.content, made.definition.more_files
    if made.definition.vars and type(text) == "string" then
        gathered.texts[#gathered.texts + 1] = text
        for _, other in ipairs(more and more(text, "") or {}) do M.add(gathered, other, more) end
    end
    for _, name in ipairs(named(made.definition, made.options)) do
        local entry = M.add(gathered, name, made.definition.more_files)
        if entry.missing then
            Error.raise { code = "file", at = at, message = ("%s: %s"):format(made.definition.name, entry.missing) }
        end
    end
end

---@class orrery.play.Literals what a function names
---@field all table<string, true>
---@field words table<string, true> those that may be methods, or the first of a list: not keys of tables with contents

local function strings_in(value, found, depth)
    if type(value) == "string" then found.all[value] = true end
    if type(value) ~= "table" or depth > 4 then return end
    for key, each in next, value do
        strings_in(key, found, depth + 1)
        strings_in(each, found, depth + 1)
        if key == 1 and type(each) == "string" then found.words[each] = true end
    end
end

-- Strings that stand in a function, and in those that it makes; also in the tables that it begins with.
local function constants(fn, found)
    local util = require "jit.util"
    local function walk(f)
        local i = -1
        while true do
            local ok, value = pcall(util.funck, f, i)
            if not ok or value == nil then return end
            if type(value) == "string" then found.words[value] = true end
            if type(value) == "proto" then walk(value) else strings_in(value, found, 1) end
            i = i - 1
        end
    end
    walk(fn)
    return found
end

--- Strings that a function names literally: its own, and those that it captures.
---@param fn function
---@return orrery.play.Literals
function M.literals(fn)
    local found = constants(fn, { all = {}, words = {} })
    for i = 1, debug.getinfo(fn, "u").nups do
        local _, value = debug.getupvalue(fn, i)
        strings_in(value, found, 1)
        if type(value) == "function" then constants(value, found) end
    end
    return found
end

--- Adds the files that a batch may ask for; those that it will, as it seems, go along.
---@param gathered orrery.play.Gathered
---@param literals orrery.play.Literals
---@param given? string[] those that it was given by name
---@param uses_files boolean it uses a resource that takes files
function M.add_batch(gathered, literals, given, uses_files)
    for name in pairs(literals.all) do
        if uses_files and name:find "[./]" and #name < 256 and not name:find "%z" then
            local st = name:sub(1, 1) ~= "/" and sys.stat(M.path(name))
            if st and st.type == "file" then M.add(gathered, name) end
        end
        gathered.names[name] = true
    end
    for _, name in ipairs(given or {}) do M.add(gathered, name) end
    gathered.complete = false
end

-- What targets ask for ----------------------------------------------------------------------------

---@type table<string, { context: integer, names: table<string, true> }>
local tickets = {}
local last_ticket = 0
local service

local function allowed(caller, ticket, name)
    local known = tickets[ticket]
    if not known or known.context ~= caller.id or type(name) ~= "string" or not known.names[name] then
        local text = "a batch gets the files that it names literally, or that were given to it: "
            .. "h:batch({ files = { ... } }, fn); not '%s'"
        Error.raise { code = "denied", message = text:format(tostring(name)) }
    end
    return name
end

local FUNCTIONS = {}

function FUNCTIONS.look(caller, ticket, name) return M.describe(allowed(caller, ticket, name), MOST_TOGETHER) end

function FUNCTIONS.read(caller, ticket, name)
    local path = M.path(allowed(caller, ticket, name))
    local content, why = sys.read(path, MOST_READ)
    if not content then Error.raise { code = "file", message = "cannot read the controller's file " .. why } end
    return content
end

function FUNCTIONS.place(caller, ticket, name, path, step)
    local on_progress = tickets[ticket] and tickets[ticket].on_progress
    caller:put(M.path(allowed(caller, ticket, name)), path, {
        mode = 0x180, on_progress = on_progress and function(done, size) on_progress(step, done, size) end,
    })
end

--- Lets a context ask for files while it does something.
---@param ctx orrery.Context
---@param gathered orrery.play.Gathered
---@param on_progress? fun(step: string, done: integer, size: integer)
---@return string? ticket nil: all is there
---@return fun() over
function M.open(ctx, gathered, on_progress)
    if gathered.complete then return nil, function() end end
    service = service or require("orrery").service(files.SERVICE, FUNCTIONS)
    last_ticket = last_ticket + 1
    local ticket = ("%d %d"):format(ctx.id, last_ticket)
    tickets[ticket] = { context = ctx.id, names = gathered.names, on_progress = on_progress }
    return ticket, function() tickets[ticket] = nil end
end


return M
