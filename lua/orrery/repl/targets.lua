--- Where the inputs of a prompt run: here, or in contexts on hosts, which are opened when they are first used.

local Error = require "orrery.error"
local link = require "orrery.link"
local nodeset = require "orrery.play.inventory.nodeset"
local parallel = require "orrery.parallel"
local sched = require "orrery.sched"

local M = {}

--- The name of a child process of this machine, for who has no host at hand.
M.LOCAL = "local"

local AT_ONCE = 64  -- hosts that are being opened, or called
local TOGETHER = 0.05 -- seconds: hosts that are lost by one cause are told of at once

---@class orrery.repl.Target
---@field name string
---@field state "not connected"|"connected"|"lost"
---@field ctx? orrery.Context while it is connected
---@field foreign boolean somebody else's context: not to be closed from here
---@field expression? string what the person calls the context

---@class orrery.repl.TargetsOptions
---@field inventory? orrery.Inventory
---@field names? string[] further hosts, of the command line
---@field contexts? orrery.Context[] that there are already: of the tree that this process is attached to
---@field ssh? fun(name: string): orrery.SshOptions what the command line says of hosts
---@field find? fun(name: string): orrery.Context? what the person calls a context
---@field on_use? fun(ctx: orrery.Context) of the first of the hosts where inputs run from now on
---@field on_lost? fun(list: { name: string, message: string }[])

---@class orrery.repl.Targets
---@field known table<string, orrery.repl.Target>
---@field order string[]
---@field home boolean inputs run in this process
---@field names string[] where inputs run; none: here
---@field private left_out string[] where they were to run, too, but which could not be reached
---@field expression string as they were named
---@field private options orrery.repl.TargetsOptions
---@field private by_id table<integer, orrery.repl.Target>
---@field private gone { name: string, message: string }[]
local Targets = {}
Targets.__index = Targets

