require "orrery"
local history = require "orrery.play.history"
local leak = require "spec.support.leak"
local record = require "orrery.play.record"
local remote = require "spec.support.remote"
local sys = require "orrery.sys"

leak.guard()

local function told(...)
    local found = history.new()
    for _, line in ipairs { ... } do found:add(line) end
    found:ends()
    return found
end

local function begin(fields)
    local line = { event = "begin", version = 1 }
    for key, value in pairs(fields or {}) do line[key] = value end
    return line
end
local function play_start(n, ...) return { event = "play_start", play = n, name = "p" .. n, hosts = { ... } } end
local function at(n, host, id, name, nth)
    return { event = "at", play = n, host = host, step = id, name = name, nth = nth or 1 }
end
local function host_end(n, host, status) return { event = "host_end", play = n, host = host, status = status } end
local function the_end() return { event = "end", complete = true } end

describe("a history", function()
    it("of a run that went well leaves nothing", function()
        local h = told(begin(), play_start(1, "a"), at(1, "a", "1", "x"), host_end(1, "a", "ok"), the_end())
        assert.is_false(h:open())
        assert.is_nil(h:point "a")
        assert.is_nil(h:point "never heard of")
    end)

    it("goes on at the step that failed", function()
        local h = told(begin(), play_start(1, "a", "b"), at(1, "a", "1", "x"), at(1, "a", "2", "y", 3),
            host_end(1, "a", "failed"), host_end(1, "b", "ok"), play_start(2, "b"), host_end(2, "b", "ok"), the_end())
        assert.are.same({ play = 1, id = "2", name = "y", nth = 3 }, h:point "a")
        assert.is_nil(h:point "b")
        assert.are.same({ "a" }, h:failed())
    end)

    it("goes on where a host was when all was cut short, also with those that had not begun", function()
        local h = told(begin(), play_start(1, "a", "b", "c"), host_end(1, "a", "ok"), at(1, "b", "4", "z"))
        assert.is_true(h:open())
        assert.are.same({ play = 2 }, h:point "a")
        assert.are.same({ play = 1, id = "4", name = "z", nth = 1 }, h:point "b")
        assert.are.same({ play = 1 }, h:point "c")
        assert.are.same({ play = 2 }, h:point "d")
    end)

    it("goes on with handlers alone where the steps were done", function()
        local h = told(begin(), play_start(1, "a"), at(1, "a", "1", "x"), { event = "ending", play = 1, host = "a" },
            at(1, "a", "2.1", "restart"), host_end(1, "a", "failed"), the_end())
        assert.are.same({ play = 1, ending = true }, h:point "a")
    end)

    it("knows which handlers are owed", function()
        local function notify(host, name) return { event = "notify", play = 1, host = host, handler = name } end
        local h = told(begin(), play_start(1, "a", "b"), notify("a", "x"), notify("a", "y"), notify("a", "x"),
            notify("b", "x"), { event = "paid", play = 1, host = "a", handler = "x" },
            { event = "paid", play = 1, host = "b", handler = "x" })
        assert.are.same({ p1 = { a = { "y" } } }, h.owed)
    end)

    it("takes what a step under way would have owed for owed", function()
        local function step(event, host, id, names)
            return { event = "step_" .. event, play = 1, host = host, step = id, notify = names }
        end
        local h = told(begin(), play_start(1, "a"), step("start", "a", "1", { "x" }), step("end", "a", "1"),
            step("start", "a", "2", { "y" }))
        assert.are.same({ p1 = { a = { "y" } } }, h.owed)
    end)

    it("hands on what it leaves, to runs that go on and to others", function()
        local first = told(begin(), play_start(1, "a", "b"), at(1, "a", "2", "y"), host_end(1, "a", "failed"),
            host_end(1, "b", "ok"), { event = "notify", play = 1, host = "a", handler = "x" },
            { event = "once", play = 1, name = "m#1" })
        local left = first:left()
        assert.are.same({ p1 = { ["m#1"] = true } }, left.once)
        -- Going on with b alone: a is still where it was.
        local second = told(begin { failed = true, before = left }, play_start(1), play_start(2, "b"),
            host_end(2, "b", "ok"), the_end())
        assert.are.same({ play = 1, id = "2", name = "y", nth = 1 }, second:point "a")
        assert.is_nil(second:point "b")
        assert.are.same({ p1 = { a = { "x" } } }, second.owed)
        -- Another run of all: what failed before is forgotten, debts are not.
        local third = told(begin { before = left }, play_start(1, "b"), host_end(1, "b", "ok"), the_end())
        assert.is_nil(third:point "a")
        assert.are.same({ p1 = { a = { "x" } } }, third.owed)
    end)
end)

