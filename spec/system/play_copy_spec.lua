local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local sys = require "orrery.sys"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local function octal(text) return tonumber(text, 8) end

describe("the resource copy", function()
    local here
    setup(function() here = remote.directory() end)
    teardown(function() remote.remove(here) end)

    support.each(function(target)
        local function path(name) return target.dir .. "/" .. name end
        local function seen(name) return target.seen .. "/" .. name end

        it("writes a content, from absent and from different", function()
            local function write(text)
                return function(h) return h:copy { content = text, dest = path "f", mode = "640" } end
            end
            local result, foreseen = support.converges(target, write "one\n")
            assert.are.equal("one\n", remote.slurp(seen "f"))
            assert.are.equal(octal "640", sys.stat(seen "f").mode)
            assert.are.equal(4, result.size)
            assert.are.same({ path = path "f", after = "one\n" }, foreseen.diff[1])
            result, foreseen = support.converges(target, write "two\n")
            assert.are.same({ { path = path "f", before = "one\n", after = "two\n" } }, foreseen.diff)
            assert.are.same({ { what = "content", before = "4 bytes", after = "4 bytes" } }, result.diff)
            assert.are.equal("two\n", remote.slurp(seen "f"))
        end)

        it("keeps mode and owner of what is there", function()
            remote.write(seen "kept", "old")
            assert(sys.chown(seen "kept", 4711, 4712))
            assert(sys.chmod(seen "kept", octal "4750"))
            support.converges(target, function(h) return h:copy { content = "new", dest = path "kept" } end)
            local st = sys.stat(seen "kept")
            assert.are.same({ octal "4750", 4711, 4712 }, { st.mode, st.uid, st.gid })
        end)

        it("sends a small file along, with its mode", function()
            remote.write(here .. "/small", ("x"):rep(1000))
            assert(sys.chmod(here .. "/small", octal "751"))
            local function copy(h) return h:copy { src = here .. "/small", dest = path "small" } end
            support.converges(target, copy)
            assert.are.equal(("x"):rep(1000), remote.slurp(seen "small"))
            assert.are.equal(octal "751", sys.stat(seen "small").mode)
        end)

        it("sends a large file only where it differs", function()
            local text = ("0123456789abcdef"):rep(65536)
            remote.write(here .. "/large", text)
            local orrery = require "orrery"
            local function copy(h) return h:copy { src = here .. "/large", dest = path "large", mode = "600" } end
            support.converges(target, copy)
            assert.are.equal(text, remote.slurp(seen "large"))
            local before = orrery.stats()
            assert.is_false(copy(target.h).changed)
            assert.is_true(orrery.stats(before).bytes_sent < 20000)
        end)

        it("puts it into a directory, and goes behind links", function()
            remote.write(here .. "/name", "content")
            assert(sys.mkdir(seen "into"))
            support.converges(target, function(h) return h:copy { src = here .. "/name", dest = path "into" } end)
            assert.are.equal("content", remote.slurp(seen "into/name"))
            remote.write(seen "real", "old")
            assert(sys.symlink("real", seen "alias"))
            support.converges(target, function(h) return h:copy { content = "new", dest = path "alias" } end)
            assert.are.equal("link", sys.lstat(seen "alias").type)
            assert.are.equal("new", remote.slurp(seen "real"))
        end)

        it("copies what is on the target", function()
            remote.write(seen "origin", "theirs")
            support.converges(target, function(h)
                return h:copy { remote_src = path "origin", dest = path "copied" }
            end)
            assert.are.equal("theirs", remote.slurp(seen "copied"))
        end)

        it("leaves the old file where the new one is not valid", function()
            remote.write(seen "valid", "good")
            local err = support.fails(target, function(h)
                h:copy {
                    content = "bad", dest = path "valid", validate = { "grep", "-q", "good", "%s" }, backup = true,
                }
            end)
            assert.matches("the new file is not valid: grep ended with status 1", err.message)
            assert.are.equal("good", remote.slurp(seen "valid"))
            support.converges(target, function(h)
                return h:copy { content = "good, too", dest = path "valid", validate = "grep -q good %s" }
            end)
        end)

        it("leaves the old file where the disk refuses the new one", function()
            remote.write(seen "whole", "old")
            local err = support.fails(target, function(h)
                h:copy { content = "new", dest = path "whole", owner = "no-such-user-here" }
            end)
            assert.matches("there is no user 'no%-such%-user%-here'", err.message)
            assert.are.equal("old", remote.slurp(seen "whole"))
            assert.matches("No such file or directory", support.fails(target, function(h)
                h:copy { content = "new", dest = path "nowhere/file" }
            end).message)
        end)

        it("leaves the old file where the disk is full, and nothing beside it", function()
            if target.name == "local" then return end -- which has no disk of its own to fill
            remote.write(here .. "/too-large", ("x"):rep(300 * 1024))
            assert(sys.mkdir(seen "disk"))
            target.ctx:run { "mount", "-t", "tmpfs", "-o", "size=128k", "none", path "disk" }
            finally(function() target.ctx:run { "umount", path "disk" } end)
            remote.write(seen "disk/f", "old")
            local text = ("x"):rep(200 * 1024)
            for _, options in ipairs {
                { content = text }, { src = here .. "/too-large" }, { content = text, validate = "true" },
            } do
                options.dest = path "disk/f"
                local err = remote.failure(target.h.copy, target.h, options)
                assert.matches("No space left on device", err.message)
                assert.are.equal("old", remote.slurp(seen "disk/f"))
                assert.are.same({ "f" }, remote.names(seen "disk"))
            end
        end)

        it("keeps a backup, and what must not be replaced", function()
            remote.write(seen "saved", "old")
            local result = support.converges(target, function(h)
                return h:copy { content = "new", dest = path "saved", backup = true }
            end)
            assert.are.equal("old", remote.slurp(remote.seen(target.name, result.backup)))
            support.stays(target, function(h)
                return h:copy { content = "other", dest = path "saved", force = false }
            end)
            assert.are.equal("new", remote.slurp(seen "saved"))
        end)

        it("says what is wrong with options", function()
            local function wrong(options)
                local err = support.fails(target, function(h) h:copy(options) end)
                assert.are.equal("option", err.code)
                return err.message
            end
            assert.matches("one of src, content and remote_src", wrong { dest = "/x" })
            assert.matches("one of src, content and remote_src", wrong { dest = "/x", content = "a", src = "b" })
            local err = support.fails(target, function(h) h:copy { src = "/no/such/file", dest = path "x" } end)
            assert.are.equal("file", err.code)
            assert.matches("cannot read the controller's file /no/such/file: No such file", err.message)
        end)

        it("gives a batch the files that it names, and no others", function()
            remote.write(here .. "/named", "by the function")
            remote.write(here .. "/other", "secret")
            local named, dest = here .. "/named", path "batch"
            assert.is_true(target.h:batch(function(h) return h:copy({ src = named, dest = dest }).changed end))
            assert.are.equal("by the function", remote.slurp(seen "batch"))
            local stem = here .. "/oth"
            local err = remote.failure(target.h.batch, target.h, function(h)
                h:copy { src = stem .. "er", dest = dest }
            end)
            assert.are.equal("denied", err.code)
            target.h:batch({ files = { here .. "/other" } }, function(h) h:copy { src = stem .. "er", dest = dest } end)
            assert.are.equal("secret", remote.slurp(seen "batch"))
        end)
    end)
end)

