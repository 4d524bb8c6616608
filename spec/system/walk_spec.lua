--- The whole way: SSH, SSH from there, sudo, a container, a child in that. And the end of each link of it.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard { timeout = 30, allow = { "thread %d+ 'orrery%-file'" } }

local ROUTES = { "ssh:h1", "ssh:h2", "sudo:root", "podman:walk", "local:last" }

-- What a host of the lab lacks for runc, and a container of nothing but busybox.
local PREPARE = [[
set -e
mount -t tmpfs none /sys/fs/cgroup
for c in cpu cpuset cpuacct pids freezer memory blkio devices; do
    mkdir /sys/fs/cgroup/$c
    mount -t cgroup -o $c none /sys/fs/cgroup/$c
done
mkdir -p /walk/root
cd /walk/root
mkdir bin dev etc proc sys tmp
cp /bin/busybox bin
for applet in sh sleep id; do ln -s busybox bin/$applet; done
]]

local PODMAN = {
    "--root", "/walk/storage", "--runroot", "/walk/runroot", "--tmpdir", "/walk/tmp", "--storage-driver", "vfs",
    "--runtime", "runc", "--cgroup-manager=cgroupfs",
}

local RUN = {
    "run", "-d", "--name", "walk", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit",
    "nproc=1000:1000", "--rootfs", "/walk/root", "sleep", "1000000",
}

local function podman(...)
    local argv = { "podman" }
    for _, words in ipairs { PODMAN, { ... } } do
        for _, word in ipairs(words) do argv[#argv + 1] = word end
    end
    return lab.exec("h2", argv)
end

describe("a way over five links", function()
    if not lab.need(2, { isolated = true }) then return end
    if remote.sanitized then
        pending "an agent with a sanitizer is not static: it does not run in a bare container"
        return
    end

    local why

    lazy_setup(function()
        local code, _, stderr = lab.exec("h2", PREPARE)
        if code == 0 then code, _, stderr = podman(unpack(RUN)) end
        why = code ~= 0 and "podman starts nothing in a host of the lab: " .. tostring(stderr) or nil
    end)

    lazy_teardown(function()
        podman("rm", "-f", "-t", "0", "walk")
        remote.eventually("the end of podman", function() return #remote.processes("h2", "/walk/storage") == 0 end, 20)
        lab.exec("h2", "umount /sys/fs/cgroup/* /sys/fs/cgroup; rm -rf /walk")
    end)

    local function walk()
        local list = { remote.open("h1") }
        list[2] = list[1]:ssh("h2", { config = lab.ssh_config(), user = "deploy" })
        list[3] = list[2]:sudo()
        list[4] = list[3]:podman("walk", { args = PODMAN })
        list[5] = list[4]:localhost { name = "last" }
        return list
    end

    local function route_of(link) return table.concat(ROUTES, "/", 1, link) end

    it("calls, moves a file, and runs a command with live output at its end", function()
        if why then return pending(why) end
        local list = walk()
        finally(function() list[1]:close() end)
        local last = list[5]
        for link, ctx in ipairs(list) do assert.are.equal(route_of(link), ctx.route) end
        assert.are.equal("0", last:call(function() return io.popen("id -u"):read "*l" end))

        local source, back = os.tmpname(), os.tmpname()
        finally(function()
            list[1]:close()
            os.remove(source)
            os.remove(back)
        end)
        assert.are.equal(0, (lab.run { "sh", "-c", "head -c 67108864 /dev/urandom >" .. source }))
        assert.are.equal(67108864, last:put(source, "/tmp/there").sent)
        last:get("/tmp/there", back)
        assert.are.equal(0, (lab.run { "cmp", source, back }))

        local lines = orrery.receiver()
        local sender = lines:sender()
        local command = orrery.spawn(function()
            local function forward(line) sender:send(line) end
            return last:run({ "sh", "-c", "echo one; sleep 1000" }, { on_stdout = forward })
        end)
        assert.are.equal("one", lines:get(20))
        assert.is_false(command:done())
        command:cancel()
        remote.failure(command.get, command)
    end)

    for link = 1, #ROUTES do
        it("ends what waits behind " .. ROUTES[link] .. " with one error that names it", function()
            if why then return pending(why) end
            local list = walk()
            finally(function() list[1]:close() end)
            local calls = {}
            for i, ctx in ipairs(list) do
                calls[i] = ctx:call_async(function() require("orrery").sleep(1000) end)
                ctx:call(function() end)
            end
            list[link]:cast(function() os.execute "kill -9 $PPID" end)
            for i = link, #ROUTES do
                local count = 0
                calls[i]:on_done(function() count = count + 1 end)
                local err = remote.failure(calls[i].get, calls[i], 30)
                assert.are.equal(1, count)
                assert.are.equal("dead", err.code)
                assert.are.equal(route_of(i), err.route)
                if i > link then assert.matches("lost with " .. route_of(link) .. ": ", err.message, 1, true) end
            end
            for i = 1, link - 1 do
                assert.are.equal(i, list[i]:call(function(n) return n end, i))
                assert.is_false(calls[i]:done())
            end
        end)
    end
end)
