--- The inputs of a session as a script that does the same: for :save.
--
-- What ran here stands as it was typed. What ran on a host in a row becomes one function that is called there. A
-- local lives as long as the session, and so its declaration loses its `local` where that function has ended by then,
-- or where it would be taken along to a host that has something else of that name.

local nodeset = require "orrery.play.inventory.nodeset"
local tokens = require "orrery.repl.tokens"

local M = {}

local INDENT = "    "
local MOST_RESULTS = 20 -- _1 ... _20
local LOCAL = "local" -- a child process of this machine, among the hosts; no name of Lua's

---@class orrery.repl.script.Input
---@field text string what is evaluated: without `=`, or `return`, or the `;` that hides a result
---@field list orrery.repl.Token[]
---@field uses table<string, true> names in it
---@field declares table<string, true> locals at its top level
---@field form "expression"|"returns"|"statement"
---@field hidden boolean
---@field entry orrery.repl.Entry

---@class orrery.repl.script.Block inputs in a row that ran at one place
---@field key string
---@field targets? string[]
---@field shell boolean
---@field inputs orrery.repl.script.Input[]
---@field global table<string, true> locals that are none in the script

-- Inputs ---------------------------------------------------------------------------------------------

local STEPS = { ["function"] = 1, ["if"] = 1, ["do"] = 1, ["repeat"] = 1, ["end"] = -1, ["until"] = -1 }

-- Calls fn(index) for each keyword that stands in no block.
local function outermost(list, fn)
    local depth = 0
    for i, token in ipairs(list) do
        if token.kind == "keyword" then
            if depth == 0 then fn(i, token.text) end
            depth = depth + (STEPS[token.text] or 0)
        end
    end
end

