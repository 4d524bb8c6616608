--- Ways into a child by a command, on this machine; sudo has a file of its own.

local ffi = require "ffi"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard { timeout = 10, allow = { "thread %d+ 'orrery%-file'" } }

-- What is to be done at the end of a test, the last first; `finally` takes one thing only.
local ends = {}
local function at_end(fn) ends[#ends + 1] = fn end
local function run_ends()
    while #ends > 0 do table.remove(ends)() end
end

pcall(ffi.cdef, "int setenv(const char *name, const char *value, int overwrite);")
pcall(ffi.cdef, "int unsetenv(const char *name);")

local BUSYBOX = lab.run { "test", "-x", "/usr/bin/busybox" } == 0 and "/usr/bin/busybox" or "/bin/busybox"

describe("a launcher", function()
    if lab.run { "test", "-w", "/etc/shadow" } ~= 0 then return pending "launchers need root" end

    local here, root
    setup(function()
        here = remote.directory()
        root = here .. "/root"
        -- What is opened on this machine leaves no agent in the user's own cache.
        ffi.C.setenv("XDG_CACHE_HOME", here .. "/cache", 1)
        lab.run { "sh", "-c", [[
            mkdir -p "$0/bin" "$0/proc" "$0/dev/shm" "$0/etc" "$0/tmp" "$0/root" "$0/run" "$0/sys"
            chmod 755 "${0%/*}"
            cp "$1" "$0/bin/busybox"
            chroot "$0" /bin/busybox --install -s /bin
            cp -a /dev/null "$0/dev/null"
            chmod 1777 "$0/tmp"
            echo 'root:x:0:0::/root:/bin/sh' >"$0/etc/passwd"
            echo 'app:x:1234:1234::/nowhere:/bin/sh' >>"$0/etc/passwd"
            echo 'root:x:0:' >"$0/etc/group"
            echo 'app:x:1234:' >>"$0/etc/group"]], root, BUSYBOX }
    end)
    teardown(function()
        ffi.C.unsetenv "XDG_CACHE_HOME"
        remote.remove(here)
    end)
    after_each(run_ends)

    -- A program that records its command line and runs what is behind the last "sh" in it.
    local function stand_in(name)
        local path = here .. "/" .. name
        remote.write(path, [[#!/bin/sh
            printf '%s\n' "${0##*/}" "$@" >"$0.said"
            while [ "$1" != sh ] || [ "$#" -gt 3 ]; do shift; done
            exec "$@"]])
        lab.run { "chmod", "755", path }
        return path
    end

    -- The words of it, up to the shell that it ran.
    local function said(path)
        return (remote.slurp(path .. ".said"):gsub("\nsh\n%-c\n.*$", ""):gsub("\n", " "))
    end

    local function check(ctx, expected)
        at_end(function() ctx:close() end)
        assert.are.equal(expected, ctx.route)
        assert.are.equal(42, ctx:call(function(a, b) return a * b end, 6, 7))
        remote.write(here .. "/file", "content")
        ctx:put(here .. "/file", "/tmp/spec-launcher")
        assert.are.equal("content", ctx:shell("cat /tmp/spec-launcher; rm /tmp/spec-launcher").stdout)
        return ctx
    end

    -- A sanitized agent is not static: it runs where there are libraries only.
    local function in_root(name, body)
        it(name, function()
            if remote.sanitized then return pending "a sanitized agent cannot run in a root without libraries" end
            body()
        end)
    end

    in_root("is any command that ends in a shell", function()
        local ctx = check(orrery.exec { "chroot", root, "sh" }, "exec:chroot")
        assert.are.equal("chroot as a subprocess", ctx:info().how)
        assert.matches("busybox", ctx:shell("readlink /bin/ls").stdout)
        ctx = orrery.exec({ "env", "A=1", "sh", "-c", "B=2 exec sh -c '{}'" }, nil)
        assert.are.equal("1 2\n", ctx:shell("echo $A $B", nil).stdout)
        ctx:close()
        assert.are.equal("option", remote.failure(orrery.exec, {}).code)
        assert.are.equal("option", remote.failure(orrery.exec, { "sh", cahce = "/x" }).code)
    end)

    in_root("is chroot", function()
        local ctx = check(orrery.chroot(root), "chroot:" .. root)
        assert.are.equal(root, ctx.name)
        assert.are.equal("/\n", ctx:shell("pwd").stdout)
        ctx = orrery.chroot(root, { user = "app:app", name = "app" })
        assert.are.equal("app", ctx.name)
        assert.are.equal("1234 1234\n", ctx:shell("echo $(id -u) $(id -g)").stdout)
        ctx:close()
        local err = remote.failure(orrery.chroot, here .. "/missing")
        assert.are.equal("connect", err.code)
        assert.matches("chroot: it cannot go there: chroot: cannot change root directory to '.*/missing': No such file",
            err.message)
        lab.run { "mkdir", "-p", here .. "/empty" }
        err = remote.failure(orrery.chroot, here .. "/empty")
        assert.are.equal("bootstrap", err.code)
        assert.matches("chroot: it cannot run sh there: ", err.message, 1, true)
    end)

    in_root("is unshare, and nsenter into what that made", function()
        local ctx = check(orrery.unshare(), "unshare:mount+uts+ipc+pid")
        ctx:run { "hostname", "inside" }
        assert.are_not.equal("inside", (select(2, lab.run { "hostname" }):gsub("\n", "")))
        assert.is_true(ctx:info().pid < 1000)
        local outer = remote.eventually("its process", function()
            for _, pid in ipairs(remote.processes("local", "agent-")) do
                local text = remote.slurp(("/proc/%d/status"):format(pid)) or ""
                if text:match("NSpid:%s*%d+%s+" .. ctx:info().pid .. "\n") then return pid end
            end
        end)
        local other = check(orrery.nsenter(outer), "nsenter:" .. outer)
        assert.are.equal("inside\n", other:shell("hostname").stdout)
        local net = orrery.nsenter { pid = tostring(outer), namespaces = { "net" } }
        assert.are_not.equal("inside\n", net:shell("hostname").stdout)
        net:close()
        local inner = orrery.unshare { root = root, map_root = true, namespaces = { "user", "mount", "pid" } }
        assert.are.equal("unshare:" .. root, inner.route)
        assert.are.equal(0, inner:info().uid)
        inner:close()
        local err = remote.failure(orrery.nsenter, 2 ^ 22 + 1)
        assert.are.equal("connect", err.code)
        assert.matches("there is no such process", err.message, 1, true)
        assert.are.equal("option", remote.failure(orrery.nsenter, 1, { namespaces = { "nett" } }).code)
    end)

    it("is machinectl, by way of the machine's first process", function()
        local ctx = orrery.unshare()
        at_end(function() ctx:close() end)
        ctx:run { "hostname", "machine" }
        local outer
        for _, pid in ipairs(remote.processes("local", "agent-")) do
            local text = remote.slurp(("/proc/%d/status"):format(pid)) or ""
            if text:match("NSpid:%s*%d+%s+" .. ctx:info().pid .. "\n") then outer = pid end
        end
        remote.write(here .. "/machinectl", ("#!/bin/sh\necho \"$@\" >$0.said; echo %d\n"):format(outer))
        lab.run { "chmod", "755", here .. "/machinectl" }
        local program = remote.program([[
            local ctx = orrery.machinectl "m1"
            say(ctx.route, ctx:call(function() return io.open("/proc/sys/kernel/hostname"):read("*l") end))
            ctx:close()
        ]], { "env", "PATH=" .. here .. ":" .. os.getenv "PATH" })
        local text = program:rest()
        assert.are.equal("machinectl:m1 machine\n", text, program:stderr())
        program:finish()
        assert.are.equal("show --property=Leader --value -- m1\n", remote.slurp(here .. "/machinectl.said"))
    end)

    in_root("makes do with a read-only root and no home", function()
        local SCRIPT = [[
            mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && cd "$1" &&
            if [ -n "$2" ]; then mount -t tmpfs none "$1/$2"; fi &&
            exec env -u HOME -u XDG_CACHE_HOME chroot "$1" sh -c "$3"]]
        local function open(writable)
            return orrery.exec { "unshare", "-m", "sh", "-c", SCRIPT, "sh", root, writable, "{}" }
        end
        local ctx = open "dev/shm"
        assert.matches("/dev/shm/orrery-0/agent-", ctx:shell("readlink /proc/$PPID/exe || ls /dev/shm/orrery-0/agent-*")
            .stdout, 1, true)
        ctx:close()
        local err = remote.failure(open, "")
        assert.are.equal("bootstrap", err.code)
        assert.matches("/tmp/orrery%-0: Read%-only file system", err.message)
    end)

    in_root("is podman", function()
        if lab.run { "sh", "-c", "command -v podman && command -v runc" } ~= 0 then
            return pending "podman and runc are not installed"
        end
        local storage = here .. "/storage"
        local podman = { "podman", "--runtime", "runc", "--cgroup-manager=cgroupfs", "--root", storage,
            "--runroot", here .. "/runroot", "--tmpdir", here .. "/libpod" }
        local name = "spec-" .. remote.seconds(1)
        local function run(...)
            local argv = {}
            for _, words in ipairs { podman, { ... } } do
                for _, word in ipairs(words) do argv[#argv + 1] = word end
            end
            return lab.run(argv)
        end
        local code, _, stderr = run("run", "-d", "--name", name, "--network", "none", "--ulimit", "nofile=1024:1024",
            "--ulimit", "nproc=1000:1000", "--rootfs", root, "sleep", "1000000")
        at_end(function()
            run("rm", "-f", "-t", "0", name)
            -- What cleans up behind it mounts this once more, and leaves it.
            remote.eventually("the end of podman", function() return #remote.processes("local", storage) == 0 end, 20)
            while lab.run { "umount", storage .. "/overlay" } == 0 do end
        end)
        if code ~= 0 then return pending("podman starts nothing here: " .. stderr) end
        local args = { unpack(podman, 2) }
        local ctx = orrery.podman(name, { args = args, env = { SPEC = "a b" }, workdir = "/etc" })
        assert.are.equal("podman:" .. name, ctx.route)
        assert.are.equal("a b /etc\n", ctx:shell("echo \"$SPEC $PWD\"").stdout)
        assert.are.equal(42, ctx:call(function() return 42 end))
        ctx:close()
        ctx = orrery.podman(name, { args = args, user = "app" })
        assert.are.equal("1234\n", ctx:shell("id -u").stdout)
        ctx:close()
        local err = remote.failure(orrery.podman, "no-such-container", { args = args })
        assert.are.equal("connect", err.code)
        assert.matches("podman: there is no such container: ", err.message, 1, true)
    end)

    in_root("is LXC", function()
        if lab.run { "sh", "-c", "command -v lxc-start" } ~= 0 then return pending "lxc is not installed" end
        local name = "spec-" .. remote.seconds(2)
        remote.write(here .. "/lxc.conf", ([[
            lxc.rootfs.path = dir:%s
            lxc.net.0.type = empty
            lxc.uts.name = inside
            lxc.mount.auto = proc:mixed
            lxc.apparmor.profile = unconfined
            lxc.init.cmd = /bin/sleep 1000000
        ]]):format(root))
        local code, _, stderr = lab.run { "lxc-start", "-n", name, "-P", here, "-f", here .. "/lxc.conf",
            "-o", here .. "/lxc.log" }
        at_end(function() lab.run { "lxc-stop", "-k", "-n", name, "-P", here } end)
        if code ~= 0 then
            return pending("LXC starts nothing here: " .. stderr .. (remote.slurp(here .. "/lxc.log") or ""))
        end
        local ctx = check(orrery.lxc(name, { path = here }), "lxc:" .. name)
        assert.are.equal("inside", ctx:info().hostname)
        local err = remote.failure(orrery.lxc, "no-such-container", { path = here })
        assert.are.equal("connect", err.code)
        assert.matches("lxc%-attach: the container does not run: ", err.message)
    end)

    it("is a command line for what has no engine here", function()
        local function opened(name, program, opts)
            opts.program = stand_in(program)
            local ctx = orrery[name](opts)
            local route = ctx.route
            assert.are.equal(42, ctx:call(function() return 42 end))
            ctx:close()
            return said(opts.program) .. " | " .. route
        end
        assert.are.equal("docker --context far exec -i --privileged --user app --workdir /srv --env=A=1 --env=B=2 pg "
            .. "| docker:pg", opened("docker", "docker", { container = "pg", user = "app", workdir = "/srv",
            env = { B = 2, A = 1 }, privileged = true, args = { "--context", "far" } }))
        assert.are.equal("kubectl --kubeconfig=/k --context=c --namespace=prod exec -i web-0 -c app -- | "
            .. "kubectl:prod/web-0/app", opened("kubectl", "kubectl", { pod = "web-0", container = "app",
            namespace = "prod", context = "c", kubeconfig = "/k" }))
        assert.are.equal("incus exec -T --project p --user 1000 --cwd /srv --env=A=1 box -- | incus:box",
            opened("incus", "incus", { instance = "box", project = "p", uid = 1000, cwd = "/srv", env = { A = 1 } }))
        assert.are.equal("lxc exec -T box -- | lxd:box", opened("lxd", "lxc", { instance = "box" }))
    end)

    it("says which command is missing, and what it said when it failed", function()
        local err = remote.failure(orrery.docker, "pg", { program = "no-such-docker" })
        assert.are.equal("connect", err.code)
        assert.matches("docker is not installed here, or not in the PATH: no-such-docker: cannot be executed: No such "
            .. "file or directory", err.message, 1, true)
        assert.are.equal("docker:pg", err.route)
        remote.write(here .. "/docker", "#!/bin/sh\necho 'Error: No such container: pg' >&2\nexit 1\n")
        lab.run { "chmod", "755", here .. "/docker" }
        err = remote.failure(orrery.docker, "pg", { program = here .. "/docker" })
        assert.are.same({ "connect", "docker: there is no such container: Error: No such container: pg" },
            { err.code, err.message })
        remote.write(here .. "/docker", "#!/bin/sh\nexit 3\n")
        err = remote.failure(orrery.docker, "pg", { program = here .. "/docker" })
        assert.are.same({ "connect", "docker: no shell came up in pg: it exited with status 3 and said nothing" },
            { err.code, err.message })
    end)

    it("takes no target for an option", function()
        for _, target in ipairs { "-u", "", "a\nb" } do
            assert.are.equal("argument", remote.failure(orrery.docker, target).code)
        end
        assert.are.equal("option", remote.failure(orrery.docker).code)
        assert.are.equal("argument", remote.failure(orrery.unshare, "x").code)
        assert.are.equal("option", remote.failure(orrery.docker, "pg", { usr = "app" }).code)
        assert.are.equal("argument", remote.failure(orrery.docker, { container = "pg" }, {}).code)
        assert.is_nil(orrery.no_such_launcher)
    end)

    -- docs/launchers.md has this example.
    it("is what a script adds", function()
        orrery.launcher {
            name = "compose",
            target = "service",
            options = { service = { type = "string", required = true }, file = "string" },
            argv = function(o)
                return { "docker-compose", o.file and { "-f", o.file }, "exec", "-T", o.service, "sh", "-c", "{}" }
            end,
            signs = { { "No such service", "connect", "there is no such service" } },
        }
        local path = stand_in "docker-compose"
        local ctx = orrery.compose("db", { file = "prod.yml", program = path })
        assert.are.equal("context db (compose:db)", tostring(ctx))
        assert.are.equal(42, ctx:call(function() return 42 end))
        ctx:close()
        assert.are.equal("docker-compose -f prod.yml exec -T db", said(path))
        assert.are.equal("argument", remote.failure(orrery.launcher,
            { name = "ssh", argv = function() return {} end }).code)
        assert.are.equal("argument", remote.failure(orrery.launcher,
            { name = "sudo", argv = function() return {} end }).code)
        assert.are.equal("option", remote.failure(orrery.launcher, { name = "x", argvv = 1 }).code)
        orrery.launcher { name = "mute", argv = function() return { "true" } end }
        assert.matches("has no {} for what the shell is to run", remote.failure(orrery.mute).message, 1, true)
    end)

    it("that asks for a password is answered", function()
        remote.write(here .. "/gate", [[#!/bin/sh
            printf 'Welcome.\nKennwort: ' >&$1; read -r word
            if [ "$word" != sesame ]; then echo no >&2; exit 1; fi
            shift; exec "$@"]])
        lab.run { "chmod", "755", here .. "/gate" }
        orrery.launcher {
            name = "gate", prompts = true, options = { fd = { type = "number", default = 2 } },
            argv = function(o) return { here .. "/gate", o.fd, "sh", "-c", "{}" } end,
        }
        for fd = 1, 2 do
            local ctx = orrery.gate { password = "sesame", fd = fd }
            assert.are.equal(42, ctx:call(function() return 42 end))
            ctx:close()
        end
        local err = remote.failure(orrery.gate, { password = "sesam", ask = false })
        assert.are.same({ "auth", "gate: it did not let us in: Welcome. Kennwort: no" }, { err.code, err.message })
        assert.are.equal("credentials", remote.failure(orrery.gate, { ask = false }).code)
        assert.are.equal("option", remote.failure(orrery.gate, { password = "a\nb" }).code)
    end)
end)

describe("su, runuser and doas", function()
    if not lab.need(1, { isolated = true }) then return end

    local here
    setup(function() here = remote.directory() end)
    teardown(function()
        lab.exec("h1", "rm -f /etc/doas.conf")
        remote.remove(here)
    end)

    local function who(name, user, opts)
        opts.program = lab.program("h1", user, here .. "/" .. name)
        local ctx = orrery[name](opts)
        local text = ctx:shell("echo $(id -un) $HOME $PWD").stdout:gsub("\n", "")
        ctx:close()
        return text, ctx.route
    end

    it("become another user", function()
        local text, route = who("su", "root", { user = "deploy" })
        assert.are.same({ "deploy /home/deploy /", "su:deploy" }, { text, route })
        assert.are.equal("deploy /home/deploy /home/deploy", (who("su", "root", { user = "deploy", login = true })))
        assert.are.equal("nobody", (who("su", "root", { user = "nobody", shell = "/bin/sh" }):match("^%S+")))
        assert.are.equal("deploy /home/deploy /", (who("runuser", "root", { user = "deploy" })))
        text = who("runuser", "root", { user = "deploy", login = true })
        assert.are.equal("deploy /home/deploy /home/deploy", text)
        for code, opts in pairs { connect = { user = "no-such-user" }, auth = { user = "nobody" } } do
            local err = remote.failure(who, "su", "root", opts)
            assert.are.equal(code, err.code, err:format())
        end
        assert.are.equal("auth", remote.failure(who, "runuser", "deploy", { user = "pwuser" }).code)
    end)

    it("give su a password without a terminal", function()
        assert.are.equal("pwuser /home/pwuser /", (who("su", "deploy", { user = "pwuser", password = "orrery-lab" })))
        local questions = {}
        local text = who("su", "deploy", { user = "pwuser", share = false, ask = function(question)
            questions[#questions + 1] = question
            return "orrery-lab"
        end })
        assert.are.equal("pwuser /home/pwuser /", text)
        assert.are.same({ { kind = "password", host = "pwuser", subject = "pwuser", text = "pwuser: Password: ",
            detail = "", echo = false, attempt = 1 } }, questions)
        local err = remote.failure(who, "su", "deploy", { user = "pwuser", password = "sesame-1" })
        assert.are.equal("auth", err.code, err:format())
        assert.matches("su: it did not take the password: ", err.message, 1, true)
        assert.not_matches("sesame", err:format())
        err = remote.failure(who, "su", "deploy", { user = "pwuser", ask = false })
        assert.are.equal("credentials", err.code, err:format())
    end)

    it("say that doas takes a password from a terminal only", function()
        if lab.exec("h1", "command -v doas") ~= 0 then return pending "opendoas is not installed" end
        lab.exec("h1", "printf 'permit nopass deploy\\npermit pwuser\\n' >/etc/doas.conf")
        local text, route = who("doas", "deploy", {})
        assert.are.same({ "root", "doas:root" }, { text:match("^%S+"), route })
        local err = remote.failure(who, "doas", "pwuser", {})
        assert.are.equal("credentials", err.code, err:format())
        assert.matches("takes from a terminal only", err.message, 1, true)
        lab.exec("h1", "echo 'permit nopass deploy' >/etc/doas.conf")
        assert.are.equal("auth", remote.failure(who, "doas", "pwuser", {}).code)
    end)
end)
