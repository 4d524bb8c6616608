-- `orrery exec` on hosts: 20 that answer, one that never does, one that lets nobody in.
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"

leak.guard()

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

describe("orrery exec on hosts", function()
    if not lab.need(20, { dead = 1, refuse = 1, isolated = true }) then return end

    local function exec(...)
        return lab.run { "timeout", "60", program, "exec", "-F", lab.ssh_config(), ... }
    end

    it("runs on all, and reports at once those that it cannot reach", function()
        local code, stdout, stderr = exec("-H", "h[1-20],dead1,refuse1", "--connect-timeout", "1", "uname -n")
        assert.are.equal(2, code)
        local seen = 0
        for name, said in stdout:gmatch("(h%d+): +(h%d+)\n") do
            seen = seen + 1
            assert.are.equal(name, said)
        end
        assert.are.equal(20, seen)
        assert.matches("^refuse1: auth: [^\n]+\ndead1:   %a+: [^\n]+ within 1 s\n20 of 22 ok; failed: "
            .. "dead1: %a+: [^\n]+; refuse1: auth: [^\n]+\n$", stderr)
    end)

    it("folds what they say, and what went wrong", function()
        local code, stdout, stderr = exec("-H", "h[1-20]", "--fold",
            "uname -s; [ $(uname -n) != h7 ] || { echo odd; exit 5; }")
        assert.are.equal(1, code)
        assert.are.equal("h7 (1), exit status 5:\n  Linux\n  odd\n\nh[1-6,8-20] (19):\n  Linux\n", stdout)
        assert.are.equal("h7:  exit status 5\n19 of 20 ok; failed: h7: exit status 5\n", stderr)
    end)

    it("takes the user from the option or the host", function()
        local code, stdout, stderr = exec("-H", "h3,deploy@h1", "-l", "root", "--no-cache", "--limit", "1", "id -un")
        assert.are.same({ 0, "h3: root\nh1: deploy\n", "" }, { code, stdout, stderr })
    end)

    it("travels by jump hosts", function()
        local code, stdout, stderr = exec("-H", "h3,h4", "-J", "root@h1:22", "echo $SSH_CONNECTION")
        assert.are.same({ 0, "" }, { code, stderr })
        local _, count = stdout:gsub("h[34]: " .. lab.host("h1").address:gsub("%.", "%%.") .. " ", "")
        assert.are.equal(2, count)
    end)

    it("says when a host is lost on the way", function()
        local fifo = lab.root("h4") .. "/tmp/up"
        lab.exec("h4", "mkfifo /tmp/up")
        local code, stdout, stderr = lab.run { "bash", "-c", ([[
            timeout 60 %s exec -F %s -H h4,h5 '[ $(uname -n) = h5 ] || { echo up >/tmp/up; exec sleep 1000; }' &
            read word <%s; %s spec/lab kill h4; wait $!]]):format(program, lab.ssh_config(), fifo,
            "ORRERY_LAB_NAME=" .. lab.name) }
        lab.start("h4")
        assert.are.same({ 2, "" }, { code, stdout })
        assert.matches("\n1 of 2 ok; failed: h4: dead: ", "\n" .. stderr)
    end)

    it("takes the remote commands along on Ctrl-C", function()
        local life = lab.root("h6") .. "/tmp/life"
        lab.exec("h6", "mkfifo /tmp/life")
        local code, stdout = lab.run { "timeout", "60", "bash", "-c", ([[
            set -m
            %s exec -F %s -H h6 'exec 9>/tmp/life; echo up >&9; sleep 1000 & wait' &
            exec 3<%s; read word <&3; kill -INT -- -$!; wait $!; echo $?
            cat <&3; echo ended]]):format(program, lab.ssh_config(), life) }
        lab.exec("h6", "rm /tmp/life")
        assert.are.same({ 0, "130\nended\n" }, { code, stdout })
    end)
end)
