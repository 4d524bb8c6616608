local orrery = require "orrery"
local connections = require "orrery.play.connections"
local Error = require "orrery.error"
local leak = require "spec.support.leak"

leak.guard()

describe("who a step runs as", function()
    it("is said by the play, and else by the inventory", function()
        assert.is_nil(connections.become(nil))
        assert.is_nil(connections.become(false, { enabled = true }))
        assert.are.same({ user = "root", method = "sudo" }, connections.become(true))
        assert.are.same({ user = "app", method = "sudo" }, connections.become "app")
        assert.are.same({ user = "app", method = "su", password = "p" },
            connections.become({ user = "app", method = "su" }, { password = "p", user = "x" }))
        assert.are.same({ user = "x", method = "doas" }, connections.become(nil, {
            enabled = true, user = "x", method = "doas" }))
        assert.are.same({ user = "x", method = "sudo" }, connections.become(true, { user = "x" }))
        assert.has_error(function() connections.become(3) end,
            "option: play: option 'become' must be true, a user, or a table")
    end)
end)

describe("connections", function()
    local opened, closed

    local function context(name, uid)
        local ctx = { name = name }
        function ctx.info() return { uid = uid or 1000 } end
        function ctx.close() closed[#closed + 1] = name end
        function ctx.sudo(_, user, opts)
            opened[#opened + 1] = name .. " as " .. user .. (opts.password and " with " .. opts.password or "")
            return context(name .. "/" .. user, 0)
        end
        return ctx
    end

    local function new(fields)
        opened, closed = {}, {}
        local inventory = {
            become = function(_, name) return fields.become and fields.become[name] or {} end,
            open = function(_, name)
                opened[#opened + 1] = name
                orrery.sleep(0)
                if name == "bad" then Error.raise { code = "connect", message = "no route" } end
                return context(name, fields.uid), fields.borrowed
            end,
        }
        return connections.new { inventory = inventory }
    end

    it("are opened once, however many come at a time", function()
        local all = new {}
        local same = orrery.map({ 1, 2, 3 }, function() return all:get "a" end)
        assert.are.equal(same[1], same[3])
        assert.are.equal(same[1], all:get "a")
        assert.are.same({ "a" }, opened)
        all:close()
        assert.are.same({ "a" }, closed)
    end)

    it("that failed stay so, and say that the host was not reached", function()
        local all = new {}
        for _ = 1, 2 do
            local ok, err = pcall(all.get, all, "bad")
            assert.are.same({ false, true, "connect" }, { ok, err.unreachable, err.code })
        end
        assert.are.same({ "bad" }, opened)
        assert.is_false(all:alive "bad")
        assert.is_true(all:alive "never asked for")
    end)

    it("become others, once each, unless they are so already", function()
        local all = new { become = { a = { password = "p" } } }
        assert.are.equal("a/root", all:as("a", true).name)
        assert.are.equal("a/root", all:as("a", { user = "root" }).name)
        assert.are.equal("a/app", all:as("a", "app").name)
        assert.are.equal("a", all:as("a", false).name)
        assert.are.same({ "a", "a as root with p", "a as app with p" }, opened)
        all:close()
        assert.are.same({ "a" }, closed) -- those in it go with it
        all = new { uid = 0 }
        assert.are.equal("a", all:as("a", true).name)
    end)

    it("that somebody else closes are left alone, but not what was opened in them", function()
        local all = new { borrowed = true }
        all:as("a", true)
        all:close()
        assert.are.same({ "a/root" }, closed)
    end)

    it("know no launcher that there is not", function()
        local all = new {}
        assert.has_error(function() all:as("a", { method = "sodu" }) end,
            "option: become: there is no launcher 'sodu'")
    end)
end)
