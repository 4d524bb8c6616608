--- How functions travel: as bytecode, with what they capture.
--
-- A message that holds a function starts with a *bundle*, and each place where a function, a module
-- or a shared table belongs holds a *ref* into it:
--
--     bundle  { functions = { {bytecode, cell ...} ... }, cells = { value ... }, tables = { ... } }
--     ref     { f = i }   functions[i]         { m = "util" }               a loaded module
--             { t = i }   tables[i]            { m = "string", k = "rep" }  a field of one
--             { g = i }   what the other side is given besides (inside a process: a receiver)
--
-- A cell is one captured variable. Two functions that share a variable name the same cell, so they
-- share it at the other side too; that is also what makes recursion work. Tables below a cell keep
-- their identity and may be cyclic (`local M = {}; function M.f() return M.g() end` is both), while
-- tables below an argument are copied as they stand, as in a message without functions.
--
-- What is loaded under a name travels as this name and is required at the other side: modules,
-- their functions, the standard library. So a function of a module meets its own module's state
-- there. A function's environment (setfenv) does not travel: it runs with the globals of the other
-- side.
--
-- A call of a function that captures only plain values, with plain arguments, needs no bundle: its
-- bytecode stands in the place of a name, then come the captured values, then the arguments.

local buffer = require "string.buffer"
local Error = require "orrery.error"
local names = require "orrery.names"

local Bundle, Ref = {}, {} -- metatables, by which codec knows the two
local M = { Bundle = Bundle, Ref = Ref }

--- As deep as string.buffer goes.
M.MAX_DEPTH = 100

-- Captured values can nest through functions too, where no buffer counts.
local MAX_PATH = 1000
local MAX_FLAT = 10 -- captured values that are passed like arguments
local MAX_SHOWN = 20 -- parts of a path that a message shows

local PLAIN = { ["nil"] = true, boolean = true, number = true, string = true }

-- Packing -----------------------------------------------------------------------------------------

---@class orrery.closure.Walk one walk over the values of a message
---@field root fun(i: integer): string how value i is called in messages
---@field typed table<table, any> the metatables that travel; others are dropped
---@field data boolean refuse functions, and name nothing: this message goes up
---@field give? fun(original: table): integer? number of a table that the other side is given besides
---@field path any[] keys from the root to the value at hand; an Upvalue where a function was
---entered
local Walk = {}
Walk.__index = Walk

local Upvalue = {}

function Upvalue.__tostring(upvalue)
    local info = debug.getinfo(upvalue.fn, "S")
    local place = ("%s:%d"):format(info.short_src, info.linedefined)
    return (" (function at %s), upvalue '%s'"):format(place, upvalue.name)
end

