-- Archives: from the controller and on the target, of each kind that the target can unpack.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local sys = require "orrery.sys"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local COMMANDS = {
    tar = "tar -cf $1 -C $2 .", gzip = "tar -czf $1 -C $2 .", xz = "tar -cJf $1 -C $2 .",
    zstd = "tar -c -C $2 . | zstd -q >$1", bzip2 = "tar -cjf $1 -C $2 .", zip = "cd $2 && python3 -m zipfile -c $1 app",
}

local function make(kind, here)
    local path = here .. "/archive." .. kind
    local code, _, why = lab.run { "sh", "-c", COMMANDS[kind], "sh", path, here .. "/tree" }
    assert.are.equal(0, code, why)
    return path
end

describe("an archive", function()
    local here
    setup(function()
        here = remote.directory()
        local code, _, why = lab.run { "sh", "-c", [[cd $1 && mkdir -p tree/app/bin tree/app/empty && cd tree/app &&
            echo 1 >version && echo run >bin/run && chmod 750 bin/run && ln -s bin/run link && mkdir -m 700 private &&
            head -c 300000 /dev/urandom >private/data && touch -d 2020-01-02T03:04:05Z version]], "sh", here }
        assert.are.equal(0, code, why)
    end)
    teardown(function() remote.remove(here) end)

    support.each(function(target)
        local dest, seen
        before_each(function() dest, seen = target.dir .. "/d/app", target.seen .. "/d/app" end)
        after_each(function() target.ctx:run { "rm", "-rf", target.dir .. "/d", "/var/lib/orrery/unarchive" } end)

        local function records()
            local r = target.ctx:shell "ls /var/lib/orrery/unarchive 2>/dev/null | wc -l"
            return tonumber(r.stdout)
        end

        local function holds_all()
            assert.are.equal("1\n", remote.slurp(seen .. "/version"))
            assert.are.equal("bin/run", sys.readlink(seen .. "/link"))
            assert.are.equal(0x1e8, sys.stat(seen .. "/bin/run").mode)
            assert.are.equal(0x1c0, sys.stat(seen .. "/private").mode)
            assert.are.equal(300000, sys.stat(seen .. "/private/data").size)
            assert.are.equal(1577934245, sys.stat(seen .. "/version").mtime)
            assert.are.equal("directory", sys.stat(seen .. "/empty").type)
            assert.are.equal("bin empty link private version", table.concat(remote.names(seen), " "))
        end

        for _, kind in ipairs { "tar", "gzip", "xz", "bzip2", "zstd" } do
            it("is unpacked: " .. kind, function()
                local program = kind == "tar" and ":" or kind .. " --help"
                local has = target.ctx:run({ "sh", "-c", program }, { check = false })
                if has.code == 127 then
                    local err = remote.failure(function()
                        target.h:unarchive { src = make(kind, here), dest = dest }
                    end)
                    assert.matches("cannot unpack it %(" .. kind .. "%): .*not found", err.message)
                    assert.is_nil(sys.lstat(target.seen .. "/d"))
                    return
                end
                local archive = make(kind, here)
                local function all(h) return h:unarchive { src = archive, dest = dest, strip = 1 } end
                -- Tar's own "." is no part of a path, so "app" is what is stripped.
                assert.are.equal(7, support.converges(target, all).files)
                holds_all()
                support.stays(target, all)
                target.ctx:run { "rm", "-rf", target.dir .. "/d" }
            end)
        end

        it("is unpacked: zip", function()
            local archive = make("zip", here)
            local function all(h) return h:unarchive { src = archive, dest = dest, strip = 1 } end
            support.converges(target, all)
            assert.are.equal("1\n", remote.slurp(seen .. "/version"))
            assert.are.equal(300000, sys.stat(seen .. "/private/data").size)
        end)

        it("is unpacked again where something of it was changed", function()
            local archive = make("gzip", here)
            local function all(h) return h:unarchive { src = archive, dest = dest, strip = 1 } end
            all(target.h)
            for _, damage in ipairs {
                function() remote.write(seen .. "/version", "2\n") end,
                function() sys.unlink(seen .. "/bin/run") end,
                function()
                    sys.unlink(seen .. "/link")
                    sys.symlink("version", seen .. "/link")
                end,
                function() sys.rmdir(seen .. "/empty") end,
            } do
                damage()
                support.converges(target, all)
                holds_all()
            end
            remote.write(seen .. "/more", "stays")
            support.stays(target, all)
            local count = records()
            remote.write(here .. "/tree/app/version", "3\n")
            make("gzip", here)
            support.converges(target, all)
            assert.are.equal("3\n", remote.slurp(seen .. "/version"))
            assert.are.equal("stays", remote.slurp(seen .. "/more"))
            assert.are.equal(count, records())
            remote.write(here .. "/tree/app/version", "1\n")
            sys.utimes(here .. "/tree/app/version", 1577934245)
        end)

        it("may be on the target, and be chosen from", function()
            local archive = make("gzip", here)
            target.ctx:put(archive, target.dir .. "/on-target")
            support.converges(target, function(h)
                return h:unarchive { remote_src = target.dir .. "/on-target", dest = dest, strip = 1,
                    include = "bin/*" }
            end)
            assert.are.equal("bin", table.concat(remote.names(seen), " "))
            target.ctx:run { "rm", "-rf", dest }
            support.converges(target, function(h)
                return h:unarchive { remote_src = target.dir .. "/on-target", dest = dest, strip = 1,
                    exclude = { "private/", "v*", "/link" }, owner = 1000, group = 1000 }
            end)
            assert.are.equal("bin empty", table.concat(remote.names(seen), " "))
            local st = sys.stat(seen .. "/bin/run")
            assert.are.same({ 1000, 1000, 0x1e8 }, { st.uid, st.gid, st.mode })
            target.ctx:run { "rm", target.dir .. "/on-target" }
        end)

        it("is not looked at where what it creates is there", function()
            support.stays(target, function(h)
                return h:unarchive { remote_src = "/none", dest = dest, creates = target.dir }
            end)
        end)

        it("that is damaged changes nothing", function()
            local archive = make("gzip", here)
            local whole = remote.slurp(archive)
            remote.write(here .. "/short", whole:sub(1, 100000))
            remote.write(here .. "/nonsense", "nonsense")
            for name, why in pairs { short = "cannot unpack it %(gzip%)", nonsense = "no archive that is known" } do
                local err = remote.failure(function()
                    target.h:unarchive { src = here .. "/" .. name, dest = dest .. "/deep" }
                end)
                assert.matches(why, err.message)
                assert.is_nil(sys.lstat(target.seen .. "/d"))
            end
            target.ctx:run { "mkdir", "-p", dest .. "/version" }
            local err = remote.failure(function() target.h:unarchive { src = archive, dest = dest, strip = 1 } end)
            assert.matches("/version is a directory, and a file in the archive", err.message)
            assert.are.equal("version", table.concat(remote.names(seen), " "))
        end)

        it("that is not there", function()
            local err = support.fails(target, function(h)
                return h:unarchive { remote_src = target.dir .. "/none", dest = dest }
            end)
            assert.matches("cannot read .*/none: No such file", err.message)
            local foreseen = support.unchanged_in_check_mode(target, function(h)
                return h:unarchive { remote_src = target.dir .. "/none", dest = dest }
            end)
            assert.is_true(foreseen.unknown)
            err = support.fails(target, function(h) return h:unarchive { dest = dest } end)
            assert.matches("one of src and remote_src", err.message)
        end)
    end)

    describe("[h1, as a user]", function()
        if not lab.need(2, { foreign = true, isolated = true }) then return end
        it("is unpacked, written down in the user's own place, and may be edited", function()
            local ctx = remote.open("h1", { user = "deploy" })
            local target = { name = "h1", ctx = ctx, dir = ctx:shell("mktemp -d /tmp/spec.XXXXXX").stdout:match "%S+" }
            target.seen, target.h = remote.seen("h1", target.dir), support.host(ctx)
            finally(function()
                ctx:shell("rm -rf $1 ~/.local/state/orrery", target.dir)
                ctx:close()
            end)
            local archive, dest = make("gzip", here), target.dir .. "/app"
            support.converges(target, function(h) return h:unarchive { src = archive, dest = dest, strip = 1 } end)
            assert.are.equal("1\n", ctx:shell("ls ~/.local/state/orrery/unarchive | wc -l").stdout)
            support.converges(target, function(h)
                return h:line { path = dest .. "/version", line = "more", backup = true, mode = "600" }
            end)
            assert.are.equal("1\nmore\n", remote.slurp(target.seen .. "/app/version"))
            local err = support.fails(target, function(h)
                return h:line { path = dest .. "/version", line = "x", owner = "root" }
            end)
            assert.matches("Operation not permitted", err.message)
        end)
    end)
end)
