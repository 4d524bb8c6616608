--- Secrets as values, and what is redacted. In processes: spec/system/secret_values_spec.lua.

local codec = require "orrery.codec"
local core = require "orrery.core"
local Error = require "orrery.error"
local options = require "orrery.options"
local secret = require "orrery.secret"

describe("a secret", function()
    local s

    setup(function() s = secret.new "hunter22-unit" end)

    it("does not show its text", function()
        assert.are.equal("(secret)", tostring(s))
        assert.are.equal("hunter22-unit", secret.reveal(s))
        assert.are.equal("hunter22-unit", s:reveal())
        assert.are.equal("plain", secret.reveal "plain")
        assert.is_true(secret.is(s))
        assert.is_false(secret.is "hunter22-unit")
        assert.is_false(secret.is {})
    end)

    it("does not show its text in JSON", function()
        assert.are.equal('{"a":"********"}', require("orrery.json").encode { a = s })
    end)

    it("is made of texts and numbers, and of nothing else", function()
        assert.are.equal("1234567", secret(1234567):reveal())
        assert.are.equal(s, secret.new(s))
        assert.has_error(function() secret.new(nil) end)
        assert.has_error(function() secret.new {} end)
    end)

    it("makes a secret of what it is joined with, of which it alone is redacted", function()
        local url = "postgres://app:" .. s .. "@db1-unit-host"
        assert.is_true(secret.is(url))
        assert.are.equal("postgres://app:hunter22-unit@db1-unit-host", url:reveal())
        assert.are.equal("postgres://app:********@db1-unit-host", secret.redact(url:reveal()))
        local two = url .. secret.new "second-unit"
        assert.are.equal("postgres://app:********@db1-unit-host********", secret.redact(two:reveal()))
        assert.are.equal("n7", ("n" .. secret.new(7)):reveal())
        assert.has_error(function() return s .. {} end, "attempt to concatenate a secret and a table")
        assert.has_error(function() return nil .. s end, "attempt to concatenate a secret and a nil")
    end)

    it("equals another one with the same text", function()
        assert.is_true(s == secret.new("hunter22" .. "-unit"))
        assert.is_false(s == secret.new "hunter22-else")
    end)

    it("travels, and is known where it arrives", function()
        local payload = codec.encode_data { deep = { secret.derive("<never-seen-unit>", { { "never-seen-unit" } }) } }
        -- What another process would have sent: here, it is known already by the derivation's part only.
        assert.are.equal("never-seen-unit", secret.redact "never-seen-unit")
        local value = codec.decode(payload)
        assert.is_true(secret.is(value.deep[1]) or secret.is(value))
    end)

    it("that is captured by a function is known where that arrives", function()
        local hidden = setmetatable({ "captured-unit-secret" }, secret.Secret)
        local payload = codec.encode(function() return hidden end)
        assert.are.equal("captured-unit-secret", secret.redact "captured-unit-secret")
        local fn = codec.decode(payload, { code = true })
        assert.are.equal("captured-unit-secret", fn():reveal())
        assert.are.equal("********", secret.redact "captured-unit-secret")
    end)

    it("of fewer than four characters is not looked for", function()
        secret.new "abc"
        assert.are.equal("abcabc", secret.redact "abcabc")
        assert.are.equal("", secret.new(""):reveal())
    end)
end)

