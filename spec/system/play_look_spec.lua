-- What changes nothing: find, slurp, wait_for; and tempfile.

local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local sys = require "orrery.sys"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

describe("looking", function()
    support.each(function(target)
        local dir
        setup(function()
            dir = target.dir .. "/t"
            target.ctx:shell([[mkdir -p $1/sub/deep $1/.hidden && cd $1 && echo alpha >a.log && echo beta >b.txt &&
                echo gamma >sub/c.log && echo delta >sub/deep/d.log && echo x >.hidden/h.log && ln -s a.log link &&
                ln -s .. sub/deep/up && touch -d '2001-01-01 00:00:00' b.txt]], dir)
        end)

        local function found(options)
            options.paths = options.paths or dir
            local r = support.stays(target, function(h) return h:find(options) end)
            local names = {}
            for i, file in ipairs(r.files) do names[i] = file.path:sub(#dir + 2) end
            return table.concat(names, " "), r
        end

        it("finds files", function()
            assert.are.equal("a.log b.txt", (found {}))
            assert.are.equal("a.log sub/c.log sub/deep/d.log", (found { patterns = "*.log", recurse = true }))
            assert.are.equal("a.log sub/c.log", (found { patterns = { "*.log" }, recurse = true, depth = 2 }))
            assert.are.equal(".hidden/h.log a.log", (found {
                recurse = true, hidden = true, excludes = "sub", regexp = [[\.log$]] }))
            assert.are.equal("sub", (found { type = "directory" }))
            assert.are.equal("link", (found { type = "link" }))
            assert.are.equal("a.log link", (found { follow = true, pattern = "[al]", excludes = "*.txt" }))
            assert.are.equal("b.txt", (found { older = "365d" }))
            assert.are.equal("a.log", (found { newer = "1d" }))
            assert.are.equal("sub/c.log", (found { recurse = true, contains = "^ga+m" }))
            assert.are.equal("b.txt", (found { smaller = 6, larger = 4, patterns = "*.txt" }))
            local _, r = found { patterns = "a.log", checksum = "sha256" }
            assert.are.equal(sys.digest("alpha\n", "sha256"), r.files[1].checksum)
            assert.are.equal(6, r.files[1].size)
        end)

        it("goes round in no circle", function()
            local names = found { recurse = true, follow = true, patterns = "*.log" }
            assert.are.equal("a.log sub/c.log sub/deep/d.log", names)
        end)

        it("says what it could not look at, and when it is too much", function()
            local _, r = found { paths = { dir, dir .. "/none" } }
            assert.are.equal(2, r.matched)
            assert.are.equal(dir .. "/none", r.passed_over[1].path)
            local err = support.fails(target, function(h) return h:find { paths = dir, limit = 1 } end)
            assert.matches("more than 1 files match", err.message)
            assert.matches("depth needs recurse", support.fails(target, function(h)
                return h:find { paths = dir, depth = 2 }
            end).message)
        end)

        it("reads files", function()
            local r = support.stays(target, function(h) return h:slurp { path = dir .. "/a.log" } end)
            assert.are.equal("alpha\n", r.content)
            assert.are.equal(6, r.size)
            for options, why in pairs {
                [{ path = dir .. "/none" }] = "cannot read .*none: No such file", [{ path = dir }] = "is a directory",
                [{ path = dir .. "/a.log", limit = 5 }] = "more than 5 bytes",
            } do
                assert.matches(why, support.fails(target, function(h) return h:slurp(options) end).message)
            end
            assert.is_false(target.h:slurp({ path = dir .. "/none", missing_ok = true }).exists)
            local foreseen = support.unchanged_in_check_mode(target, function(h)
                return h:slurp { path = dir .. "/none" }
            end)
            assert.is_true(foreseen.unknown)
        end)

        it("makes temporary things", function()
            local foreseen = support.unchanged_in_check_mode(target, function(h)
                return h:tempfile { path = dir, suffix = ".sql" }
            end)
            assert.is_true(foreseen.changed)
            assert.is_nil(foreseen.path)
            local r = target.h:tempfile { path = dir, prefix = "p-", suffix = ".sql" }
            assert.matches("/p%-%w+%.sql$", r.path)
            local st = sys.stat(remote.seen(target.name, r.path))
            assert.are.same({ "file", 0x180, 0 }, { st.type, st.mode, st.size })
            local other = target.h:tempfile { path = dir, state = "directory", mode = "755", suffix = ".d" }
            st = sys.stat(remote.seen(target.name, other.path))
            assert.are.same({ "directory", 0x1ed }, { st.type, st.mode })
            target.ctx:run { "rm", "-r", r.path, other.path }
            assert.matches("no directory", support.fails(target, function(h)
                return h:tempfile { path = dir .. "/none" }
            end).message)
            local err = remote.failure(function() target.h:tempfile { path = dir, owner = "nobody-at-all" } end)
            assert.matches("there is no user", err.message)
            assert.are.equal("a.log b.txt", (found {}))
            assert.matches("must not hold a /", support.fails(target, function(h)
                return h:tempfile { path = dir, prefix = "a/b" }
            end).message)
        end)

        it("waits for what is there already", function()
            support.stays(target, function(h) return h:wait_for { path = dir .. "/a.log" } end)
            support.stays(target, function(h) return h:wait_for { path = dir .. "/none", gone = true } end)
            assert.are.equal("alpha\n", support.stays(target, function(h)
                return h:wait_for { path = dir .. "/a.log", regexp = "^al" }
            end).content)
            assert.are.equal("yes\n", target.h:wait_for({ command = { "echo", "yes" }, pattern = "y" }).content)
        end)

        it("waits for a file, and for a text in it", function()
            local waiting = orrery.spawn(function()
                return target.h:wait_for { path = dir .. "/new", regexp = "ready", interval = "20ms", timeout = 20 }
            end)
            target.ctx:shell("echo not yet >$1/new; echo ready >>$1/new", dir)
            assert.matches("ready", waiting:get(20).content)
            waiting = orrery.spawn(function()
                return target.h:wait_for { path = dir .. "/new", gone = true, interval = "20ms", timeout = 20 }
            end)
            target.ctx:shell("rm $1/new", dir)
            assert.is_false(waiting:get(20).changed)
        end)

        it("waits for a command", function()
            local waiting = orrery.spawn(function()
                return target.h:wait_for { command = ("test -e %s/flag"):format(dir), interval = "20ms", timeout = 20 }
            end)
            target.ctx:shell("touch $1/flag", dir)
            waiting:get(20)
            target.ctx:shell("rm $1/flag", dir)
        end)

        it("does not wait for ever, and not in check mode", function()
            local options = { path = dir .. "/none", timeout = 0.1, interval = "20ms", message = "no such luck" }
            local err = support.fails(target, function(h) return h:wait_for(options) end)
            assert.matches("no such luck: waited 0.1 s for .*/none: .*No such file", err.message)
            options.timeout = 1000
            local foreseen = support.unchanged_in_check_mode(target, function(h) return h:wait_for(options) end)
            assert.is_true(foreseen.unknown)
            for given, why in pairs {
                [{}] = "one of port, path and command", [{ port = 1, path = "/x" }] = "one of port",
                [{ port = 70000 }] = "from 1 to 65535", [{ path = "/x", regexp = "a", pattern = "b" }] = "cannot both",
            } do
                assert.matches(why, support.fails(target, function(h) return h:wait_for(given) end).message)
            end
        end)
    end)
end)

-- Ports: those of a host that listens for SSH anyway, and greets who connects.
describe("a port", function()
    local lab = require "spec.support.lab"
    if not lab.need(2, { foreign = true, isolated = true }) then return end

    for _, name in ipairs { "h1", not remote.sanitized and "foreign" or nil } do
        it("is waited for on " .. name, function()
            local ctx = remote.open(name)
            local h = support.host(ctx)
            local r = h:wait_for { port = 22, regexp = "^SSH-2" }
            assert.matches("^SSH%-2", r.content)
            assert.is_false(r.changed)
            h:wait_for { port = 22, host = lab.host("h2").address }
            h:wait_for { port = 1, gone = true }
            h:wait_for { port = 22, host = "no-such-name.invalid", gone = true, interval = "20ms", timeout = 20 }
            local err = remote.failure(function()
                h:wait_for { port = 1, host = "localhost", timeout = 0.1, interval = "20ms" }
            end)
            assert.matches("waited 0.1 s for port 1 of localhost: .* port 1: Connection refused", err.message)
            err = remote.failure(function()
                h:wait_for { port = 22, regexp = "never", connect_timeout = 0.2, timeout = 0.1, interval = "20ms" }
            end)
            assert.matches("holds no such text", err.message)
            ctx:close()
        end)
    end
end)
