local commands = require "orrery.repl.commands"
local ffi = require "ffi"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local repl = require "spec.support.repl"
local sys = require "orrery.sys"

leak.guard()

ffi.cdef [[
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
]]

local dir

-- An editor that does what a script says with the file that it is given.
local function with_editor(script)
    remote.write(dir .. "/editor", "#!/bin/sh\n" .. script)
    sys.chmod(dir .. "/editor", 0x1c0)
    ffi.C.setenv("VISUAL", dir .. "/editor -w", 1)
    ffi.C.setenv("TMPDIR", dir .. "/tmp", 1)
end

local function refusal(line, prompt)
    local ok, err = pcall(commands.run, line, prompt or repl.prompt())
    assert.is_false(ok)
    assert.are.equal("usage", err.code)
    return err.message
end

describe(":edit", function()
    local before = {}

    before_each(function()
        dir = remote.directory()
        sys.mkdir(dir .. "/tmp")
        for _, name in ipairs { "VISUAL", "EDITOR", "TMPDIR" } do before[name] = os.getenv(name) or false end
    end)

    after_each(function()
        for name, value in pairs(before) do
            if value then ffi.C.setenv(name, value, 1) else ffi.C.unsetenv(name) end
        end
    end)

    local function prompt_after(...)
        local prompt = repl.prompt()
        for _, text in ipairs { ... } do prompt.transcript:type(text) end
        return prompt
    end

    it("runs what was saved, and leaves nothing behind", function()
        with_editor('echo backup >"$2~"; stat -c "%a" "$2" >"$0.mode"; cat "$2" >"$0.was"; echo "return 2 -- ü" >"$2"')
        local prompt = prompt_after("return 0", "return 1")
        commands.run(":edit", prompt)
        assert.are.same({ { "evaluate", "return 2 -- ü", nil, true } }, prompt.asked)
        assert.are.equal("return 2 -- ü", prompt:said())
        assert.are.equal("return 1", remote.slurp(dir .. "/editor.was"))
        assert.are.equal("600\n", remote.slurp(dir .. "/editor.mode"))
        assert.are.same({}, sys.list(dir .. "/tmp"))
    end)

    it("takes earlier inputs, and files", function()
        with_editor 'cat "$2" >"$0.was"; echo "f()" >"$2"'
        commands.run(":edit 2", prompt_after("return 0", "return 1"))
        assert.are.equal("return 0", remote.slurp(dir .. "/editor.was"))
        remote.write(dir .. "/mine.lua", "mine()")
        commands.run(":edit " .. dir .. "/mine.lua", repl.prompt())
        assert.are.equal("mine()", remote.slurp(dir .. "/editor.was"))
        assert.are.equal("mine()", remote.slurp(dir .. "/mine.lua"))
        assert.are.equal("there are not that many inputs: 3", refusal(":edit 3", prompt_after("1", "2")))
        local none = dir .. "/none"
        assert.are.equal(("cannot read %s: No such file or directory"):format(none), refusal(":edit " .. none))
    end)

    it("runs nothing where nothing was saved, the text is empty, or the editor has failed", function()
        for script, says in pairs {
            ["exit 0"] = "nothing was saved, nothing was run", ['echo >"$2"'] = "the text is empty, nothing was run",
        } do
            with_editor(script)
            local prompt = prompt_after "return 1"
            commands.run(":edit", prompt)
            assert.are.same({}, prompt.asked)
            assert.are.equal(says, prompt:said())
        end
        with_editor 'echo "return 2" >"$2"; exit 3'
        local prompt = prompt_after "return 1"
        assert.are.equal(("the editor '%s/editor -w' ended with status 3; nothing was run"):format(dir),
            refusal(":edit", prompt))
        assert.are.same({}, prompt.asked)
        assert.are.same({}, sys.list(dir .. "/tmp"))
    end)

    it("lets commands be edited, too", function()
        with_editor 'echo ":use web2" >"$2"'
        local prompt = prompt_after ":use web1"
        commands.run(":edit", prompt)
        assert.are.same({ { "use", "web2" } }, prompt.asked)
    end)
end)

describe(":load", function()
    it("runs a file, under its name", function()
        local path = remote.directory() .. "/a.lua"
        remote.write(path, "#!/usr/bin/env orrery\nreturn 1\n")
        local prompt = repl.prompt()
        commands.run(":load " .. path, prompt)
        assert.are.same({ { "evaluate", "\nreturn 1\n", "@" .. path } }, prompt.asked)
        assert.are.equal("cannot read /no/such: No such file or directory", refusal ":load /no/such")
        assert.matches("^cannot read /: ", refusal ":load /")
    end)
end)
