local leak = require "spec.support.leak"
local ini = require "orrery.play.inventory.ini"
local json = require "orrery.json"
local literal = require "orrery.play.inventory.literal"
local Model = require "orrery.play.inventory.model"
local words = require "orrery.play.inventory.words"

leak.guard()

local function read(text)
    local model = Model.new()
    ini.read(model, text, "hosts.ini")
    model:finish()
    return model
end

local function vars_of(entity)
    local vars = {}
    for _, setting in ipairs(entity.settings) do vars[setting.key] = setting.value end
    return vars
end

local function refusal(text)
    local ok, err = pcall(read, text)
    assert.is_false(ok, text)
    assert.are.equal("inventory", err.code)
    return err.message, err
end

describe("an INI inventory", function()
    it("has hosts, groups, children and variables", function()
        local model = read [[
lonely ansible_port=22
; a comment
# another
[web]
web[01:03].example.com   # the three
  indented  http_port=80

[db:children]
postgres
late   # comes below
[postgres]
pg1
[late]
pg2
[db:vars]
owner = dba
[all:vars]
ntp=10.0.0.1
]]
        assert.are.same({ "lonely", "web01.example.com", "web02.example.com", "web03.example.com", "indented", "pg1",
            "pg2" }, model.host_names)
        assert.are.same({ "lonely" }, model.groups.ungrouped.hosts)
        assert.are.same({ "pg1", "pg2" }, model:members "db")
        assert.are.same({ "ungrouped", "web", "db" }, model.groups.all.children)
        assert.are.same({ owner = "dba" }, vars_of(model.groups.db))
        assert.are.same({ http_port = 80 }, vars_of(model.hosts.indented))
        assert.are.equal("hosts.ini:6", model.hosts.indented.settings[1].from)
        assert.are.equal(2, model.groups.postgres.depth)
    end)

    it("has hosts in ranges, with ports, with addresses", function()
        for text, names in pairs {
            ["n[1:3]"] = { "n1", "n2", "n3" },
            ["n[:2]"] = { "n0", "n1", "n2" }, ["n[08:10]x"] = { "n08x", "n09x", "n10x" },
            ["db-[a:c]"] = { "db-a", "db-b", "db-c" }, ["n[0:10:5]"] = { "n0", "n5", "n10" },
            ["n[x:B]"] = { "nx", "ny", "nz", "nA", "nB" },
            ["r[1:2]n[a:b]"] = { "r1na", "r1nb", "r2na", "r2nb" },
            ["2001:db8::1"] = { "2001:db8::1" }, ["::1"] = { "::1" }, ["10.0.0.[7:8]"] = { "10.0.0.7", "10.0.0.8" },
        } do
            assert.are.same(names, read(text).host_names, text)
        end
        for text, name in pairs {
            ["beta:2345"] = "beta", ["[2001:db8::1]:2345"] = "2001:db8::1", ["10.0.0.1:2345"] = "10.0.0.1",
            ["n[1:1]x:2345 a=b"] = "n1x",
        } do
            local model = read(text)
            assert.are.same({ name }, model.host_names)
            assert.are.equal(2345, vars_of(model.hosts[name]).ansible_port, text)
        end
    end)

    it("has values as Python would read them, on the lines of hosts behind a shell's quoting", function()
        local vars = vars_of(read([[h a=1 b=1.5 c=True d=None e='a b' f="it's" g=[1,2] h={'a':1} i="{'a': [True]}" ]]
            .. [[j=010 k=0x1f l='"5"' m= n=yes o=x\ y p=a=b q="\"\\\n" r='9007199254740993' s=#t]]).hosts.h)
        assert.are.same({
            a = 1, b = 1.5, c = true, d = json.null, e = "a b", f = "it's", g = { 1, 2 }, h = "{a:1}",
            i = { a = { true } }, j = "010", k = 31, l = "5", m = "", n = "yes", o = "x y", p = "a=b", q = '"\\\\n',
            r = "9007199254740993", s = "",
        }, vars)
    end)

    it("has them on lines of variables as they stand there", function()
        local vars = vars_of(read [[
[g]
[g:vars]
a = 1
b="x y"
c = 'it' # a comment of Python's
d = plain # text
e = [1, 2
f=
g = # text
h = 1,2
i = {"x": None}
j k = l = m
]].groups.g)
        assert.are.same({
            a = 1, b = "x y", c = "it", d = "plain # text", e = "[1, 2", f = "", g = "# text", h = { 1, 2 },
            i = { x = json.null }, ["j k"] = "l = m",
        }, vars)
    end)

    it("cuts a line at a # even within a word, as Ansible does", function()
        assert.are.same({ a = "x" }, vars_of(read("h a=x#y b=2").hosts.h))
        assert.are.same({ a = "x#y", b = 2 }, vars_of(read("h a='x#y' b=2").hosts.h))
    end)

    it("lets later lines win, and a host be in several groups", function()
        local model = read "[a]\nh x=1 y=1\n[b]\nh x=2\n"
        assert.are.same({ x = 2, y = 1 }, vars_of(model.hosts.h))
        assert.are.same({ "a", "b" }, model.hosts.h.groups)
    end)

    it("may come from elsewhere: CR LF, a byte order mark, no newline at its end", function()
        assert.are.same({ "a", "b" }, read("\239\187\191[g]\r\na x=1\r\nb").host_names)
        assert.are.same({ "a" }, read("# caf\233\na").host_names)
        assert.are.same({}, read("").host_names)
    end)

    it("says in which line and column what is wrong", function()
        for text, message in pairs {
            ["a\nb x\n"] = "2:3: 'x' is no variable: one is written NAME=VALUE, without spaces outside of quotes",
            ["a\n  b x = 1\n"] = "2:5: 'x' is no variable: one is written NAME=VALUE, without spaces outside of quotes",
            ["a x='1"] = "1:5: the quotes that begin with ' are not closed",
            ['a x="1\\"'] = "1:5: the quotes that begin with \" are not closed",
            ["a x=1\\"] = "1:6: nothing follows the \\ at the end",
            ["[web:childs]\n"] = "1:1: [web:childs] is no section: it is [GROUP], [GROUP:children] or [GROUP:vars]",
            ["[web tier]"] = "1:1: '[web tier]' is no section: there may be no spaces in it, and only one ':'",
            ["[]"] = "1:1: '[]' is no section: there may be no spaces in it, and only one ':'",
            ["[web] ; x"] = "1:1: '[web]' is no host: [web] is no range: one is written begin:end",
            ["[g]\n[g:vars]\nnothing"] = "3:1: 'nothing' is no variable: one is written NAME = VALUE",
            ["[g]\n[g:vars]\n = 1"] = "3:2: '= 1' is no variable: one is written NAME = VALUE",
            ["[g:children]\na b"] = "2:1: 'a b' is no name of a group; there is one on each line",
            ["\n[gg:children]\nhh\n[h]\n"] =
                "3: [gg:children] names 'hh', and no section [hh] is there (did you mean 'h'?)",
            ["[g]\n[h:vars]\nx=1"] = "2: [h:vars] sets variables of a group that is not there (did you mean 'g'?)",
            ["n[3:1]"] = "1:1: 'n[3:1]' is no host: [3:1] goes down",
            ["n[c:a]"] = "1:1: 'n[c:a]' is no host: [c:a] goes down",
            ["n[01:100]"] = "1:1: 'n[01:100]' is no host: [01:100] needs the same number of digits at both ends",
            ["n[1:]"] = "1:1: 'n[1:]' is no host: [1:] has no end",
            ["n[1-3]"] = "1:1: 'n[1-3]' is no host: [1-3] is no range: one is written begin:end",
            ["n[ab:cd]"] = "1:1: 'n[ab:cd]' is no host: [ab:cd] is no range of numbers or of letters",
            ["n[1:3"] = "1:1: 'n[1:3' is no host: its brackets do not match",
            ["n[1:3:x]"] = "1:1: 'n[1:3:x]' is no host: [1:3:x] has a step that is no number",
            ["n[1:999]m[1:999]"] = "1:1: 'n[1:999]m[1:999]' is no host: it stands for more than 100000 hosts",
            ["beta:"] = "1:1: 'beta:' is no host: a port is missing behind the ':'",
            ["beta:x"] = "1:1: 'beta:x' is no host: what stands behind the ':' in 'beta:x' is no port",
            ["beta:70000"] = "1:1: 'beta:70000' is no host: 70000 is no port",
            ["---"] = "1:1: '---' is no host: '---' begins a YAML file, and this is read as INI",
            ["caf\233"] = "1:4: not UTF-8: the byte 0xe9",
        } do
            assert.are.equal("hosts.ini:" .. message, refusal(text))
        end
        local _, err = refusal "a\nb x\n"
        assert.are.same({ 2, 3 }, { err.line, err.column })
    end)

    it("refuses names that are none, and loops", function()
        assert.are.equal("hosts.ini:1: '-oProxyCommand=x' is no name of a host", refusal "-oProxyCommand=x")
        assert.are.equal("hosts.ini:1: 'a b' is no name of a host", refusal "'a b'")
        assert.are.equal("hosts.ini:1: 'a!b' is no name of a group", refusal "[a!b]")
        assert.are.equal("hosts.ini:2: group 'g' cannot be its own child", refusal "[g:children]\ng")
        assert.are.equal("hosts.ini:4: group 'a' cannot be a child of 'b', which is below it",
            refusal "[a:children]\nb\n[b:children]\na")
        assert.are.equal("hosts.ini:2: group 'all' cannot be a child of 'ungrouped', which is below it",
            refusal "[ungrouped:children]\nall")
    end)
end)

describe("a literal of Python", function()
    it("is what Python makes of it, and else text", function()
        for text, value in pairs {
            ["0o17"] = 15, ["0b101"] = 5, ["0xFF"] = 255, ["1_000"] = 1000, ["00"] = 0, [".5"] = 0.5, ["5."] = 5,
            ["1E-3"] = 0.001, ["-5"] = -5, ["+5"] = 5, ["- 5"] = -5, ["'a' \"b\""] = "ab", ["u'x'"] = "x",
            ["b'x'"] = "x", ["r'\\n'"] = "\\n", ["'\\x41\\u00fc\\101\\q\\''"] = "A\195\188A\\q'", ["'''a'b'''"] = "a'b",
            ["()"] = {}, ["(1)"] = 1, ["(1,)"] = { 1 }, ["1,"] = { 1 },
            ["[1, 'a', [None]]"] = { 1, "a", { json.null } },
            ["{1: 'x', True: 2}"] = { ["1"] = "x", ["true"] = 2 }, ["{1, 2}"] = { 1, 2 }, ["{}"] = {},
            ["-9007199254740993"] = "-9007199254740993",
        } do
            assert.are.same(value, literal.read(text), text)
        end
        for _, text in ipairs {
            "010", "1__0", "_1", "1_",
            "0x", "0xg", "0b12", "1e", "1j", "--5", "5 5", "'a", "'a' b", "f'x'", "b'x' 'y'",
            "true", "none", "nan", "[1, a]", "[,]", "[1 2]", "{'a' 1}", "{'a': 1", "1-2", "1.2.3", "10.0.0.1", "12:30",
            "a.b", "x", "", "1 if 1 else 2", "'\\N{DASH}'", "-'a'", "1e400", ("["):rep(200), "...",
        } do
            assert.are.equal(text, literal.read(text))
        end
    end)
end)

describe("words", function()
    local function texts(line, comments)
        local list = {}
        for i, word in ipairs(assert(words.split(line, comments))) do list[i] = word.text end
        return list
    end

    it("are cut as a shell does it", function()
        assert.are.same({ "a b", "c'd", "e\\f", "g h", "" }, texts([["a b" c\'d "e\f" g' 'h '']], true))
        assert.are.same({ "a" }, texts("  a # b", true))
        assert.are.same({ "a", "#", "b#c" }, texts("a # b#c", false))
        assert.are.same({}, texts(" \t", true))
        assert.are.equal(4, words.split("ab c", false)[2].column)
    end)
end)
