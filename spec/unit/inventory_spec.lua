local json = require "orrery.json"
local leak = require "spec.support.leak"
require "orrery.core"
local inventory = require "orrery.play.inventory"
local show = require "orrery.play.inventory.show"
local tree = require "spec.support.directories"

leak.guard()

local root

local function make(files)
    root = tree.make(files)
    return root
end

after_each(function()
    if root then tree.remove(root) end
    root = nil
end)

local function refusal(code, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok, "nothing was raised")
    assert.are.equal(code, err.code, err.message)
    return root and err.message:gsub(root:gsub("%p", "%%%0"), "") or err.message
end

local LUA = [[
return {
    vars = { ntp = "10.0.0.1", tier = "none" },
    ssh = { user = "deploy" },
    hosts = { "bastion", ["cache[1-2]"] = { vars = { size = 4 } } },
    groups = {
        web = { hosts = { "web[1-3]" }, vars = { tier = "web", http_port = 80 } },
        db = {
            hosts = {
                db1 = { vars = { role = "primary" }, ssh = { host = "10.0.0.7", port = 2222 }, groups = { "slow" } },
            },
            vars = { tier = "db" }, become = "postgres",
        },
        prod = { children = { "web", "db" }, vars = { env = "prod", tier = "prod" } },
        slow = {},
    },
}
]]

describe("an inventory in Lua", function()
    it("has hosts, groups, variables and ways to connect", function()
        local inv = inventory.load(make { ["hosts.lua"] = LUA } .. "/hosts.lua")
        assert.are.same({ "bastion", "cache1", "cache2", "db1", "web1", "web2", "web3" }, inv:hosts())
        assert.are.same({ "db1", "web1", "web2", "web3" }, inv:members "prod")
        assert.are.same({ "bastion", "cache1", "cache2" }, inv:members "ungrouped")
        assert.are.same({ "db", "prod", "slow" }, inv:groups_of "db1")
        assert.are.same({ ntp = "10.0.0.1", tier = "db", role = "primary", env = "prod" }, inv:vars "db1")
        assert.are.same({ ntp = "10.0.0.1", tier = "none", size = 4 }, inv:vars "cache2")
        local link = inv:connection("db1").links[1]
        assert.are.same({ "ssh", "10.0.0.7", { user = "deploy", port = 2222, name = "db1" } },
            { link.launcher, link.target, link.options })
        assert.are.same({ enabled = true, user = "postgres" }, inv:connection("db1").become)
        assert.is_nil(inv:connection("web1").become)
        assert.are.same({ "web1", "web3", "bastion" }, inv:expand "@web!web2,bastion")
        assert.are.equal("web[1-3]", inv:fold(inv:members "web"))
        assert.is_true(inv:has "web1")
        assert.is_false(inv:has "web4")
    end)

    it("may be a table of the script", function()
        local inv = inventory.load { hosts = { "a" }, groups = { g = { hosts = { "b" } } } }
        assert.are.same({ "a", "b" }, inv:hosts())
        assert.are.same({}, inventory.load({}):hosts())
    end)

    it("may have secrets in it, which are not listed", function()
        local secret = require "orrery.secret"
        local inv = inventory.load { hosts = { a = { vars = { token = secret.new "hush-hush" } } } }
        assert.are.equal("hush-hush", secret.reveal(inv:vars("a").token))
        assert.is_nil(json.encode(show.list(inv)):find "hush")
        assert.are.equal('token = "********"  (host a, inventory)', show.why(inv, "a"))
    end)

    it("says what is wrong in it", function()
        for text, message in pairs {
            ["return 1"] = "/x.lua: it must return a table, not a number",
            ["return { host = {} }"] = "/x.lua: inventory: unknown option 'host'; did you mean 'hosts'?",
            ["return { groups = { web = { host = {} } } }"] =
                "/x.lua: groups.web: unknown option 'host'; did you mean 'hosts'?",
            ["return { hosts = 1 }"] = "/x.lua: inventory: option 'hosts' must be a table, not 1",
            ["return { hosts = { 1 } }"] = "/x.lua: hosts[1]: the name of a host was expected, not a number",
            ["return { hosts = { a = 1 } }"] = "/x.lua: hosts.a: a table was expected, not a number",
            ["return { hosts = { 'a[3-1]' } }"] =
                "/x.lua: hosts[1]: '3-1' in 'a[3-1]' is no range of numbers: it goes down",
            ["return { hosts = { a = { ssh = { prot = 1 } } } }"] =
                "/x.lua: hosts.a.ssh: unknown option 'prot'; did you mean 'port'?",
            ["return { vars = { 'x' } }"] = "/x.lua: vars: names were expected, not [1]",
            ["return { groups = { g = { children = { 'h' } } } }"] =
                "/x.lua: groups.g.children[1]: there is no group 'h' (did you mean 'g'?)",
            ["return { groups = { a = { children = { 'b' } }, b = { children = { 'a' } } } }"] =
                "/x.lua: group 'a' cannot be a child of 'b', which is below it",
            ["return {"] = "/x.lua:1: unexpected symbol near '<eof>'",
        } do
            local path = make { ["x.lua"] = text } .. "/x.lua"
            assert.are.equal(message, (refusal("inventory", inventory.load, path)))
            tree.remove(root)
        end
        assert.matches("/x.lua:2: attempt to index", (refusal("inventory", inventory.load,
            make { ["x.lua"] = "local a\nreturn a.b" } .. "/x.lua")))
    end)
end)

