--- HTTP by what a machine has: curl, wget, or the wget of busybox. For the resources uri and get_url.
--
-- Addresses, headers and passwords reach curl and wget on their stdin, where nobody else can read them. The wget of
-- busybox takes all of it as arguments, verifies no certificates and has no time limit for what it waits: it is used
-- for plain requests of http:// only, and nothing else is asked of it.

local resource = require "orrery.play.resource"

local M = {}

---@class orrery.play.HttpRequest
---@field url string
---@field method? string
---@field headers? table<string, string>
---@field body? string
---@field timeout number seconds in all
---@field follow? boolean redirects
---@field verify? boolean certificates
---@field ca? string path
---@field cert? string path
---@field key? string path
---@field user? string
---@field password? string

---@class orrery.play.HttpResponse
---@field status integer
---@field headers table<string, string> names in lower case; of several with a name, the values in a list with commas
---@field content? string where no file was given
---@field url string where it came from in the end, as far as that is known

---@class orrery.play.HttpTool
---@field kind "curl"|"wget"|"busybox"
---@field argv string[]

--- Options that both resources have.
---@type orrery.play.Schema
M.OPTIONS = {
    url = {
        type = "string", required = true, doc = "http:// or https://",
        check = function(text)
            return text:find "^https?://[^/%s%c]" ~= nil and not text:find "[%s%c]", "must be an http:// or "
                .. "https:// address"
        end,
    },
    headers = {
        type = "map", doc = "by name",
        of = { type = "string", check = function(text) return not text:find "[\r\n%z]", "must be a single line" end },
    },
    user = { type = "string", doc = "for HTTP's basic authentication" },
    password = { type = "string", secret = true, doc = "for it, too" },
    follow = { type = "boolean", default = true, doc = "follow redirects, ten at most" },
    verify = { type = "boolean", default = true, doc = "the server's certificate; false takes any" },
    ca = { type = "path", doc = "a file of certificates to verify it by, instead of the machine's own" },
    cert = { type = "path", doc = "a file of a certificate to show" },
    key = { type = "path", doc = "and its key" },
    timeout = { type = "duration", default = 30, doc = "for all of it" },
}

local PROBE = [[command -v curl
wget=$(command -v wget) || exit 0
case $(wget --version 2>/dev/null) in *GNU*) echo "gnu $wget" ;; *) echo "busybox $wget" ;; esac]]

local known ---@type orrery.play.HttpTool?

-- A shell of busybox knows commands that have no file.
local function argv_of(name, path)
    return path:sub(1, 1) == "/" and { path } or { "busybox", name }
end

--- What there is on this machine.
---@param env orrery.play.Env
---@return orrery.play.HttpTool? tool
function M.tool(env)
    if known then return known end
    local r = env.run({ "sh", "-c", PROBE }, { check = false, live = false })
    local curl = r.stdout:match "^(/[^\n]*curl)\n"
    local kind, wget = r.stdout:match "(%a+) ([^\n ]*wget)\n$"
    if curl then
        known = { kind = "curl", argv = { curl } }
    elseif kind then
        known = { kind = kind == "gnu" and "wget" or "busybox", argv = argv_of("wget", wget) }
    end
    return known
end

-- curl --------------------------------------------------------------------------------------------

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\v"] = "\\v" }

