--- Contexts of a run: one for each host and user, opened when first needed, kept to its end.
--
-- A host that was lost stays lost: it is never opened again behind the back of a play, which would go on with half of
-- what it did undone.

local Error = require "orrery.error"
local sched = require "orrery.sched"

local M = {}

---@class orrery.play.Become
---@field user? string default root
---@field method? string a launcher: "sudo" (default), "su", "doas", "runuser", "machinectl"
---@field password? any

---@class orrery.play.Connections
---@field package session orrery.play.Session
---@field package opening table<string, orrery.Task> by host, and user
---@field package users table<string, orrery.play.Become> by the same
---@field package reopening table<string, orrery.play.Become> whose turn it is, while a host is opened again
---@field package borrowed table<string, boolean> hosts whose contexts somebody else closes
local Connections = {}
Connections.__index = Connections

---@param session orrery.play.Session
---@return orrery.play.Connections
function M.new(session)
    return setmetatable({ session = session, opening = {}, users = {}, reopening = {}, borrowed = {} }, Connections)
end

-- Who comes while it is opened waits for the same; who comes later has it, or the error.
local function shared(self, key, open)
    local task = self.opening[key]
    if not task then
        task = sched.spawn(open)
        task.watched = true
        self.opening[key] = task
    end
    return task:get()
end

local function unreachable(err)
    err = Error.from(err)
    if err.code ~= "interrupted" then err.unreachable = true end
    error(err, 0)
end

--- The context of a host, as its inventory says who logs in.
---@param name string
---@return orrery.Context
---Raises what opening raises, with `unreachable` set.
function Connections:get(name)
    return shared(self, name, function()
        local ok, ctx, borrowed = pcall(self.session.inventory.open, self.session.inventory, name)
        if not ok then unreachable(ctx) end
        self.borrowed[name] = borrowed
        return ctx
    end)
end

--- Who a host's steps run as: from what a play, or a step, says, and where that says nothing, the inventory.
---@param become nil|boolean|string|orrery.play.Become
---@param known? { enabled?: boolean, user?: string, method?: string, password?: any } what the inventory says
---@return orrery.play.Become? become nil: whoever logs in
---Raises "option".
function M.become(become, known)
    known = known or {}
    if become == nil then become = known.enabled or false end
    if become == false then return nil end
    local who = { user = known.user or "root", method = known.method or "sudo", password = known.password }
    if type(become) == "string" then
        who.user = become
    elseif type(become) == "table" then
        for key, value in pairs(become) do who[key] = value end
    elseif become ~= true then
        Error.raise {
            code = "option", at = Error.at(), message = "play: option 'become' must be true, a user, or a table",
        }
    end
    return who
end

local function is_user(ctx, user)
    local info = ctx.info and ctx:info()
    return info and info.uid == 0 and user == "root"
end

local function reveal(value)
    local secret = package.loaded["orrery.secret"]
    return secret and value ~= nil and secret.reveal(value) or value
end

local function child(ctx, become)
    local launch = ctx[become.method]
    if type(launch) ~= "function" then
        Error.raise { code = "option", message = ("become: there is no launcher '%s'"):format(tostring(become.method)) }
    end
    local opts = {}
    for key, value in pairs(become) do
        if key ~= "user" and key ~= "method" then opts[key] = value end
    end
    opts.password = reveal(become.password)
    return launch(ctx, become.user, opts)
end

--- The context of a host as a user.
---@param name string
---@param become nil|boolean|string|orrery.play.Become
---@return orrery.Context
function Connections:as(name, become)
    become = M.become(become, self.session.inventory:become(name))
    local ctx = self:get(name)
    if not become or is_user(ctx, become.user) then return ctx end
    local key = ("%s\0%s\0%s"):format(name, become.method, become.user)
    self.users[key] = become
    return shared(self, key, function()
        local ok, inner = pcall(child, ctx, become)
        -- The host is there; who may not become somebody else has failed.
        if not ok then error(Error.from(inner), 0) end
        return inner
    end)
end

--- Whether the way to a host is still there; true where it was never opened.
---@param name string
---@return boolean
function Connections:alive(name)
    local task = self.opening[name]
    if not task or not task.state then return true end
    if task.state ~= "resolved" then return false end
    local ctx = task[1]
    if type(ctx) ~= "table" or not ctx.id then return true end
    return require("orrery.core").below(ctx.id) and true or false
end

-- Forgets all contexts of a host. Returns them, and who the given one was.
local function forget(self, name, ctx)
    local become, old = nil, {}
    for key, task in pairs(self.opening) do
        if key == name or key:sub(1, #name + 1) == name .. "\0" then
            if task.state == "resolved" and task[1] == ctx then become = self.users[key] end
            old[#old + 1] = task.state == "resolved" and task[1] or nil
            self.opening[key] = nil
        end
    end
    return old, become
end

--- Opens a host again, which was rebooted on purpose: all of its contexts are others from then on.
---@param name string
---@param ctx orrery.Context one of those before
---@return orrery.Context ctx the new one as the same user
---Raises what opening raises, with `unreachable` set; "argument" for a context that is somebody else's.
function Connections:reopen(name, ctx)
    if self.borrowed[name] then
        Error.raise { code = "argument", message = name .. " was given as a context, which cannot be opened again" }
    end
    local old, become = forget(self, name, ctx)
    -- Where the first try fails, the next one finds no contexts any more, but must know who it was.
    self.reopening[name] = become or self.reopening[name]
    for _, each in ipairs(old) do pcall(each.close, each, 0) end
    local new = self:as(name, self.reopening[name])
    self.reopening[name] = nil
    return new
end

--- Closes all. Those in contexts go with them, but where those are not this run's.
function Connections:close()
    local contexts = {}
    for key, task in pairs(self.opening) do
        local inner, host = key:find("%z") ~= nil, key:match "^%Z*"
        if task.state == "resolved" and (inner and self.borrowed[host] or not inner and not self.borrowed[host]) then
            contexts[#contexts + 1] = task[1]
        end
    end
    self.opening = {}
    -- After Ctrl-C there is little time; what is not closed here ends with this process.
    pcall(require("orrery.parallel").each, contexts, { raise = false }, function(ctx)
        if ctx.close then pcall(ctx.close, ctx) end
    end)
end

return M
