local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local sys = require "orrery.sys"

leak.guard()

describe("the resource file", function()
    support.each(function(target)
        local function path(name) return target.dir .. "/" .. name end
        local function seen(name) return target.seen .. "/" .. name end

        it("makes a directory, with its mode", function()
            local function directory(h) return h:file { path = path "d/e", state = "directory", mode = "751" } end
            local result, foreseen = support.converges(target, directory)
            assert.are.equal("directory", sys.stat(seen "d/e").type)
            assert.are.equal(tonumber("751", 8), sys.stat(seen "d/e").mode)
            assert.are.same({
                { what = "state", before = "absent", after = "directory" }, { what = "mode", after = "0751" },
            }, result.diff)
            assert.are.same(result.diff, foreseen.diff)
        end)

        it("mends the mode and the owner of what is there", function()
            remote.write(seen "f", "kept")
            support.converges(target, function(h)
                return h:file { path = path "f", mode = "u=rw,go=r", owner = 4711, group = "0" }
            end)
            local st = sys.stat(seen "f")
            assert.are.same({ tonumber("644", 8), 4711, 0 }, { st.mode, st.uid, st.gid })
            assert.are.equal("kept", remote.slurp(seen "f"))
        end)

        it("removes a tree, and nothing behind its links", function()
            assert(sys.mkdir(seen "tree"))
            assert(sys.mkdir(seen "tree/sub"))
            remote.write(seen "outside", "stays")
            remote.write(seen "tree/sub/x", "goes")
            assert(sys.symlink("../outside", seen "tree/link"))
            support.converges(target, function(h) return h:file { path = path "tree", state = "absent" } end)
            assert.is_nil(sys.lstat(seen "tree"))
            assert.are.equal("stays", remote.slurp(seen "outside"))
        end)

        it("refuses what is there of another kind, unless forced", function()
            remote.write(seen "kind", "x")
            local err = support.fails(target, function(h) h:file { path = path "kind", state = "directory" } end)
            assert.are.equal("resource", err.code)
            assert.matches("is a file, and not a directory; force = true removes it", err.message)
            assert.matches("play_file_spec%.lua:%d+$", err.at)
            support.converges(target, function(h)
                return h:file { path = path "kind", state = "directory", force = true }
            end)
        end)

        it("says what is wrong with options, at the script's line", function()
            local function wrong(options)
                local err = support.fails(target, function(h) h:file(options) end)
                assert.are.equal("option", err.code)
                assert.matches("play_file_spec%.lua:%d+$", err.at)
                return err.message
            end
            assert.matches("unknown option 'pth'; did you mean 'path'%?", wrong { pth = "/x" })
            assert.matches("option 'path' is missing", wrong {})
            assert.matches("option 'path' must be an absolute path, not \"x\"", wrong { path = "x" })
            assert.matches("must be a string such as '644', since Lua has no octal numbers, not 644",
                wrong { path = "/x", mode = 644 })
            assert.matches("did you mean \"directory\"", wrong { path = "/x", state = "directry" })
        end)
    end)
end)
