-- The playbooks in examples/, as somebody would run them.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local resource = require "orrery.play.resource"

leak.guard { timeout = 15 }

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

-- With a spec of its own, which runs here, too.
setfenv(assert(loadfile "examples/resources/site_spec.lua"), getfenv(1))()

describe("the example", function()
    if not lab.need(4, { isolated = true }) then return end

    local dir
    before_each(function() dir = remote.directory() end)
    after_each(function() remote.remove(dir) end)

    local function play(path, ...)
        local code, out, err = lab.run { "env", "XDG_STATE_HOME=" .. dir .. "/state", "timeout", "120", program, "play",
            path, "-F", lab.ssh_config(), ... }
        return { code = code, out = out, err = err }
    end

    -- What the recap says of a host.
    local function recap(r, host)
        return (r.out:match("\nrecap.*\n(" .. host .. " [^\n]*)"):gsub(" +", " "))
    end

    local function needs(...)
        for _, name in ipairs { ... } do
            if not resource.find(name) then
                pending("needs the resource " .. name)
                return false
            end
        end
        return true
    end

    local function inventory()
        remote.write(dir .. "/hosts.lua", [[
            local there = dofile "examples/web/inventory.lua"
            local function host(name) return { ssh = { host = name } } end
            there.groups.web.hosts = { web1 = host "h1", web2 = host "h2", web3 = host "h3" }
            there.groups.balancer.hosts = { lb1 = host "h4" }
            there.vars.packages = { "busybox-static" }
            return there
        ]])
        return dir .. "/hosts.lua"
    end

    it("web.lua restarts where something changed, host by host, and stops at one that is not well", function()
        if not needs("package", "service", "uri", "line") then return end
        local hosts = inventory()
        finally(function()
            for i = 1, 4 do
                lab.exec("h" .. i, "/etc/init.d/hello stop; rm -rf /srv/hello /srv/balancer /etc/init.d/hello")
            end
        end)
        local first = play("examples/web.lua", "-i", hosts)
        assert.are.same({ 0, "" }, { first.code, first.err })
        local _, page = lab.exec("h2", { "curl", "-sf", "http://localhost:8080/" })
        assert.matches("This is web2, with version 1.0", page)
        local second = play("examples/web.lua", "-i", hosts)
        assert.are.equal("web1 8 - -", recap(second, "web1"))
        local moved = play("examples/web.lua", "-i", hosts, "-e", "port:=8081")
        assert.are.equal(0, moved.code)
        assert.matches("handler out of the pool +web1.-handler service hello +web1.-health +web1.-into the pool +web1.-"
            .. "handler out of the pool +web2", moved.out)
        assert.are.equal("web1:8081\nweb2:8081\nweb3:8081\n", select(2, lab.exec("h4", "cat /srv/balancer/hello.pool")))
        -- A port that somebody else has: the first host does not come up, is out of the pool, and no other is touched.
        lab.exec("h1", "start-stop-daemon --start --background --make-pidfile --pidfile /run/other.pid "
            .. "--exec /bin/busybox -- httpd -f -p 8082 -h /etc")
        local broken = play("examples/web.lua", "-i", hosts, "-e", "port:=8082")
        lab.exec("h1", "start-stop-daemon --stop --pidfile /run/other.pid")
        assert.are.equal(2, broken.code)
        assert.are.equal("web2:8081\nweb3:8081\n", select(2, lab.exec("h4", "cat /srv/balancer/hello.pool")))
        assert.matches("\nweb2 +%- +%- +%-\n", broken.out)
    end)

    it("users.lua makes and removes people", function()
        if not needs("user", "group", "authorized_key") then return end
        finally(function()
            for i = 1, 2 do
                lab.exec("h" .. i, "userdel -r ada; userdel -r bob; groupdel admins; rm -f /etc/sudoers.d/admins")
            end
        end)
        lab.exec("h1", "useradd -m mallory")
        local first = play("examples/users.lua", "-i", "h1,h2")
        assert.are.same({ 0, "" }, { first.code, first.err })
        local code = lab.exec("h1", "id mallory")
        assert.are_not.equal(0, code)
        assert.matches("ada@laptop", select(2, lab.exec("h2", "cat /home/ada/.ssh/authorized_keys")))
        assert.matches("admins", select(2, lab.exec("h2", "id -Gn ada")))
        assert.are.equal("h2 7 - -", recap(play("examples/users.lua", "-i", "h1,h2"), "h2"))
    end)

    it("logs.lua fetches the newest, counts, and leaves nothing", function()
        for i = 1, 2 do
            lab.exec("h" .. i, ("mkdir -p /srv/log; for n in 1 2 3; do echo error $n >/srv/log/$n.log; done; "
                .. "[ %d = 1 ] || echo error more >>/srv/log/3.log; touch -d yesterday /srv/log/1.log"):format(i))
        end
        local r = play("examples/logs.lua", "-i", "h1,h2,h3", "--", "--to", dir .. "/logs", "--glob", "/srv/log/*.log",
            "--newest", "2")
        for i = 1, 2 do lab.exec("h" .. i, "rm -rf /srv/log") end
        assert.are.same({ 0, "" }, { r.code, r.err })
        assert.matches("h2 +3 lines .-h1 +2 lines .-h3 +0 lines  no logs", r.out)
        local _, names = lab.run { "tar", "-tzf", dir .. "/logs/h1.tar.gz" }
        assert.is_nil(names:find "1.log")
        assert.matches("srv/log/3.log\n", names)
        local _, left = lab.exec("h1", "ls /tmp")
        assert.is_nil(left:find "logs%.")
    end)
end)