describe("an inventory in JSON", function()
    it("is as Ansible's are", function()
        local inv = inventory.load(make { ["hosts.json"] = [[{
            "web": { "hosts": ["w2", "w1"], "vars": { "port": 80, "nothing": null }, "children": ["edge"] },
            "edge": ["e1"],
            "empty": { "hosts": null },
            "alone": { "color": "red" },
            "all": { "vars": { "ntp": "x" } },
            "_meta": { "hostvars": { "w1": { "port": 8080, "list": [1, {}] }, "ghost": { "x": 1 } } }
        }]] } .. "/hosts.json")
        assert.are.same({ "w2", "w1", "e1", "alone" }, inv:hosts())
        assert.are.same({ "w2", "w1", "e1" }, inv:members "web")
        assert.are.same({ port = 8080, list = { 1, {} }, ntp = "x" }, inv:vars "w1")
        assert.are.equal(json.null, inv:vars("w1", true).nothing)
        assert.are.same({ color = "red", ntp = "x" }, inv:vars "alone")
    end)

    it("may be in the form that YAML inventories have", function()
        local inv = inventory.load(make { ["x.json"] = [[{ "all": { "hosts": { "a": { "x": 1 }, "b": null },
            "children": { "g": { "hosts": { "a": {} }, "children": { "h": { "hosts": { "c": null } } } } } } }]] }
            .. "/x.json")
        assert.are.same({ "a", "b", "c" }, inv:hosts())
        assert.are.same({ "b" }, inv:members "ungrouped")
        assert.are.same({ "a", "c" }, inv:members "g")
        assert.are.same({ x = 1 }, inv:vars "a")
    end)

    it("says what is wrong in it", function()
        for text, message in pairs {
            ["[]"] = "/x.json: an inventory is an object: groups by name",
            ['{ "g": 1 }'] = "/x.json: g must be a list of hosts, or an object",
            ['{ "g": { "hosts": "a" } }'] = "/x.json: g.hosts must be a list of names",
            ['{ "g": { "hosts": [1] } }'] = "/x.json: g.hosts[1] must be a name",
            ['{ "g": { "vars": [] } }'] = "/x.json: g.vars must be an object: variables by name",
            ['{ "g": ["a"], "_meta": { "hostvars": { "a": 1 } } }'] =
                "/x.json: _meta.hostvars.a must be an object: variables by name",
            ['{ "g": ["-x"] }'] = "/x.json: '-x' is no name of a host",
        } do
            local path = make { ["x.json"] = text } .. "/x.json"
            assert.are.equal(message, (refusal("inventory", inventory.load, path)))
            tree.remove(root)
        end
        assert.are.equal("/x.json:2:6: ':' was expected, not '1'", (refusal("decode", inventory.load,
            make { ["x.json"] = '{\n "a" 1 }' } .. "/x.json")))
    end)
end)

describe("hosts of an SSH configuration", function()
    it("are those of its Host lines, patterns left out, in what it includes too", function()
        local dir = make {
            config = "# hosts\nHost web1 web2 *.example.com !web3\n  User a\nInclude DIR/conf.d/*.conf\n"
                .. "host=\"db 1\" db2 # old\nMatch host x\n  Port 1\nHost web1\nInclude DIR/nothing",
            ["conf.d/a.conf"] = "Host a1\n", ["conf.d/b.conf"] = "Include DIR/conf.d/c.conf\n",
            ["conf.d/c.conf"] = "Host c?\n",
        }
        os.execute(("sed -i 's#DIR#%s#' %s/config %s/conf.d/*"):format(dir, dir, dir))
        os.execute(("sed -i 's/\"db 1\"/\"db1\"/' %s/config"):format(dir))
        local inv = inventory.load("ssh-config:" .. dir .. "/config")
        assert.are.same({ "web1", "web2", "a1", "db1", "db2" }, inv:hosts())
        assert.are.equal(dir .. "/config", inv:connection("web1").links[1].options.config)
    end)

    it("that include themselves come to an end", function()
        local dir = make { config = "Include DIR/config\n" }
        os.execute(("sed -i 's#DIR#%s#' %s/config"):format(dir, dir))
        assert.are.equal("/config: more than 16 files that include each other",
            (refusal("inventory", inventory.load, "ssh-config:" .. dir .. "/config")))
    end)
end)

