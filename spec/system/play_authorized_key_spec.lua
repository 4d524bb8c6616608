--- The resource authorized_key, also in the home of a user who means harm.

local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "spec.support.play_system"

leak.guard()

local ADA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" .. ("A"):rep(43) .. " ada@example"
local BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" .. ("B"):rep(43) .. " bob@example"

system.each({ "h1", "foreign" }, function(target)
    local FILE = "/home/ada/.ssh/authorized_keys"

    local function sh(line) return system.sh(target, line) end
    local function modes(...) return sh("stat -c '%U %a' " .. table.concat({ ... }, " ")) end
    local function as_ada(line)
        return sh("chown -R ada /home/ada; " .. line .. "; chown -h ada /home/ada/.ssh || true")
    end

    before_each(function()
        sh "rm -rf /home/ada"
        target.h:user { name = "ada" }
    end)
    after_each(function() target.h:user { name = "ada", state = "absent", remove = true } end)

    describe("authorized_key", function()
        it("makes the directory and the file, the user's own and nobody else's to read", function()
            local result = system.converges(target, function(h)
                return h:authorized_key { user = "ada", keys = { ADA } }
            end)
            assert.are.equal(ADA .. "\n", system.read(target, FILE))
            assert.are.equal("ada 700\nada 600\n", modes("/home/ada/.ssh", FILE))
            assert.are.equal(1, result.keys)
        end)

        it("adds, changes and removes a key, and leaves others", function()
            target.h:authorized_key { user = "ada", keys = BOB }
            system.converges(target, function(h) return h:authorized_key { user = "ada", keys = { ADA } } end)
            assert.are.equal(BOB .. "\n" .. ADA .. "\n", system.read(target, FILE))
            local _, foreseen = system.converges(target, function(h)
                return h:authorized_key { user = "ada", keys = { BOB }, options = [[restrict,command="echo a b"]] }
            end)
            assert.are.equal(FILE, foreseen.diff[1].path)
            assert.are.equal([[restrict,command="echo a b" ]] .. BOB .. "\n" .. ADA .. "\n", system.read(target, FILE))
            system.converges(target, function(h)
                return h:authorized_key { user = "ada", keys = { BOB }, state = "absent" }
            end)
            assert.are.equal(ADA .. "\n", system.read(target, FILE))
        end)

        it("exclusively has these keys and nothing else", function()
            target.h:authorized_key { user = "ada", keys = BOB }
            system.converges(target, function(h)
                return h:authorized_key { user = "ada", keys = { ADA }, exclusive = true }
            end)
            assert.are.equal(ADA .. "\n", system.read(target, FILE))
        end)

        it("mends modes and owner", function()
            target.h:authorized_key { user = "ada", keys = ADA }
            sh("chmod 777 /home/ada/.ssh; chmod 666 " .. FILE .. "; chown root " .. FILE)
            system.converges(target, function(h) return h:authorized_key { user = "ada", keys = { ADA } } end)
            assert.are.equal("ada 700\nada 600\n", modes("/home/ada/.ssh", FILE))
        end)

        it("wants a user, but in check mode not yet", function()
            local err = system.fails(target, function(h) h:authorized_key { user = "nobodys", keys = ADA } end)
            assert.matches("there is no user 'nobodys'", err.message, 1, true)
            local result = system.unchanged_in_check_mode(target, function(h)
                return h:authorized_key { user = "nobodys", keys = ADA }
            end)
            assert.is_true(result.unknown)
            assert.are.equal("option", remote.failure(function()
                target.h:authorized_key { user = "ada", keys = "x" }
            end).code)
        end)

        it("writes a list of root's own where that is asked for", function()
            sh "mkdir -p /etc/keys.d && chmod 755 /etc/keys.d"
            target.h:authorized_key { user = "ada", keys = ADA, path = "/etc/keys.d/ada" }
            assert.are.equal("root 644\n", modes "/etc/keys.d/ada")
            sh "chmod 777 /etc/keys.d"
            local err = system.fails(target, function(h)
                h:authorized_key { user = "ada", keys = BOB, path = "/etc/keys.d/ada" }
            end)
            assert.matches("others than root can write to /etc/keys.d", err.message, 1, true)
            sh "rm -r /etc/keys.d"
        end)

        describe("with a user who means harm", function()
            local function refused(text)
                local err = remote.failure(function() target.h:authorized_key { user = "ada", keys = { ADA } } end)
                assert.matches(text, err.message, 1, true)
            end

            it("does not follow a link in the place of the directory", function()
                sh "mkdir -p /root/.other && chmod 755 /root/.other"
                as_ada "ln -s /root/.other /home/ada/.ssh"
                refused "/home/ada/.ssh is a link, and is not followed"
                assert.are.equal("", sh "ls -A /root/.other")
                assert.matches(" 755\n", modes "/root/.other")
                sh "rmdir /root/.other"
            end)

            it("does not follow a link in the place of the file", function()
                sh "echo precious >/etc/precious; chmod 600 /etc/precious"
                as_ada "mkdir /home/ada/.ssh; ln -s /etc/precious /home/ada/.ssh/authorized_keys"
                sh "chown ada /home/ada/.ssh"
                refused "is a link, and is neither followed nor replaced"
                assert.are.equal("precious\n", system.read(target, "/etc/precious"))
                assert.are.equal("root 600\n", modes "/etc/precious")
                sh "rm /etc/precious"
            end)

            it("is not held up by a pipe, nor by something endless", function()
                as_ada "mkdir /home/ada/.ssh; mkfifo /home/ada/.ssh/authorized_keys; chown -R ada /home/ada/.ssh"
                refused "is a fifo"
                as_ada "rm /home/ada/.ssh/authorized_keys; head -c 2000000 /dev/zero >/home/ada/.ssh/authorized_keys"
                refused "larger than a list of keys can be"
            end)

            it("reads nothing that the user could not", function()
                sh "echo precious >/home/precious; chmod 600 /home/precious"
                as_ada("mkdir /home/ada/.ssh; ln /home/precious /home/ada/.ssh/authorized_keys; "
                    .. "chown ada /home/ada/.ssh")
                local err = remote.failure(function() target.h:authorized_key { user = "ada", keys = { ADA } } end)
                assert.matches("Permission denied", err.message, 1, true)
                assert.not_matches("precious\n", tostring(err))
                assert.are.equal("precious\n", system.read(target, "/home/precious"))
                sh "rm /home/precious"
            end)

            it("does not write where a directory belongs to somebody else", function()
                sh "mkdir /home/ada/.ssh; chown deploy /home/ada/.ssh"
                refused "/home/ada/.ssh belongs to deploy, and not to ada"
            end)

            it("does not win, however fast links come and go", function()
                sh "mkdir -p /srv/trap; echo precious >/srv/trap/authorized_keys; chmod 700 /srv/trap"
                as_ada "mkdir /home/ada/a; ln -s /srv/trap /home/ada/b; chown ada /home/ada/a"
                -- It exchanges a directory and a link to root's for as long as we try.
                system.write(target, "/tmp/race", "cd /home/ada\nwhile [ -e /tmp/race ]; do mv a .ssh 2>/dev/null; "
                    .. "mv .ssh a; mv b .ssh; mv .ssh b; done\n")
                sh "cd /; setsid sh /tmp/race </dev/null >/dev/null 2>&1 &"
                for _ = 1, 60 do
                    pcall(function() target.h:authorized_key { user = "ada", keys = { ADA }, exclusive = true } end)
                end
                sh "rm /tmp/race"
                remote.eventually("the race ends", function()
                    return #remote.processes(target.name, "/tmp/race") == 0
                end)
                assert.are.equal("precious\n", system.read(target, "/srv/trap/authorized_keys"))
                assert.are.equal("authorized_keys\n", sh "ls -A /srv/trap")
                assert.are.equal("root 700\n", modes "/srv/trap")
                sh "rm -r /srv/trap"
            end)
        end)
    end)
end)
