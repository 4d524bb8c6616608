--- Addresses for names, as a target knows them. The agent has no resolver of its own: /etc/hosts is read, and the rest
--- is asked of getent, or of nslookup where there is only busybox.

local M = {}

local function is_address(text)
    return text:find "^%d+%.%d+%.%d+%.%d+$" ~= nil or (text:find ":" ~= nil and not text:find "[^%x:.]")
end

local function in_hosts(name, sys)
    local found = {}
    for line in (sys.read("/etc/hosts", 4 * 1024 * 1024) or ""):gmatch "[^\n]+" do
        local address, names = line:gsub("#.*", ""):match "^%s*(%S+)%s+(.*)$"
        for each in (names or ""):gmatch "%S+" do
            if each:lower() == name:lower() then found[#found + 1] = address end
        end
    end
    return found
end

local function asked(argv, pattern, env)
    local found, seen = {}, {}
    local ok, r = pcall(env.run, argv, { check = false, live = false, timeout = 10 })
    if not ok or r.code ~= 0 then return found end
    for line in r.stdout:gmatch "[^\n]+" do
        local address = line:match(pattern)
        if address and is_address(address) and not seen[address] then
            seen[address] = true
            found[#found + 1] = address
        end
    end
    return found
end

-- What nslookup says of the server itself comes first, up to an empty line.
local SCRIPT = "nslookup \"$1\" 2>/dev/null | sed '1,/^$/d'"

--- The addresses of a name, which may be one itself, or the path of a socket.
---@param name string
---@param env orrery.play.Env
---@return string[] addresses none where it is not known
function M.find(name, env)
    if name:sub(1, 1) == "/" or is_address(name) then return { name } end
    local found = in_hosts(name, env.sys)
    if #found > 0 then return found end
    if name == "localhost" then return { "127.0.0.1", "::1" } end
    found = asked({ "getent", "ahosts", name }, "^(%S+)", env)
    if #found > 0 then return found end
    return asked({ "sh", "-c", SCRIPT, "sh", name }, "^Address[^:]*:%s*(%S+)", env)
end

return M
