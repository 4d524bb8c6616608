local hosts = require "orrery.cli.hosts"
local leak = require "spec.support.leak"

leak.guard()

local function refusal(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.are.equal("usage", err.code)
    return err.message
end

describe("host lists", function()
    it("expand", function()
        for text, names in pairs {
            ["a,b"] = { "a", "b" },
            [" a , ,b,"] = { "a", "b" },
            ["web[1-3],db1"] = { "web1", "web2", "web3", "db1" },
            ["web[08-10]"] = { "web08", "web09", "web10" },
            ["u@n[1,3,5-6].x"] = { "u@n1.x", "u@n3.x", "u@n5.x", "u@n6.x" },
            ["r[1-2]n[1-2]"] = { "r1n1", "r1n2", "r2n1", "r2n2" },
            ["[::1]"] = { "[::1]" },
            [""] = {},
        } do
            assert.are.same(names, hosts.expand(text), text)
        end
    end)

    it("refuse what is no range, or no name", function()
        assert.matches("'3%-1' in 'web%[3%-1%]' is no range", refusal(hosts.expand, "web[3-1]"))
        assert.matches("is no range", refusal(hosts.expand, "web[1-]"))
        assert.matches("'%-oProxyCommand=x' is no host name", refusal(hosts.expand, "a,-oProxyCommand=x"))
        assert.matches("is no host name", refusal(hosts.expand, "a b"))
        assert.matches("more than 100000 hosts", refusal(hosts.expand, "a[1-200000]"))
        assert.matches("more than 100000 hosts", refusal(hosts.expand, "a[1-999][1-999]"))
    end)

    it("fold", function()
        for text, names in pairs {
            ["web[1-3],db1"] = { "web1", "web3", "db1", "web2" },
            ["web[08-11]"] = { "web11", "web10", "web09", "web08" },
            ["web[1,01]"] = { "web1", "web01" },
            ["web[9-10,99-100]"] = { "web9", "web10", "web99", "web100" },
            ["a,b"] = { "a", "b" },
            ["n[1-2].example1.com"] = { "n1.example1.com", "n2.example1.com" },
            ["10.0.0.[7-8]"] = { "10.0.0.7", "10.0.0.8" },
            ["root@h1,h[1-2]"] = { "root@h1", "h1", "h2" },
            [""] = {},
        } do
            assert.are.equal(text, hosts.fold(names))
        end
    end)

    it("come back from what they were folded to", function()
        local names = {}
        for i = 1, 2000 do names[i] = ("n%d"):format(i * i % 1009) end
        local seen = {}
        for _, name in ipairs(hosts.expand(hosts.fold(names))) do seen[name] = true end
        for _, name in ipairs(names) do assert.is_true(seen[name], name) end
    end)

    it("are read from files", function()
        local path = os.tmpname()
        local file = assert(io.open(path, "wb"))
        file:write("# all of them\nweb[1-2]\r\n\n  db1 # the old one\nu@x,y")
        file:close()
        assert.are.same({ "web1", "web2", "db1", "u@x", "y" }, hosts.read(path))
        os.remove(path)
        assert.matches("cannot read the hosts in /nonexistent: No such file", refusal(hosts.read, "/nonexistent"))
        assert.matches("cannot read the hosts in /", refusal(hosts.read, "/"))
    end)
end)
