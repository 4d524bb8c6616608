--- Key files that are named and not there.

local identity = require "orrery.ssh_identity"
local system = require "orrery.ssh_system"
local Error = require "orrery.error"

describe("key files", function()
    local here
    before_each(function()
        here = os.tmpname()
        for _, name in ipairs { ".there", ".agent.pub" } do assert(io.open(here .. name, "w")):close() end
    end)
    after_each(function()
        for _, name in ipairs { "", ".there", ".agent.pub" } do os.remove(here .. name) end
    end)

    it("may be in the user's home", function()
        assert.are.same({ system.user() .. "/k", "~other/k", "k~/" }, system.paths { "~/k", "~other/k", "k~/" })
        assert.are.same({ "/k" }, system.paths "/k")
        assert.is_nil(system.paths(nil))
    end)

    it("are missing where neither half is there", function()
        local names = { here .. ".there", here .. ".agent", here .. ".none", here .. "/below" }
        assert.are.same({ here .. ".none" }, identity.missing { identity = names })
        assert.are.same({}, identity.missing { jump = "j1" })
    end)

    it("are looked for of jump hosts, too", function()
        local jump = { "j1", { host = "j2", identity = { "/none/j2" } } }
        assert.are.same({ "/none", "/none/j2" }, identity.missing { identity = { "/none" }, jump = jump })
    end)

    it("stand in the error of a login, and in no other", function()
        local function explained(code, missing)
            return identity.explain(Error.new { code = code, message = "no" }, missing).message
        end
        assert.are.equal("no; the key file /a (option 'identity') does not exist", explained("auth", { "/a" }))
        assert.are.equal("no; the key files /a, /b (option 'identity') do not exist",
            explained("credentials", { "/a", "/b" }))
        assert.are.equal("no", explained("connect", { "/a" }))
        assert.are.equal("no", explained("auth", {}))
    end)
end)