-- Is there a `return` that is no function's?
local function returns(list)
    local open, functions = {}, 0
    for _, token in ipairs(list) do
        local step = token.kind == "keyword" and STEPS[token.text]
        if token.kind == "keyword" and token.text == "return" and functions == 0 then return true end
        if step == 1 then
            open[#open + 1] = token.text == "function"
            functions = functions + (open[#open] and 1 or 0)
        elseif step then
            functions = functions - (table.remove(open) and 1 or 0)
        end
    end
    return false
end

-- Comments are nothing that has to be looked at.
local function code_of(text)
    local list = {}
    for _, token in ipairs(tokens.list(text)) do
        if token.kind ~= "comment" then list[#list + 1] = token end
    end
    return list
end

local function is_op(token, text) return token ~= nil and token.kind == "op" and token.text == text end

-- Names, and the index behind them.
local function names_at(list, i)
    local names = {}
    repeat
        names[#names + 1] = list[i].text
        i = i + 2
    until not is_op(list[i - 1], ",")
    return names, i - 1
end

local function declared_by(list)
    local names = {}
    outermost(list, function(i, word)
        if word ~= "local" then return end
        if list[i + 1].text == "function" then
            names[list[i + 2].text] = true
        else
            for _, name in ipairs((names_at(list, i + 1))) do names[name] = true end
        end
    end)
    return names
end

local function compiles(text) return loadstring(text) ~= nil end

-- What is evaluated, and whether it is an expression. The parts around it go by what the prompt makes of them.
local function bare(text)
    local list = code_of(text)
    local last, hidden = list[#list], false
    if is_op(last, ";") then
        text, hidden = text:sub(1, last.from - 1) .. text:sub(last.to + 1), true
    end
    local first = list[1]
    if first and (is_op(first, "=") or first.text == "return" and first.kind == "keyword") then
        local rest = text:sub(first.to + 1):gsub("^%s+", "")
        if compiles("return " .. rest) then return rest, true, hidden end
    end
    return text, compiles("return " .. text .. "\n"), hidden
end

local function read(entry)
    if entry.shell then
        return { entry = entry, uses = {}, declares = {}, list = {}, text = entry.text, form = "shell" }
    end
    local text, expression, hidden = bare(entry.text)
    text = text:gsub("%s+$", "")
    local list = code_of(text)
    local input = {
        text = text, list = list, uses = {}, declares = declared_by(list), hidden = hidden, entry = entry,
        form = expression and "expression" or "statement",
    }
    for _, token in ipairs(list) do
        if token.kind == "name" then input.uses[token.text] = true end
        if is_op(token, "...") then input.uses["..."] = true end
        if token.kind == "string" and token.text:sub(2, -2) == LOCAL then input.uses[LOCAL] = true end
    end
    if not expression and returns(list) then input.form = "returns" end
    return input
end

-- Blocks ---------------------------------------------------------------------------------------------

local function blocks_of(entries)
    local blocks = {}
    for _, entry in ipairs(entries) do
        local key = (entry.shell and "shell\0" or "\0") .. table.concat(entry.targets or {}, "\0")
        local block = blocks[#blocks]
        if not block or block.key ~= key then
            block = { key = key, targets = entry.targets, shell = entry.shell or false, inputs = {}, global = {} }
            blocks[#blocks + 1] = block
        end
        table.insert(block.inputs, read(entry))
    end
    return blocks
end

local function each_use(block, fn)
    for _, input in ipairs(block.inputs) do
        for name in pairs(input.uses) do fn(name) end
    end
end

-- What is said of a block by those behind it: by host, the names that they use.
local function used_at(later, block)
    local function uses(name)
        for _, target in ipairs(block.targets) do
            if later[target] and later[target][name] then return true end
        end
        return false
    end
    return uses
end

local function declared_in(block)
    local names = {}
    for _, input in ipairs(block.inputs) do
        for name in pairs(input.declares) do names[name] = true end
    end
    return names
end

-- From the last to the first, so that each knows what comes behind it.
local function find_globals(blocks, remote, all)
    local later = {}
    for i = #blocks, 1, -1 do
        local block = blocks[i]
        local uses = block.targets and used_at(later, block) or function(name) return remote[name] end
        for name in pairs(declared_in(block)) do
            if all or uses(name) then block.global[name] = true end
        end
        for _, target in ipairs(block.targets or {}) do
            later[target] = later[target] or {}
            each_use(block, function(name) later[target][name] = true end)
        end
    end
end

-- Does anything behind an input, where it ran, use what it gave?
local function find_results(blocks)
    local wanted = {}
    for i = #blocks, 1, -1 do
        for k = #blocks[i].inputs, 1, -1 do
            local input = blocks[i].inputs[k]
            local gives = (input.form == "expression" or input.form == "returns") and input.entry.values ~= 0
            for _, target in ipairs(blocks[i].targets or { "" }) do
                input.result_used = input.result_used or wanted[target]
                if gives then wanted[target] = false end -- it takes the place of what was there
                for name in pairs(input.uses) do
                    if name:find "^_%d*$" then wanted[target] = true end
                end
            end
        end
    end
end

local function names_used(blocks, remote)
    local names = {}
    for _, block in ipairs(blocks) do
        if (block.targets ~= nil) == remote then each_use(block, function(name) names[name] = true end) end
    end
    return names
end

-- Lua of an input ------------------------------------------------------------------------------------

-- Declarations of these names become assignments.
local function without_local(input, global)
    local text, list, edits = input.text, input.list, {}
    outermost(list, function(i, word)
        if word ~= "local" then return end
        local from, to = list[i].from, list[i + 1].from - 1
        if list[i + 1].text == "function" then
            if global[list[i + 2].text] then edits[#edits + 1] = { from, to, "" } end
            return
        end
        local names, behind = names_at(list, i + 1)
        local some = false
        for _, name in ipairs(names) do some = some or global[name] end
        if not some then return end
        edits[#edits + 1] = { from, to, "" }
        if not is_op(list[behind], "=") then
            local last = list[behind - 1].to
            edits[#edits + 1] = { last + 1, last, " = nil" }
        end
    end)
    for i = #edits, 1, -1 do
        local from, to, new = unpack(edits[i])
        text = text:sub(1, from - 1) .. new .. text:sub(to + 1)
    end
    return text
end

-- A comment at the end of a line must not take the bracket with it.
local function wrapped(before, text, after)
    local one = before .. text .. after
    return compiles(one) and one or before .. text .. "\n" .. after
end

local function results(count)
    local names = {}
    for i = 1, math.min(count, MOST_RESULTS) do names[i] = "_" .. i end
    return table.concat(names, ", ")
end

local function value_text(input, text)
    local shown = input.hidden and 0 or input.entry.values
    if input.result_used and (input.hidden or shown ~= 0) then
        local names = results(math.max(1, shown or 1))
        local lines = wrapped(names .. " = ", text, "") .. "\n_ = _1"
        return shown ~= 0 and ("%s\nprint(%s)"):format(lines, names) or lines
    end
    if shown ~= 0 then return wrapped("print(", text, ")") end
    return compiles(text) and not text:find "^%(" and text or "local _ = " .. text
end

local function input_text(input, global)
    if input.form == "expression" then return value_text(input, input.text) end
    if input.form ~= "returns" then return without_local(input, global) end
    local body = "(function()\n" .. without_local(input, setmetatable({}, { __index = input.declares })) .. "\nend)()"
    return value_text(input, body)
end

-- Lines that begin in a string are left as they are.
local function indented(text, indent)
    if indent == "" then return text end
    local inside, at = {}, 1
    for _, token in ipairs(tokens.list(text)) do
        if token.text:find("\n", 1, true) then
            for i = token.from, token.to do
                if text:byte(i) == 10 then inside[i + 1] = true end
            end
        end
    end
    local lines = {}
    for line, following in (text .. "\n"):gmatch "([^\n]*)\n()" do
        lines[#lines + 1] = (inside[at] or line == "") and line or indent .. line
        at = following
    end
    return table.concat(lines, "\n")
end

local function add_inputs(lines, block, indent)
    for i, input in ipairs(block.inputs) do
        local text = input_text(input, block.global)
        if (i > 1 or indent == "") and text:find "^%(" then text = ";" .. text end
        lines[#lines + 1] = indented(text, indent)
    end
end

-- Hosts ----------------------------------------------------------------------------------------------

local function key_of(name) return name:find "^[%a_][%w_]*$" and not tokens.keywords[name] and "." .. name end

local function host(name) return "hosts" .. (key_of(name) or ("[%q]"):format(name)) end

---@class orrery.repl.script.Writer
---@field lines string[]
---@field repl orrery.repl.Prompt
---@field opened table<string, true>
---@field param string the host in a function for each
local Writer = {}
Writer.__index = Writer

function Writer:add(text, ...) self.lines[#self.lines + 1] = select("#", ...) > 0 and text:format(...) or text end

-- Several are opened at once, where they are opened alike.
function Writer:open(names)
    local new, openers, alike = {}, {}, nil
    for _, name in ipairs(names) do
        if not self.opened[name] then
            new[#new + 1], self.opened[name] = name, true
            local opener = self.repl.targets:opener(name)
            openers[#openers + 1] = opener
            local quoted = ("%q"):format(name)
            local from, to = opener:find(quoted, 1, true)
            local sort = from and opener:sub(1, from - 1) .. "name" .. opener:sub(to + 1) or opener
            alike = alike == nil and sort or alike == sort and sort
        end
    end
    if #new > 1 and alike then
        self:add("orrery.each(nodeset.expand %q, function(name) hosts[name] = %s end)", nodeset.fold(new), alike)
    else
        for i, name in ipairs(new) do self:add("%s = %s", host(name), openers[i]) end
    end
end

local SHELL_HERE = "assert(os.execute(%q) == 0)"
local SHELL_THERE = '%s:run({ "sh", "-c", %q }, { merge = true, on_stdout = print })'
local SHELL_AT_EACH = [[
orrery.each(every %q, function(h)
    local function say(line) print(h.name .. ": " .. line) end
    h:run({ "sh", "-c", %q }, { merge = true, on_stdout = say })
end)]]

function Writer:shell_block(block)
    for _, input in ipairs(block.inputs) do
        if not block.targets then
            self:add(SHELL_HERE, input.text)
        elseif #block.targets == 1 then
            self:add(SHELL_THERE, host(block.targets[1]), input.text)
        else
            self:add(SHELL_AT_EACH, nodeset.fold(block.targets), input.text)
        end
    end
end

function Writer:call_block(block)
    local args = ""
    for _, input in ipairs(block.inputs) do
        if input.uses["..."] then args = "..." end
    end
    if #block.targets == 1 then
        self:add("%s:call(function(%s)", host(block.targets[1]), args)
        add_inputs(self.lines, block, INDENT)
        return self:add "end)"
    end
    self:add("orrery.each(every %q, function(%s)", nodeset.fold(block.targets), self.param)
    self:add(INDENT .. "%s:call(function(%s)", self.param, args)
    add_inputs(self.lines, block, INDENT .. INDENT)
    self:add(INDENT .. "end)")
    self:add "end)"
end

function Writer:block(block)
    self:add ""
    if block.targets then self:open(block.targets) end
    if block.shell then
        self:shell_block(block)
    elseif block.targets then
        self:call_block(block)
    else
        add_inputs(self.lines, block, "")
    end
end

-- What stands at the top ------------------------------------------------------------------------------

local function sources_text(inventory)
    local list = {}
    for i, source in ipairs(inventory and inventory.sources or {}) do
        if type(source) ~= "string" then return nil end
        list[i] = ("%q"):format(source)
    end
    return "{ " .. table.concat(list, ", ") .. " }"
end

-- As the prompt's `hosts`, which opens what it is asked for.
local OPENING = [[
%shosts = setmetatable({}, { __index = function(list, name)
    list[name] = %s
    return list[name]
end })]]

local EVERY = [[

local function every(names)
    local list = {}
    for i, name in ipairs(nodeset.expand(names)) do list[i] = hosts[name] end
    return list
end]]

---@class orrery.repl.script.Needs
---@field hosts boolean any at all
---@field several boolean at once
---@field inventory boolean

local function needs_of(blocks, targets, here)
    local needs = { hosts = false, several = false, inventory = here.inventory or false }
    for _, block in ipairs(blocks) do
        needs.several = needs.several or #(block.targets or {}) > 1
        for _, name in ipairs(block.targets or {}) do
            needs.hosts = true
            needs.inventory = needs.inventory or select(2, targets:opener(name)) or false
        end
    end
    return needs
end

-- A name that hosts use, too, is no local: it would be taken along to them.
local function scope(name, remote) return remote[name] and "" or "local " end

function Writer:head(needs, here, remote)
    local inventory = needs.inventory and self.repl.inventory
    self:add 'local orrery = require "orrery"'
    if needs.several then self:add 'local nodeset = require "orrery.play.inventory.nodeset"' end
    if inventory then
        self:add('%sinventory = require("orrery.play.inventory").load %s', scope("inventory", remote),
            sources_text(inventory) or "{}")
    end
    if here.hosts then
        local way = inventory and "inventory:has(name) and inventory:open(name) or " or ""
        if here[LOCAL] then way = way .. "name == \"local\" and orrery.localhost { name = name } or " end
        self:add ""
        self:add(OPENING, scope("hosts", remote), way .. "orrery.ssh(name)")
    elseif needs.hosts then
        self:add(scope("hosts", remote) .. "hosts = {}")
    end
    if needs.several then self:add(EVERY) end
end

local function free_name(used, ...)
    for _, name in ipairs { ... } do
        if not used[name] then return name end
    end
end

local function render(first, entries, repl, all)
    local blocks = blocks_of(entries)
    local here, remote = names_used(blocks, false), names_used(blocks, true)
    find_globals(blocks, remote, all)
    find_results(blocks)
    local writer = setmetatable({
        lines = {}, repl = repl, opened = {}, param = free_name(remote, "h", "host", "this_host") or "h",
    }, Writer)
    for _, line in ipairs(first) do writer:add(line) end
    writer:head(needs_of(blocks, repl.targets, here), here, remote)
    for _, block in ipairs(blocks) do writer:block(block) end
    return table.concat(writer.lines, "\n") .. "\n"
end

--- Writes a script.
---@param first string[] lines at the top
---@param entries orrery.repl.Entry[]
---@param repl orrery.repl.Prompt
---@return string
function M.text(first, entries, repl)
    local text = render(first, entries, repl, false)
    -- There may be more locals than a function may have.
    return compiles(text) and text or render(first, entries, repl, true)
end

return M
