-- uri and get_url: against a server at this machine, by each of the programs that a target may have.

local lab = require "spec.support.lab"
local orrery = require "orrery"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local http_server = require "spec.support.http"
local sys = require "orrery.sys"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local TEXT = "line 1\nline 2\n"
local SUM = "sha256:" .. sys.digest(TEXT, "sha256")

-- A PATH with everything of the target but one program; on a host with curl, wget is what is left without it.
local HIDE = [[mkdir -p "$1"; for d in /usr/local/bin /usr/bin /bin; do for f in $d/*; do
case $f in */curl) ;; *) ln -sf "$f" "$1/";; esac; done; done]]

describe("a server", function()
    local why = http_server.missing()
    if why then
        pending("is asked: " .. why)
        return
    end
    lab.need(2, { foreign = true, isolated = true }) -- or there would be no bridge to listen on
    local server, tls, certificates
    setup(function()
        certificates = remote.directory()
        server, tls = http_server.start(), http_server.start(certificates .. "/server")
    end)
    teardown(function()
        server:stop()
        tls:stop()
        remote.remove(certificates)
    end)

    -- What holds whichever program asks.
    local function plain_requests(target, env)
        it("is asked, also in check mode", function()
            local r = target.h:uri { url = server.url .. "/text", env = env }
            assert.are.equal(TEXT, r.content)
            assert.are.equal(200, r.status)
            assert.are.equal("plain", r.headers["x-kind"])
            assert.is_false(r.changed)
            local foreseen = support.unchanged_in_check_mode(target, function(h)
                return h:uri { url = server.url .. "/json", env = env }
            end)
            assert.are.same({ ready = true, list = { 1, 2 } }, foreseen.json)
            assert.is_nil(target.h:uri({ url = server.url .. "/text", return_content = false, env = env }).content)
        end)

        it("is followed elsewhere", function()
            assert.are.equal(TEXT, target.h:uri({ url = server.url .. "/redirect", env = env }).content)
        end)

        it("says no", function()
            local err = support.fails(target, function(h)
                return h:uri { url = server.url .. "/status/503", env = env }
            end)
            assert.matches("GET http://[^ ]+/status/503: status 503, and not 200", err.message)
            assert.are.equal(503, target.h:uri({ url = server.url .. "/status/503", status = 503, env = env }).status)
        end)

        it("is not there", function()
            local err = support.fails(target, function(h)
                return h:uri { url = ("http://%s:1/x"):format(server.address), timeout = 5, env = env }
            end)
            assert.matches("GET http://[%d.]+:1/x: .*[Cc]onnect", err.message)
            local foreseen = support.unchanged_in_check_mode(target, function(h)
                return h:uri { url = ("http://%s:1/x"):format(server.address), timeout = 5, env = env }
            end)
            assert.is_true(foreseen.unknown)
        end)

        it("is too slow", function()
            local err = support.fails(target, function(h)
                return h:uri { url = server.url .. "/slow", timeout = 0.5, env = env }
            end)
            assert.truthy(err.message:find "time" or err.message:find "no answer", err.message)
        end)

        it("has a file", function()
            local dest = target.dir .. "/file"
            local function get(h)
                return h:get_url { url = server.url .. "/text", dest = dest, mode = "640", env = env }
            end
            local r = support.converges(target, get)
            assert.are.equal(TEXT, remote.slurp(target.seen .. "/file"))
            assert.are.equal(0x1a0, sys.stat(target.seen .. "/file").mode)
            assert.are.equal(#TEXT, r.size)
            remote.write(target.seen .. "/file", "other")
            support.stays(target, get)
            support.converges(target, function(h)
                return h:get_url { url = server.url .. "/text", dest = target.dir, checksum = SUM, env = env }
            end)
            assert.are.equal(TEXT, remote.slurp(target.seen .. "/text"))
            target.ctx:run { "rm", dest, target.dir .. "/text" }
        end)

        it("has a file that differs from what is there", function()
            local dest = target.dir .. "/file"
            remote.write(target.seen .. "/file", "other")
            support.converges(target, function(h)
                return h:get_url { url = server.url .. "/text", dest = dest, checksum = SUM, env = env, mode = "600" }
            end)
            assert.are.equal(TEXT, remote.slurp(target.seen .. "/file"))
            remote.write(target.seen .. "/file", "other")
            local function forced(h)
                return h:get_url { url = server.url .. "/text", dest = dest, force = true, env = env }
            end
            assert.is_true(support.unchanged_in_check_mode(target, forced).unknown)
            assert.is_true(forced(target.h).changed)
            assert.is_false(forced(target.h).changed)
            assert.are.equal("file", table.concat(remote.names(target.seen), " "))
            target.ctx:run { "rm", dest }
        end)

        it("has a file that is not taken", function()
            local dest = target.dir .. "/file"
            remote.write(target.seen .. "/file", "old")
            local wrong = "sha256:" .. ("0"):rep(64)
            local function clean(options)
                options.dest, options.env = dest, env
                local err = remote.failure(function() target.h:get_url(options) end)
                assert.are.equal("old", remote.slurp(target.seen .. "/file"))
                assert.are.equal("file", table.concat(remote.names(target.seen), " "))
                return err.message
            end
            assert.matches("the sha256 is %x+, and not 0+$", clean { url = server.url .. "/text", checksum = wrong })
            assert.matches("status 404", clean { url = server.url .. "/none", checksum = wrong })
            assert.matches("not valid: false", clean { url = server.url .. "/text", checksum = SUM,
                validate = { "false", "%s" } })
            target.ctx:run { "rm", dest }
        end)

        it("has binary content, and a list of hashes", function()
            local r = target.h:uri { url = server.url .. "/binary", env = env }
            assert.are.equal(256 * 300, #r.content)
            assert.are.equal("\0\1\2", r.content:sub(1, 3))
            support.converges(target, function(h)
                return h:get_url { url = server.url .. "/text", dest = target.dir .. "/file", env = env,
                    checksum = "sha256:" .. server.url .. "/SHA256SUMS" }
            end)
            target.ctx:run { "rm", target.dir .. "/file" }
        end)
    end

    -- What busybox's wget is not used for.
    local function all_requests(target, env)
        it("is sent things", function()
            local r = target.h:uri { url = server.url .. "/echo", method = "PUT", json = { a = 1 }, env = env,
                headers = { ["X-Token"] = [[a "b" \c]] } }
            assert.is_true(r.changed)
            assert.are.equal("PUT", r.json.method)
            assert.are.equal('{"a":1}', (r.json.body:gsub("%s", "")))
            assert.are.equal("application/json", r.json.headers["content-type"])
            assert.are.equal([[a "b" \c]], r.json.headers["x-token"])
            r = target.h:uri { url = server.url .. "/echo", method = "POST", form = { a = "1 2", b = "&" }, env = env }
            assert.are.equal("a=1%202&b=%26", r.json.body)
            assert.are.equal("application/x-www-form-urlencoded", r.json.headers["content-type"])
            local large = ("0123456789"):rep(3000)
            r = target.h:uri { url = server.url .. "/echo", method = "POST", body = large, env = env }
            assert.are.equal(large, r.json.body)
            local foreseen = support.unchanged_in_check_mode(target, function(h)
                return h:uri { url = server.url .. "/count", method = "POST", env = env }
            end)
            assert.is_true(foreseen.unknown)
            local once = tonumber(target.h:uri({ url = server.url .. "/count", env = env }).content)
            assert.are.equal(once + 1, tonumber(target.h:uri({ url = server.url .. "/count", env = env }).content))
        end)

        it("asks for a password, which nobody else sees", function()
            local options = { url = server.url .. "/private", user = "app", password = "s3cret", env = env }
            assert.are.equal("for you\n", target.h:uri(options).content)
            options.password = "wrong"
            assert.matches("status 401", support.fails(target, function(h) return h:uri(options) end).message)
        end)

        it("shows a certificate, which is looked at", function()
            local url = tls.url .. "/text"
            local err = support.fails(target, function(h) return h:uri { url = url, env = env } end)
            assert.matches("certificate", err.message)
            assert.are.equal(TEXT, target.h:uri({ url = url, verify = false, env = env }).content)
            target.ctx:put(certificates .. "/server.crt", target.dir .. "/ca")
            assert.are.equal(TEXT, target.h:uri({ url = url, ca = target.dir .. "/ca", env = env }).content)
            support.converges(target, function(h)
                return h:get_url { url = url, ca = target.dir .. "/ca", env = env, dest = target.dir .. "/file" }
            end)
            target.ctx:run { "rm", target.dir .. "/file", target.dir .. "/ca" }
        end)

        it("is told secrets, which no process table shows", function()
            local asking = orrery.spawn(function()
                return target.h:uri { url = server.url .. "/slow?key=s3cret1", user = "app", password = "s3cret2",
                    headers = { ["X-Token"] = "s3cret3" }, body = "s3cret4", method = "POST", env = env }
            end)
            local program = env and "wget" or "curl"
            remote.eventually(program, function() return #remote.processes(target.name, program) > 0 end)
            assert.are.same({}, remote.processes(target.name, "s3cret"))
            asking:cancel()
            pcall(asking.get, asking)
            remote.eventually("its end", function() return #remote.processes(target.name, program) == 0 end)
            assert.are.equal("", target.ctx:shell("ls -A /dev/shm | grep '^[.]orrery-'; true").stdout)
        end)

        it("is asked with HEAD, or not followed", function()
            local r = target.h:uri { url = server.url .. "/text", method = "HEAD", env = env }
            assert.are.equal("", r.content)
            assert.are.equal("14", r.headers["content-length"])
            r = target.h:uri { url = server.url .. "/redirect", follow = false, status = { 302 }, env = env }
            assert.are.equal("/text", r.headers.location)
            local err = support.fails(target, function(h) return h:uri { url = server.url .. "/loop", env = env } end)
            assert.matches("redirect", err.message)
        end)
    end

    support.each(function(target)
        plain_requests(target)
        if target.name ~= "foreign" then
            all_requests(target)
        else
            it("is not asked for more than busybox can do well", function()
                for why_not, options in pairs {
                    ["https://"] = { url = "https://127.0.0.1/" },
                    headers = { url = server.url, headers = { A = "b" } },
                    ["a password"] = { url = server.url, user = "a", password = "b" },
                    ["another method"] = { url = server.url, method = "HEAD" },
                } do
                    local err = support.fails(target, function(h) return h:uri(options) end)
                    assert.truthy(err.message:find("not used for " .. why_not, 1, true), err.message)
                end
            end)
        end

        it("has a file that the controller fetches", function()
            local dest, path = target.dir .. "/file", target.seen .. "/file"
            local function get(more)
                return function(h)
                    local options = { url = server.url .. "/text", dest = dest, from = "controller", mode = "640" }
                    for key, value in pairs(more or {}) do options[key] = value end
                    return h:get_url(options)
                end
            end
            local r = support.converges(target, get())
            assert.are.equal(TEXT, remote.slurp(path))
            assert.are.equal(0x1a0, sys.stat(path).mode)
            assert.are.equal(#TEXT, r.size)
            remote.write(path, "other")
            support.stays(target, get())
            support.converges(target, get { checksum = "sha256:" .. server.url .. "/SHA256SUMS", mode = "600" })
            assert.are.equal(TEXT, remote.slurp(path))
            support.converges(target, get { checksum = SUM })
            remote.write(path, "other")
            assert.is_true(support.unchanged_in_check_mode(target, get { force = true }).unknown)
            assert.is_true(get({ force = true })(target.h).changed)
            assert.is_false(get({ force = true })(target.h).changed)
            local err = support.fails(target, get { checksum = "sha256:" .. ("0"):rep(64) })
            assert.matches("the sha256 is %x+, and not 0+$", err.message)
            err = support.fails(target, get { url = server.url .. "/none", force = true })
            assert.matches("status 404", err.message)
            assert.are.equal(TEXT, remote.slurp(path))
            assert.are.equal("file", table.concat(remote.names(target.seen), " "))
            local h, events = support.host(target.ctx)
            get({ force = true, name = "one step" })(h)
            local names = {}
            for _, event in ipairs(events) do names[#names + 1] = event.event end
            assert.are.equal("step_start step_end", table.concat(names, " "))
            target.ctx:run { "rm", dest }
        end)

        it("needs options that make sense", function()
            for _, case in ipairs {
                { "uri", { url = "ftp://x/" }, "http:// or https://" }, { "uri", { url = "http://a b/" }, "address" },
                { "uri", { url = "http://x/", json = 1, body = "x" }, "only one of body" },
                { "uri", { url = "http://x/", password = "x" }, "needs a user" },
                { "uri", { url = "http://x/", headers = { ["a b"] = "x" } }, "no name of a header" },
                { "uri", { url = "http://x/", headers = { a = "x\ny" } }, "single line" },
                { "get_url", { url = "http://x/" }, "'dest' is missing" },
                { "get_url", { url = "http://x/", dest = "/x", checksum = "sha256:12" }, "hash in hex" },
            } do
                local name, options, problem = unpack(case)
                local err = support.fails(target, function(h) return h[name](h, options) end)
                assert.are.equal("option", err.code)
                assert.matches(problem, err.message)
            end
            local err = support.fails(target, function(h)
                return h:get_url { url = server.url .. "/", dest = target.dir }
            end)
            assert.matches("names no file", err.message)
        end)
    end)

    describe("[h1, with wget alone]", function()
        if not lab.need(2, { foreign = true, isolated = true }) then return end
        local target = { name = "h1" }
        setup(function()
            target.ctx = remote.open "h1"
            target.dir = target.ctx:shell("mktemp -d /tmp/spec.XXXXXX").stdout:match "%S+"
            target.bin = target.dir .. ".bin"
            target.seen = remote.seen("h1", target.dir)
            target.ctx:shell(HIDE, target.bin)
            target.h = support.host(target.ctx)
            target.env.PATH = target.bin
        end)
        teardown(function()
            target.ctx:run { "rm", "-rf", target.dir, target.bin }
            target.ctx:close()
        end)
        target.env = {}
        plain_requests(target, target.env)
        all_requests(target, target.env)
    end)
end)
