-- What one message costs: system calls, task switches, locks, wake-ups.

local report = require "lib.report"
local run = require "lib.run"
local watch = require "lib.watch"

local COUNT = 60 -- messages of each kind, 2 ms apart
local PHASES = { "nothing", "send", "call", "calls" }
-- How many messages a phase has, and the phase that has all of it but them.
local MESSAGES = { send = COUNT, call = COUNT, calls = 5 * COUNT }
local WITHOUT = { send = "nothing", call = "nothing" }

local KINDS = { -- of system calls
    sendto = "write", sendmsg = "write", write = "write", writev = "write",
    recvfrom = "read", recvmsg = "read", read = "read", readv = "read",
    epoll_wait = "wait", epoll_pwait = "wait", epoll_pwait2 = "wait", poll = "wait", ppoll = "wait",
    select = "wait", pselect6 = "wait", futex = "futex",
}

local function add(counts, name)
    counts[name] = (counts[name] or 0) + 1
end

-- Counts by phase: calls of each process ("sshd.calls") and of the sending thread between the marks
-- around each message ("sender.write"); and whether there are such marks.
local function count_calls(trace, sender)
    local counts, phase, sending, marked = {}, nil, false, false
    for _, name in ipairs(PHASES) do counts[name] = {} end
    for thread, role, _, call in trace:finish() do
        local name = call:match("^[%w_]+")
        local mark = call:match('"/bench%-mark%-([%w-]+)"')
        if mark == "phase-over" then
            phase = nil
        elseif mark and mark:find("^phase") then
            phase = counts[mark:match("phase%-(.*)")]
        elseif mark then
            sending, marked = mark == "begin", true
        elseif phase and role then
            add(phase, role .. ".calls")
            add(phase, "all.calls")
            if name == "epoll_ctl" and role == "controller" then add(phase, "epoll_ctl") end
            if sending and thread == sender then add(phase, "sender." .. (KINDS[name] or "other")) end
        end
    end
    return counts, marked
end

-- Runs the phases without being watched closely; what the program and /proc counted, by phase.
local function counted(program)
    local counts = {}
    for _, phase in ipairs(PHASES) do
        local before = program:usage()
        local figures = program:phase(phase)
        if not figures then return nil end
        for role, switches in pairs((program:usage())) do
            figures[role .. ".switches"] = switches - before[role]
        end
        counts[phase] = figures
    end
    return counts
end

local function traced(program)
    local trace = program:trace()
    local complete = true
    for _, phase in ipairs(PHASES) do complete = complete and program:phase(phase) end
    local counts, marked = count_calls(trace, program.roles.controller)
    return complete and counts, marked
end

-- What a message adds to a pause without one, for each figure.
local function per_message(figures, counts, known)
    for phase, messages in pairs(MESSAGES) do
        local without = counts[WITHOUT[phase]] or {}
        for name in pairs(known) do
            figures[phase .. "." .. name] = ((counts[phase][name] or 0) - (without[name] or 0)) / messages
        end
    end
end

local function names_in(counts, names)
    for _, figures in pairs(counts) do
        for name in pairs(figures) do names[name] = true end
    end
    return names
end

local function measure(place, target, command)
    local program, why = watch.start(place, target, command)
    if not program then return nil, { why } end
    local plain = counted(program)
    local calls, marked
    if plain then calls, marked = traced(program) end
    why = program:finish()
    if not calls then return nil, { why } end
    local figures = {}
    per_message(figures, plain, names_in(plain, {}))
    local always = {}
    for _, kind in ipairs(marked and { "write", "read", "wait", "futex", "other" } or {}) do
        always["sender." .. kind] = true
    end
    for role in pairs(program.roles) do always[role .. ".calls"] = true end
    always["epoll_ctl"] = true
    per_message(figures, calls, names_in(calls, always))
    return figures
end

local function mode(name, send, transport, at_home)
    return {
        name = name,
        figures = function(place)
            local target = at_home and "local" or place.host
            return measure(place, target,
                run.orrery(place, "transmission", target, send, transport, COUNT))
        end,
    }
