-- `orrery inventory`, and `orrery exec` with one: on this machine, and on hosts.
local json = require "orrery.json"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local tree = require "spec.support.directories"

leak.guard()

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"
local root

local function orrery(...) return lab.run { "env", "-u", "ORRERY_INVENTORY", "timeout", "60", program, ... } end

local HOSTS = [[
[web]
web[1:3] port=80
[db]
db1
[prod:children]
web
db
[all:vars]
ntp=10.0.0.1
port=22
]]

setup(function()
    root = tree.make {
        ["hosts.ini"] = HOSTS, ["bad.ini"] = "web1\nweb2 x\n", ["bad.lua"] = "return { hosts = { web1 = 1 } }",
        ["key"] = "-----BEGIN OPENSSH PRIVATE KEY-----\n", ["local.lua"] =
            "return { launch = 'local', groups = { web = { hosts = { 'web[1-2]' } }, db = { hosts = { 'db1' } } } }",
        ["prog"] = "#!/bin/sh\necho up >\"${0%prog}up\"\nsleep 1000\n",
    }
end)

teardown(function() tree.remove(root) end)

describe("orrery inventory", function()
    it("lists, draws, expands and folds", function()
        local ini = root .. "/hosts.ini"
        local code, stdout, stderr = orrery("inventory", "-i", ini, "--list")
        assert.are.same({ 0, "" }, { code, stderr })
        local data = json.decode(stdout)
        assert.are.same({ "web", "db" }, data.prod.children)
        assert.are.same({ ntp = "10.0.0.1", port = 80 }, data._meta.hostvars.web3)
        assert.are.same({ 0,
            "@prod:\n  |--@web:\n  |  |--web1\n  |  |--web2\n  |  |--web3\n  |--@db:\n  |  |--db1\n", "" },
            { orrery("inventory", "-i", ini, "--graph", "prod") })
        assert.matches("  |  |  |--web1\n  |  |  |  |--{ntp = \"10.0.0.1\"}\n  |  |  |  |--{port = 80}\n",
            (select(2, orrery("inventory", "-i", ini, "--graph", "--vars"))), 1, true)
        assert.are.same({ 0, "web1\nweb3\ndb1\n", "" }, { orrery("inventory", "-i", ini, "--expand", "@prod!web2") })
        assert.are.same({ 0, "3 hosts: web[1,3],db1\n", "" },
            { orrery("inventory", "-i", ini, "--fold", "@prod!web2") })
        assert.are.same({ 0, "2 hosts: a[1-2]\n", "" }, { orrery("inventory", "--fold", "a[1-2]") })
    end)

    it("says what a host has, and why", function()
        local ini = root .. "/hosts.ini"
        local code, stdout = orrery("inventory", "-i", ini, "--host", "web1")
        assert.are.same({ 0, { ntp = "10.0.0.1", port = 80 } }, { code, json.decode(stdout) })
        assert.are.same({ 0, ('ntp = "10.0.0.1"  (group all, %s:9)\nport = 80  (host web1, %s:2)\n    not 22  '
            .. "(group all, %s:10)\n"):format(ini, ini, ini), "" }, { orrery("inventory", "-i", ini, "--host", "web1",
            "--why") })
    end)

    it("takes the environment's, where none is given", function()
        assert.are.same({ 0, "1 host: db1\n", "" }, { lab.run {
            "env", "ORRERY_INVENTORY=" .. root .. "/hosts.ini", program, "inventory", "--fold", "@db",
        } })
    end)

    it("says in one line what is wrong in an inventory", function()
        for message, words in pairs {
            ["orrery: ROOT/bad.ini:2:6: 'x' is no variable: one is written NAME=VALUE, without spaces outside of "
                .. "quotes"] = { "-i", root .. "/bad.ini", "--list" },
            ["orrery: ROOT/bad.lua: hosts.web1: a table was expected, not a number"] =
                { "-i", root .. "/bad.lua", "--list" },
            ["orrery: cannot read the inventory: ROOT/none: No such file or directory"] =
                { "-i", root .. "/none", "--list" },
            ["orrery: there is no host 'web9' in the inventory (did you mean 'web1'?)"] =
                { "-i", root .. "/hosts.ini", "--host", "web9" },
            ["orrery: there is no group 'wbe' (did you mean 'web'?)"] =
                { "-i", root .. "/hosts.ini", "--graph", "wbe" },
            ["orrery: there is no group '@wbe' (did you mean '@web'?)"] =
                { "-i", root .. "/hosts.ini", "--fold", "@wbe" },
        } do
            assert.are.same({ 1, "", message:gsub("ROOT", root) .. "\n" }, { orrery("inventory", unpack(words)) })
        end
    end)

    it("says in one line what is wrong on the command line", function()
        for message, words in pairs {
            ["say what to show: --list, --graph, --host, --expand or --fold"] = {},
            ["'--list' and '--graph' do not go together"] = { "--graph", "--list" },
            ["no inventory: say which with -i, or in $ORRERY_INVENTORY"] = { "--list" },
            ["unexpected word 'x'"] = { "--list", "x" }, ["'--why' goes with '--host'"] = { "--list", "--why" },
            ["'--vars' goes with '--graph'"] = { "--list", "--vars" },
            ["'@web' needs an inventory: say which with -i"] = { "--fold", "@web" },
        } do
            local code, stdout, stderr = orrery("inventory", unpack(words))
            assert.are.same({ 64, "" }, { code, stdout }, message)
            assert.matches("^orrery[ %w]*: " .. message:gsub("%p", "%%%0"), stderr)
        end
    end)

    it("is ended by Ctrl-C with the program that it waits for", function()
        local code, stdout = lab.run { "timeout", "60", "bash", "-c", ([[
            set -m; mkfifo %s/up; %s inventory -i %s/prog --list >%s/out 2>&1 & read word <%s/up
            kill -INT -- -$!; wait $!; code=$?; cat %s/out; exit $code]])
            :format(root, program, root, root, root, root) }
        assert.are.same({ 130, "orrery: interrupted\n" }, { code, stdout })
    end)
end)

