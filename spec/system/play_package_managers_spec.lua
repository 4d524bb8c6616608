--- The resource package with other managers than apt: recording stand-ins, since there is one system to test on. What
--- the real ones say is as their manuals have it.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local system = require "spec.support.play_system"

leak.guard()

-- Each keeps what is "installed" as files of a directory, which hold the version.
local STATE = "/srv/managers"

local RPM = [[
names=
for word; do
    case $word in -q | --qf | --whatprovides | %*) ;; *) names="$names $word" ;; esac
done
status=0
for name in $names; do
    if [ -e /srv/managers/$name ]; then printf '%s\t%s\tx86_64\n' $name $(cat /srv/managers/$name)
    else echo "package $name is not installed"; status=1; fi
done
exit $status]]

-- Puts names that follow a word there, in version 2.
local function changing(install, remove)
    return ([[
verb=
for word; do
    case $word in
    -*) [ "$word" != %s ] || verb=install; [ "$word" != %s ] || verb=remove ;;
    %s) verb=install ;;
    %s) verb=remove ;;
    *) case $verb in
        install) echo 2-1 >/srv/managers/${word%%%%[=-]2*} ;;
        remove) rm -f /srv/managers/$word ;;
        esac ;;
    esac
done
]]):format(install, remove, install, remove)
end

local DNF = [[
case "$*" in
*check-update*) printf 'app.x86_64   2-1   updates\n'
    [ "$(cat /srv/managers/app 2>/dev/null)" != 1-1 ] || exit 100; exit 0 ;;
*" update "*) for word; do :; done; echo 2-1 >/srv/managers/$word; exit ;;
*makecache*) mkdir -p /var/cache/dnf; touch /var/cache/dnf/x; exit ;;
esac
]]

local ZYPPER = [[
case "$*" in
*list-updates*) [ "$(cat /srv/managers/app 2>/dev/null)" != 1-1 ] || echo 'v | Main | app | 1-1 | 2-1 | x86_64'; exit ;;
*locks*) echo '1 | app | package | (any)' | grep -s "$(cat /srv/locked 2>/dev/null || echo none)"; exit 0 ;;
*addlock*) echo app >/srv/locked; exit ;;
*removelock*) rm /srv/locked; exit ;;
esac
]]

local PACMAN = [[
case "$*" in
-Q\ *) shift; for name; do [ ! -e /srv/managers/$name ] || echo "$name $(cat /srv/managers/$name)"; done; exit ;;
-Qu) [ "$(cat /srv/managers/app 2>/dev/null)" != 1-1 ] || echo 'app 1-1 -> 2-1'; exit ;;
esac
]]

local APK = [[
case "$*" in
"list --installed") for file in /srv/managers/*; do
    [ ! -e $file ] || echo "${file##*/}-$(sed 's/-/.0-r/' $file) x86_64 {x} (MIT) [installed]"; done; exit ;;
"list --upgradable") [ "$(cat /srv/managers/app 2>/dev/null)" != 1-1 ] ||
    echo 'app-2.0-r1 x86_64 {x} (MIT) [upgradable from: app-1.0-r1]'; exit ;;
esac
shift 3 # --no-progress --wait N
]]

local MANAGERS = {
    { name = "dnf", body = DNF .. changing("install", "remove"), recommends = "--setopt=install_weak_deps=False",
        version = "app-2-1", remove = "-y -q remove --noautoremove app" },
    { name = "yum", body = DNF .. changing("install", "remove"), version = "app-2-1", remove = "-y -q remove app" },
    { name = "zypper", body = ZYPPER .. changing("install", "remove"), recommends = "--no-recommends",
        version = "app=2-1",
        remove = "--non-interactive --quiet remove app", holds = true },
    { name = "pacman", body = PACMAN .. changing("-S", "-R"), remove = "--noconfirm -R app" },
    { name = "apk", body = APK .. changing("add", "del"), version = "app=2-1",
        remove = "--no-progress --wait 300 del app" },
}

system.each({ "h1" }, function(target)
    for _, manager in ipairs(MANAGERS) do
        describe("package, by a stand-in for " .. manager.name, function()
            local calls
            before_each(function()
                system.sh(target, "mkdir -p " .. STATE)
                system.stand_in(target, "rpm", RPM)
                calls = system.stand_in(target, manager.name, manager.body)
            end)
            after_each(function()
                system.remove_stand_ins(target, manager.name, "rpm")
                system.sh(target, "rm -rf /srv/managers /srv/locked /var/cache/dnf")
            end)

            local function want(o)
                o.provider = manager.name
                return function(h) return h:package(o) end
            end
            local function called(text)
                local all = table.concat(calls(), "\n")
                assert.matches(text, all, 1, true)
            end

            it("installs and removes", function()
                local result = system.converges(target, want { names = { "app" }, recommends = false })
                assert.are.equal(manager.name, result.provider)
                assert.is_string(result.packages.app)
                if manager.recommends then called(manager.recommends) end
                system.converges(target, want { names = { "app" }, state = "absent" })
                called(manager.remove)
            end)

            it("brings what is older up to date", function()
                system.write(target, STATE .. "/app", "1-1\n")
                system.stays(target, want { names = { "app" } })
                system.converges(target, want { names = { "app" }, state = "latest" })
                assert.are.equal("2-1\n", system.read(target, STATE .. "/app"))
            end)

            it("takes a version", function()
                local function pinned() return target.h:package { names = { "app=2-1" }, provider = manager.name } end
                if not manager.version then
                    assert.matches("no versions to choose from", remote.failure(pinned).message, 1, true)
                else
                    pinned()
                    called(manager.version)
                end
            end)

            it("holds back, where it can", function()
                system.write(target, STATE .. "/app", "2-1\n")
                if not manager.holds then
                    local err = system.fails(target, want { names = { "app" }, held = true })
                    assert.matches("holds no packages back", err.message, 1, true)
                else
                    system.converges(target, want { names = { "app" }, held = true })
                end
            end)

            it("says why it has failed", function()
                system.stand_in(target, manager.name, "case \"$*\" in *-Q*|*list*|*check-update*) exit 0 ;; esac\n"
                    .. "echo 'no space left' >&2; exit 1")
                local err = remote.failure(function()
                    target.h:package { names = { "app" }, provider = manager.name, lock_timeout = 0.1 }
                end)
                assert.matches("cannot install app: no space left", err.message, 1, true)
            end)
        end)
    end

    it("is not asked of a manager that is not there", function()
        local err = remote.failure(function() target.h:package { names = { "app" }, provider = "pacman" } end)
        assert.matches("pacman is not there", err.message, 1, true)
    end)
end)

describe("a host without any package manager", function()
    if not lab.need(2, { foreign = true, isolated = true }) then return end
    it("is an error that says so", function()
        local ctx = remote.open "foreign"
        local err = remote.failure(function() require("orrery.play").host(ctx):package { names = { "app" } } end)
        assert.matches("none of the package managers", err.message, 1, true)
        ctx:close()
    end)
end)
