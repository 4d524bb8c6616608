local keys = require "orrery.play.system.keys"

local BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAI" .. ("A"):rep(43)
local OTHER = "AAAAC3NzaC1lZDI1NTE5AAAAI" .. ("B"):rep(43)
local ADA, BOB = "ssh-ed25519 " .. BLOB .. " ada@example", "ssh-ed25519 " .. OTHER .. " bob@example"

local function merge(lines, o)
    o.state = o.state or "present"
    return keys.merge(lines, keys.wanted(o), o)
end

describe("lines of authorized_keys", function()
    it("are read", function()
        assert.are.same({ type = "ssh-ed25519", blob = BLOB, comment = "ada@example" }, keys.parse(ADA))
        assert.are.same({ type = "ssh-ed25519", blob = BLOB }, keys.parse("  ssh-ed25519 " .. BLOB .. "\r"))
        local key = keys.parse([[command="echo \"a b\" # c",no-pty ]] .. ADA)
        assert.are.equal([[command="echo \"a b\" # c",no-pty]], key.options)
        assert.are.equal("ada@example", key.comment)
        assert.are.equal("sk-ssh-ed25519@openssh.com", keys.parse("sk-ssh-ed25519@openssh.com " .. BLOB).type)
    end)

    it("that are none are not taken for such", function()
        for _, line in ipairs {
            "", "# " .. ADA, "ssh-ed25519", "ssh-ed25519 short", "ssh-ed25519 " .. BLOB:gsub("A", "!"),
            [[command="no end ]] .. ADA, BLOB, "restrict",
        } do assert.is_nil(keys.parse(line)) end
    end)

    it("are written as they were read", function()
        for _, line in ipairs {
            ADA, "ssh-ed25519 " .. BLOB, [[restrict,command="a b" ]] .. ADA, "restrict ssh-rsa " .. BLOB,
        } do
            assert.are.equal(line, keys.format(keys.parse(line)))
        end
    end)
end)

describe("merging keys", function()
    it("adds what is not there, and leaves the rest in place", function()
        assert.are.same({ "# mine", BOB, ADA }, merge({ "# mine", BOB }, { keys = { ADA } }))
        assert.are.same({ BOB, ADA }, merge({ BOB, ADA }, { keys = { ADA } }))
    end)

    it("knows a key by what it is, whatever is around it", function()
        assert.are.same({ "restrict " .. ADA }, merge({ ADA }, { keys = { ADA }, options = "restrict" }))
        assert.are.same({ ADA }, merge({ "restrict " .. ADA }, { keys = { ADA } }))
        assert.are.same({ "ssh-ed25519 " .. BLOB .. " new" }, merge({ ADA }, { keys = { ADA }, comment = "new" }))
        assert.are.same({ ADA }, merge({ ADA }, { keys = { "ssh-ed25519 " .. BLOB } }), "a comment that is there stays")
        assert.are.same({ ADA }, merge({ ADA, ADA }, { keys = { ADA } }))
    end)

    it("takes away", function()
        assert.are.same({ BOB }, merge({ ADA, BOB, "restrict " .. ADA }, { keys = { ADA }, state = "absent" }))
        assert.are.same({}, merge({}, { keys = { ADA }, state = "absent" }))
    end)

    it("exclusively leaves nothing else", function()
        assert.are.same({ ADA }, merge({ "# mine", BOB, ADA, "broken" }, { keys = { ADA }, exclusive = true }))
    end)

    it("takes several in one text", function()
        assert.are.same({ ADA, BOB }, merge({}, { keys = "# ours\n" .. ADA .. "\n\n" .. BOB .. "\n" .. ADA .. "\n" }))
    end)
end)

describe("options with keys", function()
    it("are refused where they would do harm", function()
        assert.is_nil(keys.wrong { keys = { ADA }, options = [[from="10.*",command="a b"]] })
        assert.matches("private key", keys.wrong { keys = "-----BEGIN OPENSSH PRIVATE KEY-----\n" })
        assert.matches("no public key: hello", keys.wrong { keys = { ADA, "hello" } })
        assert.matches("one line", keys.wrong { keys = { ADA }, options = "restrict\n" .. ADA })
        assert.matches("one line", keys.wrong { keys = { ADA }, comment = "a\nb" })
        assert.matches("quote", keys.wrong { keys = { ADA }, options = [[command="a b]] })
        assert.matches("quote", keys.wrong { keys = { ADA }, options = "no-pty restrict" })
        assert.matches("control", keys.wrong { keys = { ADA .. "\27[2J" } })
    end)
end)
