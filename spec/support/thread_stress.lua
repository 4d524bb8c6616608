--- A program: threads that know nothing of each other call the same children, and cancel and give up
--- many of their calls. Each call must end once, with its own answer or its own error.
---
---     luajit spec/support/thread_stress.lua THREADS CALLS CHILDREN SEED
---
--- The last line that it prints is "done", with the numbers of calls by how they ended.

local orrery = require "orrery"

local threads, calls, children, seed = unpack(arg)
threads, calls, children, seed = tonumber(threads), tonumber(calls), tonumber(children), tonumber(seed)

local ctxs = {}
for i = 1, children do ctxs[i] = orrery.localhost { name = "child" .. i } end

-- Runs in a thread. Returns how often calls ended in which way.
local function work(number, contexts, count, from)
    local api = require "orrery"
    math.randomseed(from)
    local ends = { answer = 0, error = 0, cancelled = 0, timeout = 0 }
    local started, ended = 0, 0

    local function echo(...) return ... end
    local function fail(what) error(what, 0) end
    local function nap(seconds, ...)
        require("orrery").sleep(seconds)
        return ...
    end

    local function start(fn, ...)
        local call = contexts[math.random(#contexts)]:call_async(fn, ...)
        local over = false
        started = started + 1
        call:on_done(function()
            if over then error "a call has ended twice" end
            over, ended = true, ended + 1
        end)
        return call
    end

    -- Waits for a call that was started with `key`; `may` has what may come instead of the answer, and
    -- `never` if the answer may not.
    local function finish(call, key, may, timeout)
        local ok, got, second = pcall(call.take, call, timeout)
        if ok then
            assert(call:done() and not may.never and got == number and second == key, "somebody else's answer")
            ends.answer = ends.answer + 1
            return
        end
        assert(api.is_error(got), tostring(got))
        if may.error then
            assert(got.code == "lua" and got.message == may.error, tostring(got))
            ends.error = ends.error + 1
        else
            assert(may[got.code], tostring(got))
            ends[got.code] = ends[got.code] + 1
        end
        assert(call:done())
    end

    local kinds = {}
    function kinds.plain(key) finish(start(echo, number, key), key, {}) end
    function kinds.by_name(key)
        local call = start("math.max", number, key)
        local ok, got = pcall(call.get, call)
        assert(ok and got == math.max(number, key), tostring(got))
        ends.answer = ends.answer + 1
    end
    function kinds.fails(key)
        local text = ("no %d of %d"):format(key, number)
        finish(start(fail, text), key, { never = true, error = text })
    end
    function kinds.cancelled(key)
        local call = start(nap, 10, number, key)
        if math.random(2) == 1 then api.sleep(0) end
        assert(call:cancel())
        finish(call, key, { never = true, cancelled = true })
    end
    function kinds.given_up(key)
        local call = start(nap, math.random() * 1e-3, number, key)
        finish(call, key, { timeout = true }, math.random() * 1e-3)
    end
    function kinds.in_task(key)
        local task = api.spawn(function()
            finish(start(nap, math.random() * 1e-3, number, key), key, { cancelled = true })
        end)
        if math.random(2) == 1 then api.sleep(math.random() * 1e-3) end
        if math.random(2) == 1 then task:cancel() end
        local ok, err = pcall(task.get, task)
        assert(ok or err.code == "cancelled", tostring(err))
    end
    function kinds.burst(key)
        local burst = {}
        for i = 1, 8 do burst[i] = start(echo, number, key + i) end
        if math.random(2) == 1 then burst[3]:cancel() end
        for i = 8, 1, -1 do finish(burst[i], key + i, { cancelled = i == 3 }) end
    end

    local names = {}
    for name in pairs(kinds) do names[#names + 1] = name end
    table.sort(names)
    local key = 0
    while started < count do
        key = key + 10
        kinds[math.random(4) == 1 and names[math.random(#names)] or "plain"](key)
    end
    for _, ctx in ipairs(contexts) do ctx:call(echo) end -- what was cancelled there is behind us
    assert(ended == started, "calls that have not ended")
    ends.started = started
    return ends
end

local running = {}
for i = 1, threads do running[i] = orrery.thread(work, i, ctxs, calls, seed + i) end
local sums = {}
for i = 1, threads do
    for name, n in pairs(running[i]:get()) do sums[name] = (sums[name] or 0) + n end
end
for _, ctx in ipairs(ctxs) do ctx:close() end
assert(sums.started >= threads * calls)
assert(sums.started == sums.answer + sums.error + sums.cancelled + sums.timeout)
print(("done: %d calls: %d answers, %d errors, %d cancelled, %d timed out"):format(
    sums.started, sums.answer, sums.error, sums.cancelled, sums.timeout))
