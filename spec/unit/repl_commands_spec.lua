local commands = require "orrery.repl.commands"
local core = require "orrery.core"
local leak = require "spec.support.leak"
local repl = require "spec.support.repl"

leak.guard()

local function refusal(line, prompt)
    local ok, err = pcall(commands.run, line, prompt or repl.prompt())
    assert.is_false(ok)
    assert.are.equal("usage", err.code)
    return err.message
end

local function said(line, prompt)
    prompt = prompt or repl.prompt()
    assert.is_true(commands.run(line, prompt))
    return prompt:said()
end

local function each_line(text, fn)
    for line in (text .. "\n"):gmatch "(.-)\n" do fn(line) end
end

local function fits(text, width)
    each_line(text, function(line)
        assert.is_true(require("orrery.repl.columns").length(line) <= width, line)
    end)
end

describe("commands of the prompt", function()
    it("are found by their names, and by the beginnings of these", function()
        assert.are.equal("connect", commands.find("connect").name)
        assert.are.equal("connect", commands.find(":conn").name)
        assert.are.equal("use", commands.find("u").name)
    end)

    it("that are none are errors with the nearest", function()
        assert.are.equal("there is no command ':conect'; did you mean ':connect'?", refusal ":conect web1")
        assert.are.equal("there is no command ':frobnicate'; ':help' shows which there are", refusal ":frobnicate")
        assert.are.equal("there is no command ':'; ':help' shows which there are", refusal ":")
        assert.are.equal("':c' may be ':connect' or ':close'", refusal ":c")
        assert.matches("^':s' may be ':save', ':stats' or ':set'$", refusal ":s")
    end)

    it("say what is missing behind them, and what is too much", function()
        assert.are.equal("':use' needs HOSTS; see ':help use'", refusal ":use")
        assert.are.equal("':here' takes nothing behind it, not 'web1'", refusal ":here web1")
        assert.are.equal("':use' takes no '!'", refusal ":use! web1")
    end)

    it("all have a function, and help that fits", function()
        for _, command in ipairs(commands.list) do
            assert.is_function(require("orrery.repl.commands." .. command.where)[command.name], command.name)
            for _, width in ipairs { 40, 80 } do
                fits(said(":help " .. command.name, repl.prompt(nil, width)), width)
            end
        end
    end)

    it("help: all of them on one screen", function()
        for _, width in ipairs { 40, 80 } do
            local text = said(":help", repl.prompt(nil, width))
            fits(text, width)
            local lines = 0
            each_line(text, function() lines = lines + 1 end)
            assert.is_true(lines <= (width == 80 and 23 or 60), lines .. " lines")
            for _, command in ipairs(commands.list) do assert.matches("  :" .. command.name, "  " .. text) end
        end
        assert.matches("^:save FILE  write the session as a script\n\nWrites the inputs", said ":help save")
        assert.are.equal("there is no command ':sav3'; did you mean ':save'?", refusal ":help sav3")
    end)
end)

