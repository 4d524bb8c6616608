--- The controller's side of sync: what is here, what of it must go there, and sending that. The other side is
--- orrery.play.content.sync_there.
--
-- Small files go many in a message, some messages at a time; large ones as any file that is put. What is deleted goes
-- last, when all that is new has arrived.

local glob = require "orrery.play.text.glob"
local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"
local sources = require "orrery.play.sources"
local sys = require "orrery.sys"
local tree = require "orrery.play.content.tree"

local M = {}

local THERE = "orrery.play.content.sync_there"
local SMALL = 256 * 1024 -- bytes up to which a file goes together with others
local TOGETHER = 2 * 1024 * 1024 -- bytes of them in a message
local AT_ONCE = 4 -- messages on their way
local SHOWN = 200 -- differences in a plan; the rest is counted
local TEXT = 64 * 1024 -- bytes of a text that is shown in a diff
local TEXTS = 50 -- how many

-- Looking -------------------------------------------------------------------------------------------

local function wanted_mode(o, e)
    if e.type == "link" then return nil end
    local is_dir = e.type == "directory"
    local given = is_dir and o.directory_mode or not is_dir and o.file_mode or nil
    if given then return given:of(e.mode, is_dir) end
    return o.modes and bit.band(e.mode, 0x1ff) or nil
end

local function list(o, env)
    local top = sources.path(o.src):gsub("(.)/+$", "%1")
    local st = resource.must("read", paths.look(top, true), ("there is no directory %s at the controller"):format(top))
    if st.type ~= "directory" then resource.fail(("%s of the controller is a %s"):format(top, st.type)) end
    local entries, others = tree.list(top, glob.excluder(o.exclude or {}))
    for _, path in ipairs(others) do env.warn(("%s/%s is no file, and was passed over"):format(top, path)) end
    for _, e in ipairs(entries) do e.wanted = wanted_mode(o, e) end
    return top, entries
end

-- What the target needs to know of an entry.
local function described(entries)
    local all = {}
    for i, e in ipairs(entries) do
        all[i] = { path = e.path, type = e.type, size = e.size, mode = e.wanted, mtime = e.mtime, target = e.target }
    end
    return all
end

-- Files of the same size and another time: by their contents. The answer is mended in place.
local function settle(top, entries, answer)
    for i, hash in pairs(answer.hashes) do
        local own = resource.must("read", sys.hash(top .. "/" .. entries[i].path, "blake2b"))
        if own ~= hash then
            answer.differs[i] = "content"
        elseif not answer.attributes[i] then
            answer.old[i] = nil
        end
    end
end

