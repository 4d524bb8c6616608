--- Waiting until something is there, or gone: a port, a file, a text in one of them, a command's success.

local address = require "orrery.play.content.address"
local match = require "orrery.play.text.match"
local resource = require "orrery.play.resource"
local sched = require "orrery.sched"

local GLANCE = 0.02 -- seconds between looks at a connection that is under way

-- Each looks once, and returns whether it is so, and if not, what it saw.

local function found_in(text, matcher, what)
    if not matcher then return true end
    if matcher:find(text) then return true, nil, text end
    return false, what .. " holds no such text yet"
end

-- What a server says by itself, until it is what is waited for or there is no more.
local function read_until(socket, matcher, deadline)
    local parts = {}
    while sched.now() < deadline do
        local data = socket:read()
        if not data then break end
        parts[#parts + 1] = data
        local ok, _, text = found_in(table.concat(parts), matcher, "")
        if ok then return true, nil, text end
        sched.sleep(GLANCE)
    end
    return false, "what it said holds no such text"
end

local function connect_to(where, o, env, matcher)
    local deadline = sched.now() + o.connect_timeout
    local socket, why = env.sys.socket(where, o.port)
    if not socket then return false, why end
    env.cleanup(function() socket:close() end)
    local connected
    repeat
        connected, why = socket:connected()
        if connected == false then sched.sleep(GLANCE) end
    until connected ~= false or sched.now() > deadline
    local ok, text
    if connected then
        ok, why, text = true, nil, nil
        if matcher then ok, why, text = read_until(socket, matcher, deadline) end
    end
    socket:close()
    return ok or false, why or ("no connection within %g s"):format(o.connect_timeout), text
end

local looks = {}

function looks.port(o, env, matcher)
    local addresses = address.find(o.host, env)
    local last = ("the name %s is not known"):format(o.host)
    for _, where in ipairs(addresses) do
        local ok, why, text = connect_to(where, o, env, matcher)
        if ok then return true, nil, text end
        last = why
    end
    return false, last
end

function looks.path(o, env, matcher)
    local st, why = env.sys.stat(o.path)
    if not st then return false, why end
    if not matcher then return true end
    local text, problem = env.sys.read(o.path)
    if not text then return false, problem end
    return found_in(text, matcher, o.path)
end

function looks.command(o, env, matcher)
    local argv = type(o.command) == "string" and { "sh", "-c", o.command } or o.command
    local r = env.run(argv, { check = false, live = false, timeout = math.max(o.timeout, 1) })
    if r.code ~= 0 then return false, ("the command ended with status %d"):format(r.code), r.stdout end
    if not matcher then return true, nil, r.stdout end
    return found_in(r.stdout, matcher, "its output")
end

local function kind_of(o) return o.port and "port" or o.path and "path" or "command" end

local function described(o)
    local what = o.path or "the command"
    if o.port then what = ("port %d of %s"):format(o.port, o.host) end
    return what .. (o.gone and " to be gone" or "")
end

local function look(o, env, matcher)
    local there, why, text = looks[kind_of(o)](o, env, matcher)
    if o.gone then return not there, "it is still there" end
    return there, why, text
end

local function check(o, env)
    local matcher, problem = match.of(o, { multiline = true })
    if problem then resource.fail(problem) end
    local started = sched.now()
    if o.delay > 0 and not env.check_mode then sched.sleep(o.delay) end
    while true do
        local ok, why, text = look(o, env, matcher)
        local elapsed = sched.now() - started
        if ok then return nil, { elapsed = elapsed, content = text } end
        if env.check_mode then return { unknown = true, message = ("would wait for %s"):format(described(o)) } end
        if elapsed + o.interval > o.timeout then
            local text_of_user = o.message and o.message .. ": " or ""
            resource.fail(("%swaited %g s for %s: %s"):format(text_of_user, o.timeout, described(o), why or ""))
        end
        sched.sleep(o.interval)
    end
end

local function validate(o)
    local kinds = (o.port and 1 or 0) + (o.path and 1 or 0) + (o.command and 1 or 0)
    if kinds ~= 1 then return "one of port, path and command says what to wait for" end
    if o.regexp and o.pattern then return "regexp and pattern cannot both be given" end
    if o.port and (o.port < 1 or o.port > 65535) then return "a port is a number from 1 to 65535" end
end

return resource.define {
    name = "wait_for",
    doc = "Waits until a port takes connections, a path is there, a text is in what it says, or a command succeeds; or "
        .. "until that is over. Changes nothing.",
    options = {
        port = { type = "integer", doc = "that takes connections, as seen from the target" },
        host = { type = "string", default = "127.0.0.1", doc = "the name or address that it is on" },
        path = { type = "path", doc = "that is there" },
        command = { type = { "string", "list" }, of = "string", doc = "that ends with status 0: a list of words, or "
            .. "text for sh" },
        regexp = { type = "string", doc = "a regular expression that must match what the port says by itself, the "
            .. "file's content, or the command's output" },
        pattern = { type = "string", doc = "a Lua pattern instead" },
        gone = { type = "boolean", default = false, doc = "wait for the contrary" },
        timeout = { type = "duration", default = 300, doc = "how long, after which it has failed" },
        delay = { type = "duration", default = 0, doc = "how long to wait before the first look" },
        interval = { type = "duration", default = 1, doc = "time between two looks" },
        connect_timeout = { type = "duration", default = 5, doc = "for each connection" },
        message = { type = "string", doc = "what the error begins with" },
    },
    returns = { elapsed = "seconds that it took", content = "what the text was found in; the command's output" },
    example = [[h:wait_for { port = 5432, regexp = "ready", timeout = "1m" }]],
    validate = validate,
    check = check,
}
