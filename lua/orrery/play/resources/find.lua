--- Files of a directory tree, by name, kind, age, size and content.

local glob = require "orrery.play.text.glob"
local match = require "orrery.play.text.match"
local resource = require "orrery.play.resource"
local sched = require "orrery.sched"

local PAUSE = 1000 -- entries after which others get a turn
local READ = 64 * 1024 * 1024 -- bytes of a file that `contains` looks into

local function name_test(o)
    local globs = o.patterns and glob.any(o.patterns)
    local matcher, problem = match.of(o)
    if problem then resource.fail(problem) end
    return function(name)
        if globs and not globs(name) then return false end
        return not matcher or matcher:find(name) ~= nil
    end
end

local function content_test(o, env)
    if not o.contains then return nil end
    local matcher, problem = match.regexp(o.contains, { multiline = true })
    if not matcher then resource.fail(problem) end
    return function(path)
        local text = env.sys.read(path, READ)
        return text ~= nil and matcher:find(text) ~= nil
    end
end

local function kind_fits(o, st) return o.type == "any" or st.type == o.type end

local function numbers_fit(o, st, now)
    local age = now - st.mtime
    if o.older and age < o.older or o.newer and age > o.newer then return false end
    return not (o.larger and st.size <= o.larger or o.smaller and st.size >= o.smaller)
end

---@class orrery.play.find.Search
local Search = {}
Search.__index = Search

function Search:skip(path, why) self.skipped[#self.skipped + 1] = { path = path, why = why } end

function Search:take(path, name, st)
    local o = self.o
    if not kind_fits(o, st) or not self.named(name) or not numbers_fit(o, st, self.now) then return end
    if self.contains and (st.type ~= "file" or not self.contains(path)) then return end
    if #self.files >= o.limit then
        resource.fail(("more than %d files match: `limit` says how many may"):format(o.limit))
    end
    st.path = path
    if o.checksum and st.type == "file" then st.checksum = self.sys.hash(path, o.checksum) end
    self.files[#self.files + 1] = st
end

-- A directory that is reached by several links is entered once.
function Search:enter(path, depth, st)
    local key = st.dev .. ":" .. st.ino
    if self.entered[key] then return end
    self.entered[key] = true
    local names, why = self.sys.list(path)
    if not names then return self:skip(path, why) end
    table.sort(names)
    for _, name in ipairs(names) do self:visit(path == "/" and "/" .. name or path .. "/" .. name, name, depth) end
end

function Search:visit(path, name, depth)
    local o = self.o
    if not o.hidden and name:sub(1, 1) == "." then return end
    local below = path:sub(self.top)
    self.examined = self.examined + 1
    if self.examined % PAUSE == 0 then sched.sleep(0) end
    local st = (o.follow and self.sys.stat(path)) or self.sys.lstat(path)
    if not st or self.excluded(below, st.type == "directory") then return end
    self:take(path, name, st)
    local deeper = o.recurse and (not o.depth or depth < o.depth)
    if st.type == "directory" and deeper then self:enter(path, depth + 1, st) end
end

local function check(o, env)
    local search = setmetatable({
        o = o, sys = env.sys, now = env.sys.time(), files = {}, skipped = {}, examined = 0, entered = {},
        named = name_test(o), contains = content_test(o, env), excluded = glob.excluder(o.excludes or {}),
    }, Search)
    for _, path in ipairs(o.paths) do
        local st, why = env.sys.stat(path)
        search.top = (path == "/" and 1 or #path + 1) + 1
        if st and st.type == "directory" then
            search:enter(path, 1, st)
        else
            search:skip(path, why or "no directory")
        end
    end
    return nil, {
        files = search.files, matched = #search.files, examined = search.examined, passed_over = search.skipped,
    }
end

return resource.define {
    name = "find",
    doc = "Finds files in directories. Changes nothing.",
    options = {
        paths = { type = "list", of = "path", single = true, required = true, doc = "directories to look in" },
        patterns = { type = "list", of = "string", single = true, doc = "globs, one of which the name must match" },
        regexp = { type = "string", doc = "a regular expression that the name must match" },
        pattern = { type = "string", doc = "a Lua pattern instead" },
        excludes = { type = "list", of = "string", single = true, doc = "globs of what is passed over, with all below; "
            .. "one with a / in it is about the path from the directory on" },
        type = { enum = { "file", "directory", "link", "any" }, default = "file", doc = "what to find" },
        recurse = { type = "boolean", default = false, doc = "look into directories in them, too" },
        depth = { type = "integer", doc = "how deep: 1 is what is in the directory itself" },
        hidden = { type = "boolean", default = false, doc = "also names that begin with a dot" },
        follow = { type = "boolean", default = false, doc = "take links for what they lead to" },
        contains = { type = "string", doc = "a regular expression that its content must match, ^ and $ being those "
            .. "of lines" },
        older = { type = "duration", doc = "changed at least so long ago" },
        newer = { type = "duration", doc = "changed at most so long ago" },
        larger = { type = "size", doc = "more bytes than that" },
        smaller = { type = "size", doc = "fewer bytes than that" },
        checksum = { enum = { "sha256", "sha512", "sha1", "md5", "blake2b" }, doc = "compute it for each file" },
        limit = { type = "integer", default = 10000, doc = "more matches than that are an error" },
    },
    returns = {
        files = "a list: path, type, mode, uid, gid, owner, group, size, mtime ... and checksum of each, sorted by "
            .. "path in each directory",
        matched = "how many", examined = "how many were looked at", passed_over = "what could not be: a list of path "
            .. "and why",
    },
    example = [[for _, f in ipairs(h:find { paths = "/var/log", patterns = "*.gz", older = "30d" }.files) do
    h:file { path = f.path, state = "absent" }
end]],
    validate = function(o)
        if o.regexp and o.pattern then return "regexp and pattern cannot both be given" end
        if o.depth and not o.recurse then return "depth needs recurse" end
    end,
    check = check,
}
