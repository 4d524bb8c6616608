require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local sys = require "orrery.sys"

leak.guard()

local function octal(text) return tonumber(text, 8) end

describe("orrery.sys", function()
    local dir
    before_each(function() dir = remote.directory() end)
    after_each(function() remote.remove(dir) end)

    it("says what is at a path", function()
        remote.write(dir .. "/f", "abc")
        assert(sys.chmod(dir .. "/f", octal "4640"))
        local st = sys.stat(dir .. "/f")
        assert.are.same({ "file", octal "4640", 3, 1 }, { st.type, st.mode, st.size, st.nlink })
        assert.are.equal(sys.getuid(), st.uid)
        assert.are.equal(sys.user(st.uid).name, st.owner)
        assert.are.equal(sys.group(st.gid).name, st.group)
        assert.is_true(st.ino > 0 and st.dev > 0)
        assert.are.equal("directory", sys.stat(dir).type)
        assert.are.equal("char", sys.stat("/dev/null").type)
        assert.are.same({ 1, 3 }, { sys.stat("/dev/null").major, sys.stat("/dev/null").minor })
    end)

    it("returns nil, what was tried and the name of the error", function()
        local path = dir .. "/nothing"
        assert.are.same({ nil, path .. ": No such file or directory", "ENOENT" }, { sys.stat(path) })
        assert.are.same({ nil, path .. ": No such file or directory", "ENOENT" }, { sys.read(path) })
        assert.are.equal("EEXIST", select(3, sys.mkdir(dir)))
        assert.are.equal("ENOTEMPTY", (function()
            remote.write(dir .. "/f", "")
            return select(3, sys.rmdir(dir))
        end)())
    end)

    it("makes, follows and reads links", function()
        remote.write(dir .. "/f", "abc")
        assert(sys.symlink("f", dir .. "/s"))
        assert(sys.link(dir .. "/f", dir .. "/h"))
        assert.are.same({ "link", "f" }, { sys.lstat(dir .. "/s").type, sys.lstat(dir .. "/s").target })
        assert.are.equal("file", sys.stat(dir .. "/s").type)
        assert.are.equal("f", sys.readlink(dir .. "/s"))
        assert.are.equal(sys.realpath(dir) .. "/f", sys.realpath(dir .. "/s"))
        assert.are.equal(2, sys.stat(dir .. "/h").nlink)
        assert.are.equal("EINVAL", select(3, sys.readlink(dir .. "/f")))
    end)

    it("makes, renames and removes", function()
        assert(sys.mkdir(dir .. "/d", octal "700"))
        assert.are.equal(octal "700", sys.stat(dir .. "/d").mode)
        assert(sys.rename(dir .. "/d", dir .. "/e"))
        assert.are.same({ "e" }, sys.list(dir))
        assert(sys.rmdir(dir .. "/e"))
        remote.write(dir .. "/f", "")
        assert(sys.unlink(dir .. "/f"))
        assert.are.same({}, sys.list(dir))
    end)

    it("sets times, with fractions", function()
        remote.write(dir .. "/f", "")
        assert(sys.utimes(dir .. "/f", 1000000000.25))
        assert.are.equal(1000000000.25, sys.stat(dir .. "/f").mtime)
        assert(sys.utimes(dir .. "/f"))
        assert.is_true(math.abs(sys.stat(dir .. "/f").mtime - sys.time()) < 60)
    end)

    it("writes under a name whole or not at all", function()
        local path = dir .. "/f"
        assert(sys.write_atomic(path, "one", { mode = octal "600" }))
        assert.are.same({ "one", octal "600" }, { sys.read(path), sys.stat(path).mode })
        local before = sys.stat(path).ino
        assert(sys.write_atomic(path, ("x\0"):rep(100000), { mode = octal "755", sync = true }))
        assert.are.equal(("x\0"):rep(100000), sys.read(path))
        assert.are_not.equal(before, sys.stat(path).ino)
        assert.are.same({ "f" }, sys.list(dir))
        assert.are.equal("ENOENT", select(3, sys.write_atomic(dir .. "/no/f", "x")))
        assert.are.equal("EISDIR", select(3, sys.write_atomic(dir, "x")))
        assert.are.same({ "f" }, sys.list(dir))
        assert.are.equal("EFBIG", select(3, sys.read(path, 1000)))
        assert.are.equal("", sys.write_atomic(path, "") and sys.read(path))
    end)

    it("makes temporary files and directories", function()
        local file, other = sys.mkstemp(dir .. "/a-"), sys.mkdtemp(dir .. "/b-")
        assert.are.same({ "file", octal "600" }, { sys.stat(file).type, sys.stat(file).mode })
        assert.are.same({ "directory", octal "700" }, { sys.stat(other).type, sys.stat(other).mode })
        assert(sys.write_atomic(dir .. "/c", "copied"))
        assert(sys.copy(dir .. "/c", file))
        assert.are.equal("copied", sys.read(file))
    end)

    it("knows users and groups of the files of this host", function()
        local root = sys.user "root"
        assert.are.same({ "root", 0, 0 }, { root.name, root.uid, root.gid })
        assert.are.equal("root", sys.user(0).name)
        assert.are.equal(0, sys.group("root").gid)
        assert.is_table(sys.group("root").members)
        assert.are.equal("ENOENT", select(3, sys.user "no-such-user"))
        assert.matches("no user no%-such%-user in /etc/passwd", (select(2, sys.user "no-such-user")))
    end)

    it("says what host this is", function()
        assert.are.equal(remote.slurp("/proc/sys/kernel/hostname"):match "%S+", sys.hostname())
        assert.are.equal("Linux", sys.uname().sysname)
        local before = sys.umask(octal "027")
        assert.are.same({ octal "027", octal "027", before }, { sys.umask(), sys.umask(before), sys.umask() })
    end)

    it("computes digests as the programs do", function()
        local known = {
            sha256 = { "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
            sha1 = { "da39a3ee5e6b4b0d3255bfef95601890afd80709", "a9993e364706816aba3e25717850c26c9cd0d89d" },
            md5 = { "d41d8cd98f00b204e9800998ecf8427e", "900150983cd24fb0d6963f7d28e17f72" },
        }
        for kind, digests in pairs(known) do
            assert.are.equal(digests[1], sys.digest("", kind))
            assert.are.equal(digests[2], sys.digest("abc", kind))
        end
        assert.are.equal("EINVAL", select(3, sys.digest("", "crc")))
    end)

    it("computes them of every length around a block, and of files", function()
        local lab = require "spec.support.lab"
        local text = ("0123456789abcdefghij"):rep(20000)
        for _, n in ipairs { 55, 56, 63, 64, 65, 111, 112, 119, 127, 128, 129, 1000, #text } do
            remote.write(dir .. "/f", text:sub(1, n))
            for _, kind in ipairs { "sha256", "sha512", "sha1", "md5" } do
                local _, out = lab.run { kind .. "sum", dir .. "/f" }
                assert.are.equal(out:match "^%x+", sys.hash(dir .. "/f", kind), kind .. " of " .. n)
                assert.are.equal(out:match "^%x+", sys.digest(text:sub(1, n), kind))
            end
            local _, out = lab.run { "b2sum", "-l", "256", dir .. "/f" }
            assert.are.equal(out:match "^%x+", sys.hash(dir .. "/f", "blake2b"))
        end
    end)

    it("says what space there is, and which addresses", function()
        local space = assert(sys.space(dir))
        assert.is_true(space.size >= space.free and space.free >= space.available and space.available >= 0)
        assert.are.equal("ENOENT", select(3, sys.space(dir .. "/nothing")))
        local loopback
        for _, each in ipairs(sys.addresses()) do
            if each.address == "127.0.0.1" then loopback = each end
        end
        assert.are.same({ interface = "lo", family = "ipv4", address = "127.0.0.1", prefix = 8 }, loopback)
    end)
end)