-- What is in the way is removed only if that was asked for.
local function conflicts(o, entries, answer)
    local remove = {}
    for i, e in ipairs(entries) do
        local is_dir = e.type == "directory"
        local in_way = answer.differs[i] == "kind" and (is_dir or answer.old[i].type == "directory")
        if in_way and not o.force then
            local text = "%s/%s is a %s, and a %s here; force = true removes it"
            resource.fail(text:format(o.dest, e.path, answer.old[i].type, e.type))
        end
        -- What is put goes behind a link that is there; so that goes, too.
        local behind = answer.differs[i] == "kind" and e.type == "file" and e.size > SMALL
        if in_way or behind then remove[#remove + 1] = e.path end
    end
    return remove
end

-- Plans ---------------------------------------------------------------------------------------------

local function kind_of(st, size)
    return st.type == "file" and ("file of %d bytes"):format(size or st.size) or st.type
end

local function difference(e, answer, i)
    local old = answer.old[i]
    if not old then return { what = e.path, before = "absent", after = kind_of(e, e.size) } end
    if answer.differs[i] then return { what = e.path, before = kind_of(old), after = kind_of(e, e.size) } end
    local after = e.wanted and e.wanted ~= old.mode and ("%04o"):format(e.wanted) or "owner as wanted"
    return { what = e.path .. ": mode", before = ("%04o"):format(old.mode), after = after }
end

local function is_text(text) return text ~= nil and not text:sub(1, 8192):find "%z" end

-- Contents of the texts among the first differences, from both sides.
local function text_diffs(o, plan, env)
    local names = {}
    for _, e in ipairs(plan.files) do
        if #names < TEXTS and e.size <= TEXT then names[#names + 1] = e.path end
    end
    if #names == 0 then return {} end
    local there, found = env.there(THERE, "contents", o.dest, names, TEXT), {}
    for _, name in ipairs(names) do
        local new, old = sys.read(plan.top .. "/" .. name), there[name]
        if is_text(new) and (old == nil or is_text(old)) and new ~= old then
            found[name] = { path = o.dest .. "/" .. name, before = old, after = new }
        end
    end
    return found
end

local function make_diff(o, plan, answer, env)
    local texts = env.diff and text_diffs(o, plan, env) or {}
    local diff, count = {}, 0
    local function add(part)
        count = count + 1
        if count <= SHOWN then diff[#diff + 1] = part end
    end
    for i, e in ipairs(plan.entries) do
        if answer.missing[i] or answer.differs[i] or answer.attributes[i] then
            add(texts[e.path] or difference(e, answer, i))
        end
    end
    for _, path in ipairs(plan.delete) do add { what = path, before = "there", after = "absent" } end
    if count > SHOWN then diff[#diff + 1] = { what = ("and %d more"):format(count - SHOWN) } end
    return diff
end

local function sort_out(plan, answer)
    for i, e in ipairs(plan.entries) do
        local new, changed = answer.missing[i], answer.differs[i]
        plan.created = plan.created + (new and 1 or 0)
        plan.updated = plan.updated + (not new and (changed or answer.attributes[i]) and 1 or 0)
        local to = (new or changed) and (e.type == "file" and plan.files or e.type == "link" and plan.links
            or plan.directories)
        if to then
            to[#to + 1] = e
        elseif answer.attributes[i] then
            plan.attributes[#plan.attributes + 1] = e
        end
    end
end

--- See orrery.play.resources.sync.
function M.check(o, env)
    local top, entries = list(o, env)
    local answer = env.there(THERE, "compare", {
        dest = o.dest, entries = described(entries), checksums = o.checksums, delete = o.delete,
        exclude = o.exclude or {}, owner = o.owner, group = o.group, check_mode = env.check_mode,
    })
    local ids = answer.ids
    if answer.dest ~= "absent" and answer.dest ~= "directory" then
        resource.fail(("%s is a %s"):format(o.dest, answer.dest))
    end
    settle(top, entries, answer)
    local plan = {
        top = top, entries = entries, ids = ids, remove = conflicts(o, entries, answer), delete = answer.surplus,
        files = {}, links = {}, directories = {}, attributes = {}, created = 0, updated = 0,
        unknown = ids.unknown and true or nil,
    }
    sort_out(plan, answer)
    local out = { total = #entries, created = plan.created, updated = plan.updated, deleted = #plan.delete, sent = 0 }
    plan.diff = make_diff(o, plan, answer, env)
    if answer.dest == "absent" then
        table.insert(plan.diff, 1, { what = o.dest, before = "absent", after = "directory" })
    end
    if #plan.diff == 0 and not plan.unknown then return nil, out end
    return plan, out
end

-- Sending -------------------------------------------------------------------------------------------

---@class orrery.play.sync.Sender
---@field env orrery.play.Env
---@field request table dest, uid, gid
---@field total integer bytes
---@field done integer
local Sender = {}
Sender.__index = Sender

function Sender:count(bytes)
    self.done = self.done + bytes
    self.env.progress(self.done, self.total)
end

-- Waits until no more than so many messages are on their way.
function Sender:await(most)
    while #self.flying > most do
        local first = table.remove(self.flying, 1)
        first.future:get()
        self:count(first.bytes)
    end
end

function Sender:flush()
    if #self.batch == 0 then return end
    self:await(AT_ONCE - 1)
    local batch, bytes = self.batch, self.bytes
    self.batch, self.bytes = {}, 0
    self.flying[#self.flying + 1] = {
        bytes = bytes,
        future = require("orrery.sched").spawn(self.env.there, THERE, "write", self.request, batch),
    }
end

local function mode_of(e) return e.wanted or bit.band(e.mode, 0x1ff) end

function Sender:small(path, e)
    local content = resource.must("read", sys.read(path))
    self.batch[#self.batch + 1] = { path = e.path, content = content, mode = mode_of(e), mtime = e.mtime }
    self.bytes = self.bytes + #content
    if self.bytes >= TOGETHER then self:flush() end
end

function Sender:large(path, e)
    local opts = { mode = mode_of(e), owner = self.request.uid, group = self.request.gid }
    self.env.ctx:put(path, self.request.dest .. "/" .. e.path, opts)
    self.times[#self.times + 1] = { path = e.path, mtime = e.mtime }
    self:count(e.size)
end

function Sender:cancel()
    for _, each in ipairs(self.flying) do each.future:cancel() end
end

local function send(o, plan, env)
    local sender = setmetatable({
        env = env, request = { dest = o.dest, uid = plan.ids.uid, gid = plan.ids.gid }, total = 0, done = 0, batch = {},
        bytes = 0, flying = {}, times = {},
    }, Sender)
    for _, e in ipairs(plan.files) do sender.total = sender.total + e.size end
    local ok, err = pcall(function()
        for _, e in ipairs(plan.files) do
            local path = plan.top .. "/" .. e.path
            if e.size <= SMALL then sender:small(path, e) else sender:large(path, e) end
        end
        sender:flush()
        sender:await(0)
    end)
    if not ok then
        sender:cancel()
        error(err, 0)
    end
    return sender
end

local function picked(entries)
    local all = {}
    for i, e in ipairs(entries) do all[i] = { path = e.path, mode = e.wanted, type = e.type, target = e.target } end
    return all
end

local function names(entries)
    local all = {}
    for i, e in ipairs(entries) do all[i] = e.path end
    return all
end

--- See orrery.play.resources.sync.
function M.apply(o, plan, env)
    env.there(THERE, "prepare", { dest = o.dest, remove = plan.remove, directories = names(plan.directories) })
    local sender = send(o, plan, env)
    env.there(THERE, "finish", {
        dest = o.dest, uid = plan.ids.uid, gid = plan.ids.gid, links = picked(plan.links), times = sender.times,
        attributes = picked(plan.attributes), directories = picked(plan.directories), delete = plan.delete,
    })
    return { sent = sender.done }
end

return M
