local format = require "orrery.play.system.repository_text"

local function options(o)
    o.name, o.state, o.types, o.enabled = o.name or "spec", o.state or "present", o.types or "deb", o.enabled ~= false
    return o
end

describe("files of repositories", function()
    it("for apt, as deb822", function()
        assert.are.equal("Types: deb deb-src\nURIs: https://a.example/debian\nSuites: bookworm bookworm-updates\n"
            .. "Components: main\nArchitectures: amd64\nSigned-By: /k.asc\n", format.deb822(options {
            uris = "https://a.example/debian", suites = { "bookworm", "bookworm-updates" }, components = "main",
            types = { "deb", "deb-src" }, architectures = { "amd64" },
        }, "/k.asc"))
        assert.are.equal("Enabled: no\nTypes: deb\nURIs: file:/srv\nSuites: ./\nTrusted: yes\nBy-Hash: force\n",
            format.deb822(options { uris = "file:/srv", trusted = true, enabled = false,
                options = { ["By-Hash"] = "force" } }))
    end)

    it("for apt, as lines", function()
        assert.are.equal("deb [arch=amd64,arm64 signed-by=/k.gpg] https://a stable main contrib\n"
            .. "deb [arch=amd64,arm64 signed-by=/k.gpg] https://a testing main contrib\n", format.one_line(options {
            uris = "https://a", suites = { "stable", "testing" }, components = { "main", "contrib" },
            architectures = { "amd64", "arm64" },
        }, "/k.gpg"))
        assert.are.equal("# deb file:/srv ./\n", format.one_line(options { uris = "file:/srv", enabled = false }))
    end)

    it("for dnf, yum and zypper", function()
        assert.are.equal("[spec]\nname=Spec\nbaseurl=https://a\n        https://b\nenabled=1\ngpgcheck=1\n"
            .. "gpgkey=file:///k\npriority=10\n", format.repo(options {
            uris = { "https://a", "https://b" }, description = "Spec", options = { priority = "10" },
        }, "file:///k"))
    end)

    it("for apk", function()
        assert.are.same({ "# x", "https://a", "https://b" }, format.apk({ "# x", "https://a" }, { "https://b" }, true))
        assert.are.same({ "# x" }, format.apk({ "# x", "https://a " }, { "https://a" }, false))
    end)
end)

describe("keys", function()
    it("are known by how they begin", function()
        assert.are.equal("asc", format.key_suffix "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
        assert.are.equal("gpg", format.key_suffix "\153\1\13")
        assert.is_nil(format.wrong_content "\153\1\13")
        assert.is_nil(format.wrong_content "\198\51\4")
        assert.matches("no public key", format.wrong_content "<html>404</html>")
        assert.matches("no public key", format.wrong_content "")
        assert.matches("private", format.wrong_content "-----BEGIN PGP PRIVATE KEY BLOCK-----\n")
    end)
end)

describe("options of repositories", function()
    it("are refused where they would break the file", function()
        assert.is_nil(format.wrong(options { uris = "https://a", suites = "stable" }))
        assert.matches("'uris' is missing", format.wrong(options {}))
        assert.matches("'name' must be", format.wrong(options { name = "a/b", uris = "https://a" }))
        assert.matches("is no word", format.wrong(options { uris = "https://a\nTrusted: yes" }))
        assert.matches("wrong 'x'", format.wrong(options { uris = "https://a", options = { x = "1\ny: 2" } }))
        assert.matches("signed_by", format.wrong(options { uris = "https://a", signed_by = "/k",
            key_url = "https://k" }))
        assert.matches("no URL", format.wrong(options { uris = "https://a", key_url = "k" }))
        assert.matches("give a key", format.wrong_key { name = "a", state = "present" })
    end)
end)
