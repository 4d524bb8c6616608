--- ssh is asked for two hosts of a kind, and what is made of that for others is what it would have said.

local leak = require "spec.support.leak"
local orrery = require "orrery"
local capture = require "orrery.capture"
local config = require "orrery.ssh_config"

leak.guard()

local NAMES = { "web1", "web2", "web3", "web4", "db1", "db2", "db3", "db4", "WEB5", "10.0.0.1", "jump" }

local OWN = ""
for i = 1, 4 do OWN = OWN .. ("Host web%d\n  HostName 10.0.0.%d\n"):format(i, 100 + i) end

-- What each configuration is about, and how often ssh is asked for all of the names at once.
local CASES = {
    { "nothing", "", 3 }, -- with the name that has capital letters, and none of the others
    { "one block", "Host *\n  User deploy\n  Port 2222\n", 3 },
    { "kinds", "Host web* !web4\n  User w\nHost db?\n  Port 99\nHost 10.*\n  User ip\n", 8 },
    { "equals signs and case", "HOST=web*\n\tUser = w\n", 5 },
    { "the name in a value", "Host *\n  HostName %h.example.com\n", 11 },
    { "one place for all", "Host *\n  HostName gate.example.com\n", 11 },
    { "a jump host", "Host !jump *\n  ProxyJump jump\n", 4 },
    { "a match", "Match host web2\n  User two\n", 11 },
    { "a match of all", "Match all\n  User two\n", 3 },
    { "canonical names", "CanonicalizeHostname yes\nCanonicalizeFallbackLocal yes\n", 11 },
    { "blocks of their own", OWN, 5 },
    { "blocks of their own that differ", OWN:gsub("Host web3\n", "Host web3\n  User three\n"), 6 },
    { "blocks before and behind others",
        "Host web1\nHostName a\nHost *\nUser x\nHostName b\n" .. OWN:gsub("web1", "w"), 11 },
    { "a block of one's own and another's", OWN .. "Host web2 web3\n  Port 23\n", 7 },
    { "a block of one's own and a pattern", OWN .. "Host web2 *3\n  Port 23\n", 8 },
    { "the name in a block of its own", (OWN:gsub("10%.0%.0%.", "x.%%h.")), 7 },
    { "a jump host in blocks", OWN:gsub("(HostName 10[%d.]+)", "%1\n  ProxyJump jump"), 5 },
    { "quotes", 'Host "web1" db1\n  User q\n', 11 },
}

describe("the configuration of many hosts", function()
    if select(2, capture.run { "ssh", "-V" }) ~= 0 then
        pending("needs ssh")
        return
    end

    local file

    before_each(function()
        file = os.tmpname()
        config.forget()
    end)

    after_each(function() os.remove(file) end)

    local function write(text)
        local f = assert(io.open(file, "w"))
        f:write(text)
        f:close()
    end

    local function resolve_all(run)
        return orrery.map(NAMES, { limit = #NAMES }, function(name)
            return (config.resolve(name, { config = file }, run))
        end)
    end

    for _, case in ipairs(CASES) do
        it("is what ssh says of each: " .. case[1], function()
            write(case[2])
            local asked = 0
            local got = resolve_all(function(argv)
                asked = asked + 1
                return capture.run(argv)
            end)
            assert.are.equal(case[3], asked)
            for i, name in ipairs(NAMES) do
                config.forget()
                assert.are.same((config.resolve(name, { config = file }, capture.run)), got[i])
            end
        end)
    end

    it("looks into files that are included", function()
        local other = os.tmpname()
        write(("Host nobody\n  Include %s\nHost *\n  User x\n"):format(other))
        local f = assert(io.open(other, "w"))
        f:write("Match host web3\n  User y\n")
        f:close()
        local asked = 0
        resolve_all(function(argv)
            asked = asked + 1
            return capture.run(argv)
        end)
        assert.are.equal(#NAMES, asked)
        os.remove(other)
    end)

    it("is asked for again when the one that others waited for failed", function()
        write("")
        local asked = 0
        local function run(argv)
            asked = asked + 1
            if asked == 1 then
                capture.run { "true" }
                return "it failed", 255
            end
            return capture.run(argv)
        end
        local fine = 0
        orrery.map(NAMES, { limit = #NAMES, raise = false }, function(name)
            config.resolve(name, { config = file }, run)
            fine = fine + 1
        end)
        assert.are.equal(#NAMES - 1, fine)
    end)
end)
