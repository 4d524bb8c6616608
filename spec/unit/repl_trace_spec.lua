local commands = require "orrery.repl.commands"
local core = require "orrery.core"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local repl = require "spec.support.repl"
local trace = require "orrery.repl.trace"

leak.guard()

-- Lines of a table, each as its words.
local function traced(fn, width)
    local prompt = repl.prompt(nil, width)
    function prompt.evaluate() fn() end
    commands.run(":trace x", prompt)
    local lines = {}
    for line in prompt:said():gmatch "[^\n]+" do
        assert.is_true(require("orrery.repl.columns").length(line) <= (width or 80), line)
        lines[#lines + 1] = line
    end
    return lines
end

local function run(fn) return trace.run(fn).list end

describe(":trace", function()
    it("shows a call and its answer, in order, with their way", function()
        local ctx = orrery.localhost { name = "web1" }
        ctx:call(function() end)
        local lines = traced(function() ctx:call("os.time") end)
        ctx:close()
        assert.are.equal(3, #lines)
        assert.matches("^ *MS +MESSAGE +FROM > TO +BYTES  ROUTE$", lines[1])
        assert.matches("^ *%d+%.%d%d  >  CALL +here > web1 +%d+  local:web1$", lines[2])
        assert.matches("^ *%d+%.%d%d  <  CALL answer +web1 > here +%d+  local:web1$", lines[3])
    end)

    it("shows those that go through, and names errors and ends", function()
        local near = orrery.localhost { name = "near" }
        local far = near:localhost { name = "far" }
        far:call(function() end)
        local lines = traced(function()
            pcall(far.call, far, function() error "no" end)
            far:close()
        end)
        near:close()
        local text = table.concat(lines, "\n")
        assert.matches(">  CALL +here > far +%d+  local:near/local:far\n", text)
        assert.matches("<  CALL error +far > here +%d+  local:near/local:far", text)
        assert.matches("<  GONE +near > here +%d+", text)
    end)

    it("fits 40 columns, and says where there was nothing", function()
        local ctx = orrery.localhost { name = "a-host-with-a-name-that-is-rather-long" }
        local lines = traced(function() ctx:call("os.time") end, 40)
        ctx:close()
        assert.matches("^ *MS +MESSAGE +WITH +BYTES$", lines[1])
        assert.are.same({ "no messages" }, traced(function() end))
    end)

    it("counts a message in pieces once", function()
        local ctx = orrery.localhost { name = "web1" }
        local list = run(function() ctx:call("string.rep", ("x"):rep(300000), 2) end)
        ctx:close()
        local calls = {}
        for _, entry in ipairs(list) do
            if entry.bytes > 100000 then calls[#calls + 1] = entry.bytes end
        end
        assert.are.equal(2, #calls)
        assert.is_true(calls[1] > 300000 and calls[1] < 310000, calls[1])
        assert.is_true(calls[2] > 600000 and calls[2] < 610000, calls[2])
    end)

    it("keeps so many, and says how many more there were", function()
        local ctx = orrery.localhost { name = "web1" }
        local done = trace.run(function()
            for _ = 1, 5100 do ctx:call("os.time") end
        end)
        ctx:close()
        local list, more = done.list, done.more
        assert.are.equal(10000, #list)
        assert.is_true(more >= 200 and more < 300, more)
        assert.matches("\nand %d+ more, which are not kept$", trace.text(done, 80))
        for i = 2, #list do assert.is_true(list[i].at >= list[i - 1].at) end
    end)

    it("gives on what the input raises, and ends", function()
        local ctx = orrery.localhost()
        local prompt = repl.prompt()
        function prompt.evaluate()
            ctx:call("os.time")
            error "no"
        end
        assert.is_false((pcall(commands.run, ":trace x", prompt)))
        assert.matches("CALL answer", prompt:said())
        ctx:call("os.time")
        ctx:close()
        assert.are.same({ {}, 0 }, { core.trace(false) })
    end)

    it("is of this process, whichever of its threads sends", function()
        local ctx = orrery.localhost { name = "web1" }
        local list = run(function()
            local threads = {}
            for i = 1, 3 do
                threads[i] = orrery.thread(function(c) for _ = 1, 50 do c:call("os.time") end end, ctx)
            end
            for i = 1, 3 do threads[i]:get() end
        end)
        ctx:close()
        local sent, received = 0, 0
        for _, entry in ipairs(list) do
            if entry.name == "CALL" then sent = sent + 1 elseif not entry.sent then received = received + 1 end
        end
        assert.are.equal(150, sent)
        assert.is_true(received >= 150)
    end)
end)
