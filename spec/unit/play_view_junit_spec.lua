local junit = require "orrery.play.views.junit"
local leak = require "spec.support.leak"
local play_events = require "spec.support.play_events"
local remote = require "spec.support.remote"

leak.guard()

local function document(events, settings)
    local out = {}
    settings = settings or {}
    settings.write, settings.stream = function(said) out[#out + 1] = said end, true
    local view = junit.new(settings)
    play_events.feed(view, events)
    view:finish()
    return table.concat(out)
end

-- Elements by name; raises where the text is no well-formed XML.
local function parse(xml)
    assert.is_nil(xml:find "[%z\1-\8\11-\31]")
    local stack, all, at = {}, {}, 1
    at = select(2, assert(xml:find("^<%?xml [^>]*%?>\n", at))) + 1
    while at <= #xml do
        local from, upto, close, name, rest = xml:find("<(/?)([%a-]+)([^<>]-)>", at)
        local content = xml:sub(at, (from or #xml + 1) - 1)
        assert.is_nil(content:find "[<>]")
        for entity in content:gmatch "&[^;]*;?" do assert.is_truthy(entity:find "^&%l+;$" or entity:find "^&#10;$") end
        if #stack > 0 then stack[#stack].text = stack[#stack].text .. content end
        if not from then break end
        if close == "/" then
            assert.are.equal(name, table.remove(stack).name)
        else
            local node = { name = name, text = "", attributes = {}, inside = stack[#stack] }
            for key, value in rest:gmatch '([%a-]+)="([^"<]*)"' do node.attributes[key] = value end
            all[#all + 1] = node
            if rest:sub(-1) ~= "/" then stack[#stack + 1] = node end
        end
        at = upto + 1
    end
    assert.are.equal(0, #stack)
    return all
end

local function named(all, name)
    local out = {}
    for _, node in ipairs(all) do
        if node.name == name then out[#out + 1] = node end
    end
    return out
end

describe("the JUnit view", function()
    it("has a suite for each play and a case for each step of each host", function()
        local events = play_events.make { hosts = 10, failures = 0.3, lost = 0.2 }
        local all, steps, failed, skipped, lost = parse(document(events)), 0, 0, 0, 0
        for _, e in ipairs(events) do
            if e.event == "step_end" then steps = steps + 1 end
            if e.status == "failed" and e.event == "step_end" then failed = failed + 1 end
            if e.status == "skipped" then skipped = skipped + 1 end
            if e.status == "lost" then lost = lost + 1 end
        end
        assert.is_true(failed > 0 and skipped > 0 and lost > 0)
        assert.are.equal(1, #named(all, "testsuite"))
        assert.are.equal(steps + lost, #named(all, "testcase"))
        assert.are.equal(failed, #named(all, "failure"))
        assert.are.equal(lost, #named(all, "error"))
        assert.are.equal(skipped, #named(all, "skipped"))
        local counts = named(all, "testsuite")[1].attributes
        assert.are.same({ tostring(steps + lost), tostring(failed), tostring(lost), tostring(skipped) },
            { counts.tests, counts.failures, counts.errors, counts.skipped })
        assert.are.equal("web tier", counts.name)
        assert.is_truthy(counts.timestamp:find "^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d$")
    end)

    it("has the error, the time and the output of a step", function()
        local node = parse(document {
            { event = "play_start", play = 1, name = "p", hosts = { "h" } },
            { event = "step_line", play = 1, host = "h", step = "1", line = "said <b>\27[1m" },
            { event = "step_end", play = 1, host = "h", step = "1", name = 'a "name" & more', status = "failed",
                seconds = 1.25, error = { code = "command", message = "no ]]> <x>\nreally", at = "d.lua:3" } },
        })
        assert.are.equal("1.250", named(node, "testcase")[1].attributes.time)
        assert.are.equal("1 a &quot;name&quot; &amp; more", named(node, "testcase")[1].attributes.name)
        assert.are.equal("p.h", named(node, "testcase")[1].attributes.classname)
        local failure = named(node, "failure")[1]
        assert.are.equal("no ]]&gt; &lt;x&gt;", failure.attributes.message)
        assert.are.equal("command", failure.attributes.type)
        assert.is_truthy(failure.text:find("really\nat d.lua:3, step 1, code command", 1, true))
        assert.are.equal("said &lt;b&gt;\\x1b[1m", named(node, "system-out")[1].text)
    end)

    it("is well-formed whatever is said", function()
        local bytes = {}
        for i = 0, 255 do bytes[i + 1] = string.char(i) end
        local junk = table.concat(bytes) .. "\239\191\190"
        parse(document {
            { event = "play_start", play = 1, name = junk, hosts = { junk } },
            { event = "step_line", play = 1, host = junk, step = junk, line = junk },
            { event = "step_end", play = 1, host = junk, step = junk, name = junk, status = "failed", error = junk },
            { event = "step_end", play = 1, host = junk, step = junk, status = "skipped", message = junk },
            { event = "host_end", play = 1, host = "h", status = "lost", error = { message = junk, code = junk } },
        })
    end)

    it("writes a file whole, and says at the start when it could not", function()
        local dir = remote.directory()
        finally(function() remote.remove(dir) end)
        assert.are.equal("", document(play_events.make { hosts = 2 }, { junit = dir .. "/r.xml" }))
        parse(remote.slurp(dir .. "/r.xml"))
        assert.has_error(function() document({}, { junit = dir .. "/not/there.xml" }) end)
    end)
end)
