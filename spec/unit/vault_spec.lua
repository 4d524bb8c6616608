--- Vaults: the format, and what is said of one that is not right. The command is in spec/system/vault_spec.lua.

local secret = require "orrery.secret"
local vault = require "orrery.vault"

local PASS = "unit-passphrase"

describe("a vault", function()
    local path, pass_file

    local function write(text, to)
        local file = assert(io.open(to or path, "wb"))
        file:write(text)
        file:close()
    end

    local function slurp()
        local file = assert(io.open(path, "rb"))
        local text = file:read "*a"
        file:close()
        return text
    end

    local function fails(opts)
        local ok, err = pcall(vault.read, path, opts or { passphrase = PASS })
        assert.is_false(ok)
        assert.are.equal("vault", err.code)
        return (err.message:gsub("^.-: ", ""))
    end

    setup(function() path, pass_file = os.tmpname(), os.tmpname() end)
    teardown(function()
        os.remove(path)
        os.remove(pass_file)
    end)

    it("gives back what was put into it", function()
        for _, text in ipairs { "", "x", "return {}\n", ("\0\1\255"):rep(10000) } do
            vault.write(path, text, PASS)
            local plain, passphrase, sealed = vault.read(path, { passphrase = PASS })
            assert.are.equal(text, plain)
            assert.are.equal(PASS, passphrase)
            assert.are.equal(slurp(), sealed)
        end
    end)

    it("is text of short lines, never twice the same, with nothing of its content in it", function()
        vault.write(path, "content-of-the-vault", PASS)
        local first = slurp()
        for line in first:gmatch "\n([^\n]*)" do assert.is_true(#line <= 76) end
        assert.matches("^orrery%-vault 1 argon2id13 3 67108864 %S+ %S+ %x+\n[%w+/=\n]+$", first)
        assert.is_nil(first:find("content", 1, true))
        vault.write(path, "content-of-the-vault", PASS)
        assert.are_not.equal(first, slurp())
    end)

    it("keeps its mode, and is private when it is new", function()
        os.remove(path)
        vault.write(path, "x", PASS)
        local function mode() return require("orrery.sys").stat(path).mode end
        assert.are.equal(tonumber("600", 8), mode())
        assert(require("orrery.sys").chmod(path, tonumber("640", 8)))
        vault.write(path, "y", PASS)
        assert.are.equal(tonumber("640", 8), mode())
    end)

    it("says that a passphrase is wrong", function()
        vault.write(path, "x", PASS)
        assert.are.equal("the passphrase is not the one of this vault", fails { passphrase = "another" })
        write("another\n", pass_file)
        assert.are.equal(("the passphrase in %s is not the one of this vault"):format(pass_file),
            fails { passphrase_file = pass_file })
        write(vault.seal("x", "never said here"))
        assert.are.equal("there is no passphrase, and nobody is to be asked",
            fails { ask = false, passphrase_file = "" })
    end)

    it("takes a passphrase out of a file, and as a secret", function()
        vault.write(path, "x", PASS)
        write(PASS .. "\r\nmore\n", pass_file)
        assert.are.equal("x", (vault.read(path, { passphrase_file = pass_file })))
        assert.are.equal("x", (vault.read(path, { passphrase = secret.new(PASS) })))
        write("\n", pass_file)
        assert.are.equal("there is no passphrase in its first line", fails { passphrase_file = pass_file })
        assert.is_false((pcall(vault.seal, "x", "")))
    end)

    it("is opened by one of the files that were named for all", function()
        vault.write(path, "x", PASS)
        local other = os.tmpname()
        write("not this one\n", other)
        write(PASS .. "\n", pass_file)
        vault.passphrase_files { other, pass_file }
        assert.are.equal("x", (vault.read(path)))
        write(vault.seal("x", "a third one"))
        assert.are.equal(("the passphrase in %s, %s is not the one of this vault"):format(other, pass_file), fails {})
        vault.passphrase_files {}
        os.remove(other)
    end)

    it("says that it is damaged, or was tampered with", function()
        vault.write(path, ("some text "):rep(20), PASS)
        local whole = slurp()
        local head, body = whole:match "^([^\n]*\n)(.*)$"

        write(head .. (body:gsub("^.", function(c) return c == "A" and "B" or "A" end)))
        assert.matches("damaged or was tampered with: the passphrase is right", fails())
        write(head .. body:sub(1, 40))
        assert.matches("damaged or was tampered with", fails())
        write(head .. "!" .. body)
        assert.matches("damaged or was tampered with", fails())
        write(head)
        assert.matches("damaged or was tampered with", fails())
        write((whole:gsub("argon2id13 3", "argon2id13 4", 1)))
        assert.are.equal("the vault is damaged: its first line is not what it was", fails())
        write "orrery-vault 1"
        assert.matches("damaged", fails())
        write "return { password = 'x' }\n"
        assert.matches("this is no vault", fails())
        write((whole:gsub("^orrery%-vault 1", "orrery-vault 7", 1)))
        assert.are.equal("the vault has version 7; this orrery knows version 1", fails())
    end)

    it("cannot be given the first line of another one", function()
        vault.write(path, "one", PASS)
        local head = slurp():match "^[^\n]*\n"
        vault.write(path, "two", PASS)
        write(head .. slurp():match "\n(.*)$")
        assert.matches("damaged or was tampered with", fails())
    end)

    it("does not do whatever its first line asks for", function()
        local core = require "orrery.core"
        local function digest(front)
            return (core.vault_digest(front):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
        end
        vault.write(path, "one", PASS)
        local front, body = slurp():match "^([^\n]*) %x+\n(.*)$"
        local changes = { { "13 3 ", "13 300 " }, { " 67108864 ", " 999999999999 " }, { "argon2id13", "md5" } }
        for _, change in ipairs(changes) do
            local changed = front:gsub(change[1], change[2], 1)
            write(("%s %s\n%s"):format(changed, digest(changed), body))
            assert.are.equal("the vault is damaged: its first line asks for what is not done", fails())
        end
    end)
end)

describe("what a vault holds", function()
    local path

    setup(function() path = os.tmpname() end)
    teardown(function() os.remove(path) end)

    local function open(text, opts)
        vault.write(path, text, PASS)
        opts = opts or {}
        opts.passphrase = PASS
        return secret.vault(path, opts)
    end

    it("is a table, whose texts are secrets", function()
        local v = open "return { db_password = 'vault-unit-db', port = 5432, on = true, keys = { 'vault-unit-key' } }"
        assert.are.equal("vault-unit-db", v.db_password:reveal())
        assert.are.equal("vault-unit-key", v.keys[1]:reveal())
        assert.are.same({ 5432, true }, { v.port, v.on })
        assert.are.equal("a ******** b", secret.redact "a vault-unit-key b")
        assert.are.equal("vault-braces", open("{ x = 'vault-braces' }").x:reveal())
    end)

    it("is one secret, where it is wanted raw", function()
        local s = open("-----BEGIN KEY-----\nvault-unit-line-of-key\n-----END KEY-----\n", { raw = true })
        assert.are.equal("-----BEGIN KEY-----\nvault-unit-line-of-key\n-----END KEY-----\n", s:reveal())
        assert.are.equal("********", secret.redact "vault-unit-line-of-key")
    end)

    it("runs no code that could do something", function()
        local ok, err = pcall(open, "return { os.getenv 'HOME' }")
        assert.is_false(ok)
        assert.are.equal(path .. ": line 1 of it is no Lua; raw = true gives its text", err.message)
    end)

    it("is in no error", function()
        local ok, err = pcall(open, "return {\n  password = very-visible-secret oops\n}")
        assert.is_false(ok)
        assert.are.equal(path .. ": line 2 of it is no Lua; raw = true gives its text", err.message)
        assert.is_nil(err:format():find("oops", 1, true))
        ok, err = pcall(open, "return 1")
        assert.is_false(ok)
        assert.are.equal(path .. ": it returns no table; raw = true gives its text", err.message)
    end)

    it("is read again when it has changed", function()
        local v = open "return { x = 'vault-unit-first' }"
        assert.are.equal("vault-unit-first", v.x:reveal())
        vault.write(path, "return { x = 'vault-unit-second' }", PASS)
        assert.are.equal("vault-unit-second", secret.vault(path, { ask = false }).x:reveal())
    end)
end)