describe(":set", function()
    it("shows, and changes", function()
        local prompt = repl.prompt()
        assert.matches("^colour +auto +colours of results\ndepth +6 ", said(":set", prompt))
        commands.run(":set depth 3", prompt)
        commands.run(":set pager off", prompt)
        commands.run(":set timeout=1.5", prompt)
        assert.are.same({ 3, false, 1.5 }, { prompt.settings.depth, prompt.settings.pager, prompt.settings.timeout })
        prompt.printed = {}
        assert.matches("^depth +3 +tables in tables", said(":set depth", prompt))
    end)

    it("refuses what is none, and values that are wrong", function()
        assert.are.equal("there is no setting 'color'; did you mean 'colour'?", refusal ":set color on")
        assert.matches("^there is no setting 'x'; there are: colour, depth, ", refusal ":set x")
        assert.are.equal("setting 'depth' must be a whole number from 1 to 100, not '0'", refusal ":set depth 0")
        assert.are.equal("setting 'colour' must be auto, on or off, not 'blue'", refusal ":set colour blue")
        assert.are.equal("setting 'pager' must be on or off, not 'less'", refusal ":set pager less")
        assert.are.equal("setting 'timeout' must be a number of seconds, 60 at most, not 'x'", refusal ":set timeout x")
    end)

    it("tells who wants to know", function()
        local prompt, heard = repl.prompt(), {}
        function prompt.settings.on_change(name, value) heard[#heard + 1] = { name, value } end
        commands.run(":set colour on", prompt)
        prompt.settings:set("time", true)
        assert.are.same({ { "colour", "on" }, { "time", true } }, heard)
        assert.is_true(prompt.settings:colours(false))
        assert.are.equal(6, prompt.settings:pretty(80, false).depth)
    end)
end)

describe(":time", function()
    it("runs an input, and says what it has cost", function()
        local prompt = repl.prompt()
        local text = said(":time  return 1 + 1 ", prompt)
        assert.are.same({ { "evaluate", "return 1 + 1" } }, prompt.asked)
        assert.matches("^%d+ us$", text)
        commands.run(":time !uname -r", prompt)
        commands.run(":time :here", prompt)
        assert.are.same({ { "shell", "uname -r" }, { "here" } }, { prompt.asked[2], prompt.asked[3] })
        assert.are.equal(3, #prompt.printed)
    end)

    it("counts messages and bytes", function()
        local orrery = require "orrery"
        local here, prompt = orrery.localhost(), repl.prompt()
        here:call(function() end)
        function prompt.evaluate() here:call(function() return 1 end) end
        local text = said(":time x", prompt)
        here:close()
        assert.matches("^[%d.]+ %a+; sent 1 message %(%d+ B%), received 1 %(%d+ B%)$", text)
    end)

    it("alone switches a setting", function()
        local prompt = repl.prompt()
        assert.are.equal("time is on", said(":time", prompt))
        assert.is_true(prompt.settings.time)
        commands.run(":time", prompt)
        assert.is_false(prompt.settings.time)
    end)
end)

describe(":hosts", function()
    local HOSTS = {
        { name = "web1", state = "connected", groups = { "web", "rack1" }, route = "ssh:web1", current = true },
        { name = "web2", state = "lost", groups = { "web" }, route = "ssh:web2" },
        { name = "db1", state = "not connected", groups = {}, route = "ssh:jump/ssh:db1" },
    }

    it("is a table", function()
        assert.are.equal([[
   HOST  STATE          GROUPS     ROUTE
*  web1  connected      web,rack1  ssh:web1
   web2  lost           web        ssh:web2
   db1   not connected             ssh:jump/ssh:db1]], said(":hosts", repl.prompt(HOSTS)))
        fits(said(":hosts", repl.prompt(HOSTS, 40)), 40)
        assert.matches("web2  lost", said(":hosts web2", repl.prompt(HOSTS)))
        assert.matches("web9  not connected", said(":hosts web9", repl.prompt(HOSTS)))
        assert.matches("^no hosts", said ":hosts")
    end)

    it("is short where there are many", function()
        local hosts = {}
        for i = 1, 300 do
            hosts[i] = {
                name = "web" .. i, state = i == 7 and "lost" or "connected", groups = { "web" }, route = "ssh:web" .. i,
            }
        end
        local lines = {}
        each_line(said(":hosts", repl.prompt(hosts)), function(line) lines[#lines + 1] = (line:gsub(" +", " ")) end)
        assert.are.same({
            " HOST STATE GROUPS ROUTE", " web7 lost web ssh:…", " web[1-6,8-300] (299) connected web ssh:…",
        }, lines)
        fits(said(":hosts", repl.prompt(hosts, 40)), 40)
    end)

    it("change by what the prompt does", function()
        local prompt = repl.prompt(HOSTS)
        for _, line in ipairs { ":use @web!web3", ":here", ":connect", ":connect web1,web2", ":close web1" } do
            commands.run(line, prompt)
        end
        assert.are.same({
            { "use", "@web!web3" }, { "here" }, { "connect" }, { "connect", "web1,web2" }, { "close", "web1" },
        }, prompt.asked)
        assert.are.equal("1 host connected\n1 host connected\n1 host closed", prompt:said())
        prompt.failures = { { name = "web3", error = { message = "no way" } } }
        assert.matches("web3: no way$", said(":use web3", prompt))
    end)

    it("can be left", function()
        local prompt = repl.prompt()
        commands.run(":q", prompt)
        assert.are.same({ { "leave" } }, prompt.asked)
    end)
end)

describe(":log and :stats", function()
    it("are the runtime's", function()
        local level = core.log_level()
        finally(function() core.log_level(level) end)
        commands.run(":log debug", repl.prompt())
        assert.are.equal(3, core.log_level())
        assert.are.equal("debug", said ":log")
        assert.are.equal("there is no level 'warning'; there are: error, warn, info, debug, trace",
            refusal ":log warning")
        local text = said(":stats", repl.prompt(nil, 40))
        fits(text, 40)
        assert.matches("loop_turns", text)
    end)
end)
