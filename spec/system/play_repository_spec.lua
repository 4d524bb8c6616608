--- The resources repository and repository_key, with a real apt and a repository that is signed.

local debian = require "spec.support.debian"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "spec.support.play_system"

leak.guard()

local REPOSITORY = "/srv/spec-signed"
local SOURCES, LIST = "/etc/apt/sources.list.d/spec.sources", "/etc/apt/sources.list.d/spec.list"
local KEYRING = "/etc/apt/keyrings/spec.asc"

system.each({ "h1" }, function(target)
    local key
    setup(function()
        debian.isolate(target)
        debian.repository(target, REPOSITORY, { { name = "spec-signed", version = "1.0" } })
        key = debian.sign(target, REPOSITORY)
    end)
    teardown(function() system.sh(target, "rm -rf /srv/spec-signed /root/spec-gnupg") end)
    after_each(function()
        system.sh(target, "rm -rf /etc/apt/sources.list.d/* /etc/apt/keyrings/*; apt-get -qq update")
    end)

    local function want(o)
        o.name = "spec"
        if o.state ~= "absent" then o.uris = "file:" .. REPOSITORY end
        return function(h) return h:repository(o) end
    end

    describe("repository, of apt", function()
        it("brings its key, its file and its lists", function()
            local result = system.converges(target, want { key = { content = key } })
            assert.are.equal("Types: deb\nURIs: file:/srv/spec-signed\nSuites: ./\nSigned-By: " .. KEYRING .. "\n",
                system.read(target, SOURCES))
            assert.are.equal(key, system.read(target, KEYRING))
            assert.are.same({ path = SOURCES, keyring = KEYRING, provider = "apt" },
                { path = result.path, keyring = result.keyring, provider = result.provider })
            assert.matches("Candidate: 1.0", system.sh(target, "apt-cache policy spec-signed"))
            assert.are.equal("644\n644\n", system.sh(target, "stat -c %a " .. SOURCES .. " " .. KEYRING))
        end)

        it("gets its key from elsewhere, once", function()
            system.write(target, REPOSITORY .. "/key.asc", key)
            system.converges(target, want { key_url = "file://" .. REPOSITORY .. "/key.asc" })
            assert.are.equal(key, system.read(target, KEYRING))
            assert.matches("Candidate: 1.0", system.sh(target, "apt-cache policy spec-signed"))
        end)

        it("changes from one form of its file to the other", function()
            target.h:repository { name = "spec", uris = "file:" .. REPOSITORY, key = { content = key } }
            system.converges(target, want { key = { content = key }, format = "one-line" })
            assert.are.equal(("deb [signed-by=%s] file:%s ./\n"):format(KEYRING, REPOSITORY), system.read(target, LIST))
            assert.is_nil(system.read(target, SOURCES))
        end)

        it("goes, with its key", function()
            target.h:repository { name = "spec", uris = "file:" .. REPOSITORY, key = { content = key } }
            system.converges(target, want { state = "absent" })
            assert.are.equal("", system.sh(target, "ls /etc/apt/sources.list.d /etc/apt/keyrings | grep spec || true"))
        end)

        it("is as before when its lists cannot be had", function()
            local err = remote.failure(want { update_cache = true }, target.h)
            assert.matches("cannot fetch the lists of spec", err.message, 1, true)
            assert.is_nil(system.read(target, SOURCES))
            target.h:repository { name = "spec", uris = "file:" .. REPOSITORY, key = { content = key } }
            local before = system.read(target, SOURCES)
            err = remote.failure(function()
                target.h:repository { name = "spec", uris = "file:/srv/none", key = { content = key } }
            end)
            assert.matches("cannot fetch the lists of spec", err.message, 1, true)
            assert.are.equal(before, system.read(target, SOURCES))
            assert.are.equal(key, system.read(target, KEYRING))
        end)

        it("takes no key that is none", function()
            local err = system.fails(target, want { key = { content = "<html>not found</html>" } })
            assert.matches("no public key", err.message, 1, true)
            system.write(target, REPOSITORY .. "/page", "<html>not found</html>")
            err = remote.failure(function()
                target.h:repository { name = "spec", uris = "file:/srv/x", key_url = "file://" .. REPOSITORY
                    .. "/page" }
            end)
            assert.matches("it is no public key", err.message, 1, true)
            assert.is_nil(system.read(target, SOURCES))
        end)
    end)

    describe("repository_key", function()
        it("is there, as text or not, and goes", function()
            system.converges(target, function(h) return h:repository_key { name = "spec", key = { content = key } } end)
            assert.are.equal(key, system.read(target, KEYRING))
            local binary = "\152\51\4" .. ("x"):rep(50)
            local result = system.converges(target, function(h)
                return h:repository_key { name = "spec", key = { content = binary } }
            end)
            assert.are.equal("/etc/apt/keyrings/spec.gpg", result.path)
            assert.are.equal(binary, system.read(target, result.path))
            assert.is_nil(system.read(target, KEYRING))
            system.converges(target, function(h) return h:repository_key { name = "spec", state = "absent" } end)
        end)
    end)

    describe("repository, of others (their programs are stand-ins)", function()
        after_each(function()
            system.remove_stand_ins(target, "dnf", "zypper", "apk")
            system.sh(target, "rm -rf /etc/yum.repos.d /etc/zypp /etc/pki/rpm-gpg /etc/apk")
        end)

        it("is a file for dnf, whose lists are fetched", function()
            local calls = system.stand_in(target, "dnf", "")
            system.converges(target, function(h)
                return h:repository { name = "spec", provider = "dnf", uris = "https://a.example/el9",
                    key = { content = key } }
            end)
            assert.are.equal("[spec]\nname=spec\nbaseurl=https://a.example/el9\nenabled=1\ngpgcheck=1\n"
                .. "gpgkey=file:///etc/pki/rpm-gpg/spec.asc\n", system.read(target, "/etc/yum.repos.d/spec.repo"))
            assert.are.same({ "-y -q --disablerepo=* --enablerepo=spec makecache" }, calls())
        end)

        it("is a file for zypper, and goes", function()
            system.stand_in(target, "zypper", "")
            target.h:repository { name = "spec", provider = "zypper", uris = "https://a.example" }
            assert.is_string(system.read(target, "/etc/zypp/repos.d/spec.repo"))
            system.converges(target, function(h)
                return h:repository { name = "spec", provider = "zypper", state = "absent" }
            end)
        end)

        it("is a line for apk", function()
            system.stand_in(target, "apk", "")
            system.write(target, "/etc/apk/repositories", "https://main.example\n")
            system.converges(target, function(h)
                return h:repository { name = "spec", provider = "apk", uris = "https://edge.example" }
            end)
            assert.are.equal("https://main.example\nhttps://edge.example\n",
                system.read(target, "/etc/apk/repositories"))
        end)
    end)
end)
