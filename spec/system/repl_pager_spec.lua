--- The pager, at a terminal.

local leak = require "spec.support.leak"
local lab = require "spec.support.lab"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"

leak.guard()

-- Arguments: lines, their length, the pager, "on" or "off", and how long the program goes on afterwards.
local SHOW = [[
local pager = require "orrery.repl.pager"
require("orrery.interrupt").install()
local lines = {}
for i = 1, tonumber(arg[1]) do lines[i] = ("line %d "):format(i):rep(tonumber(arg[2])) end
pager.show(table.concat(lines, "\n"), { pager = arg[3], enabled = arg[4] ~= "off" })
say "shown"
orrery.sleep(tonumber(arg[5] or 0.05))
say "done"
]]

local window

local function start(columns, rows, ...)
    window = terminal.sized(columns, rows, SHOW, ...)
    return window
end

local function at_its_end() window:await "shown\ndone\nended 0\nthe echo is on" end

describe("the pager", function()
    if os.execute "command -v tmux >/dev/null 2>&1" ~= 0 then
        pending "there is no tmux"
        return
    end

    after_each(function()
        if window then window:finish() end
        window = nil
    end)

    it("is not used for what is on one screen", function()
        start(80, 24, "10", "1", "echo paged")
        at_its_end()
        assert.is_nil(window:screen():find "paged")
        assert.is_truthy(window:screen():find "line 10")
    end)

    it("is not used where that is not wanted", function()
        start(80, 24, "100", "1", "echo paged", "off")
        at_its_end()
        assert.is_truthy(window:screen():find "line 100 *\nshown")
    end)

    it("is less, which q leaves", function()
        start(80, 24, "100", "1")
        window:await "line 23"
        assert.is_nil(window:screen():find "line 24")
        window:key "q"
        at_its_end()
    end)

    it("has what is wrapped in it counted as it is seen", function()
        start(40, 20, "8", "15")
        window:await "line 3"
        remote.eventually("the prompt of less", function() return window:screen():find "\n:" end)
        window:key "q"
        at_its_end()
    end)

    it("gets Ctrl-C for itself", function()
        start(80, 24, "100000", "1")
        window:await "line 23"
        window:key "C-c"
        window:key "C-c"
        window:type "/line 45 "
        window:key "Enter"
        window:await "line 66"
        window:key "q"
        at_its_end()
        assert.is_nil(window:screen():find "interrupted")
    end)

    it("leaves Ctrl-C to the program afterwards", function()
        start(80, 24, "100", "1", "cat; echo seen", "on", "1000")
        window:await "seen\nshown"
        window:key "C-c"
        window:await "ended 130"
    end)

    it("may end before it has read all", function()
        start(80, 24, "100000", "1", "head -n 2")
        at_its_end()
        assert.is_truthy(window:screen():find "line 1 *\nline 2 *\nshown")
    end)

    it("may be killed, and leaves the terminal as it was", function()
        start(80, 24, "100", "1", "sh -c 'stty raw -echo </dev/tty; kill -KILL $$'")
        at_its_end()
    end)

    it("is done without where it is not there", function()
        start(80, 24, "100", "1", "no-such-pager")
        at_its_end()
        assert.is_truthy(window:screen():find "line 100 *\nshown")
    end)
end)

describe("without a terminal, the pager", function()
    it("is not used", function()
        local dir = remote.directory()
        remote.write(dir .. "/program.lua", "local function say(...) print(...) end\nlocal orrery = require 'orrery'\n"
            .. SHOW)
        local code, out = lab.run { os.getenv "ORRERY_BUILD" .. "/orrery", "run", dir .. "/program.lua", "100", "1",
            "echo paged" }
        remote.remove(dir)
        assert.are.equal(0, code)
        assert.is_truthy(out:find "line 100 \nshown\ndone\n$")
    end)
end)
