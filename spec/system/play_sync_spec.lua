-- sync and fetch: trees and files between the controller and a target.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local sys = require "orrery.sys"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local TREE = [[mkdir -p $1/src/a/b $1/src/empty $1/src/cache && cd $1/src && echo one >one && echo two >a/two &&
head -c 700000 /dev/urandom >a/b/large && printf 'x\0y' >bin && ln -s a/two link && chmod 750 a/b && chmod 600 one &&
echo no >cache/no && echo no >no.tmp && mkfifo pipe]]

describe("a tree", function()
    local here
    before_each(function()
        here = remote.directory()
        local code, _, why = lab.run { "sh", "-c", TREE, "sh", here }
        assert.are.equal(0, code, why)
    end)
    after_each(function() remote.remove(here) end)

    support.each(function(target)
        local dest, seen
        before_each(function() dest, seen = target.dir .. "/d/www", target.seen .. "/d/www" end)
        after_each(function() target.ctx:run { "rm", "-rf", target.dir .. "/d" } end)

        local function sync(more)
            return function(h)
                local options = { src = here .. "/src", dest = dest, exclude = { "*.tmp", "/cache/" } }
                for key, value in pairs(more or {}) do options[key] = value end
                return h:sync(options)
            end
        end

        -- What is on both sides, by path, without times of directories and what is excluded.
        local function compare()
            local code, out = lab.run { "diff", "-r", "--no-dereference", "-x", "*.tmp", "-x", "cache", "-x", "pipe",
                here .. "/src", seen }
            assert.are.equal("", out)
            assert.are.equal(0, code)
        end

        it("arrives, and is not sent again", function()
            local r = support.converges(target, sync())
            compare()
            assert.are.equal(8, r.created)
            assert.are.equal(8, r.total)
            assert.are.equal(700000 + 4 + 4 + 3, r.sent)
            assert.are.equal(0x1e8, sys.stat(seen .. "/a/b").mode)
            assert.are.equal(0x180, sys.stat(seen .. "/one").mode)
            assert.are.equal(math.floor(sys.stat(here .. "/src/one").mtime), math.floor(sys.stat(seen .. "/one").mtime))
            assert.are.equal("a/two", sys.readlink(seen .. "/link"))
            local again = support.stays(target, sync())
            assert.are.equal(0, again.sent)
            support.stays(target, sync { checksums = true })
        end)

        it("is sent where it differs, and only there", function()
            sync()(target.h)
            remote.write(here .. "/src/one", "ONE\n")
            remote.write(here .. "/src/a/three", "three\n")
            sys.chmod(here .. "/src/bin", 0x1c0)
            sys.unlink(here .. "/src/link")
            sys.symlink("one", here .. "/src/link")
            local r, foreseen = support.converges(target, sync())
            assert.are.equal(4 + 6, r.sent)
            assert.are.same({ 1, 3, 0 }, { r.created, r.updated, r.deleted })
            local said = {}
            for _, part in ipairs(foreseen.diff) do said[part.path or part.what] = part end
            assert.are.equal("one\n", said[dest .. "/one"].before)
            assert.are.equal("ONE\n", said[dest .. "/one"].after)
            assert.are.equal("three\n", said[dest .. "/a/three"].after)
            assert.are.equal("0700", said["bin: mode"].after)
            compare()
        end)

        it("is compared by content where times differ, or if that is asked for", function()
            sync()(target.h)
            sys.utimes(seen .. "/one", 1000)
            sys.utimes(seen .. "/a/b/large", 1000)
            assert.are.equal(0, support.stays(target, sync()).sent)
            local mtime = sys.stat(here .. "/src/one").mtime
            remote.write(seen .. "/one", "0ne\n")
            sys.utimes(seen .. "/one", mtime)
            support.stays(target, sync())
            assert.are.equal(4, support.converges(target, sync { checksums = true }).sent)
            compare()
        end)

        it("loses what is not here, if that is asked for", function()
            sync()(target.h)
            target.ctx:shell("cd $1 && mkdir -p old/deep cache && echo x >old/deep/x; echo y >y; echo z >z.tmp", dest)
            support.stays(target, sync())
            local r = support.converges(target, sync { delete = true })
            assert.are.equal(2, r.deleted)
            assert.are.equal("a bin cache empty link one z.tmp", table.concat(remote.names(seen), " "))
        end)

        it("makes way only if it may", function()
            target.ctx:shell("mkdir -p $1/one $1/other; echo x >$1/one/x; ln -s other $1/a; ln -s x $1/bin", dest)
            local err = support.fails(target, sync())
            assert.matches("/a is a link, and a directory here; force = true removes it", err.message)
            support.converges(target, sync { force = true })
            assert.are.equal("file", sys.lstat(seen .. "/one").type)
            assert.are.equal("file", sys.lstat(seen .. "/bin").type)
            assert.are.equal("directory", sys.lstat(seen .. "/a").type)
        end)

        it("has the modes and the owner that are given", function()
            support.converges(target, sync {
                file_mode = "u=rw,go=r", directory_mode = "2755", owner = 1000, group = 1000,
            })
            for path, mode in pairs { one = 0x1a4, a = 0x5ed, ["a/b/large"] = 0x1a4, empty = 0x5ed } do
                local st = sys.stat(seen .. "/" .. path)
                assert.are.same({ path, mode, 1000, 1000 }, { path, st.mode, st.uid, st.gid })
            end
            assert.are.equal(1000, sys.lstat(seen .. "/link").uid)
            sys.chmod(seen .. "/one", 0x180)
            support.stays(target, sync { modes = false, owner = 1000, group = 1000 })
        end)

        it("of many files arrives in few messages", function()
            local script = "mkdir $1/src/many; cd $1/src/many; for i in $(seq 500); do echo $i >$i; done"
            lab.run { "sh", "-c", script, "sh", here }
            local r = support.converges(target, sync())
            assert.are.equal(509, r.created)
            compare()
        end)

        it("that is not there", function()
            sync()(target.h)
            local err = remote.failure(function()
                target.h:sync { src = here .. "/none", dest = dest }
            end)
            assert.matches("there is no directory .*/none at the controller", err.message)
            assert.are.equal("one\n", remote.slurp(seen .. "/one"))
            err = support.fails(target, function(h) return h:sync { src = here .. "/src", dest = dest .. "/one" } end)
            assert.matches("/one is a file", err.message)
        end)

        it("has no place in a list or a batch", function()
            local err = support.fails(target, function(h)
                return h:apply { { "sync", src = here .. "/src", dest = dest } }
            end)
            assert.matches("no place in a list", err.message)
            err = support.fails(target, function(h)
                return h:batch(function(t) t:sync { src = "/src", dest = "/dest" } end)
            end)
            assert.matches("no place inside of a batch", err.message)
        end)

        it("takes what every resource takes, and tells how far it is", function()
            local h, events = support.host(target.ctx)
            assert.is_true(h:sync({ src = here .. "/src", dest = dest, when = function() return false end }).skipped)
            assert.is_nil(sys.lstat(seen))
            local r = h:sync { src = here .. "/src", dest = dest, name = "web", notify = "x", ignore_errors = true,
                changed_when = false }
            assert.is_false(r.changed)
            local seen_events = {}
            for _, event in ipairs(events) do
                seen_events[event.event] = event
                assert.are.equal(h.name, event.host)
            end
            assert.are.equal("web", seen_events.step_end.name)
            assert.are.equal(seen_events.step_progress.total, seen_events.step_progress.done)
            assert.matches("pipe is no file, and was passed over", seen_events.message.text)
        end)

        it("is fetched, file by file", function()
            target.ctx:shell("mkdir -p $1; echo alpha >$1/f; chmod 640 $1/f", dest)
            local function fetch(more)
                return function(h)
                    local options = { path = dest .. "/f", dest = here .. "/got/f" }
                    for key, value in pairs(more or {}) do options[key] = value end
                    return h:fetch(options)
                end
            end
            local foreseen = support.unchanged(here, function()
                return (support.unchanged_in_check_mode(target, fetch()))
            end)
            assert.is_true(foreseen.changed)
            assert.are.equal("alpha\n", foreseen.diff[1].after)
            local r = fetch()(target.h)
            assert.is_true(r.changed)
            assert.are.equal(6, r.sent)
            assert.are.equal("alpha\n", remote.slurp(here .. "/got/f"))
            assert.are.equal(0x1a0, sys.stat(here .. "/got/f").mode)
            support.unchanged(here, function() support.stays(target, fetch()) end)
            assert.is_true(fetch({ mode = "600" })(target.h).changed)
            assert.are.equal(0x180, sys.stat(here .. "/got/f").mode)
            target.ctx:shell("echo beta >$1/f", dest)
            assert.is_true(fetch()(target.h).changed)
            assert.are.equal("beta\n", remote.slurp(here .. "/got/f"))
            r = fetch({ dest = here .. "/logs/" })(target.h)
            assert.are.equal(here .. "/logs/" .. target.h.name .. dest .. "/f", r.dest)
            assert.are.equal("beta\n", remote.slurp(r.dest))
            assert.is_false(fetch({ path = dest .. "/none", missing_ok = true })(target.h).exists)
            assert.matches("cannot read .*/none: No such file",
                support.fails(target, fetch { path = dest .. "/none" }).message)
            assert.matches("is a directory", support.fails(target, fetch { path = dest }).message)
            assert.is_true((support.unchanged_in_check_mode(target, fetch { path = dest .. "/none" })).unknown)
        end)
    end)

    describe("[a full disk]", function()
        if not lab.need(2, { foreign = true, isolated = true }) then return end
        it("leaves each file whole, old or new", function()
            local ctx = remote.open "h1"
            local h, dest = support.host(ctx), "/tmp/full"
            local function sync() return h:sync { src = here .. "/src", dest = dest, delete = true } end
            ctx:shell("mkdir $1; mount -t tmpfs -o size=900k spec $1", dest)
            finally(function()
                ctx:shell("umount $1; rmdir $1", dest)
                ctx:close()
            end)
            sync()
            ctx:shell("echo old >$1/old", dest)
            remote.write(here .. "/src/one", "ONE\n")
            os.rename(here .. "/src/a/b/large", here .. "/src/a/b/larger")
            local err = remote.failure(sync)
            assert.matches("No space left", err.message)
            -- The mount is the host's own, so it is asked.
            assert.are.equal("one\n", ctx:shell("cat $1/one", dest).stdout:lower())
            assert.are.equal("old\n", ctx:shell("cat $1/old", dest).stdout)
            assert.are.equal("large\n", ctx:shell("ls -A $1/a/b", dest).stdout)
            assert.are.equal("", ctx:shell("find $1 -name '.orrery*'", dest).stdout)
        end)
    end)
end)
