-- Steps as other users, and on other hosts.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"

leak.guard()

describe("steps of a host that logs in as somebody who may not do everything", function()
    if not lab.need(2, { foreign = true, isolated = true }) then return end

    local ctx, h
    setup(function() ctx = remote.open("h1", { user = "deploy" }) end)
    teardown(function() ctx:close() end)
    before_each(function() h = support.host(ctx) end)

    it("are done as that user, or as another one", function()
        assert.are.equal("deploy\n", h:run({ "id", "-un" }).stdout)
        assert.are.equal("root\n", h:shell({ "id -un", as = "root" }).stdout)
        assert.are.equal("root\n", h:as("root"):shell("id -un").stdout)
        assert.are.equal("deploy\n", h:as("root"):as({ user = "deploy" }):shell("id -un").stdout)
        assert.are.equal("root", h:as("root"):batch(function(host)
            return host:shell("id -un").stdout:match "%S+"
        end))
        assert.are.equal(0, h:as("root"):apply({ { "stat", "/root" } })[1].uid)
    end)

    it("are numbered in order, whoever does them", function()
        local events
        h, events = support.host(ctx)
        h:stat "/"
        h:as("root"):stat "/"
        h:stat "/"
        local ids = {}
        for _, event in ipairs(events) do
            if event.event == "step_end" then ids[#ids + 1] = event.step end
        end
        assert.are.same({ "1", "2", "3" }, ids)
    end)

    it("leave what they may not change as it is", function()
        local err = remote.failure(h.copy, h, { content = "x", dest = "/etc/hostname" })
        assert.matches("cannot write /etc/hostname: Permission denied", err.message)
        err = remote.failure(h.file, h, { path = "/etc/hostname", mode = "777" })
        assert.matches("cannot change the mode of /etc/hostname: Operation not permitted", err.message)
        err = remote.failure(h.directory, h, { path = "/srv/new" })
        assert.matches("cannot create the directory /srv/new: Permission denied", err.message)
    end)

    it("are done elsewhere, where that is wanted", function()
        local other = remote.open "h2"
        local name = h:shell({ "uname -n", delegate_to = other }).stdout
        assert.are.equal(other:info().hostname .. "\n", name)
        assert.are_not.equal(name, h:shell("uname -n").stdout)
        other:close()
    end)

    it("know groups of any number of members", function()
        local names = {}
        for i = 1, 20000 do names[i] = "member" .. i end
        lab.exec("h1", "cp /etc/group /etc/group.before")
        finally(function() lab.exec("h1", "mv /etc/group.before /etc/group") end)
        local file = assert(io.open(lab.root "h1" .. "/etc/group", "a"))
        file:write("crowd:x:4000:", table.concat(names, ","), "\nbehind:x:4001:\n")
        file:close()
        assert.are.same({ 20000, 4001 }, ctx:call(function()
            local sys = require "orrery.sys"
            return { #sys.group("crowd").members, sys.group("behind").gid }
        end))
    end)

    it("have no place in lists and batches", function()
        local err = remote.failure(h.apply, h, { { "stat", "/", as = "root" } })
        assert.matches("stat: option 'as' has no place in a list: use h:as%(user%):apply", err.message)
        err = remote.failure(h.batch, h, function(host) host:stat { "/", as = "root" } end)
        assert.matches("stat: option 'as' has no place inside of a batch", err.message)
        err = remote.failure(h.batch, h, function(host) host:put("a", "/b") end)
        assert.matches("h:put: not inside of a batch; write it before the batch, or use h:copy", err.message)
    end)
end)

describe("a host that is lost in the middle", function()
    if not lab.need(2, { foreign = true, isolated = true }) then return end

    it("has told what it had begun, and the error says which step it was", function()
        local ctx = remote.open "h2"
        local h, events = support.host(ctx)
        local function on_event(event)
            events[#events + 1] = event
            if event.event == "step_line" then lab.kill "h2" end
        end
        h.sink = on_event
        local err = remote.failure(function()
            h:shell { "echo going; sleep 1000", name = "long", notify = "restart" }
        end)
        lab.start "h2"
        assert.are.same({ "dead", "1", "long" }, { err.code, err.step, err.name })
        assert.matches("play_as_spec%.lua:%d+$", err.at)
        assert.are.same({ "step_start", "step_line" }, { events[1].event, events[2].event })
        assert.are.same({ "restart" }, events[1].notify)
        assert.are.equal(2, #events)
    end)
end)
