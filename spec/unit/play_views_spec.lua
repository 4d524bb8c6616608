local leak = require "spec.support.leak"
local play_events = require "spec.support.play_events"
local remote = require "spec.support.remote"
local views = require "orrery.play.views"

leak.guard()

local function stream()
    local s = { out = {} }
    function s.write(self, said) self.out[#self.out + 1] = said end
    function s.text(self) return table.concat(self.out) end
    return s
end

describe("views", function()
    it("are opened by name, several at once", function()
        local dir, s = remote.directory(), stream()
        finally(function() remote.remove(dir) end)
        local sink = views.open({ "plain", "junit", "html" }, {
            stream = s, junit = dir .. "/r.xml", report = dir .. "/r.html",
        })
        play_events.feed(sink, play_events.make { hosts = 3 })
        assert.are.same({}, sink:finish())
        assert.are.same({}, sink:finish()) -- once is enough
        assert.is_truthy(s:text():find("recap  ok: 3 hosts", 1, true))
        assert.is_nil(s:text():find "\27")
        assert.is_truthy(remote.slurp(dir .. "/r.xml"):find("</testsuites>", 1, true))
        assert.is_truthy(remote.slurp(dir .. "/r.html"):find("</html>", 1, true))
    end)

    it("are plain by themselves where there is no terminal", function()
        local s = stream()
        local sink = views.open("auto", { stream = s })
        assert.are.equal("plain", sink.views[1].name)
        sink:finish()
    end)

    it("have names that are known", function()
        local ok, err = pcall(views.open, "fancy", {})
        assert.is_false(ok)
        assert.are.equal("option", err.code)
        assert.is_truthy(err.message:find("'fancy' (auto, plain, live, json, junit, html)", 1, true))
    end)

    it("end no run when they fail", function()
        local s = stream()
        local sink = views.open({ "plain", "json" }, { stream = s })
        local noise = {}
        local write = io.stderr.write
        debug.getmetatable(io.stderr).__index.write = function(file, ...)
            if file ~= io.stderr then return write(file, ...) end
            noise[#noise + 1] = table.concat { ... }
            return file
        end
        finally(function() debug.getmetatable(io.stderr).__index.write = write end)
        sink.views[1].view.event = function() error "a slip" end
        play_events.feed(sink, play_events.make { hosts = 1 })
        local problems = sink:finish()
        assert.are.equal(1, #problems)
        assert.is_truthy(problems[1]:find("the plain view failed: .*a slip"))
        assert.are.equal(1, #noise)
        assert.is_truthy(s:text():find('"event":"run_end"', 1, true))
    end)
end)
