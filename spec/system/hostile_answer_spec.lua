--- A child that answers, greets and sends what it may, in a way that it may not: who deals with it gets an error, and
--- nobody else notices.

local orrery = require "orrery"
local codec = require "orrery.codec"
local frames = require "spec.support.frames"
local hostile = require "spec.support.hostile"
local remote = require "spec.support.remote"

hostile.guard()

local make, u32, str, handle = frames.make, frames.u32, frames.str, frames.handle
local encode = hostile.encode
local CONTROLLER = hostile.CONTROLLER
local WAIT = 20

local function intrude() _G.hostile_spec_ran = true end

---@type { [1]: string, [2]: string, flags?: integer, code: string, says?: string }[]
local ANSWERS = {
    { "garbage", "\255\255\255\255\255\1\2\3", code = "decode" },
    { "what ends early", encode("text"):sub(1, -2), code = "decode", says = "ends early" },
    { "tables that are nested too deep", ("\10\1"):rep(10000) .. "\0", code = "decode", says = "nested too deep" },
    { "a table of 4 GiB", "\10\255\255\255\255\255", code = "decode", says = "impossible size" },
    { "a string of 4 GiB", "\255\255\255\255\255", code = "decode" },
    { "more tables than anybody needs", ("\8"):rep(2 ^ 22 + 1), code = "decode", says = "too many tables" },
    { "more values than there is room for", ("\1"):rep(252), code = "limit" },
    { "an address", "\4\1\2\3\4\5\6\7\8", code = "decode" },
    { "a kind that there is not", "\14\200\8", code = "decode" },
    { "a function", codec.encode(intrude), code = "denied", says = "may not send code" },
    { "a function in a table", codec.encode { { f = intrude } }, code = "denied" },
    { "an error that is none", "\255\255\255\255", flags = frames.ERROR, code = "decode" },
    { "an error that is a number", encode(7), flags = frames.ERROR, code = "lua" },
    { "a function as an error", codec.encode(intrude), flags = frames.ERROR, code = "denied" },
    { "a loss that is none", "\1", flags = frames.DEAD },
    { "the loss of another one", "\4" .. str "it is lost" .. str "sibling", flags = frames.DEAD, code = "dead" },
}

---@type { [1]: string, [2]: string, says: string }[]
local GREETINGS = {
    { "with another version", frames.hello(99), says = "speaks version 99" },
    { "with a HELLO that ends early", frames.hello():sub(1, 4) .. u32(10) .. frames.hello():sub(9, 42),
        says = "HELLO: malformed" },
    { "with a HELLO that goes on", make({ handle = 1 }, frames.hello():sub(33) .. "more"), says = "HELLO" },
    { "with lengths that lie", make({ handle = 1 }, u32(frames.VERSION) .. u32(2 ^ 32 - 1)), says = "HELLO" },
    { "with a call", make({ handle = handle.CALL, dst = CONTROLLER }, encode "os.exit"), says = "not HELLO" },
    { "with a route", make({ handle = handle.ROUTE }, u32(1) .. str "x" .. str "x"), says = "not HELLO" },
    { "with no frame at all", ("no frame"):rep(10), says = "malformed input" },
    { "with a frame of 4 GiB", make { handle = 1, length = 2 ^ 32 - 1 }, says = "malformed input" },
}

