local ffi = require "ffi"
local xdg = require "orrery.xdg"

ffi.cdef [[
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
]]

local function set(name, value)
    if value then ffi.C.setenv(name, value, 1) else ffi.C.unsetenv(name) end
end

describe("where a person's files are", function()
    local before = {}

    setup(function()
        for _, name in ipairs { "HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME" } do
            before[name] = os.getenv(name) or false
        end
    end)
    teardown(function()
        for name, value in pairs(before) do set(name, value) end
    end)

    local function is(state, config)
        assert.are.equal(state, xdg.state())
        assert.are.equal(config, xdg.config())
    end

    it("is below the home directory", function()
        set("HOME", "/home/ann")
        set("XDG_STATE_HOME")
        set("XDG_CONFIG_HOME")
        is("/home/ann/.local/state", "/home/ann/.config")
    end)

    it("is where the variables say", function()
        set("HOME")
        set("XDG_STATE_HOME", "/s")
        set("XDG_CONFIG_HOME", "/c")
        is("/s", "/c")
    end)

    it("is nowhere that depends on the current directory", function()
        set("HOME", "/home/ann")
        set("XDG_STATE_HOME", "s")
        set("XDG_CONFIG_HOME", "")
        is("/home/ann/.local/state", "/home/ann/.config")
        set("HOME", "ann")
        is(nil, nil)
        set("HOME")
        is(nil, nil)
    end)
end)
