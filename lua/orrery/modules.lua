--- Modules on demand: `require` in a child finds the script's modules.
--
-- A child asks its parent for what it does not have, once; a parent that does not have it asks its
-- own parent, and keeps what it got for its other children. Only the controller reads files: those
-- that its own require would find; and it has what is built into it and not into agents.
--
-- With a module come those that it requires by a literal name, theirs too, as far as they were not sent there before:
-- what takes a child a round trip each would otherwise be most of the time that loading takes.
--
-- Calls run side by side in a child, and loading takes a while there. So its `require` is one in Lua:
-- a task that waits for a module yields, and a module that several tasks need at once is loaded by
-- the first of them while the others wait.

local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local sched = require "orrery.sched"
local context = require "orrery.context"

local M = {}

---@class orrery.ModuleSource
---@field chunk? string chunk name, "@lib/util.lua"
---@field source? string text or bytecode
---@field why? string where it was looked for
---@field requires? string[] modules that it names
---@field with? string[] what came along with it

---@type table<string, orrery.ModuleSource>
local cache = {}

---@type table<integer, table<string, true>> by context: what was sent there
local sent = {}

local MOST_TOGETHER = 4 * 1024 * 1024 -- bytes that may come along

-- A name becomes a path: what could leave the directories of package.path is none.
local function valid(name)
    return name:match("^[%w_][%w_%-%.]*$") and not name:find("..", 1, true)
end

