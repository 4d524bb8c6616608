--- A server for specs, at this machine: spec/support/http_server.py. The hosts of the lab reach it by the lab's bridge,
--- if the lab is up when it starts: call lab.need first.

local lab = require "spec.support.lab"
local remote = require "spec.support.remote"

local http = {}

---@class spec.HttpServer
---@field url string "http://10.0.0.1:8000"
---@field address string
---@field port integer
local Server = {}
Server.__index = Server

local function address()
    for _, host in ipairs(lab.list()) do
        local network = host.address:match "^(%d+%.%d+%.%d+)%.%d+$"
        if network and network ~= "127.0.0" then return network .. ".1" end
    end
    return "127.0.0.1"
end

--- Why there can be no server here; nil: there can.
---@return string?
function http.missing()
    if lab.run { "openssl", "version" } ~= 0 then return "openssl is not here" end
    return lab.run { "python3", "-c", "import http.server" } ~= 0 and "python3 is not here" or nil
end

-- A certificate of its own for that address, and its key.
local function certify(path, where)
    local code, _, why = lab.run {
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=spec", "-addext", "subjectAltName=IP:" .. where, "-keyout", path .. ".key",
        "-out", path .. ".crt",
    }
    assert(code == 0, why)
    remote.write(path .. ".pem", remote.slurp(path .. ".key") .. remote.slurp(path .. ".crt"))
end

--- Starts one.
---@param tls? string a path to make a certificate under: `tls`.crt
---@return spec.HttpServer
function http.start(tls)
    local dir = remote.directory()
    local where = address()
    if tls then certify(tls, where) end
    local command = ("exec python3 spec/support/http_server.py %s %s >%s/port"):format(
        where, tls and tls .. ".pem" or "", dir)
    local stdin = assert(io.popen(command, "w"))
    local said = remote.eventually("a server", function()
        return (remote.slurp(dir .. "/port") or ""):match "^(%d+ %d+)\n"
    end, 10)
    local port, pid = said:match "(%d+) (%d+)"
    remote.remove(dir)
    local url = ("%s://%s:%s"):format(tls and "https" or "http", where, port)
    return setmetatable({
        stdin = stdin, pid = tonumber(pid), address = where, port = tonumber(port), url = url,
    }, Server)
end

-- What was started meanwhile (a lab) may have inherited its stdin, so that would not end.
function Server:stop()
    remote.kill(self.pid)
    self.stdin:close()
end

return http