describe("what is redacted of a secret", function()
    local text = [[p'a "s&s<w>/ö\ ]]

    local function assert_hidden(shown)
        local redacted = secret.redact("<" .. shown .. ">")
        assert.are.equal("<********>", redacted)
    end

    local function base64(plain)
        local file = assert(io.popen("printf %s '" .. plain:gsub("'", "'\\''") .. "' | base64 -w0"))
        local out = file:read "*a"
        file:close()
        return out
    end

    setup(function() secret.new(text) end)

    it("is its text", function() assert_hidden(text) end)

    it("is what it looks like in a URL", function()
        assert_hidden "p%27a%20%22s%26s%3Cw%3E%2F%C3%B6%5C%20"
        assert_hidden "p%27a%20%22s%26s%3cw%3e%2f%c3%b6%5c%20"
        assert_hidden "p%27a+%22s%26s%3Cw%3E%2F%C3%B6%5C+"
    end)

    it("is what it looks like in JSON, HTML, Lua and quotes of sh", function()
        assert_hidden [[p'a \"s&s<w>/ö\\ ]]
        assert_hidden [[p'a \"s&s<w>\/ö\\ ]]
        assert_hidden [[p&#39;a &quot;s&amp;s&lt;w&gt;/ö\ ]]
        assert_hidden [[p'\''a "s&s<w>/ö\ ]]
        assert_hidden(("%q"):format(text):sub(2, -2))
    end)

    it("is what it looks like in base64, wherever it stands", function()
        for _, before in ipairs { "", "u", "u:", "us:", "user:" } do
            for _, behind in ipairs { "", "!", "!!", "!!!" } do
                local shown = base64(before .. text .. behind)
                local redacted = secret.redact(shown)
                assert.is_truthy(redacted:find("********", 1, true), shown)
                -- A digit or two at each end belong to its neighbours as well.
                assert.is_true(#redacted - 8 <= #base64(before .. "x") + #base64(behind .. "x") + 2, redacted)
            end
        end
    end)

    it("is what it looks like in hexadecimal", function()
        assert_hidden((text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)))
    end)

    it("is each line of it that is long enough", function()
        secret.new "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nshort\nlast-line-of-the-key\n-----END KEY-----"
        assert.are.equal("-----BEGIN KEY-----", secret.redact "-----BEGIN KEY-----")
        assert_hidden "MIIEvQIBADANBgkqhkiG9w0B"
        assert_hidden "last-line-of-the-key"
        assert.are.equal("short", secret.redact "short")
    end)

    it("is found in a text that comes in pieces", function()
        secret.new "in-pieces-unit"
        for cut = 1, 22 do
            local whole = "aaaa in-pieces-unit bb"
            local stream = secret.stream()
            local out = stream:feed(whole:sub(1, cut)) .. stream:feed(whole:sub(cut + 1)) .. stream:finish()
            assert.are.equal("aaaa ******** bb", out)
        end
        local stream = secret.stream()
        assert.are.equal("x ", stream:feed "x in-pie")
        assert.are.equal("in-piece of cake", stream:feed "ce of cake")
        assert.are.equal("", stream:finish())
    end)
end)

describe("tables with secrets", function()
    local s, t

    setup(function()
        s = secret.new "table-unit-secret"
        t = { name = "x", list = { s, "say table-unit-secret", 7 }, ["table-unit-secret"] = true }
        t.self = t
    end)

    it("are opened in a copy", function()
        local plain, found = secret.open(t)
        assert.are.equal("table-unit-secret", plain.list[1])
        assert.are.equal(plain, plain.self)
        assert.are.same({ s }, found)
        assert.is_true(secret.is(t.list[1]))
    end)

    it("are scrubbed in a copy", function()
        local shown = secret.scrub(t)
        assert.are.same({ "********", "say ********", 7 }, shown.list)
        assert.is_true(shown["********"])
        assert.are.equal(shown, shown.self)
        assert.are.equal("say table-unit-secret", t.list[2])
        assert.are.equal("********", secret.scrub(s))
        assert.are.equal("a ********", secret.scrub "a table-unit-secret")
    end)

    it("keep what they are", function()
        local err = Error.new { code = "command", message = "x", result = { stdout = "table-unit-secret\n" } }
        local shown = secret.scrub(err)
        assert.is_true(Error.is(shown))
        assert.are.equal("********\n", shown.result.stdout)
    end)
end)

describe("errors", function()
    setup(function() secret.new "error-unit-secret" end)

    it("never have a secret in their message", function()
        assert.are.equal("no ********", Error.new({ message = "no error-unit-secret" }).message)
        assert.are.equal("no ********", Error.from("no error-unit-secret").message)
        local err = Error.new { message = "x", at = "error-unit-secret:1", traceback = "in error-unit-secret" }
        assert.is_nil(err:format():find("error-unit-secret", 1, true))
        err.message = "put there later: error-unit-secret"
        assert.are.equal("lua: put there later: ********", tostring(err))
    end)

    it("leave a process without any", function()
        local cause = Error.new { message = "x", value = { "error-unit-secret" } }
        local err = codec.decode(codec.encode_error(Error.new {
            message = "y", cause = cause, result = { stdout = "error-unit-secret" },
        }))
        assert.are.equal("********", err.cause.value[1])
        assert.are.equal("********", err.result.stdout)
    end)
end)

describe("options", function()
    local s

    setup(function() s = secret.new "option-unit-secret" end)

    it("take secrets where they say so", function()
        local schema = { password = { type = "string", secret = true }, name = "string", any = "any" }
        assert.are.equal("option-unit-secret", options.check("f", { password = s }, schema).password)
        assert.are.equal("plain", options.check("f", { password = "plain" }, schema).password)
        assert.are.equal(s, options.check("f", { any = s }, schema).any)
        local ok, err = pcall(options.check, "f", { name = s }, schema)
        assert.is_false(ok)
        assert.are.equal("f: option 'name' cannot be a secret: it would be seen", err.message)
    end)
end)

describe("sources of secrets", function()
    it("are files", function()
        local path = os.tmpname()
        local file = assert(io.open(path, "w"))
        file:write "file-unit-secret\n"
        file:close()
        assert.are.equal("file-unit-secret", secret.file(path):reveal())
        assert.are.equal("file-unit-secret\n", secret.file(path, { raw = true }):reveal())
        os.remove(path)
        local ok, err = pcall(secret.file, path)
        assert.is_false(ok)
        assert.are.equal("file", err.code)
        assert.is_truthy(err.message:find(path, 1, true))
    end)

    it("are commands, whose other words are no part of it", function()
        local s = secret.command { "sh", "-c", "echo $1-unit-secret; echo warning >/dev/null", "sh", "command" }
        assert.are.equal("command-unit-secret", s:reveal())
        local ok, err = pcall(secret.command, { "sh", "-c", "echo said-unit-secret; exit 3" })
        assert.is_false(ok)
        assert.are.equal("secret: sh: exited with status 3", err.message)
    end)

    it("are variables, which are gone then", function()
        local ok, err = pcall(secret.env, "ORRERY_NO_SUCH_VARIABLE")
        assert.is_false(ok)
        assert.are.equal("secret: $ORRERY_NO_SUCH_VARIABLE is not set", err.message)
    end)
end)

it("the core says whether there is anything to redact", function()
    assert.is_true(core.redact_any())
end)
