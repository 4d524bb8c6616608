local json = require "orrery.json"
local leak = require "spec.support.leak"
require "orrery.core"
local inventory = require "orrery.play.inventory"
local show = require "orrery.play.inventory.show"
local tree = require "spec.support.directories"

leak.guard()

-- What both must read alike. What Ansible does with variables of groups in files differs, see docs/inventory.md.
local FILES = {
    ["ansible.cfg"] = "[defaults]\n",
    ["a.ini"] = [==[
lonely ansible_port=22
[web]
web[01:03].example.com:2222 x='a b' y="it's" z=[1,2] w="{'a': [True, None]}" i=010 h=0x1f s='"5"' e= n=1_000 f=-1.5
 indented a=b=c u=u'x' t=(1,2) q="\"" r=\ y k=x#y l=1
[db:children]
postgres
late   # below
[postgres]
pg-[a:c] port=1
pg[1:9:4]x port=2
[late]
lonely port=3
web01.example.com port=4
[db:vars]
owner = dba
port=5
b = "x y"
c='it' # comment
d=[1, 2
g = # x
j = 1,2
[postgres:vars]
owner=pg
[all:vars]
ntp=10.0.0.1
owner=nobody
[empty]
]==],
    ["b.json"] = [[{ "web": { "hosts": ["w2", "w1"], "vars": { "port": 80 }, "children": ["edge"] },
        "edge": ["e1", "w1"],
        "alone": { "color": "red" }, "db": { "hosts": ["w1"], "vars": { "port": 90, "name": "g\u00fcn" } },
        "_meta": { "hostvars": { "w1": { "own": [1, { "x": null }], "port": 8080 }, "ghost": { "x": 1 } } } }]],
    ["c.py"] = "#!/bin/sh\n[ \"$1\" != --list ] || echo '{\"a\": [\"x\", \"y\"], \"b\": {\"children\": [\"a\"], "
        .. "\"vars\": {\"v\": 1}}}'\n[ \"$1\" != --host ] || echo \"{\\\"me\\\": \\\"$2\\\"}\"\n",
}

local root

local function ansible(...)
    local words = {}
    for i, word in ipairs { ... } do words[i] = "'" .. word .. "'" end
    local pipe = assert(io.popen(("ANSIBLE_CONFIG=%s/ansible.cfg ANSIBLE_HOME=%s/home ansible-inventory %s 2>/dev/null")
        :format(root, root, table.concat(words, " ")), "r"))
    local text = pipe:read "*a"
    pipe:close()
    return text
end

describe("Ansible", function()
    if os.execute "command -v ansible-inventory >/dev/null 2>&1" ~= 0 then
        pending "is not installed (ansible-inventory): nothing to compare with"
        return
    end

    setup(function() root = tree.make(FILES) end)

    teardown(function() tree.remove(root) end)

    local function compare(...)
        local words, list = { "--list" }, {}
        for i, name in ipairs { ... } do
            list[i] = root .. "/" .. name
            words[#words + 1] = "-i"
            words[#words + 1] = list[i]
        end
        local theirs = json.decode(ansible(unpack(words)))
        assert.are.same(theirs, json.decode(json.encode(show.list(inventory.load(list)))))
    end

    it("lists the same of an INI file", function() compare "a.ini" end)
    it("lists the same of JSON that a program prints", function()
        os.execute(("printf '#!/bin/sh\\ncat %s/b.json\\n' > %s/b.sh && chmod +x %s/b.sh"):format(root, root, root))
        compare "b.sh"
    end)
    it("lists the same of a program that is asked for each host", function() compare "c.py" end)
    it("lists the same of several sources", function() compare("a.ini", "b.sh", "c.py") end)

    it("draws the same tree", function()
        assert.are.equal(ansible("-i", root .. "/a.ini", "--graph"),
            show.graph(inventory.load(root .. "/a.ini"), "all", false) .. "\n")
    end)
end)
