--- The algebra of ClusterShell's NodeSet: "web[1-20],@db!db3&@rack2" to names, and names back to that.
--
-- Operators have no precedence: what is on the left so far, and the next operand. docs/inventory.md has them.

local Error = require "orrery.error"
local fold = require "orrery.play.inventory.fold"
local options = require "orrery.options"
local ranges = require "orrery.play.inventory.ranges"

local M = {}

M.fold, M.count = fold.fold, fold.count

--- Hosts that one expression may stand for: a slip of the finger stops here.
M.MOST = 100000

---@class orrery.nodeset.Resolver where groups and wildcards come from
---@field group fun(name: string, source?: string): string[]? its hosts; nil: there is no such group
---@field all fun(source?: string): string[]? every host; nil: there is no such source
---@field groups fun(): string[] the names of all, to suggest one

---@class orrery.nodeset.Options
---@field resolver? orrery.nodeset.Resolver without it, groups and wildcards are errors
---@field lenient? boolean nothing between two commas is nothing, and no mistake

-- Sets of names, in the order in which they came -----------------------------------------------------

---@class orrery.nodeset.Set
---@field list string[]
---@field has table<string, true>

local function new_set(names)
    local set = { list = {}, has = {} }
    for _, name in ipairs(names or {}) do
        if not set.has[name] then
            set.has[name] = true
            set.list[#set.list + 1] = name
        end
    end
    return set
end

local function chosen(list, keep)
    local names = {}
    for _, name in ipairs(list) do
        if keep(name) then names[#names + 1] = name end
    end
    return names
end

local function union(a, b)
    for _, name in ipairs(b.list) do
        if not a.has[name] then
            a.has[name] = true
            a.list[#a.list + 1] = name
        end
    end
    return a
end

local operators = { [","] = union }

operators["!"] = function(a, b)
    return new_set(chosen(a.list, function(name) return not b.has[name] end))
end

operators["&"] = function(a, b)
    return new_set(chosen(a.list, function(name) return b.has[name] end))
end

operators["^"] = function(a, b)
    local rest = chosen(b.list, function(name) return not a.has[name] end)
    return union(operators["!"](a, b), new_set(rest))
end

-- Reading an expression ----------------------------------------------------------------------------

---@class orrery.nodeset.Scan
---@field text string
---@field opts orrery.nodeset.Options
---@field column integer where the operand begins
local Scan = {}
Scan.__index = Scan

function Scan:fail(text, ...)
    Error.raise { code = "inventory", message = text:format(...), column = self.column, at = Error.at() }
end

-- Where the operand that begins here ends: in front of an operator that is not in brackets.
function Scan:operand_end(from)
    local open
    local at, _, sign = self.text:find("([%[%],!&^])", from)
    while at do
        if sign == "[" then
            open = open or at
        elseif sign == "]" then
            if not open then self:fail("'%s': this ] closes nothing", self.text:sub(from, at)) end
            open = nil
        elseif not open then
            return at - 1
        end
        at, _, sign = self.text:find("([%[%],!&^])", at + 1)
    end
    if open then self:fail("'%s': the bracket is not closed", self.text:sub(from)) end
    return #self.text
end

function Scan:numbers(content, word)
    local numbers, why, item = ranges.expand(content, M.MOST)
    if numbers then return numbers end
    if why:find("^is more") then self:fail("'%s' is more than %d hosts", word, M.MOST) end
    if item:find("^%s*%w+:%w+") then why = why .. ": a range is written 1-20 here" end
    self:fail("'%s' in '%s' %s", item, word, why)
end

-- "r[1-2]n[1-4]" to what is outside of brackets, and the numbers of each; at most MOST names come of it.
function Scan:parts(word)
    local parts, at, count = {}, 1, 1
    for open, content, behind in word:gmatch("()%[([^%]]*)%]()") do
        if not content:find("^[%x:%.]*:[%x:%.]*:[%x:%.]*$") then -- an IPv6 address is no range
            parts[#parts + 1] = word:sub(at, open - 1)
            parts[#parts + 1] = self:numbers(content, word)
            count = count * #parts[#parts]
            at = behind
        end
    end
    if count > M.MOST then self:fail("'%s' is more than %d hosts", word, M.MOST) end
    parts[#parts + 1] = word:sub(at)
    return parts
end

-- All combinations; the last range changes first.
local function combine(parts)
    local names = { parts[1] }
    for i = 2, #parts, 2 do
        local longer = {}
        for _, name in ipairs(names) do
            for _, number in ipairs(parts[i]) do longer[#longer + 1] = name .. number .. parts[i + 1] end
        end
        names = longer
    end
    return names
end

function Scan:resolver(word)
    local resolver = self.opts.resolver
    if not resolver then self:fail("'%s' needs an inventory", word) end
    return resolver
end

function Scan:group(word)
    local resolver = self:resolver(word)
    local source, name = word:match("^@([^:]*):(.+)$")
    name = name or word:sub(2)
    local hosts
    if name == "*" then hosts = resolver.all(source) else hosts = resolver.group(name, source) end
    if hosts then return hosts end
    local near = options.nearest(name, resolver.groups())
    local hint = near and near ~= name and (" (did you mean '@%s'?)"):format(near) or ""
    self:fail(source and "there is no '%s' in the inventory%s" or "there is no group '%s'%s", word, hint)
end

-- A mask with * and ? as a pattern of Lua's.
local function pattern_of(mask)
    return "^" .. mask:gsub("[^%w]", "%%%0"):gsub("%%%*", ".*"):gsub("%%%?", ".") .. "$"
end

function Scan:matching(masks, word)
    local names, all = {}, self:resolver(word).all()
    for _, mask in ipairs(masks) do
        local pattern = pattern_of(mask)
        for _, name in ipairs(all) do
            if name:find(pattern) then names[#names + 1] = name end
        end
    end
    return names
end

function Scan:operand(word)
    if word:find("[%s%c]") and not word:find("%[[^%]]*%s[^%[]*%]") or word:find("^%-") then
        self:fail("'%s' is no host name", word)
    end
    local names = combine(self:parts(word))
    if word:sub(1, 1) == "@" then
        local hosts = {}
        for _, name in ipairs(names) do
            for _, host in ipairs(self:group(name)) do hosts[#hosts + 1] = host end
        end
        return hosts
    end
    if word:find("[*?]") then return self:matching(names, word) end
    for _, name in ipairs(names) do
        if name:find("[%s%c]") or name:find("^%-") then self:fail("'%s' is no host name", name) end
    end
    return names
end

-- Is nothing at this place a mistake?
function Scan:may_lack(operator, behind)
    return self.opts.lenient and operator == "," and (behind == "," or behind == "")
end

function Scan:run()
    local set, operator, from = new_set(), ",", 1
    repeat
        self.column = from
        local last = self:operand_end(from)
        local word = self.text:sub(from, last):match("^%s*(.-)%s*$")
        local behind = self.text:sub(last + 1, last + 1)
        if word ~= "" then
            set = operators[operator](set, new_set(self:operand(word)))
            if #set.list > M.MOST then self:fail("'%s' is more than %d hosts", self.text, M.MOST) end
        elseif not self:may_lack(operator, behind) and self.text:find("%S") then
            self:fail("'%s': nothing stands %s '%s'", self.text, behind == "" and "behind" or "in front of",
                behind == "" and operator or behind)
        end
        operator, from = behind, last + 2
    until behind == ""
    return set.list
end

--- The names that an expression stands for, each once, in the order in which it has them.
---@param text string "web[1-3],@db!db2"
---@param opts? orrery.nodeset.Options
---@return string[]
---Raises "inventory".
function M.expand(text, opts)
    return setmetatable({ text = text, opts = opts or {}, column = 1 }, Scan):run()
end

return M
