--- Secrets in a playbook that `orrery play` runs: none of its views, its report and its record have them. What a script
--- can do with secrets besides is in secret_values_spec.lua.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

leak.guard { timeout = 15 }

local program = (os.getenv "ORRERY_BUILD" or "build/release") .. "/orrery"

-- Long, so that they are cut where texts are cut, and none is a part of another.
local SECRETS = {
    vault = "ps-3f1b-vault-" .. ("v"):rep(40), file = "ps-77ac-file-" .. ("f"):rep(40),
    there = "ps-90de-made-on-the-target-" .. ("t"):rep(40), passphrase = "ps-c2a8-passphrase",
}

local PLAYBOOK = [=[
local orrery = require "orrery"
local play = require "orrery.play"
local secret = orrery.secret
local dir = arg[1]
local file = secret.file(dir .. "/secret file")
local vault = secret.vault(dir .. "/vault")

play.play {
    name = "with secrets", hosts = "h[1-2]",
    vars = { password = vault.password, url = "postgres://app:" .. file .. "@db" },
    handlers = { told = function(h) h:say("handler " .. file:reveal()) end },
    run = function(h)
        h:directory { path = "/srv/s", mode = "700" }
        h:template { src = dir .. "/conf.tmpl", dest = "/srv/s/conf", notify = "told" }
        h:copy { dest = "/srv/s/copy", content = "token=" .. file .. "\n", validate = "grep -q token %s" }
        h:line { path = "/srv/s/lines", line = vault.password, create = true }
        h:command { "sh", "-c", "echo out $PW; echo err $PW >&2; base64 -w0; echo", env = { PW = vault.password },
            stdin = "user:" .. file, name = "run it " .. file:reveal() }
        h:file { path = "/srv/s/" .. file:reveal(), state = "directory", ignore_errors = true }
        h:command { "sh", "-c", "cat >&2; exit 5", stdin = vault.password, ignore_errors = true }
        h:say("it is " .. vault.password:reveal())
        h:warn("it is " .. file:reveal())
        h:batch(function(h)
            local there = require("orrery").secret("ps-90de-made-on-the-target-" .. ("t"):rep(40))
            h:say("batch " .. file:reveal() .. there:reveal())
            print(there:reveal())
            h:file { path = "/srv/s/" .. there:reveal(), state = "directory" }
            return there
        end)
        h:task("task " .. file:reveal(), {}, function() h:say "x" end)
        if h.name == "h2" then error("failed with " .. file:reveal() .. vault.password:reveal()) end
        h:template { src = dir .. "/bad.tmpl", dest = "/srv/s/bad" }
    end,
}
]=]

describe("a playbook with secrets", function()
    if not lab.need(2, { isolated = true }) then return end

    local dir

    setup(function()
        dir = remote.directory()
        remote.write(dir .. "/site.lua", PLAYBOOK)
        remote.write(dir .. "/conf.tmpl", "url=<%= url %>\npassword=<%= password %>\n")
        remote.write(dir .. "/bad.tmpl", "\n<% error('no ' .. require('orrery.secret').reveal(password)) %>\n")
        remote.write(dir .. "/secret file", SECRETS.file .. "\n")
        remote.write(dir .. "/pass", SECRETS.passphrase .. "\n")
        lab.run { "chmod", "600", dir .. "/pass" }
        local code, _, stderr = lab.run({ program, "vault", "create", "--stdin", "--passphrase-file", dir .. "/pass",
            dir .. "/vault" }, ("return { password = %q }\n"):format(SECRETS.vault))
        assert(code == 0, stderr)
    end)

    teardown(function() remote.remove(dir) end)

    before_each(function()
        for i = 1, 2 do lab.exec("h" .. i, "rm -rf /srv/s") end
    end)

    after_each(function()
        for i = 1, 2 do lab.exec("h" .. i, "rm -rf /srv/s") end
    end)

    local function assert_clean(where, text)
        assert.is_truthy(text, where)
        for name, value in pairs(SECRETS) do
            -- A part of one, too: where a text was cut.
            local at = text:find(value:sub(1, 20), 1, true)
            assert.is_nil(at, ("the secret '%s' is in %s: %s"):format(name, where,
                at and text:sub(math.max(1, at - 300), at + 300)))
        end
    end

    local function play(...)
        return lab.run { "timeout", "60", "env", "XDG_STATE_HOME=" .. dir .. "/state", program, "play", "-F",
            lab.ssh_config(), "--vault-passphrase-file", dir .. "/pass", "-vvv", "--log", dir .. "/log", ... }
    end

    local function run(...)
        local words = { ... }
        words[#words + 1], words[#words + 2], words[#words + 3] = dir .. "/site.lua", "--", dir
        local code, out, err = play(unpack(words))
        assert.are_not.equal(64, code, err)
        return code, out, err
    end

    for _, output in ipairs { "plain", "json", "junit" } do
        for _, mode in ipairs { "", "--check" } do
            it(("shows none of them: %s %s"):format(output, mode), function()
                local report = dir .. "/report.html"
                local _, out, err = run("--output", output, "--diff", "--report", report,
                    mode ~= "" and mode or "--diff")
                assert_clean("stdout", out)
                assert_clean("stderr", err)
                assert_clean("the report", remote.slurp(report))
                assert_clean("the log", remote.slurp(dir .. "/log"))
                if mode == "" then
                    local conf = select(2, lab.exec("h1", "cat /srv/s/conf /srv/s/copy /srv/s/lines"))
                    assert.are.equal(("url=postgres://app:%s@db\npassword=%s\ntoken=%s\n%s\n"):format(SECRETS.file,
                        SECRETS.vault, SECRETS.file, SECRETS.vault), conf)
                    assert.is_truthy((out .. err):find("********", 1, true), out .. err)
                end
                os.remove(report)
                os.remove(dir .. "/log")
            end)
        end
    end

    it("records none of them", function()
        local _, found = lab.run { "grep", "-rlaF", "ps-", dir .. "/state" }
        assert.are.equal("", found)
        _, found = lab.run { "find", dir .. "/state", "-name", "*.jsonl" }
        assert.is_truthy(found:find "jsonl")
    end)
end)