end

-- To a child of the child, on the same machine.
local function hops(name, target_of)
    return {
        name = name,
        figures = function(place)
            local target = target_of(place)
            return measure(place, target,
                run.orrery(place, "transmission", target, "optimistic", "libssh2", COUNT, "hops"))
        end,
    }
end

local function siblings(name, target_of)
    return {
        name = name,
        figures = function(place)
            local target = target_of(place)
            return measure(place, target, run.orrery(place, "siblings", target, COUNT))
        end,
    }
end

local function mitogen(name, target_of)
    return {
        name = name, peer = true,
        figures = function(place)
            local target = target_of(place)
            return measure(place, target, run.mitogen(place, "transmission", target, COUNT))
        end,
    }
end

local function rows(phase)
    local prefix = phase .. "."
    return {
        { "over SSH" },
        { "  Mitogen", "mitogen ssh", prefix },
        { "  deferred, ssh(1)", "deferred openssh", prefix },
        { "  optimistic, ssh(1)", "optimistic openssh", prefix },
        { "  optimistic, in-process", "optimistic libssh2", prefix },
        { "to a child on this machine" },
        { "  Mitogen", "mitogen local", prefix },
        { "  deferred", "deferred local", prefix },
        { "  optimistic", "optimistic local", prefix },
        { "from child to child" },
        { "  over SSH", "siblings ssh", prefix },
        { "  on this machine", "siblings local", prefix },
        { "over two hops" },
        { "  over SSH, and to a child there", "hops ssh", prefix },
        { "  on this machine", "hops local", prefix },
    }
end

local function controller_table(title, phase)
    local columns = {
        { "sender: writes", "sender.write" }, { "reads", "sender.read" }, { "waits", "sender.wait" },
        { "futexes", "sender.futex" }, { "other", "sender.other" }, { "switches", "sender.switches" },
        { "process: poller", "epoll_ctl" }, { "counted: writes", "sys_write" }, { "reads", "sys_read" },
        { "polls", "sys_poll" }, { "sleeps", "sys_sleep" }, { "wakes", "sys_wake" }, { "turns", "loop_turns" },
        { "wake-ups", "loop_wakeups" }, { "locks", "send_locks" },
    }
    for _, column in ipairs(columns) do column[3] = "%.2f" end
    return { title = title .. ": the controller's part", columns = columns, rows = rows(phase) }
end

local function process_table(title, phase)
    local columns = {}
    for _, what in ipairs { "calls", "switches" } do
        for _, role in ipairs { "controller", "ssh", "sshd", "agent" } do
            local head = role == "controller" and ("%s: %s"):format(what, role) or role == "ssh" and "ssh(1)" or role
            columns[#columns + 1] = { head, role .. "." .. what, "%.2f" }
        end
    end
    table.insert(columns, 5, { "all", "all.calls", "%.2f" })
    return { title = title .. ": system calls and voluntary switches", columns = columns, rows = rows(phase) }
end

local function localhost() return "local" end
local function host(place) return place.host end

report.run {
    name = "transmission",
    rounds = 1,
    subjects = {
        mitogen("mitogen ssh", host),
        mode("deferred openssh", "deferred", "openssh"),
        mode("optimistic openssh", "optimistic", "openssh"),
        mode("optimistic libssh2", "optimistic", "libssh2"),
        mitogen("mitogen local", localhost),
        mode("deferred local", "deferred", "", true),
        mode("optimistic local", "optimistic", "", true),
        siblings("siblings ssh", host),
        siblings("siblings local", localhost),
        hops("hops ssh", host),
        hops("hops local", localhost),
    },
    tables = {
        controller_table("one send", "send"), process_table("one send", "send"),
        controller_table("one round trip", "call"), process_table("one round trip", "call"),
        controller_table("one of many round trips in a row", "calls"),
        process_table("one of many round trips in a row", "calls"),
    },
}
