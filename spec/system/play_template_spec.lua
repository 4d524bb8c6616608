--- The resource template, on each kind of target.

local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local sys = require "orrery.sys"

leak.guard()

local TEXT = "# made by <%= who %>\n<% for _, port in ipairs(ports) do -%>\nlisten <%= port %>;\n<% end -%>\n"

describe("the resource template", function()
    support.each(function(target)
        local function path(name) return target.dir .. "/" .. name end
        local function seen(name) return target.seen .. "/" .. name end

        local function options(more)
            local all = { content = TEXT, dest = path "conf", vars = { who = "orrery", ports = { 80, 443 } } }
            for key, value in pairs(more or {}) do all[key] = value end
            return all
        end

        before_each(function() os.remove(seen "conf") end)

        it("writes a file from nothing", function()
            local result, foreseen = support.converges(target, function(h)
                return h:template(options { mode = "640" })
            end)
            local text = "# made by orrery\nlisten 80;\nlisten 443;\n"
            assert.are.equal(text, remote.slurp(seen "conf"))
            assert.are.equal(tonumber("640", 8), sys.stat(seen "conf").mode)
            assert.are.same({ path = path "conf", after = text }, foreseen.diff[1])
            assert.is_nil(result.backup)
        end)

        it("is a file of the controller, with those that it includes, and the variables of the host", function()
            local here = remote.directory()
            remote.write(here .. "/conf.tmpl", "<%= include 'head.tmpl' -%>\nname <%= name %>\n")
            remote.write(here .. "/head.tmpl", "# of <%= owner %>\n")
            local h = support.host(target.ctx, { diff = true }, { vars = { name = "of the host", owner = "none" } })
            local function write()
                return h:template { src = here .. "/conf.tmpl", dest = path "conf", vars = { owner = "me" } }
            end
            assert.is_true(write().changed)
            assert.matches("^# of me\nname of the host\n$", remote.slurp(seen "conf"))
            assert.is_false(write().changed)
            remote.write(here .. "/head.tmpl", "\n<%= nmae %>")
            local err = remote.failure(write)
            assert.matches(here .. "/head.tmpl:2: 'nmae' is not defined; did you mean 'name'?", err.message, 1, true)
            assert.matches("included at " .. here .. "/conf.tmpl:1", err.message, 1, true)
            remote.remove(here)
        end)

        it("replaces what differs, with mode and owner as they were, and keeps it where that is wanted", function()
            remote.write(seen "conf", "old\n")
            assert(sys.chmod(seen "conf", tonumber("604", 8)))
            local result = support.converges(target, function(h)
                return h:template(options { owner = 4711, backup = true })
            end)
            local st = sys.stat(seen "conf")
            assert.are.same({ tonumber("604", 8), 4711 }, { st.mode, st.uid })
            local backup = result.backup:gsub("^.*/", "")
            assert.are.equal("old\n", remote.slurp(seen(backup)))
            os.remove(seen(backup))
        end)

        it("mends a mode alone", function()
            target.h:template(options { mode = "600" })
            support.converges(target, function(h) return h:template(options { mode = "644" }) end)
        end)

        it("leaves what is there where it is not to be replaced", function()
            remote.write(seen "conf", "mine\n")
            support.stays(target, function(h) return h:template(options { force = false }) end)
            assert.are.equal("mine\n", remote.slurp(seen "conf"))
        end)

        it("puts nothing in place that is not valid", function()
            remote.write(seen "conf", "old\n")
            local err = remote.failure(target.h.template, target.h,
                options { validate = "grep -q nothing-like-this %s" })
            assert.matches("the new file is not valid", err.message)
            assert.are.equal("old\n", remote.slurp(seen "conf"))
            assert.are.same({ "conf" }, remote.names(target.seen))
            support.converges(target, function(h) return h:template(options { validate = "grep -q listen %s" }) end)
        end)

        it("names the line of a template that is wrong, and changes nothing", function()
            remote.write(seen "conf", "old\n")
            local err = support.fails(target, function(h)
                h:template(options { content = "a\nb <%= prots[1] %>\n" })
            end)
            assert.are.equal("template", err.code)
            assert.matches("template:2: 'prots' is not defined; did you mean 'ports'%?", err.message)
            assert.matches("play_template_spec%.lua:%d+$", err.at)
            err = support.fails(target, function(h) h:template(options { content = "<% if %>" }) end)
            assert.matches("template:1: unexpected symbol near", err.message)
        end)

        it("says what is wrong with its options", function()
            local err = support.fails(target, function(h) h:template { dest = path "conf" } end)
            assert.matches("either src or content", err.message)
            err = support.fails(target, function(h) h:template { content = "x", dest = "relative" } end)
            assert.are.equal("option", err.code)
            err = support.fails(target, function(h) h:template { content = "x", dst = "/x" } end)
            assert.matches("unknown option 'dst'; did you mean 'dest'%?", err.message)
        end)

        it("writes secrets into the file and shows them nowhere", function()
            local password = "play-template-" .. "password"
            local h, events = support.host(target.ctx, { diff = true })
            h:template {
                content = "user=app\npassword=<%= password %>\n", dest = path "conf",
                vars = { password = orrery.secret(password) },
            }
            assert.are.equal("user=app\npassword=" .. password .. "\n", remote.slurp(seen "conf"))
            assert.are.equal(tonumber("600", 8), sys.stat(seen "conf").mode)
            assert.are.equal("user=app\npassword=********\n", events[#events].diff[1].after)
            assert.is_false(h:template { content = "user=app\npassword=<%= password %>\n", dest = path "conf",
                vars = { password = orrery.secret(password) } }.changed)
            for _, event in ipairs(events) do
                local text = require("string.buffer").encode(event)
                assert.is_nil(text:find(password, 1, true), event.event)
            end
        end)
    end)
end)