---@private
function Targets:add(name)
    local target = self.known[name]
    if not target then
        target = { name = name, state = "not connected", foreign = false }
        self.known[name], self.order[#self.order + 1] = target, name
    end
    return target
end

---@private
function Targets:has(target, ctx)
    target.ctx, target.state = ctx, "connected"
    self.by_id[ctx.id] = target
end

--- Tells of those that were lost since it last did.
function Targets:tell()
    local gone = self.gone
    self.gone = {}
    if #gone > 0 and self.options.on_lost then self.options.on_lost(gone) end
end

---@param name string
---@return boolean
function Targets:is_lost(name) return self.known[name] ~= nil and self.known[name].state == "lost" end

---@private
function Targets:lost(id, err)
    local target = self.by_id[id]
    if not target then return end
    self.by_id[id] = nil
    target.ctx, target.state = nil, "lost"
    self.gone[#self.gone + 1] = { name = target.name, message = err.message }
    if #self.gone == 1 then sched.after(TOGETHER, function() self:tell() end) end
end

---@param opts orrery.repl.TargetsOptions
---@return orrery.repl.Targets
function M.new(opts)
    local self = setmetatable({
        known = {}, order = {}, home = true, names = {}, left_out = {}, expression = "", options = opts, by_id = {},
        gone = {},
    }, Targets)
    for _, name in ipairs(opts.inventory and opts.inventory:hosts() or {}) do self:add(name) end
    for _, name in ipairs(opts.names or {}) do self:add(name) end
    for _, ctx in ipairs(opts.contexts or {}) do self:adopt(ctx.name, ctx) end
    link.on_dead(function(id, err) self:lost(id, err) end)
    return self
end

--- Takes in a context that somebody else has opened.
---@param name string
---@param ctx orrery.Context
function Targets:adopt(name, ctx)
    local target = self:add(name)
    if target.ctx == ctx then return end
    target.foreign = true
    self:has(target, ctx)
end

-- Names ----------------------------------------------------------------------------------------------

-- What expressions ask for groups: those of the inventory; and all are those that are known here.
---@private
function Targets:resolver()
    local inventory = self.options.inventory
    local inner = inventory and inventory:resolver()
    local function all(source)
        if source and inner then return inner.all(source) end
        return self.order
    end
    return {
        all = all,
        group = function(name, source)
            if name == "all" and not source then return self.order end
            return inner and inner.group(name, source)
        end,
        groups = function() return inner and inner.groups() or { "all" } end,
    }
end

--- The hosts that an expression stands for.
---@param text string "web[1-3],@db!db2"
---@return string[]
---Raises "inventory".
function Targets:expand(text)
    local names = nodeset.expand(text, { lenient = true, resolver = self:resolver() })
    if #names == 0 then
        Error.raise { code = "inventory", message = ("'%s' is no host at all"):format(text), at = Error.at() }
    end
    return names
end

--- Names for completion.
---@return string[] hosts, string[] groups
function Targets:candidates()
    local inventory, hosts = self.options.inventory, {}
    for i, name in ipairs(self.order) do hosts[i] = name end
    if not self.known[M.LOCAL] then hosts[#hosts + 1] = M.LOCAL end
    return hosts, inventory and inventory:groups() or { "all" }
end

---@return { name: string, state: string, groups: string[], route: string, current: boolean? }[]
function Targets:list()
    local inventory, current, list = self.options.inventory, {}, {}
    for _, name in ipairs(self.names) do current[name] = true end
    for i, name in ipairs(self.order) do
        local target = self.known[name]
        list[i] = {
            name = name, state = target.state, current = current[name],
            groups = inventory and inventory:has(name) and inventory:groups_of(name) or {},
            route = target.ctx and target.ctx.route or "",
        }
    end
    return list
end

-- Opening ---------------------------------------------------------------------------------------------

---@private
function Targets:open(target)
    local inventory, ssh, name = self.options.inventory, self.options.ssh, target.name
    local orrery = require "orrery"
    if target.foreign then
        Error.raise {
            code = "dead", at = Error.at(),
            message = ("%s was opened by somebody else, and is lost"):format(name),
        }
    end
    if inventory and inventory:has(name) then return inventory:open(name, ssh and ssh(name)) end
    if name == M.LOCAL then return orrery.localhost { name = name } end
    return orrery.ssh(name, ssh and ssh(name))
end

---@private
function Targets:connected(name)
    local target = self:add(name)
    if target.ctx then return target.ctx end
    local ctx = self:open(target)
    self:has(target, ctx)
    return ctx
end

---@class orrery.repl.Failure
---@field name string
---@field error orrery.Error

-- Opens those of a list that are not.
---@param names string[]
---@return string[] connected, orrery.repl.Failure[] failures
---@private
function Targets:open_all(names)
    local outcomes = parallel.map(names, { limit = AT_ONCE }, function(name)
        local ok, err = pcall(self.connected, self, name)
        return ok and {} or { name = name, error = Error.from(err) }
    end)
    local good, failures = {}, {}
    for i, name in ipairs(names) do
        local outcome = outcomes[i]
        if outcome.error then failures[#failures + 1] = outcome else good[#good + 1] = name end
    end
    return good, failures
end

--- Makes hosts the place where inputs run. Those that cannot be reached are left out; if that is all of them,
--- nothing changes.
---@param text string an expression, or what the person calls a context
---@return orrery.repl.Failure[] failures
---Raises "inventory".
function Targets:use(text)
    local ctx = not self.known[text] and self.options.find and self.options.find(text)
    if ctx then
        self:adopt(text, ctx)
        self.known[text].expression = text
    end
    local names, failures = self:open_all(ctx and { text } or self:expand(text))
    if #names > 0 then
        self.home, self.names, self.left_out, self.expression = false, names, {}, text
        for i, failure in ipairs(failures) do self.left_out[i] = failure.name end
        if self.options.on_use then self.options.on_use(self:first()) end
    end
    return failures
end

--- One of those where inputs run: what is asked of a single one, for all.
---@return orrery.Context? nil: here, or all are lost
function Targets:first()
    local name = self:there()[1]
    return name and self.known[name].ctx
end

-- Those of the hosts where inputs were to run that are there at last.
---@private
function Targets:join()
    local left = {}
    for _, name in ipairs(self.left_out) do
        local there = self.known[name].ctx ~= nil
        table.insert(there and self.names or left, name)
    end
    self.left_out = left
end

--- Inputs run in this process again.
function Targets:here()
    self.home, self.names, self.left_out, self.expression = true, {}, {}, ""
end

--- Opens hosts.
---@param text? string an expression; nil: those that were lost, and those where inputs were to run, too
---@return integer opened, orrery.repl.Failure[] failures
---Raises "inventory".
function Targets:connect(text)
    local names = {}
    if text then
        names = self:expand(text)
    else
        for _, name in ipairs(self.order) do
            if self.known[name].state == "lost" then names[#names + 1] = name end
        end
        for _, name in ipairs(self.left_out) do
            if self.known[name].state == "not connected" then names[#names + 1] = name end
        end
    end
    local good, failures = self:open_all(names)
    self:join()
    return #good, failures
end

--- The context of a host, which is opened if it is not there.
---@param name string
---@return orrery.Context
---Raises "inventory"; what opening raises.
function Targets:context(name)
    local names = self:expand(name)
    if #names ~= 1 then
        Error.raise {
            code = "argument", at = Error.at(),
            message = ("'%s' is %d hosts, one was expected"):format(name, #names),
        }
    end
    return self:connected(names[1])
end

--- Ends the contexts of hosts, but for those that somebody else has opened. Inputs run here again if none is left
--- where they did.
---@param text string
---@return integer closed
---Raises "inventory"; "usage" where there are only those of others.
function Targets:close(text)
    local closed, foreign = 0, nil
    for _, name in ipairs(self.known[text] and { text } or self:expand(text)) do
        local target = self.known[name]
        local ctx = target and target.ctx
        if ctx and target.foreign then
            foreign = name
        elseif ctx then
            self.by_id[ctx.id] = nil
            target.ctx, target.state, closed = nil, "not connected", closed + 1
            ctx:close()
        end
    end
    if foreign and closed == 0 then
        Error.raise { code = "usage", message = foreign .. " was opened by somebody else, who closes it" }
    end
    if #self:there() == 0 then self:here() end
    return closed
end

--- Ends all that were opened from here.
function Targets:close_all()
    local names = {}
    for _, name in ipairs(self.order) do
        local target = self.known[name]
        if target.ctx and not target.foreign then names[#names + 1] = name end
    end
    parallel.each(names, { limit = AT_ONCE }, function(name) pcall(self.close, self, name) end)
end

-- Running ---------------------------------------------------------------------------------------------

-- The hosts where inputs run, but for those that were lost.
---@return string[]
---@private
function Targets:there()
    local names = {}
    for _, name in ipairs(self.names) do
        if self.known[name].ctx then names[#names + 1] = name end
    end
    return names
end

--- Where inputs run now, but for those that were lost.
---@return table<string, orrery.Context>
function Targets:contexts()
    local contexts = {}
    for _, name in ipairs(self:there()) do contexts[name] = self.known[name].ctx end
    return contexts
end

---@return { names: string[] }? nil: here
function Targets:current()
    return not self.home and { names = self.names } or nil
end

--- "web1", "@web 49/50"; "" here.
---@return string
function Targets:label()
    if self.home then return "" end
    local there, all = #self:there(), #self.names + #self.left_out
    if all == 1 then return self.expression .. (there == 0 and " (lost)" or "") end
    if there == all then return self.expression end
    return ("%s %d/%d"):format(self.expression, there, all)
end

---@class orrery.repl.Answer
---@field name string
---@field ok boolean
---@field value any or the error

--- Calls fn(ctx, name) for each place where inputs run, all at once.
---@param fn fun(ctx: orrery.Context, name: string): any
---@return orrery.repl.Answer[] answers in the order of the hosts
---Raises "dead" where all of them are lost.
function Targets:each(fn)
    local contexts, names = self:contexts(), self:there()
    if #names == 0 then
        Error.raise {
            code = "dead", at = Error.at(),
            message = ("%s: lost; ':connect' opens what was lost, ':here' goes on without"):format(self.expression),
        }
    end
    if #names == 1 then
        local ok, value = pcall(fn, contexts[names[1]], names[1])
        return { { name = names[1], ok = ok, value = value } }
    end
    return parallel.map(names, { limit = #names }, function(name)
        local ok, value = pcall(fn, contexts[name], name)
        return { name = name, ok = ok, value = value }
    end)
end

local function literal(value)
    if type(value) == "string" then return (("%q"):format(value):gsub("\n", "n")) end
    if type(value) ~= "table" then return tostring(value) end
    local list = {}
    for i, each in ipairs(value) do list[i] = literal(each) end
    return "{ " .. table.concat(list, ", ") .. " }"
end

-- What the command line says of a host, as a further argument: ", { port = 2222 }".
---@private
function Targets:ssh_text(name)
    local fields = {}
    for key, value in pairs(self.options.ssh and self.options.ssh(name) or {}) do
        fields[#fields + 1] = ("%s = %s"):format(key, literal(value))
    end
    table.sort(fields)
    return #fields > 0 and (", { %s }"):format(table.concat(fields, ", ")) or ""
end

--- Lua that opens a host, for a script that does the same.
---@param name string
---@return string expression, boolean uses_inventory
function Targets:opener(name)
    local inventory, target = self.options.inventory, self.known[name]
    if target and target.expression then return target.expression, false end
    local more = self:ssh_text(name)
    if inventory and inventory:has(name) then return ("inventory:open(%q%s)"):format(name, more), true end
    if name == M.LOCAL then return ("orrery.localhost { name = %q }"):format(name), false end
    return ("orrery.ssh(%q%s)"):format(name, more), false
end

return M
