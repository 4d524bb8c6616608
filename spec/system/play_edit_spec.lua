-- line, replace, block, ini: what they do to files. What they do to texts is in spec/unit.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local sys = require "orrery.sys"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

describe("files that are edited", function()
    support.each(function(target)
        local path, seen

        before_each(function()
            target.ctx:run { "mkdir", target.dir .. "/d" }
            path, seen = target.dir .. "/d/f", target.seen .. "/d/f"
        end)
        after_each(function() target.ctx:run { "rm", "-rf", target.dir .. "/d" } end)

        local function text() return remote.slurp(seen) end
        local function have(content) remote.write(seen, content) end
        local function names() return table.concat(remote.names(target.seen .. "/d"), " ") end

        -- A failure that needed a file beside it: all is as before but for the times of the directory.
        local function fails_clean(fn)
            local before, there = text(), names()
            local err = remote.failure(fn, target.h)
            assert.are.equal(before, text())
            assert.are.equal(there, names())
            return err
        end

        it("get a line", function()
            local function line(h) return h:line { path = path, line = "b", create = true, mode = "640" } end
            support.converges(target, line)
            assert.are.equal("b\n", text())
            assert.are.equal(0x1a0, sys.stat(seen).mode)
            have "a\nc\n"
            sys.chmod(seen, 0x180)
            local _, foreseen = support.converges(target, line)
            assert.are.equal("a\nc\nb\n", text())
            assert.are.same({ { path = path, before = "a\nc\n", after = "a\nc\nb\n" },
                { what = "mode", before = "0600", after = "0640" } }, foreseen.diff)
            support.stays(target, line)
        end)

        it("get a line in the place of another", function()
            have "# Port 22\nx\n"
            support.converges(target, function(h)
                return h:line { path = path, regexp = [[^#?\s*Port\s]], line = "Port 2222" }
            end)
            assert.are.equal("Port 2222\nx\n", text())
            support.converges(target, function(h)
                return h:line { path = path, pattern = "^Port (%d+)$", line = "Port %1 # ssh", backrefs = true }
            end)
            assert.are.equal("Port 2222 # ssh\nx\n", text())
            support.converges(target, function(h)
                return h:line { path = path, line = "y", insert_after = "^Port", first_match = true }
            end)
            support.converges(target, function(h)
                return h:line { path = path, line = "first", insert_before = "BOF" }
            end)
            assert.are.equal("first\nPort 2222 # ssh\ny\nx\n", text())
        end)

        it("lose lines", function()
            have "a1\nb\na2\n"
            local function gone(h) return h:line { path = path, regexp = "^a", state = "absent" } end
            assert.are.equal(2, support.converges(target, gone).found)
            assert.are.equal("b\n", text())
            sys.unlink(seen)
            support.stays(target, gone)
        end)

        it("are replaced in", function()
            have "10.0.0.1 a\n[x]\n10.0.0.2 b\n"
            local result = support.converges(target, function(h)
                return h:replace { path = path, regexp = [[^10\.0\.0\.(\d+)]], replace = [[10.9.0.\1]] }
            end)
            assert.are.equal(2, result.replacements)
            assert.are.equal("10.9.0.1 a\n[x]\n10.9.0.2 b\n", text())
            support.converges(target, function(h)
                return h:replace { path = path, literal = "9", replace = "8", after = [=[^\[x\]$]=] }
            end)
            assert.are.equal("10.9.0.1 a\n[x]\n10.8.0.2 b\n", text())
            support.converges(target, function(h)
                return h:replace { path = path, regexp = "^10[^\n]*\n", before = [=[^\[x\]]=] }
            end)
            assert.are.equal("[x]\n10.8.0.2 b\n", text())
            support.stays(target, function(h)
                return h:replace { path = path, pattern = "b", replace = "c", after = "nowhere" }
            end)
        end)

        it("get a block", function()
            have "a\n"
            local function block(h, what)
                return h:block { path = path, block = what, marker = "; {mark} x", insert_before = "^a" }
            end
            support.converges(target, function(h) return block(h, "1\n2\n") end)
            assert.are.equal("; BEGIN x\n1\n2\n; END x\na\n", text())
            support.converges(target, function(h) return block(h, "3") end)
            assert.are.equal("; BEGIN x\n3\n; END x\na\n", text())
            support.converges(target, function(h)
                return h:block { path = path, marker = "; {mark} x", state = "absent" }
            end)
            assert.are.equal("a\n", text())
            have "; BEGIN x\na\n"
            local err = support.fails(target, function(h) return block(h, "1") end)
            assert.matches("line 1: '; BEGIN x' without '; END x' after it", err.message)
        end)

        it("get an ini option", function()
            have "[a]\nx=1\n"
            support.converges(target, function(h)
                return h:ini { path = path, section = "a", option = "x", value = 2 }
            end)
            support.converges(target, function(h)
                return h:ini { path = path, section = "b", option = "y", values = { "1", "2" } }
            end)
            support.converges(target, function(h)
                return h:ini { path = path, section = "a", option = "bare", no_value = true }
            end)
            assert.are.equal("[a]\nx=2\nbare\n\n[b]\ny = 1\ny = 2\n", text())
            support.converges(target, function(h) return h:ini { path = path, section = "b", state = "absent" } end)
            assert.are.equal("[a]\nx=2\nbare\n\n", text())
        end)

        it("are validated before they are there", function()
            have "good\n"
            local err = fails_clean(function(h)
                return h:line { path = path, line = "bad", validate = "grep -q better %s", backup = true }
            end)
            assert.matches("not valid: grep ended with status 1", err.message)
            err = fails_clean(function(h)
                return h:line { path = path, line = "bad", validate = { "sh", "-c", "echo no >&2; exit 3", "%s" } }
            end)
            assert.matches("status 3: no$", err.message)
            target.h:line { path = path, line = "better", validate = "grep -q better %s" }
            assert.are.equal("good\nbetter\n", text())
            assert.are.equal("f", names())
        end)

        it("keep mode, links and, if asked, the old one", function()
            have "a\n"
            sys.chmod(seen, 0x1e8)
            target.ctx:run { "ln", "-s", "f", target.dir .. "/d/l" }
            local result = target.h:line { path = target.dir .. "/d/l", line = "b", backup = true }
            assert.are.equal("link", sys.lstat(target.seen .. "/d/l").type)
            assert.are.equal("a\nb\n", text())
            assert.are.equal(0x1e8, sys.stat(seen).mode)
            assert.are.equal("a\n", remote.slurp(remote.seen(target.name, result.backup)))
            assert.matches("^" .. path:gsub("%p", "%%%0") .. "%.%d+%-%d+%-%d+T[%d:]+Z~$", result.backup)
        end)

        it("can be written into", function()
            have "long enough\n"
            local inode = sys.stat(seen).ino
            target.h:replace { path = path, literal = "long enough", replace = "x", in_place = true }
            assert.are.equal("x\n", text())
            target.h:line { path = path, line = "and longer than before", in_place = true }
            assert.are.equal("x\nand longer than before\n", text())
            assert.are.equal(inode, sys.stat(seen).ino)
            assert.are.equal("f", names())
        end)

        it("have to be there, or may be made", function()
            local err = support.fails(target, function(h) return h:line { path = path, line = "a" } end)
            assert.matches("there is no file " .. path:gsub("%p", "%%%0") .. ", and `create` is not set", err.message)
            local foreseen = support.unchanged_in_check_mode(target, function(h)
                return h:line { path = path, line = "a" }
            end)
            assert.is_true(foreseen.unknown)
            err = support.fails(target, function(h)
                return h:block { path = target.dir .. "/none/f", block = "a", create = true }
            end)
            assert.matches("there is no directory for", err.message)
            err = support.fails(target, function(h) return h:line { path = target.dir .. "/d", line = "a" } end)
            assert.matches("it is a directory", err.message)
            target.ctx:run { "ln", "-s", "nowhere", target.dir .. "/d/l" }
            err = support.fails(target, function(h)
                return h:line { path = target.dir .. "/d/l", line = "a", create = true }
            end)
            assert.matches("link to what is not there", err.message)
        end)

        it("need options that make sense", function()
            for _, case in ipairs {
                { "line", { line = "a\nb" }, "single line" }, { "line", {}, "option 'line' is missing" },
                { "line", { line = "a", regexp = "x", pattern = "y" }, "only one of" },
                { "line", { line = "a", backrefs = true }, "backrefs needs" },
                { "line", { line = "a", validate = "true" }, "must hold %%s" },
                { "line", { state = "absent" }, "says what is to go" },
                { "line", { line = "a", insert_after = "x", insert_before = "y" }, "cannot both" },
                { "replace", {}, "one of regexp" }, { "replace", { regexp = "" }, "everywhere" },
                { "block", {}, "'block' is missing" }, { "block", { block = "a", marker = "x" }, "holds {mark}" },
                { "block", { block = "a", begin_mark = "x", end_mark = "x" }, "must differ" },
                { "ini", {}, "section or an option" }, { "ini", { option = "x" }, "value is missing" },
                { "ini", { section = "x", value = "y" }, "needs an option" },
                { "ini", { option = "x", value = "a\nb" }, "single line" },
            } do
                local name, options, why = unpack(case)
                options.path = path
                local err = support.fails(target, function(h) return h[name](h, options) end)
                assert.are.equal("option", err.code)
                assert.matches(why, err.message)
            end
            have "a\n"
            local err = support.fails(target, function(h) return h:line { path = path, line = "x", regexp = "(a" } end)
            assert.matches("regular expression '%(a': a parenthesis is not closed", err.message)
        end)
    end)

    describe("[mount point]", function()
        if not lab.need(2, { foreign = true, isolated = true }) then return end
        it("are not renamed over, and it is said what helps", function()
            local ctx = remote.open "h1"
            local h = support.host(ctx)
            ctx:shell "echo a >/tmp/below; echo b >/tmp/mounted; mount --bind /tmp/below /tmp/mounted"
            local err = remote.failure(function() h:line { path = "/tmp/mounted", line = "c" } end)
            assert.matches("mount point: see the option in_place", err.message)
            assert.is_true(h:line { path = "/tmp/mounted", line = "c", in_place = true }.changed)
            assert.are.equal("a\nc\n", ctx:shell("cat /tmp/below").stdout)
            ctx:shell "umount /tmp/mounted; rm /tmp/below /tmp/mounted; ! ls /tmp/.orrery-*"
            ctx:close()
        end)
    end)
end)
