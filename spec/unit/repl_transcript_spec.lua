local commands = require "orrery.repl.commands"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local repl = require "spec.support.repl"
local sys = require "orrery.sys"
local transcript = require "orrery.repl.transcript"

leak.guard()

local BUILD = os.getenv "ORRERY_BUILD" or "build/release"

---@param entries table[] { text, targets, values }
local function prompt_with(entries)
    local prompt = repl.prompt()
    for _, entry in ipairs(entries) do
        prompt.transcript:add { text = entry[1], targets = entry[2], values = entry[3], shell = entry.shell }
    end
    return prompt
end

local function script_of(entries)
    local prompt = prompt_with(entries)
    local text = prompt.transcript:script(prompt)
    assert.is_truthy(loadstring(text), text)
    return (text:gsub("^%-%-[^\n]*\n", ""))
end

-- What the script says when it runs; what hosts print is on stderr, with their names.
local function said_by(entries, directory)
    local prompt, dir = prompt_with(entries), directory or remote.directory()
    local path = dir .. "/session.lua"
    commands.run(":save " .. path, prompt)
    local file = assert(io.popen(("cd %s && %s/orrery run %s 2>&1; echo status $?"):format(dir,
        BUILD:sub(1, 1) == "/" and BUILD or assert(sys.realpath(BUILD)), path)))
    local text = file:read "*a"
    file:close()
    local out, status = text:match "^(.*)status (%d+)\n$"
    assert.are.equal("0", status, text .. remote.slurp(path))
    return out
end

local W1, BOTH = { "web1" }, { "web1", "web2" }

describe("a session as a script", function()
    it("has what ran here as it was typed, and prints what was shown", function()
        local text = script_of {
            { "local x = 40" }, { "x + 2", nil, 1 }, { "= x, 'ü'", nil, 2 }, { "return x -- all", nil, 1 },
            { "x = x + 1" }, { "print(x)", nil, 0 }, { "string.rep('a', 3);", nil, 0 }, { "x;", nil, 0 },
            { "for i = 1, 2 do\n    print(i)\nend" },
        }
        assert.are.equal([[
local orrery = require "orrery"

local x = 40
print(x + 2)
print(x, 'ü')
print(x -- all
)
x = x + 1
print(x)
string.rep('a', 3)
local _ = x
for i = 1, 2 do
    print(i)
end
]], text)
    end)

    it("has a function for what ran at one host in a row, one for each of several", function()
        local text = script_of {
            { "local n = 1", W1 }, { "n + 1", W1, 1 }, { "os.time()", BOTH, 1 }, { "uname -r", W1, shell = true },
            { "id", BOTH, shell = true }, { "true", nil, shell = true },
        }
        assert.are.equal([[
local orrery = require "orrery"
local nodeset = require "orrery.play.inventory.nodeset"
local hosts = {}

local function every(names)
    local list = {}
    for i, name in ipairs(nodeset.expand(names)) do list[i] = hosts[name] end
    return list
end

hosts.web1 = orrery.localhost { name = "web1" }
hosts.web1:call(function()
    local n = 1
    print(n + 1)
end)

hosts.web2 = orrery.localhost { name = "web2" }
orrery.each(every "web[1-2]", function(h)
    h:call(function()
        print(os.time())
    end)
end)

hosts.web1:run({ "sh", "-c", "uname -r" }, { merge = true, on_stdout = print })

orrery.each(every "web[1-2]", function(h)
    local function say(line) print(h.name .. ": " .. line) end
    h:run({ "sh", "-c", "id" }, { merge = true, on_stdout = say })
end)

assert(os.execute("true") == 0)
]], text)
    end)

    it("keeps locals that are used later", function()
        local text = script_of {
            { "local a, b = 1, 2", W1 }, { "local c", W1 }, { "local function f() return a end", W1 },
            { "do local a = 3 end", W1 }, { "x = 1" }, { "f() + c", W1, 1 },
        }
        assert.matches("\n    local a, b = 1, 2\n    c = nil\n    function f%(%) return a end\n", text)
        assert.matches("\n    do local a = 3 end\n", text)
        -- What is local here would be taken along, and be something else there.
        text = script_of { { "local n, m = 1, 2" }, { "local k = 1" }, { "n = 5", W1 }, { "n", nil, 1 } }
        assert.matches("\nn, m = 1, 2\nlocal k = 1\n", text)
    end)

    it("wraps what returns from the middle, and keeps strings as they are", function()
        local text = script_of {
            { "local y = 2 if y > 1 then return y end", nil, 1 }, { "s = [[\n a\nb]]", W1 },
            { "(x or print)(1)", nil, 0 },
        }
        assert.matches("\nprint%(%(function%(%)\ny = 2 if y > 1 then return y end\nend%)%(%)%)\n", text)
        assert.matches("\n    s = %[%[\n a\nb%]%]\n", text)
        assert.matches("\nlocal _ = %(x or print%)%(1%)\n", text)
    end)

    it("has results for those that use them", function()
        local text = script_of { { "1, 2", nil, 2 }, { "_ + _2", nil, 1 }, { "5", W1, 1 }, { "_", W1, 1 } }
        assert.matches("\n_1, _2 = 1, 2\n_ = _1\nprint%(_1, _2%)\nprint%(_ %+ _2%)\n", text)
        assert.matches("\nprint%(7%)\n", script_of { { "7", nil, 1 }, { "8", nil, 1 }, { "_", nil, 1 } })
        assert.matches("\n    _1 = 5\n    _ = _1\n    print%(_1%)\n    print%(_%)\n", text)
    end)

    it("opens hosts as the prompt does", function()
        local prompt = prompt_with { { "1", { "web-1" }, 1 }, { "hosts.db1.name", nil, 1 }, { "1", { "end" }, 1 } }
        prompt.inventory = { sources = { "hosts.ini", "more.lua" } }
        function prompt.targets.opener(_, name) return ("inventory:open(%q)"):format(name), true end
        local text = prompt.transcript:script(prompt)
        assert.matches('\nlocal inventory = require%("orrery.play.inventory"%).load { "hosts.ini", "more', text)
        assert.matches('\nhosts%["web%-1"%] = inventory:open%("web%-1"%)\nhosts%["web%-1"%]:call', text)
        assert.matches('%[name%] = inventory:has%(name%) and inventory:open%(name%) or orrery.ssh%(name%)\n', text)
        assert.matches('\nhosts%["end"%]:call', text)
        text = script_of { { "hosts['local'].id", nil, 1 } }
        assert.matches('%[name%] = name == "local" and orrery.localhost { name = name } or orrery.ssh', text)
    end)

    it("with more locals than a function may have is a script all the same", function()
        local entries = {}
        for i = 1, 250 do entries[i] = { ("local v%d = %d"):format(i, i) } end
        entries[251] = { "v1 + v250", nil, 1 }
        assert.matches("\nv250 = 250\nprint%(v1 %+ v250%)\n$", script_of(entries))
    end)

    it("runs, and gives the same", function()
        local out = said_by {
            { "local greeting = 'grüß dich'" }, { "greeting", nil, 1 }, { "#greeting, 7", nil, 2 },
            { "local count = 1", W1 }, { "local function more(n)\n    count = count + n\n    return count\nend", W1 },
            { "count", { "web2" }, 1 }, { "more(4)", W1, 1 }, { "_ * 2", W1, 1 }, { "echo 'a b'", W1, shell = true },
            { "echo here", nil, shell = true }, { "return 6 * 7", BOTH, 1 },
        }
        local lines = {}
        for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
        table.sort(lines)
        assert.are.same({
            "11\t7", "[web1] 10", "[web1] 42", "[web1] 5", "[web2] 42", "[web2] nil", "a b", "grüß dich", "here",
        }, lines)
    end)
end)

