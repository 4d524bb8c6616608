--- The target's side of sync: compares a list of files with what is there, and takes what is sent.

local attributes = require "orrery.play.attributes"
local glob = require "orrery.play.text.glob"
local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local M = {}

-- Seconds; a number of seconds since 1970 has no more digits than that.
local SAME_TIME = 1e-5

---@class orrery.play.SyncRequest
---@field dest string
---@field entries table[] of orrery.play.TreeEntry; `mode` is nil where it does not matter
---@field checksums boolean
---@field delete boolean
---@field exclude string[]
---@field owner? string|integer
---@field group? string|integer
---@field check_mode boolean

---@class orrery.play.SyncAnswer by the entries' numbers
---@field missing table<integer, true>
---@field differs table<integer, string> what: "content", "kind", "target"
---@field hashes table<integer, string> of files that may differ
---@field old table<integer, table> stat of what is there and differs, or has other attributes
---@field attributes table<integer, true> mode or owner differ
---@field surplus string[] what is there and not in the list, the uppermost alone
---@field dest "absent"|"directory"|string what the destination is
---@field ids orrery.play.Attributes

local function attributes_differ(request, e, st)
    if e.type ~= "link" and e.mode and e.mode ~= st.mode then return true end
    return (request.uid and request.uid ~= st.uid) or (request.gid and request.gid ~= st.gid) or false
end

-- Returns what differs, or nil; and a hash where only that can tell.
local function compare_one(request, e, st, path)
    if st.type ~= e.type then return "kind" end
    if e.type == "link" then return st.target ~= e.target and "target" or nil end
    if e.type ~= "file" then return nil end
    if st.size ~= e.size then return "content" end
    local same_time = math.abs(st.mtime - e.mtime) < SAME_TIME
    if request.checksums or not same_time then return nil, resource.must("read", sys.hash(path, "blake2b")) end
end

local function find_surplus(request, known)
    local found, excluded = {}, glob.excluder(request.exclude)
    local function walk(directory, below)
        for _, name in ipairs(sys.list(directory) or {}) do
            local path = below == "" and name or below .. "/" .. name
            local st = sys.lstat(directory .. "/" .. name)
            local is_dir = st and st.type == "directory"
            if st and not known[path] and not excluded(path, is_dir) then
                found[#found + 1] = path
            elseif known[path] and is_dir then
                walk(directory .. "/" .. name, path)
            end
        end
    end
    walk(request.dest, "")
    table.sort(found)
    return found
end

local function brief(st) return { type = st.type, mode = st.mode, uid = st.uid, gid = st.gid, size = st.size } end

-- The numbers of a user and a group of this machine.
local function ids_of(request)
    local env = { check_mode = request.check_mode }
    function env.run(argv)
        local context = require "orrery.context"
        return context.from_id((require("orrery.core").self())):run(argv, { check = false })
    end
    return attributes.wanted({ owner = request.owner, group = request.group }, env)
end

--- Tells what differs. Changes nothing.
---@param request orrery.play.SyncRequest
---@return orrery.play.SyncAnswer
function M.compare(request)
    local answer = { missing = {}, differs = {}, hashes = {}, old = {}, attributes = {}, surplus = {} }
    local top, known = paths.look(request.dest, true), {}
    answer.ids = ids_of(request)
    request.uid, request.gid = answer.ids.uid, answer.ids.gid
    answer.dest = top and top.type or "absent"
    for i, e in ipairs(request.entries) do
        known[e.path] = true
        local path = request.dest .. "/" .. e.path
        local st = top and sys.lstat(path)
        if not st then
            answer.missing[i] = true
        else
            local what, hash = compare_one(request, e, st, path)
            answer.differs[i], answer.hashes[i] = what, hash
            answer.attributes[i] = attributes_differ(request, e, st) or nil
            answer.old[i] = (what or hash or answer.attributes[i]) and brief(st) or nil
        end
    end
    if request.delete and top then answer.surplus = find_surplus(request, known) end
    return answer
end

--- Contents of small texts, for diffs.
---@param dest string
---@param names string[]
---@param limit integer bytes of each
---@return table<string, string> contents by name
function M.contents(dest, names, limit)
    local found = {}
    for _, name in ipairs(names) do
        local st = sys.lstat(dest .. "/" .. name)
        if st and st.type == "file" and st.size <= limit then found[name] = sys.read(dest .. "/" .. name) end
    end
    return found
end

-- Changing ------------------------------------------------------------------------------------------

local function own(request, path, mode, link)
    if request.uid or request.gid then
        resource.must("change the owner of", sys.lchown(path, request.uid, request.gid))
    end
    if mode and not link then resource.must("change the mode of", sys.chmod(path, mode)) end
end

--- Makes room and directories, before files are sent. New directories can be written into until `finish`.
---@param request { dest: string, remove: string[], directories: string[] }
function M.prepare(request)
    paths.make_directories(request.dest)
    for _, path in ipairs(request.remove) do paths.remove(request.dest .. "/" .. path) end
    for _, path in ipairs(request.directories) do
        resource.must("create", sys.mkdir(request.dest .. "/" .. path, 0x1c0))
    end
end

--- Takes small files.
---@param request { dest: string, uid: integer?, gid: integer? }
---@param files { path: string, content: string, mode: integer, mtime: number }[]
function M.write(request, files)
    for _, file in ipairs(files) do
        local path = request.dest .. "/" .. file.path
        local with = { mode = file.mode, uid = request.uid, gid = request.gid }
        resource.must("write", sys.write_atomic(path, file.content, with))
        resource.must("set the time of", sys.utimes(path, file.mtime))
    end
end

local function make_link(request, link)
    local path = request.dest .. "/" .. link.path
    local there = sys.lstat(path)
    local name = there and resource.must("create", sys.mkdtemp(request.dest .. "/.orrery-")) or nil
    if not there then
        resource.must("create", sys.symlink(link.target, path))
    else
        local ok, err = pcall(function()
            resource.must("create", sys.symlink(link.target, name .. "/link"))
            resource.must("replace", sys.rename(name .. "/link", path))
        end)
        paths.remove(name)
        if not ok then error(err, 0) end
    end
    own(request, path, nil, true)
end

--- What comes last: links, modes and owners, times, and what is to go.
---@param request { dest: string, uid: integer?, gid: integer?, links: table[], times: table[], attributes: table[],
---directories: table[], delete: string[] }
function M.finish(request)
    for _, link in ipairs(request.links) do make_link(request, link) end
    for _, each in ipairs(request.times) do
        resource.must("set the time of", sys.utimes(request.dest .. "/" .. each.path, each.mtime))
    end
    for _, each in ipairs(request.attributes) do
        own(request, request.dest .. "/" .. each.path, each.mode, each.type == "link")
    end
    for _, path in ipairs(request.delete) do paths.remove(request.dest .. "/" .. path) end
    for i = #request.directories, 1, -1 do
        local each = request.directories[i]
        own(request, request.dest .. "/" .. each.path, each.mode or attributes.new_mode(true))
    end
end

return M
