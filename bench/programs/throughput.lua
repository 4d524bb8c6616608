-- throughput.lua TARGET SECONDS: small messages that nobody waits for, and large arguments.

local orrery = require "orrery"
local program = require "lib.program"

local target, seconds = arg[1], tonumber(arg[2])
-- Messages on their way at most: a sender that is faster than its receiver would fill the queue between
-- them, which is an error.
local BATCH = 64 * 1024

-- Runs in both processes: distinct texts of 64 bytes, so that one that is lost or overtaken is noticed.
local function texts()
    local list = {}
    for i = 0, 255 do list[i] = ("%063d|"):format(i) end
    return list
end

-- Runs in the child. bench.take checks what comes one by one; bench.taken says what has come.
local function install(make_texts)
    local expected, count, wrong = make_texts(), 0, 0
    local function take(text)
        if text ~= expected[count % 256] then wrong = wrong + 1 end
        count = count + 1
    end
    local api = require "orrery"
    local receiver
    package.loaded.bench = {
        take = take,
        taken = function() return count, wrong end,
        listen = function()
            receiver, count, wrong = api.receiver(), 0, 0
            api.spawn(function()
                for text in receiver:each() do take(text) end
            end)
            return receiver:sender()
        end,
        -- Waits, since a receiver is not in line with calls.
        heard = function(sent)
            while count < sent do api.sleep(0.0005) end
            return count, wrong
        end,
        send = function(to, batch)
            local list = make_texts()
            for i = 0, batch - 1 do to:send(list[i % 256]) end
        end,
    }
end

local function check(what, sent, count, wrong)
    if count ~= sent or wrong ~= 0 then
        error(("%s: %d sent, %d came, %d of them not in order"):format(what, sent, count, wrong))
    end
end

local function print_rate(name, count, since)
    program.print(name .. ".rate", count / (orrery.now() - since) / 1e3)
end

-- Sends batches until the time is over; taken(sent) returns how many came, once all of them did.
local function push(name, send, taken)
    local list, sent = texts(), 0
    local count, wrong
    local start = orrery.now()
    repeat
        for i = 0, BATCH - 1 do send(list[i % 256]) end
        sent = sent + BATCH
        count, wrong = taken(sent)
    until orrery.now() - start > seconds
    print_rate(name, sent, start)
    check(name, sent, count, wrong)
end

local function casts(ctx)
    push("cast", function(text) ctx:cast("bench.take", text) end,
        function() return ctx:call("bench.taken") end)
end

local function sends(ctx)
    local to = ctx:call("bench.listen")
    push("send", function(text) to:send(text) end, function(sent) return ctx:call("bench.heard", sent) end)
end

local function sends_up(ctx)
    local receiver, list, count, wrong = orrery.receiver(), texts(), 0, 0
    local to, start = receiver:sender(), orrery.now()
    repeat
        local sending = ctx:call_async("bench.send", to, BATCH)
        for text in receiver:each(BATCH) do
            if text ~= list[count % 256] then wrong = wrong + 1 end
            count = count + 1
        end
        sending:get()
    until orrery.now() - start > seconds
    print_rate("send_up", count, start)
    check("send_up", count, count, wrong)
    receiver:close()
end

local function arguments(ctx, name, size)
    local text, calls = ("x"):rep(size), 0
    assert(ctx:call("string.len", text) == size)
    local start = orrery.now()
    while orrery.now() - start < seconds do
        assert(ctx:call("string.len", text) == size)
        calls = calls + 1
    end
    program.print(name .. ".rate", calls * size / (orrery.now() - start) / 1e6)
end

local ctx = program.open(target)
ctx:call(install, texts)
casts(ctx)
sends(ctx)
sends_up(ctx)
arguments(ctx, "call64k", 64 * 1024)
arguments(ctx, "call1m", 1024 * 1024)
ctx:close()
