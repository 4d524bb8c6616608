--- Programs whose output a script waits for, while it does something else.

local leak = require "spec.support.leak"
local orrery = require "orrery"
local capture = require "orrery.capture"

leak.guard()

describe("capture.run", function()
    it("gives what a program says, and its status", function()
        local output, status = capture.run { "sh", "-c", "echo out; echo err >&2; exit 3" }
        assert.are.equal("out\nerr\n", output)
        assert.are.equal(3, status)
    end)

    it("says by the status that there is no such program", function()
        local output, status = capture.run { "no-such-program" }
        assert.are.equal(127, status)
        assert.matches("no%-such%-program", output)
    end)

    it("lets other tasks run", function()
        local fifo = os.tmpname()
        os.remove(fifo)
        assert.are.equal(0, select(2, capture.run { "mkfifo", fifo }))
        local waiting = orrery.spawn(function() return (capture.run { "cat", fifo }) end)
        local other = orrery.spawn(function()
            local file = assert(io.open(fifo, "w")) -- cat opens the other end
            file:write("from another task")
            file:close()
        end)
        other:take()
        assert.are.equal("from another task", (waiting:take()))
        os.remove(fifo)
    end)

    it("runs once for those who ask at the same time", function()
        local function ask() return (capture.run { "sh", "-c", "echo $$" }) end
        local pids = orrery.map({ 1, 2, 3 }, ask)
        assert.are.equal(pids[1], pids[2])
        assert.are.equal(pids[1], pids[3])
        assert.are_not.equal(pids[1], ask())
    end)

    it("goes on for the others when one of them gives up", function()
        local argv = { "sh", "-c", "echo said" }
        local one = orrery.spawn(capture.run, argv)
        local other = orrery.spawn(capture.run, argv)
        orrery.spawn(function() one:cancel() end):take()
        assert.are.equal("said\n", (other:take()))
        assert.are.equal("cancelled", one.state)
    end)
end)
