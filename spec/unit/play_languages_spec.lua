local gem = require "orrery.play.system.gem"
local npm = require "orrery.play.system.npm"
local pip = require "orrery.play.system.pip"
local requirement = require "orrery.play.system.requirement"

describe("requirements of Python", function()
    local function satisfies(version, spec) return requirement.satisfies(version, requirement.parse(spec)) end

    it("are read", function()
        assert.are.same({ spec = "Flask_Login[x]>=1.2, <2", key = "flask-login",
            wants = { { op = ">=", version = "1.2" }, { op = "<", version = "2" } } },
            requirement.parse "Flask_Login[x]>=1.2, <2")
        assert.are.equal("app", requirement.parse("app ; python_version < '3'").key)
        assert.are.equal("my-app", requirement.parse("/srv/my_app-1.0-py3-none-any.whl").key)
        for _, spec in ipairs { "git+https://a/b.git", "./src", "app @ https://a/b.whl", "https://a/b.tar.gz" } do
            assert.is_nil(requirement.parse(spec).key)
        end
    end)

    it("hold for versions", function()
        for spec, versions in pairs {
            ["a"] = { ["1"] = true }, ["a==1.0"] = { ["1.0"] = true, ["1.0.0"] = true, ["1.1"] = false },
            ["a==1.*"] = { ["1.5"] = true, ["1"] = true, ["11"] = false }, ["a!=1.*"] = { ["2"] = true },
            ["a>=1.10"] = { ["1.9"] = false, ["1.10"] = true, ["2"] = true },
                ["a<2,>1"] = { ["1"] = false, ["1.5"] = true },
            ["a~=1.4.2"] = { ["1.4.5"] = true, ["1.5"] = false, ["1.4.1"] = false },
        } do
            for version, yes in pairs(versions) do assert.are.equal(yes, satisfies(version, spec), spec .. " "
                .. version) end
        end
        assert.is_nil(satisfies("2.0rc1", "a>=1"), "who can tell")
        assert.is_true(satisfies("2.0rc1", "a==2.0rc1"))
    end)

    it("may be a file", function()
        local list = requirement.file("# ours\nflask==2.0  # web\n--index-url https://x\n\n-r other.txt\n"
            .. "a>=1 \\\n  --hash=sha256:1\n")
        local specs = {}
        for i, each in ipairs(list) do specs[i] = each.spec end
        assert.are.same({ "flask==2.0", "-r other.txt", "a>=1" }, specs)
        assert.is_nil(list[2].key)
    end)

    it("are compared with what pip lists", function()
        assert.are.same({ flask = "2.0", ["ruamel-yaml"] = "0.17" },
            pip.parse "Flask==2.0\nruamel.yaml==0.17\n-e git+x\n")
    end)
end)

describe("packages of npm", function()
    it("are read", function()
        assert.are.same({ spec = "pm2", name = "pm2" }, npm.parse "pm2")
        assert.are.same({ spec = "pm2@5.3.0", name = "pm2", version = "5.3.0" }, npm.parse "pm2@5.3.0")
        assert.are.same({ spec = "@a/b@^1", name = "@a/b", range = "^1" }, npm.parse "@a/b@^1")
        assert.are.same({ spec = "@a/b", name = "@a/b" }, npm.parse "@a/b")
        assert.are.same({ spec = "/srv/x-1.2.3.tgz", name = "x", version = "1.2.3" }, npm.parse "/srv/x-1.2.3.tgz")
        assert.is_nil(npm.parse("user/repository").name)
        assert.is_nil(npm.parse("git+ssh://a/b").name)
        assert.are.equal("1.2.3", npm.version '{ "name": "x",\n  "version" : "1.2.3" }')
    end)

    it("are refused where they are none", function()
        for _, o in ipairs {
            {}, { names = "--x" }, { names = "a b" }, { path = "/x", state = "absent" }, { names = "a", ci = true },
        } do
            assert.is_string(npm.wrong(o))
        end
    end)
end)

describe("gems", function()
    it("are what gem lists", function()
        assert.are.same({ rake = { "13.0.6", "12.3" }, bundler = { "2.4.1" } },
            gem.parse "rake (13.0.6, 12.3)\nbundler (default: 2.4.1)\n\n*** LOCAL GEMS ***\n")
        assert.is_string(gem.wrong { names = { "a", "b" }, version = "1" })
        assert.is_string(gem.wrong { names = "-a" })
        assert.is_nil(gem.wrong { name = "a", version = "1.2" })
    end)
end)
