--- Passwords, passphrases and keys: where they are not to be found, while they are in use and afterwards.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard()

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

-- One that is kept in memory, to see that it would be found.
local KEPT = "kp-3d71e8-what-the-script-keeps-5a02"

-- Long, so that nothing else looks like them, and none is a part of another.
local SECRETS = {
    password = "pw-6f1c9a-an-honest-password-2b7e",
    passphrase = "pp-e03d77-an-honest-passphrase-91ac",
    ["wrong password"] = "wp-58b2f4-no-such-password-here-c6d0",
    ["wrong passphrase"] = "wf-a94e1b-no-such-passphrase-here-7f",
}

-- The script never has a secret in its text. A string of Lua's stays in memory until it is collected, and
-- its bytes until something else is put there: so that is what the script does, before it says that it is
-- ready. Whatever is found then was left by somebody else.
local SCRIPT = [=[
local orrery, ffi = require "orrery", require "ffi"
local dir, config = arg[1], arg[2]
ffi.cdef [[
    int open(const char *path, int flags);
    long read(int fd, void *to, unsigned long n);
    int close(int fd);
]]

local function secret(name)
    local buffer = ffi.new("char[256]")
    local fd = ffi.C.open(dir .. "/secret " .. name, 0)
    local n = tonumber(ffi.C.read(fd, buffer, 256))
    ffi.C.close(fd)
    local text = ffi.string(buffer, n)
    ffi.fill(buffer, 256)
    return text
end

local contexts = {}
local function enter(host, opts)
    opts.config, opts.ask = config, false
    local ok, err = pcall(orrery.ssh, host, opts)
    if ok then
        contexts[#contexts + 1] = err
        print(host, "ok", err:call("os.time") > 0)
    else
        print(host, err.code, err:format())
    end
end

local function become(opts)
    opts.program, opts.ask = dir .. "/sudo", false
    local ok, err = pcall(orrery.sudo, opts)
    if ok then
        contexts[#contexts + 1] = err
        print("h1", "ok", err:call("os.time") > 0)
    else
        print("h1", err.code, err:format())
    end
end

local function log_in()
    enter("h1", { user = "secretive", password = secret "password" })
    enter("h2", { user = "secretive", password = secret "password" }) -- keyboard-interactive
    enter("h1", { identity = dir .. "/key_plain" })
    enter("h1", { identity = dir .. "/key_locked", passphrase = secret "passphrase" })
    enter("h1", { user = "secretive", password = secret "wrong password" })
    enter("h2", { user = "secretive", password = secret "wrong password" })
    enter("h1", { identity = dir .. "/key_locked", passphrase = secret "wrong passphrase" })
    enter("h1", { transport = "openssh", user = "secretive", password = secret "password" })
    enter("h1", { transport = "openssh", user = "secretive", password = secret "wrong password" })
    enter("h1", { transport = "openssh", identity = dir .. "/key_locked", passphrase = secret "passphrase" })
    become { password = secret "password" }
    become { password = secret "wrong password" }
    become { password = secret "wrong password" .. "\n" }
    enter("h1", { identity = dir .. "/key_plain", password = { secret "password" } })
    enter("h1", { pasword = secret "password" })
end

local kept = secret "kept"
log_in()
local before = orrery.stats()
for name, value in pairs(before) do print(name, value) end
local used = {}
for i = 1, 20 do collectgarbage() end
for i = 1, 3e4 do used[i] = ("%08d"):format(i):rep(3 + i % 4) .. ("."):rep(i % 8) end

print("ready")
io.stdout:flush()
while not io.open(dir .. "/go") do orrery.sleep(0.01) end
for i = 1, #contexts do contexts[i]:close() end
print(#kept)
]=]

describe("a secret", function()
    if not lab.need(2, { isolated = true }) then return end

    local here, needles, lines, pid, said

    -- What makes up an unencrypted key file: a line in the middle of its text, and the 32 bytes that are
    -- the private key, which stand in front of the last copy of the public one.
    local function add_key_material(path)
        local text = remote.slurp(path)
        local body = text:gsub("%-%-%-%-%-[^\n]+\n", ""):gsub("%s", "")
        local _, raw = lab.run({ "base64", "-d" }, body)
        local public = raw:match("ssh%-ed25519%z%z%z (.*)"):sub(1, 32)
        local last, from = nil, 1
        while true do
            local at = raw:find(public, from, true)
            if not at then break end
            last, from = at, at + 1
        end
        needles["private key"] = raw:sub(last - 32, last - 1)
        needles["text of the key file"] = text:match("\n[^\n]+\n[^\n]+\n([^\n]+)\n")
    end

    local function make_keys()
        local plain, locked = here .. "/key_plain", here .. "/key_locked"
        lab.run { "cp", lab.file "client/id_ed25519", plain }
        lab.run { "cp", plain, locked }
        -- -N would have it in an argument.
        local ask = here .. "/askpass"
        remote.write(ask, ("#!/bin/sh\ncat '%s/secret passphrase'\n"):format(here))
        lab.run { "chmod", "700", ask }
        local code, _, stderr = lab.run { "setsid", "env", "SSH_ASKPASS=" .. ask, "SSH_ASKPASS_REQUIRE=force",
            "ssh-keygen", "-q", "-p", "-a", "1", "-f", locked }
        assert(code == 0, stderr)
        add_key_material(plain)
    end

    local function make_accounts()
        local code, hash = lab.run({ "openssl", "passwd", "-6", "-stdin" }, SECRETS.password .. "\n")
        assert(code == 0)
        for _, host in ipairs { "h1", "h2" } do
            lab.user(host, "secretive", { shadow = hash:gsub("\n", "") .. ":19000:0:99999:7:::" })
        end
    end

    setup(function()
        here, needles = remote.directory(), {}
        for name, text in pairs(SECRETS) do
            needles[name] = text
            remote.write(here .. "/secret " .. name, text)
        end
        remote.write(here .. "/secret kept", KEPT)
        make_keys()
        make_accounts()
        lab.exec("h1", "echo 'secretive ALL=(ALL:ALL) ALL' >>/etc/sudoers")
        lab.program("h1", "secretive", here .. "/sudo")
        remote.write(here .. "/script.lua", SCRIPT)
        lines = assert(io.popen(("echo $$; exec %s run -vvv --log %s/log %s/script.lua %s %s 2>%s/stderr </dev/null")
            :format(program, here, here, here, lab.ssh_config(), here)))
        pid, said = tonumber(lines:read("*l")), {}
        for line in lines:lines() do
            if line == "ready" then break end
            said[#said + 1] = line
        end
        said = table.concat(said, "\n")
    end)

    teardown(function()
        remote.write(here .. "/go", "")
        lines:close()
        lab.exec("h1", "sed -i '/^secretive/d' /etc/sudoers")
        remote.remove(here)
    end)

    -- A text with the name of where it is from.
    local function assert_clean(where, text)
        assert.is_truthy(text, where)
        for name, needle in pairs(needles) do
            assert.is_nil(text:find(needle, 1, true), ("the %s is in %s"):format(name, where))
        end
    end

    it("lets in who has the right one, and nobody else", function()
        local oks, codes = 0, {}
        for host, outcome in said:gmatch("(h[12])\t(%w+)\t") do
            oks = oks + (outcome == "ok" and 1 or 0)
            codes[#codes + 1] = host .. " " .. outcome
        end
        assert.are.equal(7, oks, said)
        assert.are.same({ "h1 ok", "h2 ok", "h1 ok", "h1 ok", "h1 auth", "h2 auth", "h1 credentials", "h1 ok",
            "h1 auth", "h1 ok", "h1 ok", "h1 auth", "h1 option", "h1 option", "h1 option" }, codes)
    end)

    it("is in no error, no counter, and nothing else that is printed", function()
        assert_clean("stdout", said)
        assert_clean("stderr", remote.slurp(here .. "/stderr"))
    end)

    it("is in no log, at any level", function()
        local log = remote.slurp(here .. "/log")
        assert.is_true(#log > 1000)
        assert_clean("the log", log)
    end)

    it("is in no argument and no environment, here or there", function()
        for name in require("lfs").dir "/proc" do
            if name:match("^%d+$") then
                for _, file in ipairs { "cmdline", "environ" } do
                    local path = ("/proc/%s/%s"):format(name, file)
                    local text = remote.slurp(path) -- it may be gone by now
                    if text then assert_clean(path, text) end
                end
            end
        end
        for _, host in ipairs { "h1", "h2" } do
            local _, text = lab.exec(host, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ")
            assert.is_truthy(text:find("agent-", 1, true))
            assert_clean("arguments or the environment on " .. host, text)
        end
    end)

    it("is on no disk there", function()
        for _, host in ipairs { "h1", "h2" } do
            local root, patterns = lab.root(host), {}
            for _, needle in pairs(SECRETS) do patterns[#patterns + 1] = needle end
            local _, found = lab.run({ "grep", "-rlFf", "-", root .. "/tmp", root .. "/var/tmp", root .. "/home",
                root .. "/root" }, table.concat(patterns, "\n") .. "\n")
            assert.are.equal("", found)
        end
    end)

    -- Where in its memory the needles are: "password at [heap]" ...
    local function search_memory(texts)
        local found = {}
        local memory = assert(io.open(("/proc/%d/mem"):format(pid), "rb"))
        local piece = 2 ^ 20
        for line in io.lines(("/proc/%d/maps"):format(pid)) do
            local from, to, name = line:match("^(%x+)%-(%x+) rw%S+ %S+ %S+ %S+%s*(.*)$")
            from, to = tonumber(from or "0", 16), tonumber(to or "0", 16)
            local tail = ""
            while from < to and memory:seek("set", from) do
                local text = memory:read(math.min(piece, to - from))
                if not text then break end
                for what, needle in pairs(texts) do
                    local at = (tail .. text):find(needle, 1, true)
                    if at then
                        found[#found + 1] = ("%s at %x in %s"):format(what, from - #tail + at - 1, name)
                    end
                end
                from, tail = from + #text, text:sub(-256)
            end
        end
        memory:close()
        table.sort(found)
        return table.concat(found, "\n")
    end

    -- A sanitizer keeps what was freed, and maps more than can be searched.
    if not remote.sanitized then
        it("is in no memory once it was used", function()
            assert.matches("^kept at ", search_memory { kept = KEPT })
            assert.are.equal("", search_memory(needles))
        end)
    end
end)
