--- sys.as: another user's rights in the file system. Only root can take them.

local lfs = require "lfs"
require "orrery.core" -- which has it
local sys = require "orrery.sys"

local SOMEBODY = 54321 -- nobody has this number

describe("sys.as", function()
    if sys.getuid() ~= 0 then
        it("is refused to others than root", function()
            local ok, why, code = sys.as(SOMEBODY, SOMEBODY, function() return true end)
            assert.is_nil(ok)
            assert.are.equal("EPERM", code)
            assert.matches("another user's rights", why, 1, true)
        end)
        return
    end

    local dir
    before_each(function()
        dir = os.tmpname()
        os.remove(dir)
        assert(lfs.mkdir(dir))
        assert(sys.chmod(dir, tonumber("755", 8)))
        assert(sys.write_atomic(dir .. "/secret", "precious", { mode = tonumber("600", 8) }))
        assert(sys.mkdir(dir .. "/home"))
        assert(sys.chown(dir .. "/home", SOMEBODY, SOMEBODY))
    end)
    after_each(function() os.execute("rm -rf " .. dir) end)

    local function as(fn, ...) return sys.as(SOMEBODY, SOMEBODY, fn, ...) end

    it("passes arguments and results", function()
        assert.are.same({ 3, nil, "x" }, { as(function(a, b) return a + b, nil, "x" end, 1, 2) })
        assert.are.equal(0, select("#", as(function() end)))
    end)

    it("reads and writes what that user may", function()
        local _, _, code = as(sys.read, dir .. "/secret")
        assert.are.equal("EACCES", code)
        _, _, code = as(sys.write_atomic, dir .. "/other", "x")
        assert.are.equal("EACCES", code)
        _, _, code = as(sys.chown, dir .. "/home", 0, 0)
        assert.are.equal("EPERM", code)
        assert.is_true(as(sys.write_atomic, dir .. "/home/mine", "x", { mode = tonumber("600", 8) }))
        local st = sys.stat(dir .. "/home/mine")
        assert.are.same({ SOMEBODY, SOMEBODY }, { st.uid, st.gid })
        assert.are.equal("x", as(sys.read, dir .. "/home/mine"))
    end)

    it("is over when the function is, also by an error", function()
        as(function() end)
        assert.are.equal("precious", sys.read(dir .. "/secret"))
        assert.has_error(function() as(function() error("no", 0) end) end, "no")
        assert.are.equal("precious", sys.read(dir .. "/secret"))
        assert(sys.write_atomic(dir .. "/root", "x"))
        assert.are.equal(0, sys.stat(dir .. "/root").uid)
    end)

    it("must not be left by a yield", function()
        local task = coroutine.create(function() as(coroutine.yield) end)
        local ok, why = coroutine.resume(task)
        assert.is_false(ok)
        assert.matches("yield", tostring(why))
        assert.are.equal("precious", sys.read(dir .. "/secret"))
    end)

    it("can be taken by itself, and in itself", function()
        assert.are.equal("precious", sys.as(0, 0, sys.read, dir .. "/secret"))
        local inner, outer
        as(function()
            inner = select(3, sys.as(SOMEBODY + 1, SOMEBODY + 1, sys.write_atomic, dir .. "/home/y", ""))
            outer = select(3, sys.read(dir .. "/secret"))
        end)
        assert.are.same({ "EACCES", "EACCES" }, { inner, outer })
    end)
end)

describe("sys.read", function()
    it("is not held up by a pipe", function()
        local path = os.tmpname()
        os.remove(path)
        assert(os.execute("mkfifo " .. path))
        assert.are.equal("", sys.read(path))
        os.remove(path)
    end)
end)