describe("orrery exec with an inventory", function()
    it("reaches hosts as it says", function()
        local code, stdout, stderr = orrery("exec", "-i", root .. "/local.lua", "-H", "@web!web2,db*", "echo here")
        assert.are.equal("", stderr)
        table.sort { stdout }
        assert.are.equal(0, code)
        assert.matches("web1: +here\n", stdout)
        assert.matches("db1: +here\n", stdout)
        assert.is_nil(stdout:find "web2")
    end)

    it("says what is wrong", function()
        for message, words in pairs {
            ["orrery exec: there is no group '@wbe' (did you mean '@web'?); see 'orrery exec --help'"] =
                { "-i", root .. "/local.lua", "-H", "@wbe" },
            ["orrery exec: '@web' needs an inventory: say which with -i; see 'orrery exec --help'"] = { "-H", "@web" },
            ["orrery exec: these are no hosts at all; see 'orrery exec --help'"] = { "-H", "a!a" },
            ["orrery exec: 'ROOT/key' is a private key; say '--identity ROOT/key'; see 'orrery exec --help'"] =
                { "-i", root .. "/key", "-H", "a" },
            ["orrery exec: ROOT/bad.lua: hosts.web1: a table was expected, not a number"] =
                { "-i", root .. "/bad.lua", "-H", "a" },
        } do
            words[#words + 1] = "true"
            assert.are.same({ 64, "", message:gsub("ROOT", root) .. "\n" }, { orrery("exec", unpack(words)) })
        end
    end)
end)

describe("hosts of an inventory", function()
    if not lab.need(3) then return end

    it("are reached at their addresses, as their users, by their own names", function()
        local file = assert(io.open(root .. "/lab.ini", "wb"))
        file:write(("[web]\nalpha ansible_host=h1 ansible_user=deploy\nbeta ansible_host=h2\n[web:vars]\n"
            .. "ansible_user=root\n[jumped]\ngamma ansible_host=h3 ansible_ssh_common_args='-J root@h1'\n"))
        file:close()
        local code, stdout, stderr = orrery("exec", "-i", root .. "/lab.ini", "-F", lab.ssh_config(), "-H",
            "@web,gamma", "echo $(id -un) $(uname -n)")
        assert.are.same({ 0, "" }, { code, stderr })
        local lines = {}
        for line in stdout:gmatch "[^\n]+" do lines[#lines + 1] = line end
        table.sort(lines)
        assert.are.same({ "alpha: deploy h1", "beta:  root h2" }, { lines[1], lines[2] })
        assert.matches("^gamma: %S+ h3$", lines[3])
    end)
end)
