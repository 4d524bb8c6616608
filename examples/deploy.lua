-- Deploys an archive to many hosts: release directories, a symlink that is switched atomically, a
-- health check, and the way back if it fails.
--
--     orrery run examples/deploy.lua --archive dist/hello.tar.gz web1 web2 web3
--
-- On each host, /srv/hello/releases/<time> gets the archive's content, /srv/hello/current points to
-- it, and `current/hello` must run and say its version. A host where that fails goes back to what it
-- had; the others go on. The exit status is 0 only if the release is live on all of them.

local orrery = require "orrery"

local usage = [[
usage: orrery run deploy.lua --archive FILE [OPTION...] HOST...

  --archive FILE     a .tar.gz with one directory in it, which holds an executable `hello`
  --ssh-config FILE  instead of ~/.ssh/config
  --local DIR        no SSH: each host is a directory below DIR
  --keep N           releases to keep on each host, default 3
]]

local function parse(args)
    local options, hosts, i = { keep = "3" }, {}, 1
    while args[i] do
        local name = args[i]:match("^%-%-([%w-]+)$")
        if name then
            options[name:gsub("-", "_")], i = args[i + 1], i + 1
        else
            hosts[#hosts + 1] = args[i]
        end
        i = i + 1
    end
    if not options.archive or #hosts == 0 then
        io.stderr:write(usage)
        os.exit(64)
    end
    return options, hosts
end

local options, names = parse(arg)
-- Sorts by time, to the millisecond: two deployments must not share a directory.
local release = io.popen("date -u +%Y%m%d-%H%M%S-%3N"):read("*l")

local function connect(name)
    if options["local"] then return orrery.localhost { name = name } end
    return orrery.ssh(name, { config = options.ssh_config })
end

-- Everything below this directory belongs to the application.
local function home(h)
    return (options["local"] and options["local"] .. "/" .. h.name or "") .. "/srv/hello"
end

local function say(h, ...) print(("%-8s %s"):format(h.name, string.format(...))) end

-- Runs on the host: rename replaces the old link in one step, so `current` always points somewhere.
local function switch(dir, target)
    if os.execute(("ln -s '%s' '%s/current.new'"):format(target, dir)) ~= 0 then
        error("cannot make a link in " .. dir)
    end
    assert(os.rename(dir .. "/current.new", dir .. "/current"))
end

-- What `current` points to, or nil before the first deployment.
local function live(h, dir)
    local r = h:run({ "readlink", dir .. "/current" }, { check = false })
    return r.code == 0 and r.stdout:gsub("\n$", "") or nil
end

local function unpack_release(h, dir)
    local target = dir .. "/releases/" .. release
    h:run { "mkdir", "-p", dir .. "/releases" }
    h:run { "mkdir", target } -- fails if it is there: it belongs to another deployment
    local sent = h:put(options.archive, dir .. "/release.tar.gz")
    h:shell('gzip -dc "$1" | tar -xf - -C "$2"', dir .. "/release.tar.gz", target, { timeout = 60 })
    local top = h:shell('cd "$1" && echo *', target).stdout:gsub("\n$", "")
    say(h, "%s: %s", release, sent.changed and sent.sent .. " bytes sent" or "archive unchanged")
    return ("releases/%s/%s"):format(release, top)
end

local function first_line(text) return text:match("[^\n]*") end

local function healthy(h, dir)
    local r = h:run({ dir .. "/current/hello" }, { check = false, timeout = 10 })
    if r.code ~= 0 then return false, ("status %d, %s"):format(r.code, first_line(r.stderr)) end
    return true, first_line(r.stdout)
end

local function roll_back(h, dir, before)
    if before then
        h:call(switch, dir, before)
    else
        h:run { "rm", dir .. "/current" }
    end
    h:run { "rm", "-rf", dir .. "/releases/" .. release }
end

local function remove_old(h, dir)
    h:shell('cd "$1/releases" && ls | sort -r | tail -n +"$(($2 + 1))" | xargs rm -rf --', dir,
        options.keep)
end

local function deploy(h)
    local dir = home(h)
    local before = live(h, dir)
    h:call(switch, dir, unpack_release(h, dir))
    local ok, said = healthy(h, dir)
    if not ok then
        roll_back(h, dir, before)
        say(h, "health check failed (%s); back to %s", said, before or "nothing")
        error(("health check failed: %s"):format(said), 0)
    end
    remove_old(h, dir)
    say(h, "live: %s", said)
end

local hosts = orrery.map(names, connect)
orrery.each(hosts, { limit = 20 }, deploy)