describe("the resources directory and link", function()
    support.each(function(target)
        local function path(name) return target.dir .. "/" .. name end
        local function seen(name) return target.seen .. "/" .. name end

        it("make a directory, with mode and owner for all that is in it", function()
            assert(sys.mkdir(seen "tree"))
            remote.write(seen "tree/file", "x")
            support.converges(target, function(h)
                return h:directory { path = path "tree", mode = "u=rwX,go=rX", owner = 4711, recurse = true }
            end)
            assert.are.same({ octal "755", 4711 }, { sys.stat(seen "tree").mode, sys.stat(seen "tree").uid })
            assert.are.same({ octal "644", 4711 }, { sys.stat(seen "tree/file").mode, sys.stat(seen "tree/file").uid })
            support.converges(target, function(h) return h:directory { path = path "tree", state = "absent" } end)
        end)

        it("make and replace links", function()
            local function link(to)
                return function(h) return h:link { path = path "current", target = to } end
            end
            support.converges(target, link "releases/1")
            local _, foreseen = support.converges(target, link "releases/2")
            assert.are.same({ what = "target", before = "releases/1", after = "releases/2" }, foreseen.diff[1])
            assert.are.equal("releases/2", sys.readlink(seen "current"))
            support.converges(target, function(h) return h:link { path = path "current", state = "absent" } end)
        end)

        it("make hard links, and refuse to replace what is no link", function()
            remote.write(seen "one", "x")
            support.converges(target, function(h)
                return h:link { path = path "two", target = path "one", hard = true }
            end)
            assert.are.equal(sys.stat(seen "one").ino, sys.stat(seen "two").ino)
            local function link(force)
                return function(h) return h:link { path = path "one", target = "two", force = force } end
            end
            assert.matches("is a file, and not a link; force = true", support.fails(target, link(false)).message)
            support.converges(target, link(true))
        end)
    end)
end)

describe("the resource stat", function()
    support.each(function(target)
        it("says what is there, in check mode, too", function()
            remote.write(target.seen .. "/f", "abc")
            local function stat(h) return h:stat { path = target.dir .. "/f", checksum = "sha256" } end
            for _, result in ipairs { stat(target.h), (support.unchanged_in_check_mode(target, stat)) } do
                assert.are.same({ true, "file", 3, false }, { result.exists, result.type, result.size, result.changed })
                assert.are.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", result.checksum)
            end
            assert.is_false(target.h:stat(target.dir .. "/nothing").exists)
        end)
    end)
end)