local function setting(lines, name, value)
    if value == nil or value == false then return end
    if value == true then
        lines[#lines + 1] = name
    else
        lines[#lines + 1] = ('%s = "%s"'):format(name, (tostring(value):gsub('[\\"\n\r\t\v]', ESCAPES)))
    end
end

local function sorted(map)
    local names = {}
    for name in pairs(map or {}) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local MARK = "\norrery: "

--- The configuration that curl reads.
---@param req orrery.play.HttpRequest
---@param path? string of a file for the content
---@return string
function M.curl_config(req, path)
    local lines = {}
    local function set(name, value) setting(lines, name, value) end
    set("url", req.url)
    set("globoff", true)
    set("proto", "=http,https")
    set("silent", true)
    set("show-error", true)
    if req.method == "HEAD" then
        set("head", true)
    elseif req.method and req.method ~= "GET" then
        set("request", req.method)
    end
    for _, name in ipairs(sorted(req.headers)) do set("header", name .. ": " .. req.headers[name]) end
    set("user", req.user and req.user .. ":" .. (req.password or ""))
    set("data-raw", req.body)
    set("location", req.follow ~= false)
    set("max-redirs", req.follow ~= false and 10 or nil)
    set("insecure", req.verify == false)
    set("cacert", req.ca)
    set("cert", req.cert)
    set("key", req.key)
    set("max-time", req.timeout)
    set("output", path)
    if not path then set("include", true) end
    set("write-out", MARK .. "%{http_code} %{size_header} %{url_effective}\n")
    return table.concat(lines, "\n") .. "\n"
end

-- The headers of the last of several responses.
local function parse_headers(text)
    local headers = {}
    for line in text:gmatch "([^\r\n]*)\r?\n" do
        local name, value = line:match "^%s*([^%s:]+):%s*(.-)%s*$"
        if line:find "^%s*HTTP/[%d.]+ %d" then
            headers = {}
        elseif name then
            name = name:lower()
            headers[name] = headers[name] and headers[name] .. ", " .. value or value
        end
    end
    return headers
end

local function fail(req, why)
    resource.fail(("%s %s: %s"):format(req.method or "GET", req.url, why))
end

--- Makes a response of what curl wrote.
---@param stdout string
---@return orrery.play.HttpResponse?
function M.parse_curl(stdout)
    local at, status, size, url = stdout:match "()\norrery: (%d+) (%d+) ([^\n]*)\n$"
    if not at then return nil end
    return {
        status = tonumber(status), url = url, headers = parse_headers(stdout:sub(1, tonumber(size))),
        content = stdout:sub(tonumber(size) + 1, at - 1),
    }
end

local function by_curl(env, tool, req, path)
    local r = env.run({ tool.argv[1], "-q", "-K", "-" }, {
        stdin = M.curl_config(req, path), check = false, live = false, timeout = req.timeout + 5,
    })
    if r.code ~= 0 then fail(req, (r.stderr:gsub("^curl: ", ""):gsub("%s+$", ""))) end
    local response = M.parse_curl(r.stdout) or fail(req, "curl did not say how it ended")
    if path then response.content = nil end
    return response
end

-- wget --------------------------------------------------------------------------------------------

--- The configuration that GNU wget reads.
---@param req orrery.play.HttpRequest
---@return string[]? lines nil where wget cannot do that
---@return string? why
function M.wget_config(req)
    local lines = { "tries = 1", "auth_no_challenge = on", "cache = off" }
    local function set(name, value)
        if value ~= nil then lines[#lines + 1] = ("%s = %s"):format(name, tostring(value)) end
    end
    for _, name in ipairs(sorted(req.headers)) do set("header", name .. ": " .. req.headers[name]) end
    for _, name in ipairs { "user", "password", "body" } do
        if req[name] and req[name]:find "%c" then
            return nil, ("wget cannot send a %s of several lines"):format(name)
        end
    end
    set("http_user", req.user)
    set("http_password", req.user and (req.password or ""))
    set("method", (req.method ~= "GET" or req.body) and req.method or nil)
    set("body_data", req.body)
    set("max_redirect", req.follow == false and 0 or 10)
    set("check_certificate", req.verify == false and "off" or nil)
    set("ca_certificate", req.ca)
    set("certificate", req.cert)
    set("private_key", req.key)
    set("timeout", req.timeout)
    return lines
end

-- What may be secret must not be an argument, and wget reads settings from regular files only. So it gets one that has
-- no name any more, in memory where that can be had. The first line is the address, the rest the settings.
local FEED = [[IFS= read -r url; umask 077
file=$(mktemp /dev/shm/.orrery-XXXXXX 2>/dev/null || mktemp) || exit
exec 3<>"$file"; rm -f "$file"; cat >&3
printf '%s\n' "$url" | "$@" --config=/dev/fd/3 -i -]]

local function wget_argv(tool, req, path, lines)
    local common = { tool.argv[1], "-nv", "-S", "--content-on-error", "-O", path or "-" }
    local private = next(req.headers or {}) or req.user or req.body or req.url:find("@", 1, true)
    if private then
        return { "sh", "-c", FEED, "sh", unpack(common) }, req.url .. "\n" .. table.concat(lines, "\n") .. "\n"
    end
    for _, line in ipairs(lines) do
        common[#common + 1] = "-e"
        common[#common + 1] = line
    end
    common[#common + 1], common[#common + 2] = "-i", "-"
    return common, req.url .. "\n"
end

--- Makes a response of what wget said on stderr.
---@param stderr string
---@param req orrery.play.HttpRequest
---@return orrery.play.HttpResponse?
function M.parse_wget(stderr, req)
    local status, url
    for line in stderr:gmatch "[^\n]+" do
        status = line:match "HTTP/[%d.]+ (%d%d%d)" or status
    end
    if not status then return nil end
    local headers = parse_headers(stderr)
    for name in stderr:gmatch "[Ll]ocation: (%S+)" do
        if name:find "^https?://" and req.follow ~= false then url = name end
    end
    return { status = tonumber(status), headers = headers, url = url or req.url }
end

local function last_words(text)
    return text:match "([^\n]*)%s*$"
end

local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

local function finish_wget(req, r, path)
    local response = M.parse_wget(r.stderr, req)
    local refused = response and response.status >= 300
    if r.timed_out then fail(req, ("no answer within %g s"):format(req.timeout)) end
    if not response or (r.code ~= 0 and not refused) then fail(req, last_words(r.stderr)) end
    if req.follow ~= false and REDIRECTS[response.status] then fail(req, "too many redirects") end
    response.content = not path and r.stdout or nil
    return response
end

local function by_wget(env, tool, req, path)
    local lines, why = M.wget_config(req)
    if not lines then fail(req, why .. "; curl can") end
    local argv, stdin = wget_argv(tool, req, path, lines)
    local r = env.run(argv, { stdin = stdin, check = false, live = false, timeout = req.timeout + 5 })
    return finish_wget(req, r, path)
end

local function beyond_busybox(req)
    if req.url:find "^https" then return "https://" end
    if req.user or req.url:find "^%a+://[^/]*@" then return "a password" end
    if next(req.headers or {}) then return "headers" end
    if req.method ~= nil and req.method ~= "GET" or req.body then return "another method than GET" end
    if req.follow == false then return "follow = false" end
end

local function by_busybox(env, tool, req, path)
    local what = beyond_busybox(req)
    if what then fail(req, ("there is only the wget of busybox here, which is not used for %s"):format(what)) end
    local argv = { unpack(tool.argv) }
    for _, word in ipairs { "-S", "-O", path or "-", req.url } do argv[#argv + 1] = word end
    local r = env.run(argv, { check = false, live = false, timeout = req.timeout })
    return finish_wget(req, r, path)
end

local WAYS = { curl = by_curl, wget = by_wget, busybox = by_busybox }

--- Asks a server.
---@param env orrery.play.Env
---@param req orrery.play.HttpRequest
---@param path? string of a file, which gets the content
---@return orrery.play.HttpResponse whatever its status is
---Raises "resource" where there is no response.
function M.ask(env, req, path)
    local tool = M.tool(env)
    if not tool then fail(req, "there is neither curl nor wget on this machine") end
    return WAYS[tool.kind](env, tool, req, path)
end

--- The request that options ask for.
---@param o table
---@return orrery.play.HttpRequest
function M.request(o)
    local headers = {}
    for name, value in pairs(o.headers or {}) do headers[name] = value end
    return {
        url = o.url, method = o.method, headers = headers, body = o.body, timeout = o.timeout, follow = o.follow,
        verify = o.verify, ca = o.ca, cert = o.cert, key = o.key, user = o.user, password = o.password,
    }
end

--- For a resource's `validate`: what is wrong with these options.
---@param o table
---@return string?
function M.validate(o)
    if o.password and not o.user then return "a password needs a user" end
    for name in pairs(o.headers or {}) do
        if type(name) ~= "string" or name:find "[^%w!#$%%&'*+.^_`|~-]" then
            return ("'%s' is no name of a header"):format(tostring(name))
        end
    end
end

return M