describe("a record", function()
    local dir
    before_each(function() dir = remote.directory() end)
    after_each(function() remote.remove(dir) end)

    local function warnings()
        local list = {}
        return list, function(text) list[#list + 1] = text end
    end

    it("has a place for each playbook, whatever its path is called", function()
        assert.matches("^site%-%x%x%x%x%x%x%x%x$", record.id "/srv/site.lua")
        assert.are_not.equal(record.id "/srv/site.lua", record.id "/opt/site.lua")
        assert.matches("^a_b___%-", record.id "/x/a b\1\2;")
        assert.are.equal("/srv/b/site.lua", record.absolute("../b/./site.lua", "/srv/a"))
        assert.are.equal("/x", record.absolute("/x", "/srv"))
    end)

    it("is written line by line, and read back", function()
        local list, warn = warnings()
        local r = record.open(dir .. "/runs/site", warn)
        r:event(begin())
        r:event(play_start(1, "a"))
        r:event { event = "step_line", play = 1, host = "a", line = "is not kept" }
        r:event { event = "step_end", play = 1, host = "a", step = "1", status = "ok", diff = { { what = "x" } },
            message = ("m"):rep(5000) }
        local text = remote.slurp(r.path) -- it is all there before it is closed
        assert.are.equal(3, select(2, text:gsub("\n", "")))
        assert.is_nil(text:find "not kept")
        assert.is_nil(text:find "diff")
        assert.is_true(#text < 3000)
        r:close()
        assert.are.equal(384, sys.stat(r.path).mode)
        assert.are.equal(448, sys.stat(dir .. "/runs/site").mode)
        assert.are.same({}, list)
        assert.are.equal("p1", record.read(r.path).plays[1])
        assert.are.same(r.path, select(2, record.last(dir .. "/runs/site")))
    end)

    it("that is cut off in the middle of a line is read so far", function()
        local _, warn = warnings()
        local r = record.open(dir, warn)
        r:event(begin())
        r:event(play_start(1, "a"))
        r:close()
        local text = remote.slurp(r.path)
        remote.write(r.path, text .. '{"event":"host_end","play":1,"ho')
        assert.are.same({ play = 1 }, record.read(r.path):point "a")
    end)

    it("of another inventory is not the last one", function()
        local _, warn = warnings()
        local runs = { { inventory = "prod" }, { inventory = "test" } }
        for _, fields in ipairs(runs) do
            local r = record.open(dir, warn)
            r:event(begin(fields))
            r:close()
        end
        local names = remote.names(dir)
        assert.are.equal(dir .. "/" .. names[1], select(2, record.last(dir, "prod")))
        assert.is_nil(record.last(dir, "other"))
    end)

    it("goes when there are many newer ones", function()
        local _, warn = warnings()
        for i = 1, 60 do remote.write(("%s/20200101-0000%02d.000000-1.jsonl"):format(dir, i), "{}\n") end
        remote.write(dir .. "/notes.txt", "mine")
        record.open(dir, warn):close()
        local names = remote.names(dir)
        assert.are.equal(52, #names) -- fifty, the new one, and what is not ours
        assert.are.equal("20200101-000011.000000-1.jsonl", names[1])
    end)

    it("that cannot be written is said once, and nothing else happens", function()
        local list, warn = warnings()
        remote.write(dir .. "/file", "")
        local r = record.open(dir .. "/file/x", warn)
        r:event(begin())
        r:close()
        assert.are.equal(1, #list)
        assert.matches("this run is not recorded, .-cannot make", list[1])
        list, warn = warnings()
        r = record.open(dir, warn)
        r.file:close()
        r.file = assert(io.open("/dev/full", "w"))
        r:event(begin())
        r:event(begin())
        assert.are.equal(1, #list)
        assert.matches("not recorded any further.-No space left", list[1])
    end)
end)