describe("sources", function()
    it("are several, and directories of several; what is no inventory is left out", function()
        local dir = make {
            ["prod/10-web.ini"] = "[web]\nw1 x=1\nw2\n", ["prod/20-db.json"] = '{ "db": ["d1"], "web": ["w3"] }',
            ["prod/sub/more.lua"] = "return { hosts = { 'm1' } }",
            ["prod/notes.md"] = "not [an inventory", ["prod/x.ini~"] = "[", ["prod/.hidden"] = "[",
            ["prod/cloud.py"] = "#!/bin/sh\necho '{\"cloud\": [\"c1\"], \"_meta\": {\"hostvars\": {}}}'\n",
            ["prod/cloud.ini"] = "[cloud]\nregions = all\n",
            ["later.ini"] = "[web]\nw1 x=2\n",
        }
        local inv = inventory.load { dir .. "/prod", dir .. "/later.ini", "n[1-2],w1" }
        assert.are.same({ "w1", "w2", "d1", "w3", "c1", "m1", "n1", "n2" }, inv:hosts())
        assert.are.same({ "w1", "w2", "w3" }, inv:members "web")
        assert.are.equal(2, inv:vars("w1").x)
        assert.are.same({ "w1", "w2", "w3" }, inv:expand "@prod:web")
        assert.are.same({ "w1" }, inv:expand "@later:web&@prod:*")
        assert.are.equal("there is no '@prod:wbe' in the inventory (did you mean '@web'?)",
            (refusal("inventory", inv.expand, inv, "@prod:wbe")))
    end)

    it("say what they are, where it cannot be seen", function()
        local dir = make { x = '{ "g": ["a"] }', y = "a b=1" }
        assert.are.same({ "a" }, inventory.load("json:" .. dir .. "/x"):hosts())
        assert.are.same({ "a" }, inventory.load("ini:" .. dir .. "/y"):hosts())
        assert.are.same({ "n1", "n2" }, inventory.load("hosts:n[1-2]"):hosts())
        assert.are.equal("cannot read the inventory: /nothing: No such file or directory",
            (refusal("inventory", inventory.load, dir .. "/nothing")))
    end)

    it("in YAML are not read, and say what to do instead", function()
        local dir = make { ["a.yml"] = "all:\n", b = "---\nall:\n", c = "# x\nall:\n  hosts:\n" }
        for _, name in ipairs { "a.yml", "b", "c" } do
            local message = refusal("inventory", inventory.load, dir .. "/" .. name)
            assert.matches("this is YAML: YAML is not read", message, 1, true)
            assert.matches("exec ansible-inventory -i /" .. name .. " --list --export", message, 1, true)
        end
    end)

    it("that are programs must be allowed to run", function()
        local dir = make { prog = "#!/bin/sh\n" }
        os.execute(("chmod -x '%s/prog'"):format(dir))
        assert.matches("it begins as a program does, but may not be executed",
            (refusal("inventory", inventory.load, dir .. "/prog")))
    end)

    it("are found next to a playbook, and in the environment", function()
        local dir = make { ["inventory.ini"] = "a" }
        assert.are.same({ dir .. "/inventory.ini" }, inventory.default(dir))
        assert.are.same({}, inventory.default())
    end)
end)

