--- Secrets (orrery.secret) in each place where one can be put, and none where they are not to be: in what is printed,
--- logged, raised and told, in process tables, on disks. Passwords that are plain strings are in secrets_spec.lua.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local secret = require "orrery.secret"

leak.guard()

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

-- By the place where it is put. Nothing else looks like one, and none is a part of another.
local PLACES = {
    "argument", "upvalue", "result", "raised", "printed", "long line", "encoded", "several lines", "logged",
    "stdin", "env", "argv", "failed", "password", "thread", "message", "service", "derived", "nested", "template",
    "list", "batch", "said", "command", "command env", "diff", "wrong option", "vault", "variable", "made there",
    "uncaught", "task", "mistake",
}
local SECRETS = {}
for i, place in ipairs(PLACES) do
    local words = place:gsub(" ", "-")
    SECRETS[place] = ("sv-%08x-%s-%06x"):format(i * 2654435761 % 2 ^ 32, words, i * 40503 % 2 ^ 24)
end
SECRETS["several lines"] = "-----BEGIN KEY-----\nsv-first-line-of-a-key-77aa\nsv-second-line-of-a-key-88bb\n"
    .. "-----END KEY-----"

-- Reads its secrets from files. What it says on stdout is what is looked at.
local SCRIPT = [=[
local orrery = require "orrery"
local play = require "orrery.play"
local secret = orrery.secret
local dir, config = arg[1], arg[2]

local function take(name) return secret.file(dir .. "/secret " .. name) end
local function try(what, fn, ...)
    local ok, err = pcall(fn, ...)
    if not ok then err = require("orrery.error").format(err) end
    print(what, ok, err)
end

orrery.on_output(function(name, stream, line) print("output", name, stream, line) end)
local h1 = orrery.ssh("h1", { config = config, ask = false })
local inner = h1:exec { "env", "sh" }

-- Values of calls
for _, ctx in ipairs { h1, inner } do
    local captured, argument = take "upvalue", take "argument"
    try("argument", ctx.call, ctx, function(s) print(s, s:reveal()) return tostring(s) end, argument)
    try("upvalue", ctx.call, ctx, function() io.stderr:write(captured:reveal(), "\n") end)
    print("result", ctx:call(function(s) return { s } end, take "result")[1])
    try("raised", ctx.call, ctx, function(s) error { message = s:reveal(), [s:reveal()] = 1 } end, take "raised")
    try("raised", ctx.call, ctx, function(s) error("no " .. s:reveal()) end, take "raised")
    try("derived", ctx.call, ctx, function(s) print((s):reveal()) error(s:reveal()) end, "u:" .. take "derived" .. "@h")
    print("made there", ctx:call(function(path)
        local s = require("orrery").secret("sv-made-there-" .. ("x"):rep(9))
        print(s:reveal())
        return s
    end))
end
try("mistake", h1.call, h1, function(s) return s.value.x end, take "mistake")
h1:cast(function(s) error("in a cast " .. s:reveal()) end, take "raised")

-- What children print, as it is and otherwise
h1:call(function(s) print("it is " .. s:reveal() .. "!") end, take "printed")
h1:call(function(s) print(("x"):rep(8180) .. s:reveal() .. ("y"):rep(9000)) end, take "long line")
h1:call(function(s)
    local text = s:reveal()
    print((text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)))
    print((text:gsub("%W", function(c) return ("%%%02X"):format(c:byte()) end)))
    print(("%q"):format(text))
end, take "encoded")
local line = "printf 'user:%s' \"$(cat)\" | base64 -w0 >&2; exit 1"
try("base64", h1.run, h1, { "sh", "-c", line }, { stdin = take "encoded" })
h1:call(function(s) print(s:reveal()) end, take "several lines")
h1:call(function(s) require("orrery.core").log(1, "spec", s:reveal()) end, take "logged")
require("orrery.core").log(1, "spec", take "logged":reveal())

-- Commands
print("stdin", #h1:run({ "cat" }, { stdin = take "stdin" }).stdout)
print("env", #h1:run({ "sh", "-c", "echo $IT" }, { env = { IT = take "env" } }).stdout)
try("argv", h1.run, h1, { "echo", take "argv" })
try("argv", h1.shell, h1, "echo " .. take "argv")
try("argv", h1.shell, h1, "echo $1", take "argv")
try("failed", h1.run, h1, { "sh", "-c", "cat >&2; exit 7" }, { stdin = take "failed" })
try("failed", h1.call, h1, function(s)
    local self = require("orrery").context((require("orrery.core").self()))
    self:run({ "sh", "-c", "cat >&2; exit 7" }, { stdin = s })
end, take "failed")

-- Options
try("password", orrery.ssh, "h1", { config = config, ask = false, user = "nobody", password = take "password" })
try("password", orrery.ssh, "h1", { config = config, ask = false, transport = "openssh", user = "nobody",
    password = take "password" })
try("password", orrery.ssh, "h1", { config = config, pasword = take "password" })
try("wrong option", h1.run, h1, { "true" }, { cwd = take "wrong option" })
try("wrong option", h1.run, h1, { "true" }, { timeout = take "wrong option" })
try("wrong option", orrery.ssh, take "wrong option")

-- Threads, messages, services, tasks
try("thread", function()
    return orrery.thread(function(s) error("thread " .. s:reveal()) end, take "thread"):get()
end)
local r = orrery.receiver()
h1:cast(function(to, s) to:send { s } to:close(s:reveal()) end, r:sender(), take "message")
print("message", r:get()[1])
try("message", r.get, r)
r:close()
try("task", function() return orrery.spawn(function(s) error(s:reveal()) end, take "task"):get() end)
local service = orrery.service("spec", { give = function(_, s) error("service " .. s:reveal()) end })
try("service", h1.call, h1, function(s) require("orrery").service("spec").give(s) end, take "service")
service:close()

-- Playbooks
local diff = require "orrery.play.diff"
local encode = require("string.buffer").encode
local h = play.host(h1, { settings = { diff = true }, vars = { pw = take "template" }, sink = function(event)
    print("event", event.event, (encode(event):gsub("%c", ".")))
    if event.diff then print(diff.format(event.diff)) end
end })
local there = h1:shell("mktemp -d /tmp/spec.XXXXXX").stdout:match "%S+"
print("there", there)
local function template(content, more)
    local options = { dest = there .. "/a", content = content, vars = { pw = take "template" } }
    for key, value in pairs(more or {}) do options[key] = value end
    return h:template(options)
end
h:template { dest = there .. "/a", src = dir .. "/template" }
template("password=<%= pw %>\nmore\n", { backup = true })
try("template", template, "<% error('x' .. pw) %>")
try("template", template, "<% error(require('orrery.secret').reveal(pw)) %>")
try("template", template, "<%= pw %>", { dest = there .. "/none/a" })
try("template", template, "<%= pw %>", { dest = there .. "/b", validate = "cat %s /nonexistent" })
h:apply { { "line", path = there .. "/c", line = take "list", create = true },
    { "copy", dest = there .. "/d", content = "x\n" .. take "diff" .. "\n" } }
h:copy { dest = there .. "/d", content = "y\n" .. take "diff" .. "\n" }
local batched, said = take "batch", take "said"
print("batch", h:batch(function(h)
    h:line { path = "/tmp/none-such-" .. batched:reveal(), line = "x", ignore_errors = true }
    h:say("batch " .. batched:reveal())
    print(batched:reveal())
    return batched
end))
h:say("it is " .. said:reveal())
try("said", h.batch, h, function() error(said:reveal()) end)
local result = h:command { argv = { "sh", "-c", "echo $IT; cat; echo $IT >&2" }, env = { IT = take "command env" },
    stdin = take "command" }
print("command", result.changed)
try("command", h.command, h, { argv = { "sh", "-c", "cat >&2; exit 3" }, stdin = take "command" })
try("command", h.command, h, { argv = { "echo", take "command" } })
try("command", h.shell, h, { cmd = "echo " .. take "command" })
try("command", h.git, h, { repo = "https://u:" .. take "command" .. "@localhost/x", dest = there .. "/g" })
try("wrong option", h.file, h, { path = take "wrong option", state = "directori" })
try("wrong option", h.file, h, { path = "x", mode = take "wrong option" })
try("nested", h.copy, h, { dest = there .. "/x/" .. take "nested", content = "x" })

-- Sources
local vault = secret.vault(dir .. "/vault", { passphrase_file = dir .. "/passphrase" })
print("vault", vault.it, vault.it:reveal() == take "vault":reveal())
h1:call(function(v) print(v.it:reveal()) end, vault)
local variable = secret.env "SPEC_SECRET_VARIABLE"
print("variable", variable, os.getenv "SPEC_SECRET_VARIABLE")
h1:call(function(s) print(s:reveal()) end, variable)

-- While commands run that were given some
local running = {}
for _, ctx in ipairs { h1, inner } do
    running[#running + 1] = orrery.spawn(ctx.run, ctx, { "sh", "-c", "cat >/dev/null; echo there; exec sleep 1000" },
        { stdin = take "stdin", check = false, on_stdout = print })
end
local local_one = orrery.localhost()
orrery.sleep(0)
print "ready"
io.stdout:flush()
while not io.open(dir .. "/go") do orrery.sleep(0.01) end
for _, task in ipairs(running) do task:cancel() end
for name, value in pairs(orrery.stats()) do print(name, value) end
h1:run { "rm", "-rf", there }
local_one:close()
h1:call(function(s) error("uncaught " .. s:reveal()) end, take "uncaught")
]=]

describe("a secret, wherever it was put,", function()
    if not lab.need(1, { isolated = true }) then return end

    local here, lines, pid, said, there

    local function make_files()
        remote.write(here .. "/template", "password=<%= pw %>\n")
        for place, text in pairs(SECRETS) do remote.write(here .. "/secret " .. place, text .. "\n") end
        remote.write(here .. "/passphrase", "sv-passphrase-of-the-vault-31\n")
        local content = ("return { it = %q }\n"):format(SECRETS.vault)
        local code, _, stderr = lab.run({ program, "vault", "create", "--stdin", "--passphrase-file",
            here .. "/passphrase", here .. "/vault" }, content)
        assert(code == 0, stderr)
        SECRETS.passphrase = "sv-passphrase-of-the-vault-31"
        SECRETS["made there"] = "sv-made-there-" .. ("x"):rep(9)
    end

    setup(function()
        here, said = remote.directory(), {}
        make_files()
        remote.write(here .. "/script.lua", SCRIPT)
        -- The variable is set by a shell that then is the program, since env(1) would have it in its arguments.
        lines = assert(io.popen(("echo $$; SPEC_SECRET_VARIABLE=$(cat '%s/secret variable') && export "
            .. "SPEC_SECRET_VARIABLE && exec %s run -vvv --log %s/log %s/script.lua %s %s 2>%s/stderr </dev/null")
            :format(here, program, here, here, here, lab.ssh_config(), here)))
        pid = tonumber(lines:read "*l")
        for line in lines:lines() do
            if line == "ready" then break end
            said[#said + 1] = line
        end
        there = table.concat(said, "\n"):match "\nthere\t(%S+)"
    end)

    teardown(function()
        remote.write(here .. "/go", "")
        lines:close()
        remote.remove(here)
        if there then lab.exec("h1", { "rm", "-rf", there }) end
    end)

    local function lines_of(text) -- of a secret, those that say something
        local list = {}
        for line in text:gmatch "[^\n]+" do
            if line:find "^sv%-" then list[#list + 1] = line end
        end
        return list
    end

    local function assert_clean(where, text, except)
        assert.is_truthy(text, where)
        for place, value in pairs(SECRETS) do
            for _, line in ipairs(place ~= except and lines_of(value) or {}) do
                local at = text:find(line, 1, true)
                assert.is_nil(at, ("the secret of '%s' is in %s: %s"):format(place, where,
                    at and text:sub(math.max(1, at - 200), at + 200)))
            end
        end
    end

    it("was put there", function()
        local text = table.concat(said, "\n")
        assert.is_truthy(there, text .. remote.slurp(here .. "/stderr"))
        assert.matches("\nvariable\t%(secret%)\tnil\n", text)
        assert.matches("\nvault\t%(secret%)\ttrue\n", text)
        assert.matches("output\th1\tstdout\t%(secret%)\t%*%*%*%*%*%*%*%*\n", text)
        assert.matches("output\tenv\tstdout\t%(secret%)\t%*%*%*%*%*%*%*%*\n", text)
        assert.matches("argv\tfalse\trun: argument 2 is a secret", text)
        assert.matches("command\tfalse\tcommand: option 'argv' has a secret in it", text)
        assert.matches("command\tfalse\tshell: option 'cmd' has a secret in it", text)
        assert.matches("command\tfalse\tgit: option 'repo' has a secret in it", text)
        assert.matches("service\tfalse\t[^\n]*service %*%*%*%*%*%*%*%*\n", text)
    end)

    it("is in nothing that is printed, told or raised", function()
        assert_clean("stdout", table.concat(said, "\n"))
        assert_clean("stderr", remote.slurp(here .. "/stderr"))
    end)

    it("is in nothing that is printed, told or raised in another form", function()
        local _, forms = lab.run({ "sh", "-c", "base64 -w0; echo" }, "user:" .. SECRETS.encoded)
        local text = table.concat(said, "\n") .. remote.slurp(here .. "/stderr")
        assert.is_nil(text:find(forms:sub(9, 24), 1, true))
        local hex = SECRETS.encoded:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
        assert.is_nil(text:find(hex, 1, true))
        local percent = SECRETS.encoded:gsub("%W", function(c) return ("%%%02X"):format(c:byte()) end)
        assert.is_nil(text:find(percent, 1, true))
    end)

    it("is in no log, at any level", function()
        local log = remote.slurp(here .. "/log")
        assert.is_true(#log > 1000)
        assert.matches("spec: %*%*%*%*%*%*%*%*", log)
        assert_clean("the log", log)
    end)

    it("is in no argument and no environment, here or there", function()
        for name in require("lfs").dir "/proc" do
            if name:match "^%d+$" then
                for _, file in ipairs { "cmdline", "environ" } do
                    local path = ("/proc/%s/%s"):format(name, file)
                    local text = remote.slurp(path) -- it may be gone by now
                    if text then assert_clean(path, text) end
                end
            end
        end
        local _, text = lab.exec("h1", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ")
        assert.is_truthy(text:find("agent-", 1, true))
        assert_clean("arguments or the environment on h1", text)
        assert.is_truthy(remote.slurp(("/proc/%d/environ"):format(pid)))
    end)

    it("is on no disk, but in the files that were to have it", function()
        local patterns = {}
        for _, value in pairs(SECRETS) do
            for _, line in ipairs(lines_of(value)) do patterns[#patterns + 1] = line end
        end
        local text = table.concat(patterns, "\n") .. "\n"
        local upper = lab.file "host/h1/upper"
        assert.is_truthy(require("lfs").attributes(upper), upper)
        local _, found = lab.run({ "grep", "-raFlf", "-", upper }, text)
        local wanted = {}
        for file in found:gmatch "[^\n]+" do wanted[#wanted + 1] = file:sub(#upper + 1):gsub("%.20.*", "") end
        table.sort(wanted)
        for _, file in ipairs(wanted) do
            assert.matches("^" .. there:gsub("%p", "%%%0") .. "/[acd]%f[%W]", file)
        end
        _, found = lab.run({ "grep", "-raFlf", "-", here }, text)
        for file in found:gmatch "[^\n]+" do
            assert.matches("/secret [%w ]+$", (file:gsub("/passphrase$", "/secret x")))
        end
    end)

    it("is not in what is said at the end, when the script fails", function()
        remote.write(here .. "/go", "")
        local rest = lines:read "*a"
        assert_clean("stdout", rest)
        local stderr = remote.slurp(here .. "/stderr")
        assert.matches("uncaught %*%*%*%*%*%*%*%*", stderr)
        assert_clean("stderr", stderr)
        assert_clean("the log", remote.slurp(here .. "/log"))
    end)
end)

describe("secrets in this process", function()
    it("are known when they have come from a child", function()
        local ctx = orrery.localhost()
        local s = ctx:call(function() return { require("orrery").secret("sv-from-a-child-" .. 12345) } end)[1]
        assert.is_true(secret.is(s))
        assert.are.equal("<********>", secret.redact("<" .. "sv-from-a-child-" .. 12345 .. ">"))
        ctx:close()
    end)
end)
