--- Archives: unpacked beside their destination, looked over, and moved into it.

local attributes = require "orrery.play.attributes"
local glob = require "orrery.play.text.glob"
local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"

local M = {}

local MAGIC = {
    { "\31\139", "gzip" }, { "\2537zXZ", "xz" }, { "BZh", "bzip2" }, { "\40\181\47\253", "zstd" },
    { "\4\34\77\24", "lz4" }, { "PK\3\4", "zip" }, { "PK\5\6", "zip" },
}

--- What a file is, by how it begins.
---@param head string its first bytes, 512 at least if it has them
---@return string? kind "gzip", "xz", "bzip2", "zstd", "lz4": a tar of these; "tar", "zip"; nil: none that is known
function M.kind(head)
    for _, each in ipairs(MAGIC) do
        if head:sub(1, #each[1]) == each[1] then return each[2] end
    end
    if head:sub(258, 262) == "ustar" then return "tar" end
    -- A tar of the oldest kind: nothing but a sum of the header tells.
    local sum = tonumber(head:sub(149, 156):match "[0-7]+" or "", 8)
    if #head < 512 or not sum then return nil end
    local total = 8 * 32
    for i = 1, 512 do
        if i < 149 or i > 156 then total = total + head:byte(i) end
    end
    return total == sum and "tar" or nil
end

local UNPACK = {
    gzip = "gzip -dc", xz = "xz -dc", bzip2 = "bzip2 -dc", zstd = "zstd -dc", lz4 = "lz4 -dc", tar = "cat",
}
-- The status of what decompresses must not be lost behind that of tar, which takes a short archive for a whole one; and
-- what is left behind the archive's end is read, or writing it would fail.
local TAR = [=[fail=$({ { %s <"$1" || echo failed >&3; } |
{ tar -xof - -C "$2" >&4; status=$?; cat >/dev/null; exit $status; }; } 3>&1 4>&2) && [ -z "$fail" ]]=]

local function run_tar(kind, archive, directory, env)
    local r = env.run({ "sh", "-c", TAR:format(UNPACK[kind]), "sh", archive, directory }, { check = false })
    return r.code == 0, r
end

local ZIP = [[if command -v unzip >/dev/null; then unzip -qo "$1" -d "$2"; else busybox unzip -qo "$1" -d "$2"; fi]]

-- unzip's 1 is for warnings.
local function run_zip(archive, directory, env)
    local r = env.run({ "sh", "-c", ZIP, "sh", archive, directory }, { check = false })
    return r.code <= 1, r
end

--- Unpacks an archive into an empty directory.
---@param archive string
---@param directory string
---@param env orrery.play.Env
---Raises "resource".
function M.extract(archive, directory, env)
    local file, why = io.open(archive, "rb")
    if not file then resource.fail("cannot read " .. tostring(why)) end
    local kind = M.kind(file:read(512) or "")
    file:close()
    if not kind then resource.fail(("%s is no archive that is known: no tar, and no zip"):format(archive)) end
    local ok, r
    if kind == "zip" then
        ok, r = run_zip(archive, directory, env)
    else
        ok, r = run_tar(kind, archive, directory, env)
    end
    if ok then return end
    local said = (r.stderr ~= "" and r.stderr or r.stdout):gsub("%s+$", "")
    resource.fail(("cannot unpack it (%s): %s"):format(kind, said ~= "" and said or "status " .. r.code))
end

-- Without its first n parts; nil: nothing is left.
local function stripped(path, n)
    for _ = 1, n do
        path = path:match "^[^/]+/(.+)$"
        if not path then return nil end
    end
    return path
end

local function chooser(o)
    local wanted = o.include and glob.excluder(o.include)
    local unwanted = glob.excluder(o.exclude or {})
    return function(path, is_dir)
        if unwanted(path, is_dir) then return false end
        return is_dir or not wanted or wanted(path, is_dir)
    end
end

---@class orrery.play.Moving: orrery.play.Unpacked
---@field from string where it was unpacked
---@field mode integer

--- What is to be moved: directories before what is in them.
---@param directory string
---@param o { strip: integer, include: string[]?, exclude: string[]? }
---@param sys table
---@return orrery.play.Moving[]
function M.entries(directory, o, sys)
    local found, chosen = {}, chooser(o)
    local function walk(from, below)
        local names = resource.must("list", sys.list(from))
        table.sort(names)
        for _, name in ipairs(names) do
            local path = below == "" and name or below .. "/" .. name
            local st = resource.must("look at", sys.lstat(from .. "/" .. name))
            local is_dir, kept = st.type == "directory", stripped(path, o.strip)
            local taken = not kept or chosen(kept, is_dir)
            if kept and taken then
                found[#found + 1] = {
                    path = kept, from = from .. "/" .. name, type = st.type, size = st.size, mode = st.mode,
                    mtime = math.floor(st.mtime), target = st.target,
                }
            end
            if is_dir and taken then walk(from .. "/" .. name, path) end
        end
    end
    walk(directory, "")
    if not o.include then return found end
    return M.without_empty(found)
end

--- With a choice of files, directories only where one of these is in.
function M.without_empty(entries)
    local needed, kept = {}, {}
    for _, e in ipairs(entries) do
        local path = e.type ~= "directory" and e.path:match "^(.*)/" or nil
        while path do
            needed[path] = true
            path = path:match "^(.*)/"
        end
    end
    for _, e in ipairs(entries) do
        if e.type ~= "directory" or needed[e.path] then kept[#kept + 1] = e end
    end
    return kept
end

-- Before anything is moved: what cannot be must not be found out half way.
local function check_ways(destination, entries, sys)
    for _, e in ipairs(entries) do
        local path = destination .. "/" .. e.path
        local st = e.type == "directory" and sys.stat(path) or sys.lstat(path)
        if st and (st.type == "directory") ~= (e.type == "directory") then
            resource.fail(("%s is a %s, and a %s in the archive"):format(path, st.type, e.type))
        end
    end
end

local function own(entries, want)
    if not want.uid and not want.gid then return end
    for _, e in ipairs(entries) do
        attributes.apply(e.from, { uid = want.uid, gid = want.gid, mode = e.type ~= "link" and e.mode or nil }, nil)
    end
end

--- Moves what was unpacked to where it belongs.
---@param destination string
---@param entries orrery.play.Moving[]
---@param want orrery.play.Attributes owners
---@param env orrery.play.Env
function M.move(destination, entries, want, env)
    local sys, made = env.sys, {}
    check_ways(destination, entries, sys)
    own(entries, want)
    for i, e in ipairs(entries) do
        local path = destination .. "/" .. e.path
        if e.type ~= "directory" then
            resource.must("move", sys.rename(e.from, path))
        elseif not sys.stat(path) then
            resource.must("create", sys.mkdir(path))
            made[#made + 1] = { e, path }
        end
        if i % 100 == 0 then env.progress(i, #entries) end
    end
    -- Modes of directories, from within outwards: one may forbid to write into it.
    for i = #made, 1, -1 do
        local e, path = unpack(made[i])
        attributes.apply(path, { uid = want.uid, gid = want.gid, mode = e.mode }, nil)
        sys.utimes(path, e.mtime)
    end
end

--- A new directory in the destination, which is gone when the step is over.
---@param destination string
---@param env orrery.play.Env
---@return string
function M.stage(destination, env)
    local path = resource.must("create", env.sys.mkdtemp(destination .. "/.orrery-"))
    env.cleanup(function() paths.remove(path) end)
    return path
end

return M
