local leak = require "spec.support.leak"
require "orrery" -- which brings orrery.sys along
local sys = require "orrery.sys"

leak.guard()

describe("a socket", function()
    it("needs an address", function()
        local socket, why, code = sys.socket("localhost", 80)
        assert.is_nil(socket)
        assert.matches("localhost: Invalid argument", why)
        assert.are.equal("EINVAL", code)
        assert.is_nil((sys.socket("/" .. ("x"):rep(200))))
    end)

    it("says that nobody listens", function()
        local socket, why, code = sys.socket("127.0.0.1", 1)
        if socket then -- under way; a loopback may also answer at once
            repeat
                local state
                state, why, code = socket:connected()
            until state ~= false
            socket:close()
        end
        assert.matches("127.0.0.1 port 1: Connection refused", why)
        assert.are.equal("ECONNREFUSED", code)
        socket, why, code = sys.socket "/nonexistent/socket"
        assert.is_nil(socket)
        assert.matches("/nonexistent/socket: No such file", why)
        assert.are.equal("ENOENT", code)
    end)

    it("is closed once and for all", function()
        local socket = sys.socket("127.0.0.1", 1)
        if not socket then return end
        socket:close()
        socket:close()
        assert.has_error(function() socket:read() end, "the socket is closed")
    end)
end)
