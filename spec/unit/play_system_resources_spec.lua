--- What must hold for the definitions of the resources about the system.

local resource = require "orrery.play.resource"
local secret = require "orrery.secret"

local NAMES = {
    "alternatives", "authorized_key", "cron", "gem", "group", "hostname", "limits", "locale", "modprobe", "mount",
    "npm", "package", "pip", "repository", "repository_key", "service", "sysctl", "timezone", "user",
}

-- What makes each acceptable, before a secret is put somewhere.
local LEAST = {
    alternatives = { name = "a", path = "/a" }, authorized_key = { user = "a", keys = {} },
    cron = { name = "a", job = "a" }, gem = { names = "a" }, group = { name = "a" }, hostname = { name = "a" },
    limits = { domain = "a", item = "core", value = 1 }, locale = { names = "a" }, modprobe = { name = "a" },
    mount = { path = "/a", src = "a", fstype = "a" }, npm = { names = "a" }, package = { names = "a" },
    pip = { names = "a" }, repository = { name = "a", uris = "a" },
    repository_key = { name = "a", key = { content = "a" } }, service = { name = "a", state = "started" },
    sysctl = { name = "a", value = 1 }, timezone = { name = "a" }, user = { name = "a" },
}

local function step(name, options) return resource.check_options(resource.find(name), options, {}, "here:1") end

describe("the resources about the system", function()
    for _, name in ipairs(NAMES) do
        describe(name, function()
            it("has a line for each option and each part of its result, and an example", function()
                local definition = resource.find(name)
                assert.is_string(definition.example)
                assert.matches("h:" .. name .. " {", definition.example, 1, true)
                for option, spec in pairs(definition.options) do
                    assert.is_true(type(spec.doc) == "string" and #spec.doc > 2, option .. " has no line")
                end
                assert.is_truthy(next(definition.returns or {}))
            end)

            it("takes what is asked for least", function() step(name, LEAST[name]) end)

            it("says so where a secret cannot be kept, and does not tell it", function()
                local definition = resource.find(name)
                for option, spec in pairs(definition.options) do
                    local kind = type(spec.type) == "table" and spec.type[1] or spec.type
                    if kind == "string" or kind == "list" then
                        local options = {}
                        for key, value in pairs(LEAST[name]) do options[key] = value end
                        local value = secret.new "sesame-sesame"
                        options[option] = kind == "list" and { value } or value
                        local ok, err = pcall(step, name, options)
                        if not ok then
                            assert.are.equal("option", err.code, tostring(err))
                            assert.not_matches("sesame-sesame", tostring(err), 1, true)
                        end
                    end
                end
            end)
        end)
    end
end)
