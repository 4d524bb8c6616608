--- The resources pip and npm with the real programs, which get local packages; gem with a stand-in.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "spec.support.play_system"

leak.guard()

local WHEEL = [[
import sys, zipfile, base64, hashlib
name, version, directory = sys.argv[1:]
info = f"{name}-{version}.dist-info"
files = {f"{name}.py": f"version = '{version}'\n",
         f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
         f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: spec\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(f"{directory}/{name}-{version}-py3-none-any.whl", "w") as wheel:
    for path, text in files.items(): wheel.writestr(path, text)
]]

local function is_there(program)
    if not lab.need(2, { foreign = true, isolated = true }) then return false end
    return lab.exec("h1", program) == 0
end

describe("pip", function()
    if not is_there "/usr/bin/python3 -c 'import venv, ensurepip'" then
        pending "needs python3-venv"
        return
    end

    system.each({ "h1" }, function(target)
        local function wheel(version)
            system.write(target, "/tmp/wheel.py", WHEEL)
            system.sh(target, "mkdir -p /srv/wheels; /usr/bin/python3 /tmp/wheel.py specpkg " .. version
                .. " /srv/wheels; "
                .. "rm /tmp/wheel.py")
        end
        local function want(o)
            o.virtualenv, o.arguments = "/srv/venv", { "--no-index", "--find-links", "/srv/wheels" }
            if o.state == "absent" then o.arguments = nil end
            return function(h) return h:pip(o) end
        end
        local function version()
            local code, out = lab.exec("h1", "/srv/venv/bin/python -B -c 'import specpkg; print(specpkg.version)'")
            return code == 0 and out:gsub("\n", "") or nil
        end
        setup(function()
            wheel "1.0"
            wheel "1.1"
            wheel "2.0"
        end)
        teardown(function() system.sh(target, "rm -rf /srv/wheels /srv/venv /root/.cache/pip") end)

        it("makes an environment for a package, or leaves none", function()
            local err = remote.failure(want { names = { "specnone" } }, target.h)
            assert.matches("cannot install specnone", err.message, 1, true)
            system.sh(target, "! test -e /srv/venv")
            local result, foreseen = system.converges(target, want { names = { "specpkg<2" } })
            assert.are.equal("1.1", version())
            assert.are.same({ specpkg = "1.1" }, result.packages)
            assert.are.equal("/srv/venv", system.part(foreseen, "virtualenv").after)
        end)

        it("changes to the version that is asked for", function()
            system.stays(target, want { names = { "specpkg>=1" } })
            system.converges(target, want { names = { "specpkg==1.0" } })
            assert.are.equal("1.0", version())
        end)

        it("takes the latest", function()
            local foreseen = system.unchanged_in_check_mode(target, want { names = { "specpkg" }, state = "latest" })
            assert.is_true(foreseen.unknown)
            assert.is_true(want { names = { "specpkg" }, state = "latest" } (target.h).changed)
            assert.are.equal("2.0", version())
            assert.is_false(want { names = { "specpkg" }, state = "latest" } (target.h).changed)
        end)

        it("takes a file of requirements", function()
            system.write(target, "/srv/requirements.txt", "# ours\nspecpkg==1.1\n")
            system.converges(target, want { requirements = "/srv/requirements.txt" })
            assert.are.equal("1.1", version())
            system.sh(target, "rm /srv/requirements.txt")
        end)

        it("takes packages away", function()
            system.converges(target, want { names = { "specpkg" }, state = "absent" })
            assert.is_nil(version())
            assert.are.equal("option", remote.failure(function() target.h:pip { names = { "-r" } } end).code)
        end)
    end)
end)

describe("npm", function()
    if not is_there "npm --version" then
        pending "needs npm"
        return
    end

    system.each({ "h1" }, function(target)
        local function pack(version)
            system.write(target, "/srv/npm/package/package.json",
                ('{ "name": "spec-pkg", "version": "%s" }\n'):format(version))
            system.sh(target, ("cd /srv/npm && tar czf spec-pkg-%s.tgz package"):format(version))
        end
        local function version()
            local text = system.read(target, "/srv/app/node_modules/spec-pkg/package.json")
            return text and text:match '"version": "([^"]+)"'
        end
        setup(function()
            pack "1.0.0"
            pack "2.0.0"
            system.write(target, "/srv/app/package.json", '{ "name": "app", "version": "1.0.0" }\n')
        end)
        teardown(function() system.sh(target, "rm -rf /srv/npm /srv/app /root/.npm") end)

        local function want(o)
            o.path = "/srv/app"
            return function(h) return h:npm(o) end
        end

        it("installs, changes and removes", function()
            local result = system.converges(target, want { names = { "/srv/npm/spec-pkg-1.0.0.tgz" } })
            assert.are.equal("1.0.0", version())
            assert.are.same({ ["spec-pkg"] = "1.0.0" }, result.packages)
            system.stays(target, want { names = { "spec-pkg@1.0.0" } })
            system.converges(target, want { names = { "/srv/npm/spec-pkg-2.0.0.tgz" } })
            assert.are.equal("2.0.0", version())
            system.converges(target, want { names = { "spec-pkg" }, state = "absent" })
            assert.is_nil(version())
        end)

        it("brings what a project asks for", function()
            system.write(target, "/srv/app/package.json", '{ "name": "app", "version": "1.0.0", "dependencies": '
                .. '{ "spec-pkg": "file:../npm/spec-pkg-1.0.0.tgz" } }\n')
            system.converges(target, want {})
            assert.are.equal("1.0.0", version())
        end)

        it("says why it has failed", function()
            local err = remote.failure(want { names = { "/srv/npm/none-1.0.0.tgz" } }, target.h)
            assert.matches("cannot install /srv/npm/none-1.0.0.tgz", err.message, 1, true)
        end)
    end)
end)

system.each({ "h1" }, function(target)
    describe("gem, by a stand-in", function()
        local calls
        before_each(function()
            calls = system.stand_in(target, "gem", [[
                case "$1" in
                list) cat /srv/gems 2>/dev/null || true ;;
                outdated) echo 'app (1.0 < 1.1)' ;;
                install) case "$*" in *bad*) echo 'no such gem' >&2; exit 2 ;; esac; echo 'app (1.0)' >/srv/gems ;;
                uninstall) rm -f /srv/gems ;;
                esac]])
        end)
        after_each(function()
            system.remove_stand_ins(target, "gem")
            system.sh(target, "rm -f /srv/gems")
        end)

        it("installs, updates and removes", function()
            local result = system.converges(target, function(h) return h:gem { name = "app", version = "1.0" } end)
            assert.are.same({ app = { "1.0" } }, result.packages)
            assert.matches("install --no-document --version 1.0 app", table.concat(calls(), "\n"), 1, true)
            assert.is_true(target.h:gem { name = "app", state = "latest" }.changed)
            system.converges(target, function(h) return h:gem { name = "app", state = "absent" } end)
            local err = system.fails(target, function(h) h:gem { name = "bad" } end)
            assert.matches("cannot install bad: no such gem", err.message, 1, true)
        end)
    end)
end)