describe(":save", function()
    local function refusal(line, prompt)
        local ok, err = pcall(commands.run, line, prompt)
        assert.is_false(ok)
        assert.are.equal("usage", err.code)
        return err.message
    end

    it("overwrites nothing unless it is told to", function()
        local dir = remote.directory()
        local path, prompt = dir .. "/s.lua", prompt_with { { "1", nil, 1 } }
        commands.run(":save " .. path, prompt)
        assert.are.equal(path .. ": 1 input", prompt:said())
        remote.write(path, "mine")
        assert.are.equal(("%s is there already; ':save! %s' replaces it"):format(path, path),
            refusal(":save " .. path, prompt))
        assert.are.equal("mine", remote.slurp(path))
        commands.run(":save! " .. path, prompt)
        assert.matches("print%(1%)", remote.slurp(path))
        assert.are.same({ "s.lua" }, sys.list(dir))
    end)

    it("says why it cannot", function()
        local dir = remote.directory()
        assert.are.equal("there is nothing to save: no input has gone well so far",
            refusal(":save " .. dir .. "/x", repl.prompt()))
        local prompt = prompt_with { { "1", nil, 1 } }
        assert.are.equal(("cannot write %s/no/x.lua: No such file or directory"):format(dir),
            refusal(":save " .. dir .. "/no/x.lua", prompt))
        assert.matches("^cannot write " .. dir:gsub("%p", "%%%0") .. ": ", refusal(":save! " .. dir, prompt))
    end)

    it("lets nobody else read what has a secret in it", function()
        local dir = remote.directory()
        require("orrery").secret "correct horse"
        commands.run(":save " .. dir .. "/s", prompt_with { { "local p = 'correct horse'" } })
        assert.are.equal(0x180, sys.stat(dir .. "/s").mode)
    end)
end)

describe("a transcript", function()
    it("is bounded, and can be cleared", function()
        local t = transcript.new()
        for i = 1, 10005 do
            t:type("x" .. i)
            t:add { text = "x" .. i }
        end
        assert.are.equal("x10005", t:typed_before(1))
        assert.are.equal("x10004", t:typed_before(2))
        assert.is_nil(t:typed_before(10001))
        local text, count = t:script(repl.prompt())
        assert.are.equal(10000, count)
        assert.matches("\n%-%- The first 5 of the session are not kept.\n", text)
        t:clear()
        assert.is_nil(t:typed_before(1))
    end)
end)
