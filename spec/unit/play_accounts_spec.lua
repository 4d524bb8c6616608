local accounts = require "orrery.play.system.accounts"
local edit = require "orrery.play.system.accounts_edit"
local user_check = require "orrery.play.system.user_check"

describe("accounts", function()
    it("reads lines of passwd and group", function()
        assert.are.same({ name = "ada", uid = 1000, gid = 100, comment = "Ada L.,,,", home = "/home/ada", shell = "" },
            accounts.parse_user "ada:x:1000:100:Ada L.,,,:/home/ada:")
        assert.are.same({ name = "crew", gid = 7, members = { "ada", "bob" } }, accounts.parse_group "crew:x:7:ada,bob")
        assert.are.same({}, accounts.parse_group("crew:x:7:").members)
        for _, line in ipairs { "", "ada", "ada:x:y:100:::", "+::::::" } do assert.is_nil(accounts.parse_user(line)) end
    end)

    it("finds by name and by number", function()
        local text = "# ada:x:1:1::/:\nroot:x:0:0::/root:/bin/sh\nada:x:5:5::/home/ada:/bin/sh\n"
        assert.are.equal(5, accounts.search(text, accounts.parse_user, "ada", "uid").uid)
        assert.are.equal("ada", accounts.search(text, accounts.parse_user, 5, "uid").name)
        assert.is_nil(accounts.search(text, accounts.parse_user, "5", "uid"))
        assert.is_nil(accounts.search(nil, accounts.parse_user, "ada", "uid"))
    end)

    it("knows whose member somebody is", function()
        assert.are.same({ "a", "b" }, accounts.groups_of("b:x:1:ada\nc:x:2:adam\na:x:3:bob,ada\n", "ada"))
    end)

    it("refuses what would break a line", function()
        for _, name in ipairs { "", "a:b", "-a", "1a", "a b", "a\nb", ("a"):rep(33), "ä" } do
            assert.is_string(accounts.wrong_name(name))
        end
        for _, name in ipairs { "a", "_www", "www-data", "machine$",
            "A.b" } do assert.is_nil(accounts.wrong_name(name)) end
        assert.is_string(accounts.wrong_field("comment", "a\nroot::0:0:::"))
        assert.is_nil(accounts.wrong_field("comment", "Ada, Countess"))
    end)

    it("counts days as shadow does", function()
        assert.are.equal(0, user_check.days "1970-01-01")
        assert.are.equal(11016, user_check.days "2000-02-29")
        assert.are.equal(22339, user_check.days "2031-03-01")
    end)

    it("takes numbers that are free", function()
        assert.are.equal(1000, edit.free_id "root:x:0:0::/:\n")
        assert.are.equal(1002, edit.free_id "a:x:1000:\nb:x:1001:\nc:x:1003:\n")
        assert.are.equal(998, edit.free_id("a:x:999:\n", true))
    end)
end)