describe("an inventory of many hosts", function()
    it("takes no time to speak of", function()
        local lines, start = { "[all:vars]" }, os.clock()
        for i = 1, 20 do lines[#lines + 1] = ("v%d = %d"):format(i, i) end
        lines[#lines + 1] = "[web]"
        for i = 1, 10000 do lines[#lines + 1] = ("web%05d port=%d x='a b'"):format(i, i) end
        local inv = inventory.load(make { ["hosts.ini"] = table.concat(lines, "\n") } .. "/hosts.ini")
        assert.are.equal(10000, #inv:hosts())
        assert.are.equal("web[00001-05000]", inv:fold(inv:expand "@web!web[05001-10000]"))
        assert.are.equal(10000, #json.decode(json.encode(show.list(inv))).web.hosts)
        for _, name in ipairs(inv:hosts()) do inv:connection(name) end
        assert.is_true(os.clock() - start < 10)
    end)
end)

describe("group_vars and host_vars", function()
    it("are Lua and JSON, files and directories, and win over what sources say", function()
        local dir = make {
            ["hosts.ini"] = "[web]\nw1.example.com a=1 b=1\n[web:vars]\nb=2\nc=2\nd=2\n[prod:children]\nweb\n",
            ["group_vars/web.lua"] = "return { c = 3, d = 3 }", ["group_vars/prod/main.json"] = '{ "d": 4, "e": 4 }',
            ["group_vars/prod/sub/x.lua"] = "return { f = 5 }", ["group_vars/all"] = ' { "g": 6, "d": 6 }',
            ["group_vars/other.yml"] = "x: 1", ["group_vars/web.lua~"] = "[",
            ["host_vars/w1.example.com.lua"] = "return { a = 7 }", ["host_vars/w1.example.com/x.json"] = '{ "h": 8 }',
            ["play/group_vars/web.json"] = '{ "c": 9 }',
        }
        local inv = inventory.load(dir .. "/hosts.ini", { vars_dirs = { dir .. "/play" } })
        assert.are.same({ a = 7, b = 1, c = 9, d = 3, e = 4, f = 5, g = 6, h = 8 }, inv:vars "w1.example.com")
        assert.are.same({ a = 7, b = 1, c = 3, d = 3, e = 4, f = 5, g = 6, h = 8 },
            inventory.load(dir .. "/hosts.ini"):vars "w1.example.com")
    end)

    it("in YAML are not passed over in silence", function()
        for _, name in ipairs { "group_vars/web.yml", "group_vars/web", "group_vars/web/x.yaml" } do
            local dir = make { ["hosts.ini"] = "[web]\nw1\n", [name] = "x: 1\n" }
            assert.matches("this is YAML: YAML is not read", refusal("inventory", inventory.load, dir .. "/hosts.ini"))
            tree.remove(root)
        end
        local dir = make { ["hosts.ini"] = "[web]\nw1\n", ["group_vars/web.json"] = "[]" }
        assert.are.equal("/group_vars/web.json: variables by name were expected",
            (refusal("inventory", inventory.load, dir .. "/hosts.ini")))
    end)
end)

describe("variables", function()
    local inv

    before_each(function()
        inv = inventory.load {
            vars = { v = "all" },
            groups = {
                top = { children = { "mid", "zmid" }, vars = { v = "top", x = "top" } },
                mid = { children = { "leaf" }, vars = { v = "mid", x = "mid", y = "mid" } },
                zmid = { hosts = { "h" }, vars = { v = "zmid", y = "zmid" } },
                leaf = { hosts = { h = { vars = { v = "host" } } }, vars = { v = "leaf" } },
                aleaf = { hosts = { "h" }, vars = { y = "aleaf", z = 1 } },
            },
        }
    end)

    it("win by depth, then by the name of the group; those of the host win over all", function()
        assert.are.same({ v = "host", x = "mid", y = "zmid", z = 1 }, inv:vars "h")
    end)

    it("can say why", function()
        assert.are.equal(table.concat({
            'v = "host"  (host h, inventory)', '    not "leaf"  (group leaf, inventory)',
            '    not "zmid"  (group zmid, inventory)', '    not "mid"  (group mid, inventory)',
            '    not "top"  (group top, inventory)', '    not "all"  (group all, inventory)',
            'x = "mid"  (group mid, inventory)', '    not "top"  (group top, inventory)',
            'y = "zmid"  (group zmid, inventory)', '    not "mid"  (group mid, inventory)',
            '    not "aleaf"  (group aleaf, inventory)', "z = 1  (group aleaf, inventory)",
        }, "\n"), show.why(inv, "h"))
        assert.are.equal("there is no host 'hh' in the inventory (did you mean 'h'?)",
            (refusal("inventory", inv.why, inv, "hh")))
    end)

    it("of groups of one depth win by ansible_group_priority, if there is one", function()
        inv = inventory.load {
            groups = {
                a = { hosts = { "h" }, vars = { v = "a", ansible_group_priority = 10 } },
                b = { hosts = { "h" }, vars = { v = "b" } },
            },
        }
        assert.are.same({ v = "a" }, inv:vars "h")
    end)
end)
