--- What the SSH configuration needs to know of this machine; a table of functions, so that specs can put
--- their own in its place.

local ffi = require "ffi"

pcall(ffi.cdef, [[
    struct orrery_passwd {
        char *name, *passwd;
        unsigned uid, gid;
        char *gecos, *dir, *shell;
    };
    int orrery_getpwuid(unsigned uid, struct orrery_passwd *entry, char *text, size_t size,
        struct orrery_passwd **found) __asm__("getpwuid_r");
    unsigned orrery_getuid(void) __asm__("getuid");
    int orrery_gethostname(char *name, size_t n) __asm__("gethostname");
    int orrery_access(const char *path, int mode) __asm__("access");
    extern char **environ;
]])

local PASSWD_SIZE = 2 ^ 14 -- more than any entry of the password database needs

local EXECUTABLE = 1 -- X_OK

local M = {}

--- ssh(1) goes by the password database, not by $HOME.
---@return string home, string user, integer uid
function M.user()
    local uid = ffi.C.orrery_getuid()
    local entry, found = ffi.new "struct orrery_passwd", ffi.new "struct orrery_passwd *[1]"
    local text = ffi.new("char[?]", PASSWD_SIZE)
    if ffi.C.orrery_getpwuid(uid, entry, text, PASSWD_SIZE, found) ~= 0 or found[0] == nil then
        return os.getenv("HOME") or "/", os.getenv("USER") or tostring(uid), uid
    end
    return ffi.string(entry.dir), ffi.string(entry.name), uid
end

---@return string
function M.hostname()
    local name = ffi.new("char[256]")
    return ffi.C.orrery_gethostname(name, 255) == 0 and ffi.string(name) or "localhost"
end

M.getenv = os.getenv

--- The environment.
---@return string[] entries "NAME=value"
function M.environment()
    local entries, i = {}, 0
    while ffi.C.environ ~= nil and ffi.C.environ[i] ~= nil do
        entries[#entries + 1] = ffi.string(ffi.C.environ[i])
        i = i + 1
    end
    return entries
end

--- The files of an option such as `identity`.
---@param value nil|string|string[] a name that begins with "~/" is one in the user's home
---@return string[]? paths
function M.paths(value)
    if value == nil then return nil end
    local paths = {}
    for i, path in ipairs(type(value) == "string" and { value } or value) do
        paths[i] = path:sub(1, 2) == "~/" and (M.user()) .. path:sub(2) or path
    end
    return paths
end

--- Whether there is a file, a socket, a directory of that name.
---@param path string
---@return boolean
function M.exists(path)
    return ffi.C.orrery_access(path, 0) == 0
end

local function find_program(name)
    for directory in (M.getenv "PATH" or ""):gmatch("[^:]+") do
        if ffi.C.orrery_access(directory .. "/" .. name, EXECUTABLE) == 0 then return true end
    end
    return false
end

local programs = {} -- answers, by name and $PATH

--- Whether a program is found in $PATH.
---@param name string
---@return boolean
function M.has_program(name)
    local key = name .. "\0" .. (M.getenv "PATH" or "")
    if programs[key] == nil then programs[key] = find_program(name) end
    return programs[key]
end

local function quote(word)
    return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- Runs a command.
---@param argv string[]
---@return string output what it wrote on both of its outputs
---@return integer status as the shell sees it; 127 where there is no such command
function M.run(argv)
    local words = {}
    for i, word in ipairs(argv) do words[i] = quote(word) end
    -- io.popen of Lua 5.1 does not tell the status.
    local pipe = assert(io.popen(table.concat(words, " ") .. " </dev/null 2>&1; echo \" $?\"", "r"))
    local text = pipe:read("*a")
    pipe:close()
    local output, status = text:match("^(.*) (%d+)\n$")
    return output or text, tonumber(status) or 255
end

return M