hostile.each("", function(tree, place)
    before_each(function() tree:open_hostile() end) -- of each one line in a second is in the log

    for _, row in ipairs(ANSWERS) do
        it("answers with " .. row[1] .. ", which is an error of the call", function()
            local answered = tree:under_way()
            local err = remote.failure(function()
                local h = tree.hostile
                if #row[2] < 100000 then return h:call("answer", row[2], row.flags) end
                return h:call("repeated", row[2]:sub(1, 1), #row[2])
            end)
            if row.code then assert.are.equal(row.code, err.code) end
            if row.says then assert.matches(row.says, err.message) end
            answered()
            assert.is_nil(rawget(_G, "hostile_spec_ran"))
            assert.is_number((tree.hostile:call "where"))
        end)
    end

    it("answers twice, and the second time nobody listens", function()
        for i = 1, 10 do
            assert.are.equal(i, tree.hostile:call("answer", encode(i), 0, 3))
            assert.are.equal(tostring(i), tree.sibling:call("tostring", i))
        end
    end)

    it("says what a terminal would obey, and none does", function()
        local lines = orrery.receiver()
        local to = lines:sender()
        orrery.on_output(function(name, stream, line) to:send(name, stream, line) end)
        local text = "\27]0;title\7\27[2J\r\8\127 \194\155 end"
        local bytes = make({ dst = CONTROLLER, src = tree.me, handle = handle.TEXT },
            "\1" .. str(text) .. "\2" .. str(text) .. "\17" .. str(text) .. "\255" .. str(text))
        tree.hostile:call("write", bytes)
        for _, stream in ipairs { "stdout", "stderr", "log", "log" } do
            local name, kind, line = lines:get(WAIT)
            assert.are.equal("hostile", name)
            assert.are.equal(stream, kind)
            assert.are.equal("?]0;title??[2J??? ?? end", line)
        end
        orrery.on_output(nil)
        lines:close()
    end)

    it("cannot go on in the log as if it were somebody else", function()
        local start = hostile.log_end()
        local lie = "a line\n12:00:00.000 error route: sibling is hostile\27[2J"
        tree.hostile:call("write", make({ dst = CONTROLLER, src = tree.me, handle = handle.TEXT },
            "\17" .. str(lie)))
        remote.eventually("the line", function() return hostile.log_since(start):find "a line" end)
        local text = hostile.log_since(start)
        assert.is_nil(text:find("\n12:00:00", 1, true))
        assert.is_nil(text:find("\27", 1, true))
        assert.matches("^%[hostile%] a line%?12", text)
    end)

    it("sends senders of others, and gains nothing by it", function()
        local r, start = orrery.receiver(), hostile.log_end()
        local there = tree.sibling:call(function()
            _G.secret = require("orrery").receiver()
            return _G.secret:sender()
        end)
        local forged = codec.encode_data(there)
        local bytes = make({ dst = CONTROLLER, src = tree.me, handle = r.handle }, forged)
        tree.hostile:call("write", bytes)
        if place == hostile.places[1] then
            -- The script's own children: it knows who was given what.
            remote.eventually("a line about it", function()
                orrery.sleep(0)
                return hostile.log_since(start):find "hostile %(context %d+%) sent a message to handle"
            end)
        end
        tree.hostile:call("write", make({ dst = there.context, src = tree.me, handle = there.handle }, encode "in"))
        local err = remote.failure(function()
            return tree.sibling:call(function() return _G.secret:get(0.1) end)
        end)
        assert.are.equal("timeout", err.code)
        r:close()
    end)

    it("is a sibling that may talk, and can no more than that", function()
        local received = tree.sibling:call(function()
            _G.open = require("orrery").receiver()
            return _G.open:sender()
        end)
        orrery.allow(tree.hostile, tree.sibling)
        local function to(h, payload, f)
            local all = { dst = tree.sibling.id, src = tree.me, handle = h }
            for key, value in pairs(f or {}) do all[key] = value end
            return make(all, payload)
        end
        local answered, start = tree:under_way(), hostile.log_end()
        local list = {}
        for _, h in ipairs { handle.CALL, handle.RUN, handle.FILE, handle.CLOSE, handle.MODULE, handle.TEXT,
            handle.DEAD } do
            list[#list + 1] = to(h, encode "os.exit", { auth = CONTROLLER, reply = 5000 })
        end
        list[#list + 1] = to(handle.CREDIT, u32(16) .. u32(2 ^ 32 - 1))
        list[#list + 1] = to(handle.CLOSED, u32(16) .. "\5")
        list[#list + 1] = to(received.handle, ("\10\1"):rep(1000))
        list[#list + 1] = to(received.handle, codec.encode(function() os.exit(1) end))
        list[#list + 1] = to(received.handle, encode "hello")
        tree.hostile:call("write", table.concat(list))
        assert.are.same({ false, false, "hello" }, tree.sibling:call(function()
            local got = {}
            for i = 1, 3 do
                local ok, value = pcall(_G.open.get, _G.open, 20)
                got[i] = ok and value
            end
            return got
        end))
        answered()
        assert.matches("hostile to context %d+: it may not send CALL there", hostile.log_since(start))
    end)

    it("sends more than its window holds, and what is over it is dropped", function()
        local r, start = orrery.receiver(), hostile.log_end()
        local answered, before = tree:under_way(), orrery.stats().messages_dropped
        local bytes = make({ dst = CONTROLLER, src = tree.me, handle = r.handle }, encode "more")
        local times = 2 ^ 18
        local ok, err = pcall(tree.hostile.call, tree.hostile, "write", bytes, times)
        if place == hostile.places[1] then -- and it is cut off
            assert.is_false(ok)
            assert.are.equal("limit", err.code)
            assert.matches("floods handle", err.message)
        else
            assert.is_true(orrery.stats().messages_dropped - before > times / 2)
        end
        answered()
        assert.matches("hostile %(context %d+%) floods handle", hostile.log_since(start))
        r:close()
    end)

    it("ends in the middle of a frame, and only its own calls know", function()
        local answered = tree:under_way()
        for _, bytes in ipairs { "O", frames.hello():sub(1, 31), make { handle = 500, length = 1000 },
            make({ dst = CONTROLLER, src = tree.me, handle = 500, flags = frames.MORE }, "x") } do
            local call = tree.hostile:call_async "where"
            call:get(WAIT)
            local waiting = tree.hostile:call_async "nothing of the kind"
            tree.hostile:cast("last", bytes)
            local err = remote.failure(waiting.get, waiting, WAIT)
            assert.are.equal("dead", err.code)
            assert.are.equal("hostile", err.context)
            tree:open_hostile()
        end
        answered()
    end)

    for _, row in ipairs(GREETINGS) do
        it("greets " .. row[1] .. ", and is not let in", function()
            local answered = tree:under_way()
            local err = remote.failure(hostile.launch, tree.guard or orrery, row[2])
            assert.matches(row.says, err.message)
            assert.are.equal("hostile", err.context)
            answered()
        end)
    end
end)