-- What a source requires by a literal name. One too many is no harm.
local function required_by(source)
    local names = {}
    for name in source:gmatch "require%s*%(?%s*[\"']([%w_][%w_%-%.]*)[\"']" do names[#names + 1] = name end
    return names
end

local function read_file(name)
    local path, why = package.searchpath(name, package.path)
    if not path then return { why = why } end
    local file, problem = io.open(path, "rb")
    if not file then return { why = "\n\t" .. problem } end
    local source = file:read("*a")
    file:close()
    -- What belongs to this library is called as where it is built in, so that errors can tell it from the user's.
    local own = name:match "^orrery%." and path:match "orrery/.*$"
    return { chunk = "@" .. (own or path), source = source, requires = required_by(source) }
end

-- As this process's own require would find it. A stock LuaJIT reads the library from files.
local function read_local(name)
    local code, requires = core.library(name)
    if not code or not package.preload[name] then return read_file(name) end
    local names = {}
    for each in requires:gmatch "%S+" do names[#names + 1] = each end
    return { chunk = "@" .. name, source = code, requires = names }
end

---@type table<string, orrery.Future> questions whose answers are on their way
local asking = {}

local function ask_parent(name)
    local parent = context.from_id(core.parent())
    local future = sched.future(("module '%s' from %s"):format(name, parent.name))
    local conversation
    conversation = link.converse(parent.id, function(flags, payload)
        link.finish(conversation)
        if flags == core.DEAD then
            future:reject(link.dead_error(payload))
        else
            future:resolve(payload)
        end
    end, function(err) future:reject(err) end)
    context.send(parent, core.handle.MODULE, conversation.seq, core.pack("s", name), true)
    asking[name] = future
    future:on_done(function() asking[name] = nil end)
    return future
end

-- What came along is kept until it is required. Those that were sent on by a context in between are not compressed.
local function keep(bundle)
    local with = {}
    local size, rest = core.unpack("4*", bundle)
    if size and size > 0 then rest = core.expand(rest, size) end
    local name, chunk, source
    while rest and rest ~= "" do
        name, chunk, source, rest = core.unpack("sss*", rest)
        if not source then break end
        with[#with + 1] = name
        cache[name] = cache[name] or { chunk = chunk, source = source, with = {} }
    end
    return with
end

local function from_parent(name)
    local answer = asking[name] or ask_parent(name)
    local found, chunk, source, rest = core.unpack("1ss*", answer:get())
    if found ~= 1 then return { why = source } end
    cache[name] = cache[name] or { chunk = chunk, source = source, with = keep(rest or "") }
    return cache[name]
end

--- The source of a module, from here or from above. Blocks.
---@param name string
---@return orrery.ModuleSource
function M.find(name)
    if not valid(name) then return { why = ("\n\tnot a module name: '%s'"):format(name) } end
    if cache[name] then return cache[name] end
    if core.parent() then return from_parent(name) end
    return read_local(name) -- not kept: the user may be editing it
end

-- Those that go along -----------------------------------------------------------------------------

-- Nothing that has to be asked for; nothing that whoever asks has built in.
local function find_here(name)
    local _, _, in_agent = core.library(name)
    if in_agent or not valid(name) then return nil end
    if core.parent() then return cache[name] end
    local found = read_local(name)
    return found.source and found or nil
end

local function gather(list, to, found)
    for _, name in ipairs(found.requires or found.with or {}) do
        local each = not to[name] and list.size < MOST_TOGETHER and find_here(name)
        if each then
            to[name] = true
            list.size = list.size + #each.source
            list[#list + 1] = core.pack("sss", name, each.chunk, each.source)
            gather(list, to, each)
        end
    end
end

local function sent_to(id)
    sent[id] = sent[id] or {}
    return sent[id]
end

-- Many hosts get the same, so it is compressed once. Those that are at different steps of a playbook get different ones
-- in turn.
local KEPT = 16
local compressed, oldest = {}, {}

local function compress(plain)
    local data = core.compress and core.compress(plain)
    return data and core.pack("4", #plain) .. data or core.pack("4", 0) .. plain
end

local function packed(list)
    if #list == 0 then return "" end
    local plain = table.concat(list)
    if not compressed[plain] then
        if #oldest == KEPT then compressed[table.remove(oldest, 1)] = nil end
        oldest[#oldest + 1], compressed[plain] = plain, compress(plain)
    end
    return compressed[plain]
end

--- What a child needs to have to load modules, as far as it was not sent that before: for M.add there.
---@param id integer of the child
---@param names string[]
---@return string? bundle nil: it has all of them
function M.bundle(id, names)
    local list = { size = 0 }
    gather(list, sent_to(id), { requires = names })
    return #list > 0 and packed(list) or nil
end

--- Takes what M.bundle has made.
---@param bundle string
function M.add(bundle) keep(bundle) end

link.on_dead(function(id) sent[id] = nil end)

local function answer(seq, src, reply, name)
    local ok, found = pcall(M.find, name or "")
    if not ok then found = { why = "\n\t" .. Error.from(found).message } end
    local list = { size = 0 }
    if found.source then
        local to = sent_to(src)
        to[name] = true
        gather(list, to, found)
    end
    local payload = core.pack("1ss", found.source and 1 or 0, found.chunk or "", found.source or found.why or "")
    core.reply(src, reply, seq, payload .. packed(list), false)
end

local MOST_WAITING = 100
---@type table<integer, integer> questions, by who asks, that are answered when there is room on the way
local waiting_for_room = {}

local function answer_later(seq, src, reply, name)
    local count = waiting_for_room[src] or 0
    if count >= MOST_WAITING then
        core.refused(src, "asks for more modules than it takes")
        core.reply(src, reply, seq, core.pack("1ss", 0, "", "\n\ttoo many questions wait"), false)
        return
    end
    waiting_for_room[src] = count + 1
    sched.spawn(function()
        link.await_way(src)
        local left = waiting_for_room[src] - 1
        waiting_for_room[src] = left > 0 and left or nil
        answer(seq, src, reply, name)
    end)
end

local function serve(seq, src, reply, payload)
    local name = core.unpack("s", payload)
    if link.is_choked(src) then
        answer_later(seq, src, reply, name)
    elseif core.parent() then
        sched.spawn(answer, seq, src, reply, name) -- it may have to ask, too
    else
        answer(seq, src, reply, name)
    end
end

-- The questions are those of the process: whichever of its threads looks first takes them.
local function serve_all()
    repeat
        local seq, src, reply, payload = core.take_question()
        if seq then serve(seq, src, reply, payload) end
    until not seq
end

--- Answers the children that ask.
function M.serve()
    core.serve_modules()
    link.handle(core.handle.MODULE, serve_all)
end

local function searcher(name)
    local found = M.find(name)
    if not found.source then
        return ("\n\tthe controller has no module '%s':%s"):format(name, found.why or "")
    end
    local chunk, why = load(found.source, found.chunk)
    if not chunk then
        Error.raise { code = "module", message = ("module '%s': %s"):format(name, why) }
    end
    return chunk
end

-- require -----------------------------------------------------------------------------------------

---@class orrery.modules.Load a module that a task is loading
---@field owner orrery.Task|table the task; MAIN outside of tasks
---@field over orrery.Future resolved, or rejected with what was raised
---@type table<string, orrery.modules.Load>
local loads = {}
---@type table<orrery.Task|table, orrery.modules.Load> what a task waits for
local waiting = {}

local MAIN = {}

local function find_loader(name)
    local reasons = {}
    for _, search in ipairs(package.loaders) do
        local found = search(name)
        if type(found) == "function" then return found end
        reasons[#reasons + 1] = found
    end
    Error.raise {
        code = "module", at = Error.at(),
        message = ("module '%s' not found:%s"):format(name, table.concat(reasons)),
    }
end

local function load_module(name)
    local result = find_loader(name)(name)
    if result ~= nil then package.loaded[name] = result end
    if package.loaded[name] == nil then package.loaded[name] = true end
end

local function load_for_all(name, owner)
    local over = sched.future(("module '%s'"):format(name))
    loads[name] = { owner = owner, over = over }
    local ok, err = xpcall(load_module, Error.handler, name)
    loads[name] = nil
    local ended = not ok and (err.code == "cancelled" or err.code == "interrupted")
    if ok or ended then -- the task was, and nothing is wrong with the module
        over:resolve()
    else
        over:reject(err)
    end
    if not ok then error(err, 0) end
end

-- Modules that require each other would wait for each other, also where two tasks began to load them.
local function wait_for(load, name, owner)
    local next_load = load
    while next_load do
        if next_load.owner == owner then
            Error.raise { code = "module", message = ("loop while loading module '%s'"):format(name) }
        end
        next_load = waiting[next_load.owner]
    end
    waiting[owner] = load
    local ok, err = pcall(load.over.get, load.over)
    waiting[owner] = nil
    if not ok then error(err, 0) end
end

--- The `require` of agents. As the standard one, but for what it raises: Error objects, and a module
--- that has failed can be required again.
---@param name string
---@return any
---Raises "module" when it is not found or does not compile, and what it raises.
function M.require(name)
    if type(name) ~= "string" then
        Error.raise {
            code = "argument", at = Error.at(),
            message = ("bad argument #1 to 'require' (string expected, got %s)"):format(type(name)),
        }
    end
    local owner = sched.current() or MAIN
    while not package.loaded[name] and loads[name] do wait_for(loads[name], name, owner) end
    if not package.loaded[name] then load_for_all(name, owner) end
    return package.loaded[name]
end

--- Makes `require` ask the parent, right after it looked for what is built in.
function M.install()
    table.insert(package.loaders, 2, searcher)
    rawset(_G, "require", M.require)
end

return M
