local clustershell = require "spec.support.clustershell"
local leak = require "spec.support.leak"
local nodeset = require "orrery.play.inventory.nodeset"

leak.guard()

local SOURCES = {
    main = {
        groups = {
            web = { "web1", "web2", "web3", "web10" }, db = { "db1", "db2" }, rack1 = { "web1", "web2", "db1" },
            rack2 = { "web3", "db2", "n-01" }, ["web-tier"] = { "web1", "web3" }, none = {},
        },
        all = { "web1", "web2", "web3", "web10", "db1", "db2", "n-01", "n-02", "r1n1", "r1n2", "r2n1", "bastion" },
    },
    old = { groups = { web = { "web7", "web8" } }, all = { "web7", "web8", "attic" } },
}

local function source_of(name) return SOURCES[name or "main"] end

local resolver = {
    group = function(name, source) return source_of(source) and source_of(source).groups[name] end,
    all = function(source) return source_of(source) and source_of(source).all end,
    groups = function()
        local names = {}
        for name in pairs(SOURCES.main.groups) do names[#names + 1] = name end
        table.sort(names)
        return names
    end,
}

local function expand(text) return nodeset.expand(text, { resolver = resolver }) end

local function refusal(text, opts)
    local ok, err = pcall(nodeset.expand, text, opts or { resolver = resolver })
    assert.is_false(ok, text)
    assert.are.equal("inventory", err.code)
    return err.message, err
end

local function sorted(names)
    local copy = { unpack(names) }
    table.sort(copy)
    return copy
end

describe("expressions for hosts", function()
    it("have ranges", function()
        for text, names in pairs {
            ["a,b"] = { "a", "b" },
            ["web[1-3],db1"] = { "web1", "web2", "web3", "db1" },
            ["web[08-10]"] = { "web08", "web09", "web10" },
            ["web[0-10/5,7]"] = { "web0", "web5", "web10", "web7" },
            ["web[000-100/50]x"] = { "web000x", "web050x", "web100x" },
            ["r[1-2]n[1-4/3]"] = { "r1n1", "r1n4", "r2n1", "r2n4" },
            ["[1-2]"] = { "1", "2" },
            ["web1[08-10]"] = { "web108", "web109", "web110" },
            ["web1[9-11]"] = { "web19", "web110", "web111" },
            ["web[9-11]0"] = { "web90", "web100", "web110" },
            ["web[ 1 - 3 ]"] = { "web1", "web2", "web3" },
            ["u@n[1,3,5-6].x"] = { "u@n1.x", "u@n3.x", "u@n5.x", "u@n6.x" },
            ["t[-1-1]"] = { "t-1", "t0", "t1" },
            ["[::1],x[2001:db8::1]"] = { "[::1]", "x[2001:db8::1]" },
            [""] = {}, ["  "] = {},
        } do
            assert.are.same(names, expand(text), text)
        end
    end)

    it("go from left to right, and know no precedence", function()
        for text, names in pairs {
            ["web[1-4]!web2"] = { "web1", "web3", "web4" },
            ["a[1-3]&a[2-5]"] = { "a2", "a3" },
            ["a[1-3]^a[2-5]"] = { "a1", "a4", "a5" },
            ["a[1-3]!a2&a3,b"] = { "a3", "b" },
            ["b,a[1-3]&a3"] = { "a3" },
            ["a^a"] = {}, ["a!a,a"] = { "a" }, ["a!b!c"] = { "a" },
            [" b , a[1-2] ! a1 "] = { "b", "a2" },
            ["a,a,a"] = { "a" },
        } do
            assert.are.same(names, expand(text), text)
        end
    end)

    it("have groups", function()
        for text, names in pairs {
            ["@db"] = { "db1", "db2" },
            ["web[1-2],@db!db1&@rack2"] = { "db2" },
            ["@rack[1-2]"] = { "web1", "web2", "db1", "web3", "db2", "n-01" },
            ["@web-tier^@rack1"] = { "web3", "web2", "db1" },
            ["@*!@web!@db"] = { "n-01", "n-02", "r1n1", "r1n2", "r2n1", "bastion" },
            ["@old:web"] = { "web7", "web8" }, ["@old:*!@old:web"] = { "attic" },
            ["@none"] = {}, ["@none,db1"] = { "db1" },
        } do
            assert.are.same(names, expand(text), text)
        end
    end)

    it("have wildcards for what is in the inventory", function()
        assert.are.same({ "web1", "web2", "web3", "web10" }, expand "web*")
        assert.are.same({ "web1", "web2", "web3" }, expand "web?")
        assert.are.same({ "n-01", "n-02", "r1n1", "r2n1" }, expand "n-*,r[1-2]*1")
        assert.are.same({}, expand "x*.y")
    end)

    it("say what is wrong in them", function()
        for text, message in pairs {
            ["web[3-1]"] = "'3-1' in 'web[3-1]' is no range of numbers: it goes down",
            ["web[1-]"] = "'1-' in 'web[1-]' is no range of numbers",
            ["web[]"] = "'' in 'web[]' is no range of numbers",
            ["web[1,,2]"] = "'' in 'web[1,,2]' is no range of numbers",
            ["web[01-9]"] = "'01-9' in 'web[01-9]' is no range of numbers: both ends need the same number of digits",
            ["web[1-3/0]"] = "'1-3/0' in 'web[1-3/0]' is no range of numbers: its step is 0",
            ["web[5/2]"] = "'5/2' in 'web[5/2]' is no range, so it has no step",
            ["web[01:20]"] = "'01:20' in 'web[01:20]' is no range of numbers: a range is written 1-20 here",
            ["web[-05-7]"] = "'-05-7' in 'web[-05-7]' is no range of numbers: below 0 there are no leading zeros",
            ["web[1-3"] = "'web[1-3': the bracket is not closed",
            ["a,web1-3]"] = "'web1-3]': this ] closes nothing",
            ["a!"] = "'a!': nothing stands behind '!'", ["&a"] = "'&a': nothing stands in front of '&'",
            ["a,,b"] = "'a,,b': nothing stands in front of ','", ["a,"] = "'a,': nothing stands behind ','",
            ["a b"] = "'a b' is no host name", ["a,-oProxyCommand=x"] = "'-oProxyCommand=x' is no host name",
            ["[-1-1]"] = "'-1' is no host name",
            ["a[1-200000]"] = "'a[1-200000]' is more than 100000 hosts",
            ["a[1-999]b[1-999]"] = "'a[1-999]b[1-999]' is more than 100000 hosts",
            ["a[1-60000],b[1-60000]"] = "'a[1-60000],b[1-60000]' is more than 100000 hosts",
            ["@wbe"] = "there is no group '@wbe' (did you mean '@web'?)",
            ["@nothing-like-it"] = "there is no group '@nothing-like-it'",
            ["@new:web"] = "there is no '@new:web' in the inventory",
        } do
            assert.are.equal(message, refusal(text))
        end
        local _, err = refusal "a,b,web[3-1]"
        assert.are.equal(5, err.column)
        assert.are.equal("'@web' needs an inventory", refusal("@web", {}))
        assert.are.equal("'web*' needs an inventory", refusal("web*", {}))
    end)

    it("may have commas too many where that is allowed", function()
        assert.are.same({ "a", "b" }, nodeset.expand(" a , ,b,", { lenient = true }))
        assert.are.equal("'a,!b': nothing stands in front of '!'", refusal("a,!b", { lenient = true }))
    end)
end)

describe("names", function()
    it("fold", function()
        for text, names in pairs {
            ["web[1-3],db1"] = { "web1", "web3", "db1", "web2", "web1" },
            ["web[08-11]"] = { "web11", "web10", "web09", "web08" },
            ["web[1,01]"] = { "web1", "web01" },
            ["web[1-2,03,003]"] = { "web003", "web03", "web1", "web2" },
            ["web[9-10,99-100]"] = { "web9", "web10", "web99", "web100" },
            ["r[1-2]n[1-2],r3n1"] = { "r1n1", "r2n1", "r1n2", "r2n2", "r3n1" },
            ["n[1-2].example1.com"] = { "n1.example1.com", "n2.example1.com" },
            ["10.0.0.[7-8]"] = { "10.0.0.7", "10.0.0.8" },
            ["root@h1,h[1-2]"] = { "root@h1", "h1", "h2" },
            ["[::1],[::2]"] = { "[::1]", "[::2]" },
            ["x12345678901234567890,x12345678901234567891"] = { "x12345678901234567890", "x12345678901234567891" },
            ["a,b"] = { "a", "b" }, [""] = {},
        } do
            assert.are.equal(text, nodeset.fold(names))
        end
        assert.are.equal("3 hosts: web[1-3]", nodeset.count { "web1", "web2", "web3" })
        assert.are.equal("1 host: web1", nodeset.count { "web1" })
    end)

    it("come back from what they were folded to", function()
        math.randomseed(20)
        for _ = 1, 50 do
            local names = {}
            for i = 1, 100 do
                names[i] = ({ "n%d", "n%02d", "r%dn%d", "r%d.rack%d.x%d", "10.%d.%d.%d" })[math.random(5)]
                    :format(math.random(12), math.random(3), math.random(2))
            end
            local once = nodeset.expand(table.concat(names, ","))
            assert.are.same(sorted(once), sorted(nodeset.expand(nodeset.fold(names))))
        end
    end)

    it("are many, and it takes no time to speak of", function()
        local names, start = {}, os.clock()
        for i = 1, 20000 do names[i] = ("rack%d-node%03d"):format(i % 40, math.floor(i / 40)) end
        assert.are.equal("rack[1-39]-node[000-499],rack0-node[001-500]",
            nodeset.fold(names))
        assert.is_true(#nodeset.expand(table.concat(names, ",")) == 20000)
        assert.is_true(os.clock() - start < 5)
    end)
end)

-- What ClusterShell says of random expressions ---------------------------------------------------------

local pick

local function number() return tostring(math.random(0, 12)) end

local function range()
    local width = pick { 1, 2, 3 }
    local from = math.random(0, 9)
    local to = from + math.random(0, 4)
    if width == 1 then return ("%d-%d"):format(from, to) end
    local form = "%0" .. width .. "d"
    local text = (form .. "-" .. form):format(from, to)
    return from ~= to and math.random(4) == 1 and text .. "/" .. math.random(3) or text
end

local function bracket()
    local items = {}
    for i = 1, math.random(2) do items[i] = math.random(3) == 1 and number() or range() end
    return "[" .. table.concat(items, ",") .. "]"
end

local function operand()
    return pick({
        function() return pick { "web", "db", "n-", "x" } .. number() end,
        function() return pick { "web", "db", "n-", "x" } .. bracket() .. pick { "", "", "-ib", ".lan2" } end,
        function() return "r" .. bracket() .. "n" .. pick { number, bracket }() end,
        function() return "@" .. pick { "web", "db", "rack1", "rack[1-2]", "*", "old:web", "old:*", "web-tier" } end,
        function() return pick { "web*", "web?", "*1", "r[1-2]*", "b?stion" } end,
    })()
end

function pick(list) return list[math.random(#list)] end

local function expression()
    local parts = { operand() }
    for _ = 1, math.random(0, 4) do
        parts[#parts + 1] = pick { ",", "!", "&", "^" }
        parts[#parts + 1] = operand()
    end
    return table.concat(parts)
end

describe("ClusterShell", function()
    if not clustershell.is_there() then
        pending "is not installed (scripts/setup bench installs it): nothing to compare with"
        return
    end
    local seed = tonumber(os.getenv "ORRERY_SEED" or os.time() % 100000)

    it("says the same of random expressions and of what is wrong", function()
        math.randomseed(seed)
        local texts = {
            "a!", "!a", "a,,b", "a[3-1]", "a[01-9]", "a[1-09]", "a[00-2]", "a[0-02]", "a[1-3", "a1-3]", "a[]", "a[5/2]",
            "a[5/1]", "a[1-3/0]", "a[-5--3]", "a[-1-1]", "web[9-11]0", "web[01-03]0", "web1[08-10]", "a[1,2-3]b7",
        }
        for i = #texts + 1, 3000 do texts[i] = expression() end
        for i, answer in ipairs(clustershell.evaluate(SOURCES, texts)) do
            local what = ("%s (ORRERY_SEED=%d)"):format(texts[i], seed)
            local ok, names = pcall(expand, texts[i])
            assert.are.equal(answer.error == nil, ok, what .. ": " .. tostring(answer.error or names))
            if ok then assert.are.same(sorted(answer.names), sorted(names), what) end
        end
    end)

    it("understands what names are folded to, and folds one range alike", function()
        math.randomseed(seed)
        local folded, sets, alike = {}, {}, {}
        for i = 1, 500 do
            local form, names = pick { "n%d", "n%02d", "x%d-ib", "r%dn%d", "r%dn%02d.x" }, {}
            for k = 1, math.random(30) do names[k] = form:format(math.random(0, 30), math.random(0, 3)) end
            folded[i], sets[i], alike[i] = nodeset.fold(names), nodeset.expand(table.concat(names, ",")),
                not form:find("%%.*%%")
        end
        for i, answer in ipairs(clustershell.evaluate(SOURCES, folded)) do
            assert.are.same(sorted(sets[i]), sorted(answer.names), folded[i])
            if alike[i] then assert.are.equal(answer.fold, folded[i]) end
        end
    end)
end)