local function path_text(walk)
    local parts = { walk.root(walk.path[1]) }
    for i = 2, #walk.path do
        local key = walk.path[i]
        if getmetatable(key) == Upvalue then
            parts[i] = tostring(key)
        elseif type(key) == "string" then
            parts[i] = key:match("^[%a_][%w_]*$") and "." .. key or ("[%q]"):format(key)
        else
            parts[i] = ("[%s]"):format(tostring(key))
        end
    end
    if #parts > MAX_SHOWN then -- the ends of a long path say what it is about
        local half = MAX_SHOWN / 2
        return table.concat(parts, "", 1, half) .. "..." .. table.concat(parts, "", #parts - half + 1)
    end
    return table.concat(parts)
end

function Walk:fail(what)
    Error.raise {
        code = "encode",
        message = ("%s: %s cannot travel"):format(path_text(self), what),
        at = Error.at(),
    }
end

function Walk:push(key)
    local path = self.path
    if #path >= MAX_PATH then self:fail(("what is nested %d deep"):format(MAX_PATH)) end
    path[#path + 1] = key
end

function Walk:pop() self.path[#self.path] = nil end

-- Only this depends on the prototype alone; a function that is called in a loop is dumped once.
local dumps = setmetatable({}, { __mode = "k" })

local function dump(fn)
    local known = dumps[fn]
    if not known then
        local info = debug.getinfo(fn, "Su")
        if info.what == "C" then return nil end
        known = { code = string.dump(fn), nups = info.nups }
        dumps[fn] = known
    end
    return known.code, known.nups
end

function Walk:cell(fn, i)
    local id = debug.upvalueid(fn, i)
    local cell = self.cells[id]
    if not cell then
        cell = self.ncells + 1
        self.ncells = cell
        self.cells[id] = cell
        local name, value = debug.getupvalue(fn, i)
        self:push(setmetatable({ fn = fn, name = name }, Upvalue))
        self:place(self.bundle.cells, cell, value, 3, true)
        self:pop()
    end
    return cell
end

function Walk:function_ref(fn)
    local ref = self.refs[fn]
    if ref then return ref end
    if self.data then self:fail("code goes from parent to child only: a function") end
    local code, nups = dump(fn)
    if not code then self:fail("a C function that is no field of a loaded module") end
    local functions = self.bundle.functions
    local entry = { code }
    functions[#functions + 1] = entry
    ref = setmetatable({ f = #functions }, Ref)
    self.refs[fn] = ref -- before its cells: they may lead back here
    for i = 1, nups do entry[i + 1] = self:cell(fn, i) end
    return ref
end

function Walk:fill(copy, original, depth, below_cell)
    for key, value in next, original do
        self:push(key)
        if PLAIN[type(key)] then
            self:place(copy, key, value, depth, below_cell)
        else
            local box = {}
            self:place(box, 1, key, depth, false)
            self:place(copy, box[1], value, depth, below_cell)
        end
        self:pop()
    end
end

-- A table below a cell that is met a second time moves from where it stands to the bundle's tables.
function Walk:table_ref(original)
    local ref = self.refs[original]
    if not ref then
        local tables, stands = self.bundle.tables, self.stands[original]
        tables[#tables + 1] = self.copies[original]
        ref = setmetatable({ t = #tables }, Ref)
        self.refs[original] = ref
        stands.holder[stands.slot] = ref
    end
    return ref
end

function Walk:place_table(holder, slot, original, depth, below_cell)
    local given = self.give and self.give(original)
    if given then
        holder[slot] = setmetatable({ g = given }, Ref)
        return
    end
    if depth > M.MAX_DEPTH then
        self:fail(("a table nested more than %d deep"):format(M.MAX_DEPTH))
    end
    if below_cell and self.copies[original] then
        holder[slot] = self:table_ref(original)
        return
    end
    if self.open[original] and not below_cell then self:fail("a table that contains itself") end
    local mt = debug.getmetatable(original)
    local copy = setmetatable({}, mt and self.typed[mt] and mt or nil)
    holder[slot] = copy
    if below_cell then
        self.copies[original] = copy
        self.stands[original] = { holder = holder, slot = slot }
        self:fill(copy, original, depth + 1, true)
    else
        self.open[original] = true
        self:fill(copy, original, depth + 1, false)
        self.open[original] = nil
    end
end

-- 64-bit integers, complex numbers, NULL.
local function is_encodable(value) return (pcall(buffer.encode, value)) end
jit.off(is_encodable) -- an error in compiled code crashes; see codec.lua

-- Puts what stands for the value into holder[slot].
function Walk:place(holder, slot, value, depth, below_cell)
    local kind = type(value)
    if PLAIN[kind] then
        holder[slot] = value
        return
    end
    local module, key
    if not self.data then module, key = names.find(value) end
    if module then
        holder[slot] = setmetatable({ m = module, k = key }, Ref)
    elseif kind == "table" then
        self:place_table(holder, slot, value, depth, below_cell)
    elseif kind == "function" then
        holder[slot] = self:function_ref(value)
    elseif is_encodable(value) then
        holder[slot] = value
    else
        self:fail(kind == "thread" and "a coroutine" or "a " .. kind)
    end
end

--- Replaces functions, modules and what they capture by refs, in copies of the values.
---@param options table `root`, `data`, `typed`, `give`, as in orrery.closure.Walk
---@param n integer how many values there are, nil counted
---@param ... any the values
---@return table bundle
---@return table values what to send in place of the values
---Raises "encode", naming the path to the first value that cannot travel.
function M.pack(options, n, ...)
    names.refresh()
    local walk = setmetatable({
        root = options.root, data = options.data, typed = options.typed, give = options.give,
        path = {},
        bundle = setmetatable({ functions = {}, cells = {}, tables = {} }, Bundle),
        cells = {}, ncells = 0, refs = {}, copies = {}, stands = {}, open = {},
    }, Walk)
    local values = {}
    for i = 1, n do
        walk:push(i)
        walk:place(values, i, (select(i, ...)), 1, false)
        walk:pop()
    end
    return walk.bundle, values
end

-- Unpacking ---------------------------------------------------------------------------------------

local MAX_LOADED = 128     -- functions kept per generation
local UNNAMED = "=function"
local MAX_LOADED_SIZE = 2 ^ 16 -- bytes; larger ones are not called in a tight loop

-- Functions without upvalues, by bytecode: the one that was loaded last time serves again, with the
-- machine code it has got since. Two generations bound it: what is not used falls out with the
-- older.
local young, old, young_count = {}, {}, 0

-- Returns how many upvalues it has, too. They are nil.
local function load_bytecode(code)
    local fn = young[code] or old[code]
    if fn and young[code] then return fn, 0 end
    if not fn then
        local why
        fn, why = load(code, UNNAMED, "b")
        if not fn then error("a function does not load: " .. tostring(why), 0) end
        local info = debug.getinfo(fn, "Su")
        local nups = info.nups
        -- What was typed at a prompt is to end with Ctrl-C: see orrery.breaking. Compiled loops never look.
        if info.source:sub(1, 1) == "=" and info.source ~= UNNAMED then jit.off(fn, true) end
        if #code > MAX_LOADED_SIZE or nups > 0 then return fn, nups end
    end
    if young_count >= MAX_LOADED then young, old, young_count = {}, young, 0 end
    young[code], young_count = fn, young_count + 1
    return fn, 0
end

local function resolve(ref, found)
    local value
    if ref.f ~= nil then value = found.functions[ref.f]
    elseif ref.t ~= nil then value = found.tables[ref.t]
    elseif ref.g ~= nil then value = found.given[ref.g]
    elseif type(ref.m) == "string" then value = names.load(ref.m, ref.k) end
    if value == nil then error("a reference to nothing", 0) end
    return value
end

-- Replaces the refs below a value, in place. What comes out of the decoder is a tree, so each table
-- is visited once; a table that replaces a ref is not entered, its own turn comes as
-- bundle.tables[i].
local function settle(value, found)
    if type(value) ~= "table" then return value end
    if getmetatable(value) == Ref then return resolve(value, found) end
    local moved
    for key, field in next, value do
        if type(field) == "table" then value[key] = settle(field, found) end
        if type(key) == "table" then
            moved = moved or {}
            moved[key] = settle(key, found)
        end
    end
    for key, new in pairs(moved or {}) do
        if new ~= key then
            value[key], value[new] = nil, value[key]
        end
    end
    return value
end

local function connect(functions, entries, cells)
    local first = {} -- cell -> the function and index that hold it already
    for i, entry in ipairs(entries) do
        for upvalue = 1, #entry - 1 do
            local cell = entry[upvalue + 1]
            local holder = first[cell]
            if holder then
                debug.upvaluejoin(functions[i], upvalue, holder.fn, holder.upvalue)
            else
                if not debug.setupvalue(functions[i], upvalue, cells[cell]) then
                    error("a function with fewer upvalues than announced", 0)
                end
                first[cell] = { fn = functions[i], upvalue = upvalue }
            end
        end
    end
end

--- Undoes pack. Loads bytecode: the caller answers for the sender. May load modules, hence block.
---@param bundle table
---@param values table changed in place
---@param n integer
---@param given? table what `give` gave numbers
---@return table values
---Raises strings for a malformed bundle, "module" where one is missing.
function M.unpack(bundle, values, n, given)
    local functions, tables = {}, bundle.tables
    local found = { functions = functions, tables = tables, given = given or {} }
    for i, entry in ipairs(bundle.functions) do
        if type(entry[1]) ~= "string" then error("a function without bytecode", 0) end
        functions[i] = load_bytecode(entry[1])
    end
    for i = 1, #tables do settle(tables[i], found) end
    for cell, value in pairs(bundle.cells) do
        if type(value) == "table" then bundle.cells[cell] = settle(value, found) end
    end
    connect(functions, bundle.functions, bundle.cells)
    for i = 1, n do
        if type(values[i]) == "table" then values[i] = settle(values[i], found) end
    end
    return values
end

-- Calls without a bundle --------------------------------------------------------------------------

local ESC = 27 -- with it begins bytecode, and no name

local function captured(fn, i, ...)
    if i == 0 then return ... end
    local _, value = debug.getupvalue(fn, i)
    return captured(fn, i - 1, value, ...)
end

--- What to send for a call, if all of it is plain.
---@param fn function
---@param ... any its arguments
---@return function|string what the function itself where it has a name, or cannot travel so
---@return any ...
function M.flat(fn, ...)
    local code, nups = dump(fn)
    names.refresh()
    if not code or nups > MAX_FLAT or names.find(fn) then return fn, ... end
    return code, captured(fn, nups, ...)
end

---@param name string of a function to be called
---@return boolean flat it is what flat made of one
function M.is_flat(name) return name:byte() == ESC end

local function call(fn, i, nups, ...)
    if i > nups then return fn(...) end
    debug.setupvalue(fn, i, (...))
    return call(fn, i + 1, nups, select(2, ...))
end

--- Calls what flat made. Loads bytecode: the caller answers for the sender.
---@param code string
---@param ... any
---@return any ... what the function returns
function M.call(code, ...)
    local fn, nups = load_bytecode(code)
    return call(fn, 1, nups, ...)
end

return M
