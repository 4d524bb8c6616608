--- repository: where a package manager gets packages from, and whose signature it believes.

local resource = require "orrery.play.resource"

local WORDS = { "list", "string" }

return resource.define {
    name = "repository",
    doc = "A repository of packages is known, with the key that signs it, or is not: of apt, dnf, yum, zypper or apk.",
    options = {
        name = {
            type = "string", required = true,
            doc = "name of its file, without what follows the dot",
            public = "it is not for secrets",
        },
        state = { enum = { "present", "absent" }, default = "present", doc = "whether it is to be known" },
        uris = { type = WORDS, of = "string", doc = "where it is", public = "/etc/apt/auth.conf.d has passwords" },
        suites = { type = WORDS, of = "string", doc = "apt: 'bookworm', 'stable'; './' for one without any" },
        components = { type = WORDS, of = "string", doc = "apt: 'main', 'contrib'" },
        types = { type = WORDS, of = "string", default = "deb", doc = "apt: 'deb', 'deb-src'" },
        architectures = { type = WORDS, of = "string", doc = "apt: only for these" },
        format = {
            enum = { "deb822", "one-line" }, default = "deb822", doc = "apt: a file NAME.sources, or NAME.list",
        },
        key = { type = "source", doc = "the key: a file of the controller, or { content = text }" },
        key_url = {
            type = "string",
            doc = "or where the target gets it from, when it has none yet",
            public = "give the key itself",
        },
        signed_by = { type = "path", doc = "or a keyring that the target has" },
        trusted = { type = "boolean", doc = "apt: believe it without a signature; dnf and others: gpgcheck=0" },
        enabled = { type = "boolean", default = true, doc = "whether it is used" },
        description = { type = "string", doc = "dnf, yum, zypper: what it is called" },
        options = { type = "map", of = "string", doc = "more fields of its file, by name" },
        update_cache = {
            type = "boolean", default = true,
            doc = "fetch its lists when it has changed; if that fails, all is as it was before",
        },
        lock_timeout = { type = "duration", default = 300, doc = "how long to wait while somebody else is installing" },
        provider = { enum = { "auto", "apt", "dnf", "yum", "zypper", "apk" }, default = "auto", doc = "whose" },
    },
    returns = { path = "its file", keyring = "the file of its key", provider = "whose it is" },
    example = [[h:repository { name = "docker", uris = "https://download.docker.com/linux/debian", suites = "bookworm",
    components = "stable", key = "keys/docker.asc" }]],
    validate = function(o) return require("orrery.play.system.repository_text").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.repository").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.repository").apply(o, plan, env) end,
}
