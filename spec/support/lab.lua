--- The lab (spec/lab) for specs: hosts to talk to, with cables to pull.
--
--     local lab = require "spec.support.lab"
--     describe("calls over SSH", function()
--         if not lab.need(2) then return end
--         it("...", function() local code, out = lab.exec("h1", "uname -n") end)
--     end)
--
-- A lab is brought up by the first need() of a run and taken down at the end of the run. One that
-- is up already under ORRERY_LAB_NAME is used as it is if it has what is needed, and stays up.

local lfs = require "lfs"

local lab = {}

local script = "spec/lab"
local needs_root = 3
local owned = false
local needed = false

local function quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function slurp(path)
    local file = io.open(path, "rb")
    if not file then
        return nil
    end
    local text = file:read("*a")
    file:close()
    return text
end

local function exit_code(status, how, code)
    if type(status) == "number" then
        -- What system() returns: the exit code is in the second byte, a signal in the first.
        return status >= 256 and math.floor(status / 256) or (status == 0 and 0 or 128 + status)
    end
    return how == "signal" and 128 + code or code
end

--- Runs a program of this machine to its end, without a shell between.
---@param argv string[]
---@param stdin string? what it reads; nothing if absent
---@return integer code, string stdout, string stderr  # 128 + n for signal n
function lab.run(argv, stdin)
    local words, input = {}, "/dev/null"
    for i, word in ipairs(argv) do
        words[i] = quote(word)
    end
    local out, err = os.tmpname(), os.tmpname()
    if stdin then
        input = os.tmpname()
        local file = assert(io.open(input, "wb"))
        file:write(stdin)
        file:close()
    end
    local code = exit_code(os.execute(("exec %s <%s >%s 2>%s"):format(
        table.concat(words, " "), input, out, err)))
    local stdout, stderr = slurp(out), slurp(err)
    os.remove(out)
    os.remove(err)
    if stdin then
        os.remove(input)
    end
    return code, stdout, stderr
end

local function own_pid()
    return tonumber(slurp("/proc/self/stat"):match("^%d+"))
end

-- Runs of the suite may overlap, so each has a lab of its own, named by its process.
local own_prefix = "spec_"
lab.name = os.getenv("ORRERY_LAB_NAME") or own_prefix .. own_pid()

-- The marker by which leak.lua finds descendants of this run must not pass to the hosts.
local function command(name, ...)
    return lab.run({ "env", "-u", "ORRERY_SPEC_RUN", "ORRERY_LAB_NAME=" .. name, script, ... })
end

local function must(...)
    local code, stdout, stderr = command(lab.name, ...)
    if code ~= 0 then
        error(("%s %s failed: %s"):format(script, table.concat({ ... }, " "), stderr), 3)
    end
    return stdout
end

-- Labs of runs that were killed before they could clean up.
local function remove_stale()
    for entry in lfs.dir("/run") do
        local name, pid = entry:match("^orrery%-lab%-(" .. own_prefix .. "(%d+)[%l_]*)$")
        if pid and not lfs.attributes("/proc/" .. pid) then
            command(name, "down")
        end
    end
end

