--- A request to a server, and what it answered.

local http = require "orrery.play.content.http"
local resource = require "orrery.play.resource"

-- Those that only look.
local SAFE = { GET = true, HEAD = true, OPTIONS = true }

local TYPES = { json = "application/json", form = "application/x-www-form-urlencoded" }

local function encode_form(fields)
    local parts = {}
    local function escape(text)
        return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
    end
    for name, value in pairs(fields) do parts[#parts + 1] = escape(name) .. "=" .. escape(value) end
    table.sort(parts)
    return table.concat(parts, "&")
end

local function encode_body(o)
    if o.json ~= nil then return require("orrery.json").encode(o.json), TYPES.json end
    if o.form then return encode_form(o.form), TYPES.form end
    return o.body
end

local function has_header(headers, wanted)
    for name in pairs(headers) do
        if name:lower() == wanted then return true end
    end
    return false
end

local function request_of(o)
    local req = http.request(o)
    local kind
    req.body, kind = encode_body(o)
    if kind and not has_header(req.headers, "content-type") then req.headers["Content-Type"] = kind end
    return req
end

local function is_expected(o, status)
    for _, each in ipairs(o.status) do
        if each == status then return true end
    end
    return false
end

local function decoded(response)
    if not (response.headers["content-type"] or ""):find "json" then return nil end
    local ok, value = pcall(require("orrery.json").decode, response.content)
    return ok and value or nil
end

local function ask(o, env)
    local response = http.ask(env, request_of(o))
    local out = { status = response.status, headers = response.headers, url = response.url, size = #response.content }
    if o.return_content then
        out.content = response.content
        out.json = decoded(response)
    end
    if is_expected(o, response.status) then return out end
    local expected = table.concat(o.status, " or ")
    resource.fail {
        message = ("%s %s: status %d, and not %s"):format(o.method, o.url, response.status, expected), result = out,
    }
end

-- In check mode what would answer may not be there yet.
local function check(o, env)
    if not SAFE[o.method] then return { unknown = true, message = ("%s %s"):format(o.method, o.url) } end
    if not env.check_mode then return nil, ask(o, env) end
    local ok, out = pcall(ask, o, env)
    if ok then return nil, out end
    return { unknown = true, message = require("orrery.error").from(out).message }
end

local function validate(o)
    local bodies = (o.body and 1 or 0) + (o.json ~= nil and 1 or 0) + (o.form and 1 or 0)
    if bodies > 1 then return "only one of body, json and form can be given" end
    if o.body and o.body:find("\0", 1, true) then return "a body with NUL bytes cannot be sent" end
    return http.validate(o)
end

local options = {
    method = {
        enum = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" }, default = "GET",
        doc = "GET, HEAD and OPTIONS are done in check mode, too, and change nothing; the others count as a change",
    },
    body = { type = "string", doc = "what to send" },
    json = { type = "any", doc = "what to send, as JSON" },
    form = { type = "map", doc = "what to send, as a form: names and values" },
    status = { type = "list", of = "integer", single = true, default = { 200 }, doc = "the statuses that are right" },
    return_content = { type = "boolean", default = true, doc = "put what it answered into the result" },
}
for name, option in pairs(http.OPTIONS) do options[name] = option end

return resource.define {
    name = "uri",
    doc = "Asks a server by HTTP from the target: by curl there, or wget, or, for plain requests, busybox's wget.",
    options = options,
    returns = {
        status = "number", headers = "by name in lower case", content = "as it came", json = "decoded, where it is "
            .. "JSON",
        url = "where it came from, after redirects", size = "bytes of the content",
    },
    example = [[h:uri { url = "http://localhost:8080/health", retries = 10, delay = "1s",
    until_ = function(r) return r.json and r.json.ready end }]],
    validate = validate,
    check = check,
    apply = function(o, _, env) return ask(o, env) end,
}
