--- package: software from the system's package manager.

local resource = require "orrery.play.resource"

return resource.define {
    name = "package",
    doc = "Packages are installed, up to date, or not there: by apt, dnf, yum, zypper, pacman or apk.",
    options = {
        names = {
            type = { "list", "string" }, of = "string",
            doc = "which: 'nginx', 'nginx=1.22.1-9' ('1.22*' for any such), 'libc6:i386', '/srv/app.deb' on the target",
            public = "it is not for secrets",
        },
        name = { type = "string", doc = "the same for one", public = "it is not for secrets" },
        state = {
            enum = { "present", "latest", "absent" }, default = "present",
            doc = "'present': in any version, unless one is named; 'latest': in the newest that can be had",
        },
        update_cache = {
            type = "boolean", default = false,
            doc = "fetch the lists of packages when something is, or may be, to be installed; without names: always",
        },
        cache_valid_time = { type = "duration", default = 0, doc = "but not lists that were fetched within this time" },
        recommends = { type = "boolean", doc = "also what they recommend; without it: as the system is set up" },
        purge = { type = "boolean", default = false, doc = "with 'absent': their configuration, too" },
        autoremove = { type = "boolean", default = false, doc = "with 'absent': also what only they needed" },
        held = { type = "boolean", doc = "whether they are to stay in the version that is there" },
        allow_downgrade = { type = "boolean", default = false, doc = "a version that is named may be older" },
        conffiles = {
            enum = { "keep", "new" }, default = "keep",
            doc = "apt: configuration files that somebody has changed stay, or are replaced by those of a new version",
        },
        lock_timeout = { type = "duration", default = 300, doc = "how long to wait while somebody else is installing" },
        arguments = {
            type = "list", of = "string",
            doc = "more words for the manager's command line, first",
            public = "it is not for secrets",
        },
        provider = {
            enum = { "auto", "apt", "dnf", "yum", "zypper", "pacman", "apk" }, default = "auto", doc = "which manager",
        },
    },
    positional = { "names" },
    returns = {
        packages = "versions of those that were named, by name; false: not installed",
        cache_updated = "were the lists fetched?", provider = "which manager",
    },
    example = [[h:package { names = { "nginx", "curl" }, update_cache = true, cache_valid_time = "1h" }]],
    validate = function(o) return require("orrery.play.system.package").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.package").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.package").apply(o, plan, env) end,
}