--- Every host of the lab, none if it is not up.
---@return { name: string, address: string, port: integer, state: string }[]
function lab.list()
    local hosts = {}
    local code, stdout = command(lab.name, "list")
    if code == 0 then
        for name, address, port, state in stdout:gmatch("(%S+) (%S+) (%d+) (%S+)\n") do
            hosts[#hosts + 1] =
                { name = name, address = address, port = tonumber(port), state = state }
        end
    end
    return hosts
end

---@param name string
---@return { name: string, address: string, port: integer, state: string }
function lab.host(name)
    for _, host in ipairs(lab.list()) do
        if host.name == name then
            return host
        end
    end
    error(("the lab has no host '%s'"):format(name), 2)
end

-- How many hosts of each kind there are.
local function shape()
    local have = { count = 0, foreign = 0, refuse = 0, dead = 0 }
    for _, host in ipairs(lab.list()) do
        local kind, number = host.name:match("^(%a+)(%d*)$")
        kind = kind == "h" and "count" or kind
        have[kind] = math.max(have[kind], tonumber(number) or 1)
    end
    return have
end

-- Where a machine cannot have a lab, its specs are pending; CI must have one.
local function give_up(reason)
    if os.getenv("CI") == "true" then
        error("the lab is needed and cannot be had: " .. reason, 3)
    end
    io.stderr:write("\nSKIPPED, since the lab cannot be had: ", reason, "\n")
    require("busted").pending("needs the lab: " .. reason:gsub("\n", ""))
    return false
end

local function up(wanted)
    local argv = { "up", wanted.count }
    if wanted.foreign > 0 then
        argv[#argv + 1] = "--foreign"
    end
    for _, kind in ipairs({ "refuse", "dead" }) do
        if wanted[kind] > 0 then
            argv[#argv + 1] = "--" .. kind
            argv[#argv + 1] = wanted[kind]
        end
    end
    local code, _, stderr = command(lab.name, unpack(argv))
    if code == needs_root or (code ~= 0 and stderr:find("not installed", 1, true)) then
        return give_up(stderr)
    elseif code ~= 0 then
        error("the lab did not start: " .. stderr, 3)
    end
    return true
end

--- Makes sure that hosts h1 .. hN are there. Call it in the body of a `describe` or of the file:
--- where this machine cannot have a lab, it registers a pending test there and returns false (but
--- raises if CI=true). Hosts that were cut, killed or reconfigured before are as they were left.
---@param count integer
--- Without root, hosts are mere sshd servers of this user's: say `isolated` where that is not
--- enough (another host name, other users, files of its own, a cable to cut).
---@param opts { foreign: boolean?, refuse: integer?, dead: integer?, isolated: boolean? }?
---@return boolean
function lab.need(count, opts)
    local wanted = { count = count, foreign = 0, refuse = 0, dead = 0 }
    local isolated = false
    for key, value in pairs(opts or {}) do
        if key == "isolated" then
            isolated = value
        elseif key == "count" or not wanted[key] then
            error(("lab.need: unknown option '%s'"):format(key), 2)
        else
            wanted[key] = value == true and 1 or value or 0
        end
    end
    local is_enough = true
    for kind, have in pairs(shape()) do
        is_enough = is_enough and have >= wanted[kind]
        wanted[kind] = math.max(wanted[kind], have)
    end
    if not is_enough then
        if not owned then
            remove_stale()
            require("busted").subscribe({ "suite", "end" }, lab.down)
        end
        if not up(wanted) then
            return false
        end
        owned = true
    end
    needed = true
    if isolated and slurp(lab.file("mode")) ~= "netns\n" then
        return give_up("isolated hosts need root, or sudo without a password")
    end
    return true
end

--- Whether need() has been successful in this file.
---@return boolean
function lab.is_up()
    return needed
end

--- Takes down a lab that this run brought up; runs at the end of the run by itself.
function lab.down()
    if owned then
        owned, needed = false, false
        must("down")
    end
    return nil, true
end

--- Runs a command as root on a host, without SSH.
---@param host string
---@param cmd string | string[] a line for sh, or a program and its arguments
---@return integer code, string stdout, string stderr
function lab.exec(host, cmd)
    if type(cmd) == "string" then
        cmd = { "sh", "-c", cmd }
    end
    return command(lab.name, "exec", host, unpack(cmd))
end

--- Makes a program here that runs one of the same name on an isolated host, as one of its users, without SSH.
---@param host string
---@param user string
---@param path string where to put it; its last part is the program's name
---@param setting string? variables for it: "LANG=de_DE.UTF-8 A=1"
---@return string path
function lab.program(host, user, path, setting)
    local init = slurp(lab.file("host/" .. host .. "/init")):match("%d+")
    local file = assert(io.open(path, "w"))
    file:write(("#!/bin/sh\nexec env -i PATH=$PATH LANG=C.UTF-8 nsenter -t %s -m -u -i -n -p -r -w -- runuser -u %s -- "
        .. "env HOME=%s USER=%s LOGNAME=%s %s %s \"$@\"\n"):format(init, user,
        user == "root" and "/root" or "/home/" .. user, user, user,
        setting or "", path:match("[^/]*$")))
    file:close()
    assert(lab.run { "chmod", "755", path } == 0)
    return path
end

--- The configuration for `ssh -F`, with a block for every host.
---@return string path
function lab.ssh_config()
    return (must("ssh-config"):gsub("\n$", ""))
end

--- A file beside the configuration.
---@param name string "known_hosts", "client/id_ed25519" ...
---@return string path
function lab.file(name)
    return (lab.ssh_config():gsub("ssh_config$", name))
end

--- The path through which this machine sees a host's root directory.
---@param host string
---@return string path
function lab.root(host)
    return (must("root", host):gsub("\n$", ""))
end

--- Pulls the network cable out.
function lab.cut(host)
    must("cut", host)
end

--- Puts the cable back.
function lab.heal(host)
    must("heal", host)
end

--- Ends all processes of a host at once.
function lab.kill(host)
    must("kill", host)
end

--- Boots a killed host.
function lab.start(host)
    must("start", host)
end

--- Puts lines ahead of a host's sshd_config and restarts its sshd; without lines, undoes that.
---@param host string
---@param ... string
function lab.sshd(host, ...)
    must("sshd", host, ...)
end

--- Shapes what is sent to a host, as `tc qdisc ... netem SPEC`; nil undoes it.
---@param host string
---@param spec string?
function lab.netem(host, spec)
    must("netem", host, spec)
end

--- Processes of a host. Where this process may look into the host's /proc it does so itself,
--- which takes less than a millisecond.
---@param host string
---@return table<integer, { ppid: integer, state: string, command: string }>
function lab.processes(host)
    local found = {}
    local state_dir = lab.ssh_config():gsub("/ssh_config$", "")
    local init = (slurp(state_dir .. "/host/" .. host .. "/init") or ""):match("%d+")
    local proc = ("/proc/%s/root/proc"):format(init or "none")
    if slurp(state_dir .. "/mode") ~= "netns\n" or not slurp(proc .. "/1/status") then
        local _, stdout = command(lab.name, "ps", host)
        for pid, ppid, state, line in stdout:gmatch("(%d+) (%d+) %d+ (%S+) ([^\n]*)\n") do
            found[tonumber(pid)] = { ppid = tonumber(ppid), state = state, command = line }
        end
        return found
    end
    for pid in lfs.dir(proc) do
        local status = pid:match("^%d+$") and slurp(proc .. "/" .. pid .. "/status")
        if status then
            local line = (slurp(proc .. "/" .. pid .. "/cmdline") or ""):gsub("%z", " ")
            found[tonumber(pid)] = {
                ppid = tonumber(status:match("\nPPid:%s*(%d+)")),
                state = status:match("\nState:%s*(%S)"),
                command = line ~= "" and (line:gsub("%s+$", ""))
                    or ("[%s]"):format(status:match("^Name:%s*([^\n]*)")),
            }
        end
    end
    return found
end

--- Adds an account to an isolated host: who may log in, and with what, is the caller's affair.
---@param host string
---@param name string
---@param opts { shell: string?, home: string?, make_home: boolean?, shadow: string?, files: table<string, string>? }?
--- `shadow` is what shadow(5) has from the second field on, "*" by default: no password;
--- `files` are put into the home directory, by their names, as the account's own
---@return integer uid
function lab.user(host, name, opts)
    opts = opts or {}
    local home = opts.home or "/home/" .. name
    local lines = {
        "set -e",
        -- A number that nobody had before: the host may have been used, and files of others be there.
        "uid=$(awk -F: '$3 > m && $3 < 60000 { m = $3 } END { print m < 2000 ? 2000 : m + 1 }' /etc/passwd)",
        ("sed -i '/^%s:/d' /etc/passwd /etc/group /etc/shadow"):format(name),
        ('echo "%s:x:$uid:$uid::%s:%s" >>/etc/passwd'):format(name, home, opts.shell or "/bin/bash"),
        ('echo "%s:x:$uid:" >>/etc/group'):format(name),
        ("echo %s >>/etc/shadow"):format(quote(name .. ":" .. (opts.shadow or "*:19000:0:99999:7:::"))),
    }
    lines[#lines + 1] = ("rm -rf %s"):format(quote(home))
    if opts.make_home ~= false then
        lines[#lines + 1] = ("mkdir -p %s; cd %s"):format(quote(home), quote(home))
        for path, text in pairs(opts.files or {}) do
            local file = quote(path)
            lines[#lines + 1] = ("mkdir -p \"$(dirname %s)\"; printf %%s %s >%s"):format(file, quote(text), file)
        end
        lines[#lines + 1] = "chown -R $uid:$uid ."
    end
    lines[#lines + 1] = "echo $uid"
    local code, stdout, stderr = lab.exec(host, table.concat(lines, "\n"))
    assert(code == 0, stderr)
    return tonumber(stdout)
end

-- What runs another server on a host in the foreground: port, options.
local servers = {}

function servers.dropbear(port, options)
    return ("test -e /etc/dropbear.key || dropbearkey -t ed25519 -f /etc/dropbear.key >/dev/null 2>&1;"
        .. "exec dropbear -F -E -P /run/dropbear.%d -p %d -r /etc/dropbear.key %s"):format(port, port, options)
end

-- It serves one connection on its stdin and stdout; who accepts is somebody else.
function servers.tinysshd(port, options)
    return ("test -e /etc/tinyssh.keys || tinysshd-makekey -q /etc/tinyssh.keys; printf %%s %s >/run/tinyssh.%d; "
        .. "chmod 755 /run/tinyssh.%d; exec busybox nc -ll -p %d -e /run/tinyssh.%d"):format(
        quote("#!/bin/sh\nexec tinysshd " .. options .. " /etc/tinyssh.keys 2>/dev/null\n"),
        port, port, port, port)
end

--- Starts another server on an isolated host, beside its sshd, and waits until it listens.
---@param host string
---@param kind "dropbear"|"tinysshd"|string else a command line for sh that listens on that port
---@param port integer
---@param options string? of its command line
---@return fun() stop
function lab.serve(host, kind, port, options)
    local line = servers[kind] and servers[kind](port, options or "") or kind
    local code, stdout, stderr = lab.exec(host, ([[
        setsid sh -c %s </dev/null >/run/serve.%d 2>&1 & pid=$!
        for i in $(seq 500); do
            if grep -qE ':%04X [0-9A-F]+:0000 0A' /proc/net/tcp /proc/net/tcp6; then echo $pid; exit; fi
            kill -0 $pid || break
            sleep 0.01
        done
        cat /run/serve.%d >&2; exit 1]]):format(quote(line), port, port, port))
    if code ~= 0 then error(("%s on %s did not start: %s"):format(kind, host, stderr), 2) end
    return function() lab.exec(host, "kill -- -" .. stdout) end
end

return lab
