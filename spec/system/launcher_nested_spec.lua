--- Launchers in other contexts: sudo on a host, a user behind that.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local terminal = require "spec.support.terminal"
local orrery = require "orrery"

leak.guard()

describe("a launcher in another context", function()
    if not lab.need(2, { isolated = true }) then return end

    local function on(host, user, body)
        local ctx = remote.open(host, { user = user, password = user == "pwuser" and "orrery-lab" or nil })
        local ok, err = pcall(body, ctx)
        ctx:close()
        if not ok then error(err, 0) end
    end

    it("is sudo, and what comes behind it", function()
        on("h1", "deploy", function(h1)
            local root = h1:sudo()
            assert.are.equal("ssh:h1/sudo:root", root.route)
            assert.are.same({ "root\n", "h1" }, { root:shell("id -un").stdout, root:info().hostname })
            local app = root:su "pwuser"
            assert.are.equal("ssh:h1/sudo:root/su:pwuser", app.route)
            assert.are.equal("pwuser\n", app:shell("id -un").stdout)
            local back = app:sudo { user = "deploy", password = "orrery-lab", ask = false }
            assert.are.equal("deploy\n", back:shell("id -un").stdout)
            local text = ("x"):rep(1e6)
            assert.are.equal(text, back:call(function(s) return s end, text))
            for _, ctx in ipairs { back, app, root } do ctx:close() end
        end)
    end)

    it("asks where the script is, once for a user on many hosts", function()
        local questions = {}
        local users = orrery.map({ "h1", "h2" }, function(host)
            local user
            on(host, "pwuser", function(h)
                local root = h:sudo { ask = function(question)
                    questions[#questions + 1] = question
                    return #questions == 1 and "sesame-1" or "orrery-lab"
                end }
                user = root:shell("id -un").stdout
                root:close()
            end)
            return user
        end)
        assert.are.same({ "root\n", "root\n" }, { users[1], users[2] })
        assert.are.equal(2, #questions)
        assert.matches("^pwuser@h[12]$", questions[1].subject)
    end)

    it("asks at the terminal of the script", function()
        if lab.run { "sh", "-c", "command -v tmux" } ~= 0 then return pending "tmux is not installed" end
        local term = terminal.start([[
            local users = orrery.map({ "h1", "h2" }, function(host)
                local h = orrery.ssh(host, { config = arg[1], user = "pwuser", password = "orrery-lab" })
                return h:sudo():shell("id -un").stdout
            end)
            say("users", users[1]:gsub("\n", ""), (users[2]:gsub("\n", "")))
        ]], lab.ssh_config())
        finally(function() term:finish() end)
        term:await "[sudo] password for pwuser@h"
        term:type "sesame-1\n"
        term:await "That was not right, please try again."
        term:type "orrery-lab\n"
        term:await "ended 0"
        assert.matches("users root root", term:screen())
        assert.not_matches("sesame", term:screen())
    end)

    it("says that there is nobody to ask", function()
        local program = remote.program([[
            local h = orrery.ssh("h1", { config = arg[1], user = "pwuser", password = "orrery-lab" })
            local ok, err = pcall(h.sudo, h)
            say(err.code, err.message)
        ]], { "setsid", "-w" }, lab.ssh_config())
        local text = program:rest()
        program:finish()
        assert.matches("^credentials sudo: it asks .*there is no terminal, askpass program or `ask` function", text)
    end)

    it("says what went wrong, and where", function()
        on("h1", "pwuser", function(h1)
            local err = remote.failure(h1.sudo, h1, { password = "sesame-1", ask = false })
            assert.are.equal("auth", err.code, err:format())
            assert.are.equal("sudo: the password for pwuser@h1 is wrong", err.message)
            assert.are.equal("ssh:h1/sudo:root", err.route)
            err = remote.failure(h1.sudo, h1, { ask = false })
            assert.are.equal("credentials", err.code, err:format())
            err = remote.failure(h1.docker, h1, "pg", { program = "no-such-docker" })
            assert.are.equal("connect", err.code, err:format())
            assert.matches("docker is not installed here, or not in the PATH", err.message, 1, true)
            err = remote.failure(h1.su, h1, "no-such-user")
            assert.are.equal("connect", err.code, err:format())
            assert.matches("su: there is no such user: ", err.message, 1, true)
            assert.are.equal("option", remote.failure(h1.sudo, h1, { usr = "x" }).code)
        end)
    end)
end)
