local lfs = require "lfs"
local orrery = require "orrery"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local function mode_of(path)
    return lfs.attributes(path, "permissions")
end

local function text_of(size, seed)
    local state, parts = seed or 1, {}
    for i = 1, 1024 do
        state = (state * 1103515245 + 12345) % 2 ^ 31
        parts[i] = string.char(math.floor(state / 65536) % 256)
    end
    local block = table.concat(parts)
    return block:rep(math.ceil(size / #block)):sub(1, size)
end

describe("a file", function()
    local here
    setup(function() here = remote.directory() end)
    teardown(function() remote.remove(here) end)

    remote.each(function(target)
        local ctx, there, seen
        before_each(function()
            ctx = target.ctx
            there, seen = target.dir .. "/d", target.seen .. "/d"
            ctx:run { "mkdir", there }
        end)
        after_each(function()
            for _, name in ipairs(remote.names(seen)) do
                assert.is_nil(name:find(".orrery-", 1, true), name .. " was left behind")
            end
            ctx:run { "rm", "-rf", there }
        end)

        it("arrives as it is", function()
            for _, size in ipairs { 0, 1, 4096, 300001 } do
                local from, text = here .. "/from", text_of(size)
                remote.write(from, text)
                local result = ctx:put(from, there .. "/file")
                assert.is_true(result.changed)
                assert.are.equal(size, result.sent)
                assert.are.equal(size, result.size)
                assert.are.equal(32, #result.hash)
                assert.is_true(text == remote.slurp(seen .. "/file"))
                local back = ctx:get(there .. "/file", here .. "/back")
                assert.are.equal(result.hash, back.hash)
                assert.is_true(text == remote.slurp(here .. "/back"))
            end
        end)

        it("is not sent again when it is there already", function()
            remote.write(here .. "/from", text_of(100000))
            ctx:put(here .. "/from", there .. "/file")
            local inode = lfs.attributes(seen .. "/file", "ino")
            local again = ctx:put(here .. "/from", there .. "/file")
            assert.is_false(again.changed)
            assert.are.equal(0, again.sent)
            assert.are.equal(inode, lfs.attributes(seen .. "/file", "ino"))
            remote.write(here .. "/from", text_of(100000, 2))
            assert.is_true(ctx:put(here .. "/from", there .. "/file").changed)
            ctx:get(there .. "/file", here .. "/back")
            again = ctx:get(there .. "/file", here .. "/back")
            assert.is_false(again.changed)
            assert.are.equal(0, again.sent)
        end)

        it("has the mode of its source, or the one that is asked for", function()
            remote.write(here .. "/from", "#!/bin/sh\n")
            assert.are.equal(0, (lab.run { "chmod", "751", here .. "/from" }))
            ctx:put(here .. "/from", there .. "/file")
            assert.are.equal("rwxr-x--x", mode_of(seen .. "/file"))
            local result = ctx:put(here .. "/from", there .. "/file", { mode = tonumber("640", 8) })
            assert.are.equal("rw-r-----", mode_of(seen .. "/file"))
            assert.is_true(result.changed)
            assert.are.equal(0, result.sent)
            ctx:get(there .. "/file", here .. "/back", { mode = tonumber("600", 8) })
            assert.are.equal("rw-------", mode_of(here .. "/back"))
        end)

        it("has the owner that is asked for", function()
            remote.write(here .. "/from", "x")
            ctx:put(here .. "/from", there .. "/file", { owner = 1234, group = "1235" })
            assert.are.equal(1234, lfs.attributes(seen .. "/file", "uid"))
            assert.are.equal(1235, lfs.attributes(seen .. "/file", "gid"))
            remote.write(here .. "/from", "y")
            ctx:put(here .. "/from", there .. "/file")
            assert.are.equal(1234, lfs.attributes(seen .. "/file", "uid"))
            local err = remote.failure(ctx.put, ctx, here .. "/from", there .. "/file", { owner = "nobody-here" })
            assert.are.equal("file", err.code)
            assert.matches("nobody%-here", err.message)
        end)

        it("may have any name", function()
            remote.write(here .. "/from", "x")
            for _, name in ipairs { "a b", "line\nbreak", "-rf", "*", "ünï", "'$x\"", ("n"):rep(255) } do
                ctx:put(here .. "/from", there .. "/" .. name)
                assert.are.equal("x", remote.slurp(seen .. "/" .. name))
                ctx:get(there .. "/" .. name, here .. "/back")
            end
        end)

        it("may be large", function()
            local from = here .. "/large"
            local file = assert(io.open(from, "wb"))
            for i = 1, 64 do file:write(text_of(2 ^ 20, i)) end
            file:close()
            local result = ctx:put(from, there .. "/large")
            assert.are.equal(64 * 2 ^ 20, result.sent)
            assert.are.equal(0, (lab.run { "cmp", from, seen .. "/large" }))
            assert.are.equal(result.hash, ctx:get(there .. "/large", here .. "/back").hash)
            assert.are.equal(0, (lab.run { "cmp", from, here .. "/back" }))
            os.remove(from)
        end)

        it("goes into a directory whose name ends with a slash", function()
            remote.write(here .. "/from", "inside")
            ctx:put(here .. "/from", there .. "/")
            assert.are.equal("inside", remote.slurp(seen .. "/from"))
        end)

        it("replaces what a link leads to", function()
            remote.write(here .. "/from", "new")
            ctx:shell('echo old >"$1/real"; ln -s real "$1/link"', there)
            ctx:put(here .. "/from", there .. "/link")
            assert.are.equal("link", lfs.symlinkattributes(seen .. "/link", "mode"))
            assert.are.equal("new", remote.slurp(seen .. "/real"))
            ctx:get(there .. "/link", here .. "/back")
            assert.are.equal("new", remote.slurp(here .. "/back"))
        end)

        it("is refused with the path, the side and the cause", function()
            remote.write(here .. "/from", "x")
            ctx:shell('ln -s nowhere "$1/dangling"', there)
            for name, case in pairs {
                ["no directory"] = { "put", here .. "/from", there .. "/no/dir/file", "No such file" },
                ["a directory"] = { "put", here .. "/from", there, "directory" },
                ["a link to nothing"] = { "put", here .. "/from", there .. "/dangling", "link" },
                ["no source"] = { "put", here .. "/none", there .. "/file", "No such file", here .. "/none" },
                ["a directory as source"] = { "put", here, there .. "/file", "regular file", here },
                ["no source there"] = { "get", there .. "/none", here .. "/back", "No such file",
                    there .. "/none" },
                ["no directory here"] = { "get", there .. "/none", here .. "/no/back", "No such file",
                    there .. "/none" },
                ["a directory here"] = { "get", "/etc/passwd", here, "directory", here },
            } do
                local method, from, to, why, path = unpack(case)
                local err = remote.failure(function() ctx[method](ctx, from, to) end)
                local message = ("%s: %s"):format(name, err.message)
                assert.are.equal("file", err.code, message)
                assert.is_truthy(err.message:find(why, 1, true), message)
                assert.is_truthy(err.message:find(path or to, 1, true), message)
                assert.are.equal(ctx.name, err.context)
                assert.matches("file_spec%.lua:%d+$", err.at)
            end
            assert.are.same({ "dangling" }, remote.names(seen))
        end)

        it("does not come from a path that is none", function()
            for _, wrong in ipairs { {}, { nil, "/x" }, { "/x", nil }, { "", "/x" }, { 1, "/x" }, { "/x\0y", "/x" } } do
                local err = remote.failure(function() ctx:put(wrong[1], wrong[2]) end)
                assert.are.equal("argument", err.code)
            end
            local err = remote.failure(function() ctx:put("/x", "/y", { mdoe = 1 }) end)
            assert.matches("did you mean 'mode'", err.message)
        end)

        it("leaves the old one when the disk is full", function()
            if target.name == "local" then return end -- mounts nothing on this machine
            ctx:run { "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", there }
            remote.write(here .. "/from", "small")
            ctx:put(here .. "/from", there .. "/file")
            remote.write(here .. "/from", text_of(2 * 2 ^ 20))
            local err = remote.failure(function() ctx:put(here .. "/from", there .. "/file") end)
            assert.are.equal("file", err.code)
            assert.matches("No space left", err.message)
            assert.is_truthy(err.message:find(there .. "/file", 1, true), err.message)
            assert.are.equal("file\nsmall", ctx:shell('cd "$1"; ls -A; cat file', there).stdout)
            ctx:run { "umount", there }
        end)

        it("is one of them, whole, when two arrive at once", function()
            local other = remote.open(target.name)
            remote.write(here .. "/one", text_of(500000, 1))
            remote.write(here .. "/two", text_of(400000, 2))
            local puts = {}
            for i = 1, 20 do
                puts[i] = { i % 2 == 0 and ctx or other, here .. (i % 4 < 2 and "/one" or "/two") }
            end
            orrery.each(puts, function(put) put[1]:put(put[2], there .. "/file") end)
            local text = remote.slurp(seen .. "/file")
            assert.is_true(text == text_of(500000, 1) or text == text_of(400000, 2))
            assert.are.same({ "file" }, remote.names(seen))
            other:close()
        end)

        it("can be one of a hundred", function()
            local list = {}
            for i = 1, 100 do
                list[i] = i
                remote.write(here .. "/many" .. i, text_of(20000, i))
            end
            orrery.each(list, function(i)
                ctx:put(here .. "/many" .. i, there .. "/many" .. i)
                ctx:get(there .. "/many" .. i, here .. "/back" .. i)
            end)
            for i = 1, 100 do
                assert.is_true(text_of(20000, i) == remote.slurp(here .. "/back" .. i))
            end
        end)

        it("is not there when its transfer was cancelled", function()
            local from = here .. "/large"
            assert.are.equal(0, (lab.run { "truncate", "-s", "1G", from }))
            local task = orrery.spawn(function() ctx:put(from, there .. "/large") end)
            remote.eventually("the first bytes", function()
                return ctx:call(function(pid)
                    return tonumber(io.open("/proc/" .. pid .. "/io"):read("*a"):match("wchar: (%d+)")) > 1e6
                end, ctx:info().pid)
            end)
            task:cancel()
            assert.are.equal("cancelled", remote.failure(task.get, task).code)
            remote.eventually("its end", function() return #remote.names(seen) == 0 end)
            local err = remote.failure(ctx.put, ctx, from, there .. "/large", { timeout = 0.05 })
            assert.are.equal("timeout", err.code)
            remote.eventually("its end", function() return #remote.names(seen) == 0 end)
            os.remove(from)
        end)
    end)

    it("cannot go where the user may not write", function()
        if not lab.is_up() then return pending("needs the lab") end
        local ctx = remote.open("h1", { user = "deploy" })
        remote.write(here .. "/from", "x")
        local err = remote.failure(ctx.put, ctx, here .. "/from", "/root/file")
        assert.are.equal("file", err.code)
        assert.matches("Permission denied", err.message)
        err = remote.failure(ctx.get, ctx, "/etc/shadow", here .. "/back")
        assert.are.equal("file", err.code)
        assert.matches("/etc/shadow", err.message)
        assert.matches("Permission denied", err.message)
        ctx:put(here .. "/from", "/tmp/by-deploy")
        ctx:run { "rm", "/tmp/by-deploy" }
        ctx:close()
    end)
end)
