--- A child that speaks frames of its own making: it changes nothing but its own end, and the log says who it was.

local orrery = require "orrery"
local frames = require "spec.support.frames"
local hostile = require "spec.support.hostile"
local remote = require "spec.support.remote"

hostile.guard()

local make, u32, str, handle = frames.make, frames.u32, frames.str, frames.handle
local encode, to_above = hostile.encode, hostile.to_above
local CONTROLLER = hostile.CONTROLLER
local NOBODY = 16777000 -- no context has this id

-- What is refused, and changes nothing ----------------------------------------------------------------

-- Answers that the sibling might give, by the numbers that its call may have.
local function guesses(tree, f)
    local list = {}
    local _, seq = tree.hostile:call "where"
    for i = -20, -1 do -- those after are its own
        list[#list + 1] = make({
            dst = CONTROLLER, src = f.src, handle = tree.answers, seq = seq + i, flags = f.flags,
        }, f.payload or encode "wrong")
    end
    return list
end

local function context_text(id, name, route) return u32(id) .. str(name) .. str(route) end

local function gone(id) return u32(id) .. "\4" .. str "because" .. str "name" end

local DEAD = "\4" .. str "it is dead" .. str "sibling"

---@class spec.Malice
---@field [1] string
---@field [2] fun(tree: spec.Tree): string[] the frames
---@field log? string pattern of the line about it
---@field counts? integer frames that are dropped, where that is not each of them
---@field at_root? boolean an honest parent cannot know better, and passes it on
local REFUSED = {
    { "answers in the sibling's name", function(t) return guesses(t, { src = t.sibling.id }) end,
        log = "hostile sent a message as context %d+, which it is not: dropped" },
    { "answers to what the sibling was asked", function(t) return guesses(t, { src = t.me }) end,
        log = "hostile %(context %d+%) answers what another one was asked", counts = 1, at_root = true },
    { "errors for what the sibling was asked", function(t)
        return guesses(t, { src = t.me, flags = frames.DEAD, payload = DEAD })
    end, log = "hostile %(context %d+%) answers what another one was asked", counts = 1, at_root = true },
    { "messages in the controller's name", function(t)
        return { to_above(t, handle.CALL, encode "os.exit", { src = CONTROLLER, auth = CONTROLLER }) }
    end, log = "hostile sent a message as context 1, which it is not" },
    { "messages in its parent's name", function(t)
        return { to_above(t, handle.CALL, encode "os.exit", { src = t.above, auth = t.above }) }
    end, log = "hostile sent a message as context %d+, which it is not" },
    { "messages in nobody's name", function(t) return { to_above(t, handle.CALL, "", { src = 0 }) } end,
        log = "hostile sent a message as context 0, which it is not" },
    { "messages in the name of one that is not there", function(t)
        return { to_above(t, handle.TEXT, "\1" .. str "boo", { src = NOBODY }) }
    end, log = "hostile sent a message as context " .. NOBODY },
    { "calls and commands with an authority that it says it has", function(t)
        local list = {}
        for _, h in ipairs { handle.CALL, handle.CANCEL, handle.BREAK, handle.CLOSE, handle.RUN, handle.CONTEXTS } do
            list[#list + 1] = to_above(t, h, encode("os.exit", 1), { auth = CONTROLLER, reply = 5000, seq = 1 })
        end
        return list
    end, log = "hostile %(context %d+%) sent %u+, with the authority of context %d+: refused" },
    { "messages to the sibling", function(t)
        local list = {}
        for h = 1, 30 do
            if h < 3 or (h > 4 and h ~= 6 and h ~= 7 and h ~= 12 and h ~= 13) then
                list[#list + 1] = make({ dst = t.sibling.id, src = t.me, auth = CONTROLLER, handle = h }, encode "x")
            end
        end
        list[#list + 1] = make({ dst = t.sibling.id, src = t.me, handle = t.answers, seq = t.seq }, encode "wrong")
        return list
    end, log = "hostile to context %d+: it may not send [#%w]+ there" },
    { "routes that it may not announce", function(t)
        local list = {}
        for _, id in ipairs { 0, CONTROLLER, t.above, t.me, t.sibling.id, NOBODY } do
            list[#list + 1] = to_above(t, handle.ROUTE, context_text(id, "x", t.hostile.route .. "/local:x"))
        end
        return list
    end, log = "hostile announces context %d+, which it may not: dropped" },
    { "ends of others", function(t)
        local list = {}
        for _, id in ipairs { 0, CONTROLLER, t.above, t.me, t.sibling.id, NOBODY } do
            list[#list + 1] = to_above(t, handle.GONE, gone(id))
        end
        return list
    end, log = "hostile withdraws context %d+, which it may not: dropped" },
    { "leave that it may not give", function(t)
        return { to_above(t, handle.ALLOW, u32(t.me) .. u32(t.sibling.id)), to_above(t, handle.ALLOW, "") }
    end, log = "hostile sent ALLOW as context %d+, which may not: dropped" },
    { "more ids than anybody needs", function(t)
        return { to_above(t, handle.IDS, u32(0)), to_above(t, handle.IDS, u32(2 ^ 31)) }
    end, log = "hostile has got %d+ ids for contexts, and gets no more", counts = 0 },
    { "what is for the insides of a process", function(t)
        local list = {}
        for _, h in ipairs { 1, 2, 5, 8, 10, 11, 14, 23, 27, 500, 1023 } do
            list[#list + 1] = to_above(t, h, DEAD, { seq = 1 })
        end
        return list
    end },
    { "credit that is none", function(t)
        return {
            to_above(t, handle.CREDIT, ""), to_above(t, handle.CREDIT, u32(16) .. u32(2 ^ 32 - 1) .. "x"),
            to_above(t, handle.CLOSED, u32(16)), to_above(t, handle.CLOSED, u32(t.answers) .. "\99"),
        }
    end },
    { "credit and closings for flows of others", function(t)
        local list = {}
        for _, h in ipairs { 25, t.answers, 999999 } do
            list[#list + 1] = to_above(t, handle.CREDIT, u32(h) .. u32(2 ^ 32 - 1))
            list[#list + 1] = to_above(t, handle.CLOSED, u32(h) .. "\5")
        end
        list[#list + 1] = to_above(t, handle.CREDIT, u32(16) .. u32(100), { src = t.sibling.id })
        return list
    end, counts = 1, log = "hostile sent a message as context %d+" },
    { "pieces without a beginning", function(t)
        return { to_above(t, handle.SERVICE, "xyz", { flags = frames.CONT, reply = 5000 }) }
    end },
    { "flags that nobody knows", function(t)
        return { to_above(t, 500, "xyz", { flags = 0xe0 }), to_above(t, 500, "xyz", { flags = 0xe3 }) }
    end },
    { "text in the sibling's name", function(t)
        return { make({ dst = CONTROLLER, src = t.sibling.id, handle = handle.TEXT }, "\1" .. str "lies") }
    end, log = "hostile sent a message as context %d+" },
    { "text that is not counted", function(t)
        return { make({ dst = CONTROLLER, src = t.me, handle = handle.TEXT, flags = 1 }, "\1" .. str "boo") }
    end, at_root = true },
    { "questions for modules that are no names", function(t)
        local list = {}
        for _, name in ipairs { "../../etc/passwd", "/etc/passwd", "a/../../b", "", ("x"):rep(10000), "a..b", "\0" } do
            list[#list + 1] = to_above(t, handle.MODULE, str(name), { reply = 5000 })
        end
        list[#list + 1] = to_above(t, handle.MODULE, "\255\255\255\255", { reply = 5000 })
        return list
    end, counts = 0 },
    { "services that are not there, and requests that are none", function(t)
        local list = {}
        for _, payload in ipairs { "", encode("x", "y"), encode(1, 2), "\255\255\255", ("\10\1"):rep(1000) } do
            list[#list + 1] = to_above(t, handle.SERVICE, payload, { reply = 5000 })
        end
        return list
    end, counts = 0 },
    { "questions to a keeper", function(t)
        local list = {}
        for i = 0, 9 do
            list[#list + 1] = make({ dst = CONTROLLER, src = t.me, handle = 2 ^ 30 + i, reply = 5000 }, "\1")
        end
        return list
    end, at_root = true },
}

local function dropped_by(tree, malice)
    local by = tree.guard and not malice.at_root and tree.guard
    return (by and by:call "orrery.stats" or orrery.stats()).messages_dropped
end

-- Only one line in a second is about what a child does.
local function commit(tree, malice)
    local list = malice[2](tree)
    local bytes, start, before = table.concat(list), hostile.log_end(), dropped_by(tree, malice)
    remote.eventually("a line about it in the log", function()
        assert.is_true(tree.hostile:call("write", bytes))
        return not malice.log or hostile.log_since(start):find(malice.log)
    end)
    local counts = malice.counts or #list
    assert.is_true(dropped_by(tree, malice) - before >= counts, "they were not counted")
    if tree.guard and malice.log and not malice.at_root then
        local line = hostile.log_since(start):match("[^\n]*" .. malice.log)
        assert.matches("^%[honest%] ", line)
    end
end

-- What ends it, and nobody else ---------------------------------------------------------------------

local function piece(t, f)
    local all = { dst = t.above, src = t.me, handle = 500, flags = frames.MORE }
    for key, value in pairs(f) do all[key] = value end
    return make(all, "xyz")
end

---@type { [1]: string, [2]: (fun(tree: spec.Tree): string), says: string }[]
local FATAL = {
    { "a wrong magic", function() return make { magic = "xx", handle = 500 } end, says = "malformed input" },
    { "a version that is not ours", function() return make { version = 9, handle = 500 } end,
        says = "malformed input" },
    { "a length over the limit", function() return make { handle = 500, length = 2 ^ 17 + 1 } end,
        says = "malformed input" },
    { "a length of 4 GiB", function() return make { handle = 500, length = 2 ^ 32 - 1 } end,
        says = "malformed input" },
    { "garbage", function() return ("\r\n\27[2Jhello\0"):rep(5000) end, says = "malformed input" },
    { "a message in the middle of another", function(t)
        return piece(t, { seq = 1 }) .. piece(t, { seq = 2 })
    end, says = "malformed input.*in the middle of another" },
    { "pieces of what is urgent", function(t)
        return piece(t, { seq = 1 }) .. piece(t, { handle = handle.CREDIT })
    end, says = "malformed input.*a piece of a message for CREDIT" },
    { "a malformed request for ids", function(t) return to_above(t, handle.IDS, "xyz") end,
        says = "malformed input" },
    { "a malformed route", function(t) return to_above(t, handle.ROUTE, u32(5) .. u32(2 ^ 32 - 1)) end,
        says = "malformed input" },
    { "a malformed end", function(t) return to_above(t, handle.GONE, "") end, says = "malformed input" },
}

local function commit_fatal(tree, malice)
    local start = hostile.log_end()
    local bytes = malice[2](tree)
    local err = remote.failure(tree.hostile.call, tree.hostile, "write", bytes)
    assert.matches(malice.says, err.message)
    assert.are.equal("hostile", err.context)
    remote.eventually("a line about it in the log", function()
        local text = hostile.log_since(start)
        return text:find "hostile: closed for malformed input" or text:find "hostile: [^\n]*context"
    end)
end

hostile.each("", function(tree)
    for _, malice in ipairs(REFUSED) do
        it("gains nothing by " .. malice[1], function()
            local answered = tree:under_way()
            commit(tree, malice)
            answered()
            assert.is_number((tree.hostile:call "where"))
            tree:open_hostile() -- the log is ready for the next
        end)
    end

    for _, malice in ipairs(FATAL) do
        it("ends itself by " .. malice[1], function()
            local answered = tree:under_way()
            commit_fatal(tree, malice)
            answered()
            tree:open_hostile()
        end)
    end
end)
