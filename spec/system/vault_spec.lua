--- The command `orrery vault`, with editors, terminals and ends that come too early.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local orrery = require "orrery"
local remote = require "spec.support.remote"
local sys = require "orrery.sys"
local terminal = require "spec.support.terminal"

leak.guard()

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"
local CONTENT = "return {\n    db_password = 'vault-spec-password',\n}\n"

-- Directories of other runs may be there.
local function private_directories()
    local found = {}
    for _, parent in ipairs { "/dev/shm", os.getenv "XDG_RUNTIME_DIR" or "/nonexistent" } do
        for _, name in ipairs(sys.list(parent) or {}) do
            if name:find "^orrery%-vault%-" then found[#found + 1] = parent .. "/" .. name end
        end
    end
    return table.concat(found, " ")
end

describe("orrery vault", function()
    local dir, file, before

    local function vault(env, ...)
        local words = { "timeout", "60", "env", "ORRERY_VAULT_PASSPHRASE_FILE=" .. dir .. "/pass" }
        for name, value in pairs(env) do words[#words + 1] = name .. "=" .. value end
        for _, word in ipairs { program, "vault", ... } do words[#words + 1] = word end
        return lab.run(words, env.INPUT)
    end

    local function editor(text)
        remote.write(dir .. "/editor", "#!/bin/sh\n" .. text)
        assert(sys.chmod(dir .. "/editor", tonumber("700", 8)))
        return dir .. "/editor"
    end

    local function view()
        local code, stdout, stderr = vault({}, "view", file)
        assert.are.same({ 0, "" }, { code, stderr })
        return stdout
    end

    setup(function()
        dir, before = remote.directory(), private_directories()
        remote.write(dir .. "/pass", "vault-spec-passphrase\n")
        remote.write(dir .. "/other", "vault-spec-other\n")
        for _, name in ipairs { "pass", "other" } do assert(sys.chmod(dir .. "/" .. name, tonumber("600", 8))) end
    end)

    teardown(function() remote.remove(dir) end)

    before_each(function()
        file = dir .. "/secrets.vault"
        os.remove(file)
        assert.are.same({ 0, "", "" }, { vault({ INPUT = CONTENT }, "create", "--stdin", file) })
    end)

    after_each(function() assert.are.equal(before, private_directories()) end)

    it("makes one, and shows it", function()
        assert.are.equal(CONTENT, view())
        assert.are.equal(tonumber("600", 8), sys.stat(file).mode)
        assert.is_nil(remote.slurp(file):find("vault-spec", 1, true))
        local code, _, stderr = vault({ INPUT = "x" }, "create", "--stdin", file)
        assert.are.same({ 1, ("orrery vault: %s: there is such a file already\n"):format(file) }, { code, stderr })
        assert.are.equal(CONTENT, view())
    end)

    it("makes one in an editor", function()
        os.remove(file)
        local edit = editor [[grep -q 'return {' "$1" && printf 'return { a = 1 }\n' >"$1"]]
        assert.are.same({ 0, "", "" }, { vault({ EDITOR = edit, VISUAL = "" }, "create", file) })
        assert.are.equal("return { a = 1 }\n", view())
    end)

    it("edits in memory, in a directory that is private and goes with all that is left in it", function()
        local edit = editor(([[
stat -c '%%a %%n' "$1" "$(dirname "$1")" >%s/seen; stat -f -c %%T "$1" >>%s/seen
cp "$1" "$1~"; sed 's/password.$/&,/; s/vault-spec-password/vault-spec-changed/' "$1~" >"$1.new"; mv "$1.new" "$1"]])
            :format(dir, dir))
        assert.are.same({ 0, "", "" }, { vault({ EDITOR = edit, VISUAL = "" }, "edit", file) })
        assert.are.equal((CONTENT:gsub("password'", "changed'")), view())
        local seen = remote.slurp(dir .. "/seen")
        assert.matches("^600 (/%S+)/secrets.vault\n700 %1\ntmpfs\n$", seen)
    end)

    it("leaves the file alone where nothing was changed, or the editor has failed", function()
        local sealed = remote.slurp(file)
        assert.are.same({ 0, "", "" }, { vault({ VISUAL = editor "exit 0" }, "edit", file) })
        assert.are.equal(sealed, remote.slurp(file))
        local code, _, stderr = vault({ VISUAL = editor [[echo x >"$1"; exit 3]] }, "edit", file)
        assert.are.same({ 1, ("orrery vault: %s: the editor failed; nothing was changed\n"):format(file) },
            { code, stderr })
        assert.are.equal(sealed, remote.slurp(file))
    end)

    it("saves what is no Lua, and says so", function()
        local edit = editor [[printf 'return {\n  password = spec-not-quoted\n  oops' >"$1"]]
        local code, _, stderr = vault({ VISUAL = edit }, "edit", file)
        assert.are.same({ 0, ("orrery vault: %s was saved, but line 3 is no Lua\n"):format(file) }, { code, stderr })
        assert.matches("spec%-not%-quoted", view())
    end)

    it("does not overwrite what somebody else has saved meanwhile", function()
        local edit = editor(([[echo 'return 1' >"$1"; %s vault edit --stdin --passphrase-file %s/pass %s </dev/null]])
            :format(program, dir, file))
        local code, _, stderr = vault({ VISUAL = edit }, "edit", file)
        assert.are.equal(1, code)
        local said = ("was changed by somebody else meanwhile; your text is in %s.edited, encrypted"):format(file)
        assert.matches(said, stderr, 1, true)
        assert.are.equal("", view())
        file = file .. ".edited"
        assert.are.equal("return 1\n", view())
        os.remove(file)
    end)

    it("removes the text also when it is killed", function()
        local edit = editor(("echo \"$1\" >%s/where; echo $$ >%s/pid; exec sleep 1000"):format(dir, dir))
        for _, signal in ipairs { "TERM", "KILL", "HUP" } do
            os.remove(dir .. "/where")
            os.remove(dir .. "/pid")
            local line = "echo $$; VISUAL=%s ORRERY_VAULT_PASSPHRASE_FILE=%s/pass exec %s vault edit %s 2>/dev/null"
            local pipe = assert(io.popen(line:format(edit, dir, program, file)))
            local pid = pipe:read "*l"
            local where = remote.eventually("the editor", function()
                local text = remote.slurp(dir .. "/where")
                return remote.slurp(dir .. "/pid") and text and text:match "^(.+)\n"
            end)
            assert.matches("vault%-spec%-password", remote.slurp(where))
            lab.run { "kill", "-" .. signal, pid }
            remote.eventually("the end of the text", function() return not sys.lstat((where:match "^(.*)/")) end)
            lab.run { "kill", (remote.slurp(dir .. "/pid"):match "%d+") }
            pipe:close()
        end
        assert.are.equal(CONTENT, view())
    end)

    it("changes the passphrase", function()
        assert.are.same({ 0, "", "" }, { vault({}, "rekey", "--new-passphrase-file", dir .. "/other", file) })
        local code, _, stderr = vault({}, "view", file)
        assert.are.same({ 1, ("orrery vault: %s: the passphrase in %s/pass is not the one of this vault\n"):format(file,
            dir) }, { code, stderr })
        assert.are.same({ 0, CONTENT, "" }, { vault({}, "view", file, "--passphrase-file", dir .. "/other") })
    end)

    it("encrypts files, and decrypts them", function()
        local plain = dir .. "/plain"
        remote.write(plain, "key\0material")
        assert(sys.chmod(plain, tonumber("640", 8)))
        assert.are.same({ 0, "", "" }, { vault({}, "encrypt", plain, "-o", dir .. "/sealed") })
        assert.are.equal("key\0material", remote.slurp(plain))
        assert.are.same({ 0, "key\0material", "" }, { vault({}, "decrypt", "-o", "-", dir .. "/sealed") })
        assert.are.same({ 0, "", "" }, { vault({}, "encrypt", plain) })
        assert.matches("^orrery%-vault ", remote.slurp(plain))
        local code, _, stderr = vault({}, "encrypt", plain)
        assert.are.same({ 1, ("orrery vault: %s: this is a vault already\n"):format(plain) }, { code, stderr })
        assert.are.same({ 0, "", "" }, { vault({}, "decrypt", plain) })
        assert.are.equal("key\0material", remote.slurp(plain))
        assert.are.equal(tonumber("640", 8), sys.stat(plain).mode)
    end)

    it("asks at a terminal, and never shows what is typed", function()
        local t = terminal.start([[
            local ok, v = pcall(orrery.secret.vault, arg[1])
            say(ok and "opened " .. tostring(v.db_password) or v.message)
        ]], file)
        t:await "Passphrase of"
        t:type "wrong-one\n"
        t:await "That is not it"
        t:type "vault-spec-passphrase\n"
        t:await "opened (secret)"
        local screen = t:screen()
        assert.is_nil(screen:find("wrong-one", 1, true))
        assert.is_nil(screen:find("vault-spec-passphrase", 1, true))
        t:finish()
    end)

    it("says in a line what is wrong on the command line", function()
        for message, words in pairs {
            ["orrery vault: unknown command 'veiw' (did you mean 'view'?); see 'orrery vault --help'"] = { "veiw" },
            ["orrery vault: what to do is missing: create, view, edit, rekey, encrypt, decrypt; see "
                .. "'orrery vault --help'"] = {},
            ["orrery vault: the name of the file is missing; see 'orrery vault --help'"] = { "view" },
            ["orrery vault: one file at a time: what is 'b'?; see 'orrery vault --help'"] = { "view", "a", "b" },
        } do
            assert.are.same({ 64, "", message .. "\n" }, { vault({}, unpack(words)) })
        end
        assert.are.same({ 1, "", "orrery vault: vault: cannot read /nonexistent/x: No such file or directory\n" },
            { vault({}, "view", "/nonexistent/x") })
    end)

    it("is opened by scripts, but by none on a target", function()
        local ctx = orrery.localhost()
        local ok, err = pcall(ctx.call, ctx, function(path) return require("orrery.secret").vault(path) end, file)
        assert.is_false(ok)
        assert.matches("vaults are opened at the controller", err.message)
        ctx:close()
    end)
end)
