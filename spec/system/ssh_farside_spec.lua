--- What the far side does before an agent runs there: login shells, their start-up files, homes, and
--- accounts that are not for us. One account for each row, on a real sshd.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local HOST = "h1"
local SOON = 0.5 -- seconds: for what is meant to hang
local ODD = [[a 'b' "c" $HOME `d` \e * ? ! ~ ; & | < > ( ) { } [ ] # % ^ = é]] .. "\n\ttab"

-- Quiet accounts can log in with the clients' key wherever their home is, or is not.
local SSHD = {
    "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys_for_all",
    "Match User forced", "    ForceCommand echo only backups here; echo go away >&2",
    "Match User endless", "    ForceCommand cat",
    "Match User sftponly", "    ForceCommand internal-sftp",
    "Match User banner", "    Banner /etc/ssh/banner",
    "Match User nosession", "    MaxSessions 0",
    "Match User caged", "    ChrootDirectory /opt/empty",
}

describe("the far side", function()
    if not lab.need(2, { isolated = true }) then return end

    local here, root, count = nil, nil, 0

    setup(function()
        here, root = remote.directory(), lab.root(HOST)
        remote.write(here .. "/small", "some text\n")
        lab.exec("h2", "install -m 644 /root/.ssh/authorized_keys /etc/ssh/keys_for_all")
        lab.sshd("h2", SSHD[1]) -- this one uses PAM
        lab.exec(HOST, [[
            install -m 644 /root/.ssh/authorized_keys /etc/ssh/keys_for_all
            echo "Welcome to the machine" >/etc/ssh/banner
            ln -sf /usr/bin/busybox /bin/ash
            mkdir -p /opt/empty /opt/onlysh && ln -sf /bin/dash /opt/onlysh/sh]])
        lab.sshd(HOST, unpack(SSHD))
    end)

    teardown(function()
        lab.sshd(HOST)
        lab.sshd "h2"
        remote.remove(here)
    end)

    local function on_host(line, host)
        local code, stdout, stderr = lab.exec(host or HOST, line)
        assert.are.equal(0, code, stderr)
        return stdout
    end

    local function leftovers(host)
        for _, process in pairs(lab.processes(host)) do
            local is_listener = process.ppid == 0 or process.command:find("[listener]", 1, true)
            if not is_listener and process.state ~= "Z" then return process.command end
        end
        local text = on_host([[find /home /tmp /var/tmp /dev/shm /opt -xdev \( -name 'orrery-*-*' -o \
            -name '.????????????????????????' \) 2>/dev/null; true]], host)
        return text ~= "" and text or nil
    end

    -- `then_do` gets what the row is about; afterwards nothing may be left but the agent in its cache.
    local function visit(row, then_do)
        count = count + 1
        local host = row.host or HOST
        local name = row.name or ("far" .. count)
        local home = row.home or "/home/" .. name
        local function fill(text) return (text:gsub("USER", name):gsub("~", home)) end
        lab.user(host, name, row)
        if row.before then on_host(fill(row.before), host) end
        local opened = {}
        local function open(opts)
            local all = { config = lab.ssh_config(), user = name, bootstrap_timeout = row.timeout }
            for key, value in pairs(opts or {}) do all[key] = value end
            opened[#opened + 1] = orrery.ssh(host, all)
            return opened[#opened]
        end
        local ok, err = pcall(then_do, open, home)
        for _, ctx in ipairs(opened) do ctx:close() end
        local is_clean, what = pcall(remote.eventually, "a clean host", function() return not leftovers(host) end)
        if row.after then on_host(fill(row.after), host) end
        if not ok then error(err, 0) end
        assert.is_true(is_clean, tostring(what) .. ": " .. tostring(leftovers(host)))
    end

    local function use(ctx)
        assert.are.equal(42, ctx:call(function(a, b) return a * b end, 6, 7))
        assert.are.equal(ODD, ctx:run({ "printf", "%s", ODD }).stdout)
        assert.are.equal(ODD, ctx:shell('printf %s "$1"', ODD).stdout)
    end

    -- Where the agent was put, and that others have no access to it.
    local function cache_of(ctx)
        local path = ctx:shell("readlink /proc/$PPID/exe").stdout:match("^(.*)/agent%-%x+\n$")
        assert.are.equal("700 700\n", (ctx:shell('cd "$1" && stat -c %a . agent-* | xargs', path).stdout))
        return path
    end

    describe("login shell", function()
        for name, path in pairs {
            bash = "/bin/bash", dash = "/bin/dash", zsh = "/bin/zsh", ["bsd-csh"] = "/bin/bsd-csh",
            tcsh = "/bin/tcsh", fish = "/usr/bin/fish", ksh = "/bin/ksh93", busybox = "/bin/ash",
        } do
            it(name, function()
                visit({ shell = path }, function(open, home)
                    for _, way in ipairs { "libssh2", "openssh" } do
                        local ctx = open { transport = way }
                        use(ctx)
                        assert.are.equal(path .. "\n", ctx:shell("echo $SHELL").stdout)
                        ctx:put(here .. "/small", home .. "/" .. way)
                        assert.are.equal("some text\n", remote.slurp(root .. home .. "/" .. way))
                        assert.are.equal(way == "libssh2", ctx:info().uploaded > 0)
                        ctx:close()
                    end
                end)
            end)
        end
    end)

    describe("start-up files that say", function()
        local noise = {
            ["a line"] = "echo Welcome",
            ["text without an end of line"] = "printf Welcome",
            ["something on stderr"] = "printf 'stty: standard input: Inappropriate ioctl for device' >&2",
            ["100 KB"] = "yes 'Mind the gap' | head -c 102400",
            ["100 KB on stderr"] = "yes 'Mind the gap' | head -c 102400 >&2",
            ["what looks like a marker"] = "echo 0123456789abcdef01234567 agent; "
                .. "echo 0123456789abcdef01234567 need Linux x86_64 gz /tmp; echo agent",
            ["control characters"] = [[printf '\033[2J\033[H\007\000\377\r']],
            ["that there is no terminal"] = "stty -a; tty; tput cols; mesg n; true",
        }
        local everything = {}
        for what, line in pairs(noise) do
            everything[#everything + 1] = line
            it(what, function()
                visit({ files = { [".bashrc"] = line .. "\n" } }, function(open)
                    local ctx = open()
                    use(ctx)
                    ctx:close()
                end)
            end)
        end
        for shell, file in pairs {
            ["/bin/bash"] = ".bashrc", ["/bin/zsh"] = ".zshenv", ["/bin/tcsh"] = ".tcshrc",
            ["/bin/bsd-csh"] = ".cshrc", ["/usr/bin/fish"] = ".config/fish/config.fish",
        } do
            it(("all of that, in %s of %s"):format(file, shell), function()
                -- The redirections of csh are not those of sh.
                local csh = shell:find("csh", 1, true)
                local text = table.concat(everything, "\n") .. "\ncd /usr/share\n"
                if csh then text = text:gsub("[^\n]*>&2[^\n]*\n", "") end
                visit({ shell = shell, files = { [file] = text } }, function(open)
                    local ctx = open()
                    use(ctx)
                    assert.are.equal("/usr/share\n", ctx:shell("pwd").stdout) -- so it was read
                    ctx:close()
                end)
            end)
        end
        it("something in ~/.ssh/rc, and fail", function()
            visit({ files = { [".ssh/rc"] = "echo Welcome; echo oops >&2; exit 4\n" } }, function(open)
                local ctx = open()
                use(ctx)
                ctx:close()
            end)
        end)
        it("a banner of sshd's", function()
            visit({ name = "banner" }, function(open)
                for _, way in ipairs { "libssh2", "openssh" } do
                    local ctx = open { transport = way }
                    use(ctx)
                    ctx:close()
                end
            end)
        end)
    end)

    -- Lines for .bashrc, and where the agent is to be found afterwards: HOME, VAR (/var/tmp), or a path.
    describe("start-up files that", function()
        for what, row in pairs {
            ["unset HOME"] = { "unset HOME", "VAR" },
            ["empty HOME"] = { "export HOME=", "VAR" },
            ["make HOME relative"] = { "export HOME=here", "VAR" },
            ["set XDG_CACHE_HOME"] = { "export XDG_CACHE_HOME=~/store", "HOME/store/orrery" },
            ["make XDG_CACHE_HOME relative"] = { "export XDG_CACHE_HOME=store", "VAR" },
            ["put what does not exist into PATH"] = { "PATH='/a b:/nowhere:/usr/bin:.'" },
            ["change the directory"] = { "cd /usr/share" },
            ["set -e"] = { "set -e" },
            ["set -u"] = { "set -u" },
            ["set odd variables"] = { "export _m=1 _d=2 IFS=/ CDPATH=/usr PWD=/ POSIXLY_CORRECT=1 ENV=/etc/profile" },
            ["set an unknown locale"] = { "export LANG=tr_TR.UTF-8 LC_ALL=xx_YY" },
            ["replace commands"] = { "alias exec=false; sh() { echo no; }; cd() { false; }" },
            ["set a trap"] = { "trap 'echo bye' EXIT" },
            ["are strict with umask"] = { "umask 077", umask = "0077\n" },
            ["are lax with umask"] = { "umask 000", umask = "0000\n" },
        } do
            it(what, function()
                visit({ files = { [".bashrc"] = row[1] .. "\n" } }, function(open, home)
                    local ctx = open()
                    use(ctx)
                    local uid = ctx:shell("id -u").stdout:match("%d+")
                    local expected = (row[2] or "HOME/.cache/orrery"):gsub("HOME", home)
                        :gsub("VAR", "/var/tmp/orrery-" .. uid)
                    assert.are.equal(expected, cache_of(ctx))
                    if row.umask then assert.are.equal(row.umask, ctx:shell("umask").stdout) end
                    ctx:close()
                    ctx = open()
                    assert.are.equal(0, ctx:info().uploaded)
                    ctx:close()
                end)
            end)
        end
    end)

    local ALL_FULL = "for d in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o size=64k,mode=1777 tmpfs $d; done"
    local NONE_FULL = "umount /tmp /var/tmp /dev/shm"

    -- What is prepared on the host as root, and where the agent goes then.
    describe("a home that is", function()
        for what, row in pairs {
            ["missing"] = { make_home = false, place = "VAR" },
            ["read-only"] = { before = "chmod 555 ~; chown root ~", place = "VAR" },
            ["on a read-only file system"] = {
                before = "mount -t tmpfs -o ro,mode=755 tmpfs ~", after = "umount -l ~", place = "VAR" },
            ["on a noexec file system"] = {
                before = "mount -t tmpfs -o noexec,mode=777 tmpfs ~", after = "umount -l ~", place = "VAR" },
            ["full"] = {
                before = "mount -t tmpfs -o size=64k,mode=777 tmpfs ~", after = "umount -l ~", place = "VAR" },
            ["there, where /tmp is not"] = {
                before = "mv /tmp /tmp.off", after = "mv /tmp.off /tmp", place = "~/.cache/orrery" },
            ["missing, like /tmp and /var/tmp"] = {
                make_home = false, before = "mv /tmp /tmp.off; mv /var/tmp /var/tmp.off",
                after = "mv /tmp.off /tmp; mv /var/tmp.off /var/tmp", place = "/dev/shm/orrery-UID" },
            ["a link to another"] = {
                before = "rm -rf ~.real; mkdir ~.real; chown USER ~.real; rmdir ~; ln -s ~.real ~",
                place = "~.real/.cache/orrery" },
        } do
            it(what, function()
                visit(row, function(open, home)
                    for _, sent in ipairs { true, false } do
                        local ctx = open()
                        use(ctx)
                        local uid = ctx:shell("id -u").stdout:match("%d+")
                        assert.are.equal((row.place:gsub("VAR", "/var/tmp/orrery-UID"):gsub("~", home)
                            :gsub("UID", uid)), cache_of(ctx))
                        assert.are.equal(sent, ctx:info().uploaded > 0)
                        ctx:close()
                    end
                end)
            end)
        end
    end)

    it("does not trust a cache that others can write to", function()
        visit({}, function(open, home)
            local ctx = open()
            local cache = cache_of(ctx)
            ctx:close()
            -- Somebody else's agent, under the right name, and then a link to a good one.
            on_host(("cd %s && chmod 777 . && a=$(echo agent-*) && mv $a /opt/good && "
                .. "printf '#!/bin/sh\necho hacked >/opt/hacked\n' >$a && chmod 755 $a"):format(cache))
            ctx = open()
            use(ctx)
            assert.matches("^/var/tmp/orrery%-%d+$", cache_of(ctx))
            ctx:close()
            on_host(("rm -rf /var/tmp/orrery-*; mv %s %s.real; ln -s %s.real %s; "
                .. "test ! -e /opt/hacked"):format(cache, cache, cache, cache))
            ctx = open()
            assert.matches("^/var/tmp/orrery%-%d+$", cache_of(ctx))
            ctx:close()
            assert.are.equal(home .. "/.cache/orrery.real\n",
                on_host(("readlink %s/.cache/orrery"):format(home)))
        end)
    end)

    it("keeps nothing where it is told so, with the same fallbacks", function()
        visit({ before = "chmod 755 /tmp /dev/shm", after = "chmod 1777 /tmp /dev/shm" }, function(open, home)
            local ctx = open { no_cache = true }
            use(ctx)
            ctx:close()
            assert.are.equal("", on_host(("find %s /var/tmp -name '*orrery*' -newer /etc/ssh/banner "
                .. "-user $(stat -c %%U %s)"):format(home, home)))
        end)
    end)

    -- The code, and words of the message. What sshd refuses itself, it does not explain.
    describe("says why there is no agent:", function()
        local HANGS = "neither ends nor starts sh: a forced command, or a login script that waits for input"
        for what, row in pairs {
            ["/bin/false"] = { shell = "/bin/false",
                says = { "status 1 (the login shell ended before sh ran: it refuses commands" } },
            ["nologin"] = { shell = "/usr/sbin/nologin", says = {
                "(the login shell of this account refuses commands)",
                "it printed: This account is currently not available." } },
            ["nologin, in the site's own words"] = { shell = "/usr/sbin/nologin",
                before = "echo 'Back on Monday' >/etc/nologin.txt", after = "rm /etc/nologin.txt",
                says = { "This account is currently not available" } },
            ["a restricted shell"] = { shell = "/bin/rbash",
                says = { "(the login shell of this account is restricted)", "exec: restricted" } },
            ["a forced command"] = { name = "forced", says = {
                "something else ran than what was asked for: a forced command",
                "it printed: only backups here", "stderr: go away" } },
            ["a command in authorized_keys"] = {
                before = [[mkdir ~/.ssh; sed 's/^/command="echo just dumps" /' /etc/ssh/keys_for_all \
                    >~/.ssh/authorized_keys; chown -R USER ~/.ssh]],
                says = { "a forced command", "it printed: just dumps" } },
            ["a forced command that does not end"] = { name = "endless", timeout = SOON, code = "timeout",
                says = { HANGS } },
            ["sftp only"] = { name = "sftponly",
                says = { "(this account is for sftp only", "This service allows sftp connections only." } },
            ["a start-up file that ends the shell"] = { files = { [".bashrc"] = "exit 3\n" },
                says = { "status 3 (the login shell ended before sh ran", "a start-up file such as .bashrc" } },
            ["one that fails under set -e"] = { files = { [".bashrc"] = "set -e\nfalse\n" },
                says = { "status 1 (the login shell ended before sh ran", "a start-up file such as .bashrc" } },
            ["one that starts another shell"] = { files = { [".bashrc"] = "exec zsh\n" },
                timeout = SOON, code = "timeout", says = { HANGS } },
            ["one that waits for input"] = { files = { [".bashrc"] = "echo 'Name?'; read name\n" },
                timeout = SOON, code = "timeout", says = { HANGS, "it printed: Name?" } },
            ["one that takes stdin away"] = { files = { [".bashrc"] = "exec </dev/null\n" },
                says = { "while taking the agent into", "did its stdin end? a login script may redirect it" } },
            ["one that takes stdout away"] = { files = { [".bashrc"] = "exec >/dev/null\n" },
                timeout = SOON, code = "timeout", says = { HANGS } },
            ["a limit on CPU time"] = { files = { [".bashrc"] = "ulimit -t 0; while :; do :; done\n" },
                says = { "signal KILL (is there a limit on the time or memory" } },
            ["a limit on the size of files"] = { files = { [".bashrc"] = "ulimit -f 100\n" },
                says = { "can hold the agent", ".cache/orrery: File too large" } },
            ["an empty PATH"] = { files = { [".bashrc"] = "PATH=\n" },
                says = { "status 127 (there seems to be no sh in the PATH)" } },
            ["a PATH with nothing but sh"] = { files = { [".bashrc"] = "PATH=/opt/onlysh\n" },
                says = { "there is no uname command in the PATH: /opt/onlysh" } },
            ["no writable directory"] = { make_home = false, before = "chmod 755 /tmp /var/tmp /dev/shm",
                after = "chmod 1777 /tmp /var/tmp /dev/shm", says = {
                    "no directory here can hold the agent; tried ~/.cache/orrery: Permission denied; "
                        .. "/var/tmp/orrery-", "; /tmp/orrery-", "; /dev/shm/orrery-" } },
            ["only noexec and full ones"] = {
                before = "mount -t tmpfs -o noexec,mode=777 tmpfs ~; " .. ALL_FULL,
                after = "umount -l ~; " .. NONE_FULL, says = {
                    "tried ~/.cache/orrery: noexec; /var/tmp/orrery-", ": No space left on device; /tmp/orrery-" } },
            ["a login shell that is not there"] = { shell = "/bin/nosuch", code = "auth",
                says = { "does not let user USER in: tried ", "(refused)", "; the server allows: publickey" } },
            ["a host that is closed"] = { before = "echo Down for maintenance >/etc/nologin",
                after = "rm /etc/nologin",
                says = { "status 254 (nobody may log in there now)", "Down for maintenance" } },
            ["a chroot without a shell"] = { name = "caged", says = {
                "(the login shell is not there: is it a chroot", "/bin/bash: No such file or directory" } },
            ["a server that gives no session"] = { name = "nosession", code = "connect",
                says = { "opens no session for user nosession" } },
            ["a password that has expired"] = { host = "h2", shadow = "*:0:0:99999:7:::",
                says = { "(the password of this account has expired)", "Password change required" } },
            ["an expired account, with PAM"] = { host = "h2", shadow = "*:19000:0:99999:7::1:", code = "auth",
                says = { "closed the connection during authentication; has the account expired?" } },
            ["an account that has expired"] = { shadow = "*:19000:0:99999:7::1:", code = "auth",
                says = { "does not let user USER in: tried " } },
            ["a locked account"] = { shadow = "!:19000:0:99999:7:::", code = "auth",
                says = { "does not let user USER in: tried " } },
        } do
            it(what, function()
                visit(row, function(open, home)
                    local err = remote.failure(open)
                    assert.are.equal(row.code or "bootstrap", err.code, err.message)
                    for _, text in ipairs(row.says) do
                        text = text:gsub("~", home):gsub("USER", home:match("[^/]+$"))
                        assert.matches(text, err.message, 1, true)
                    end
                    assert.are.equal("ssh:" .. (row.host or HOST), err.route)
                end)
            end)
        end
    end)
end)
