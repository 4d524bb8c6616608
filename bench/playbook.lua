-- A playbook of forty tasks, on hosts that have never seen it and again, beside Ansible's.

local report = require "lib.report"
local run = require "lib.run"

local place = run.places[1]
local config = os.getenv("BENCH_SITE_CONFIG")
local folder = run.folder .. "/programs/playbook"
local site = run.scratch .. "/site"
local LIMIT = 3600 -- seconds for a run

local counts = {}
for count in os.getenv("BENCH_SITE_HOSTS"):gmatch("%d+") do counts[#counts + 1] = tonumber(count) end

local function write(path, text)
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
end

-- Hosts -------------------------------------------------------------------------------------------

local function on_hosts(count, script, redirect)
    return os.execute(("seq 1 %d | xargs -P 4 -I @ sh -c %s"):format(count, run.quote(
        ('ORRERY_LAB_NAME="$BENCH_SITE" %s/../spec/lab exec h@ sh -c "$(cat %s/%s)" %s'):format(
            run.folder, folder, script, redirect))))
end

-- As if nobody had ever been there; connections that were left open, too.
local function reset(count)
    on_hosts(count, "reset.sh", ">/dev/null 2>&1")
    local command = 'for master in %s/cp/*; do ssh -o ControlPath="$master" -O exit x; done >/dev/null 2>&1'
    os.execute(command:format(site))
end

local states = {} -- by host: what the first tool that was there has left

-- What a tool has left on the first and the last host is what the first one has.
local function compare(name, count, notes)
    on_hosts(count, "state.sh", (">%s/state.h@ 2>&1"):format(site))
    for _, i in ipairs { 1, count } do
        local state = run.slurp(("%s/state.h%d"):format(site, i))
        states[i] = states[i] or { name = name, text = state }
        if states[i].text ~= state then
            local other = ("%s/other"):format(site)
            write(other, states[i].text)
            local pipe = io.popen(("diff %s %s/state.h%d | sed -n 2p"):format(other, site, i))
            notes[#notes + 1] = ("leaves h%d unlike %s: %s"):format(i, states[i].name, pipe:read("*l") or "?")
            pipe:close()
        end
    end
end

-- Tools -------------------------------------------------------------------------------------------

local extra = {
    server = os.getenv("BENCH_SITE_SERVER"), checksum = os.getenv("BENCH_SITE_CHECKSUM"),
}

local function extra_words()
    return ("-e server=%s -e checksum=%s"):format(extra.server, extra.checksum)
end

local function ours(how)
    return function(count)
        return ("env XDG_STATE_HOME=%s/records %s/orrery play %s/site.lua -i %s/hosts.%d -F %s %s -- %s"):format(
            site, run.build, folder, site, count, config, extra_words(), how)
    end
end

local function ansible(variables)
    return function(count)
        return ("env ANSIBLE_CONFIG=%s/ansible.cfg %s ansible-playbook -i %s/hosts.%d %s/site.yml %s"):format(
            site, variables, site, count, folder, extra_words())
    end
end

local tools = {
    { name = "batch", command = ours "batch" },
    { name = "steps", command = ours "steps" },
    {
        name = "mitogen", peer = true,
        command = ansible(("ANSIBLE_STRATEGY=mitogen_bench ANSIBLE_STRATEGY_PLUGINS=%s/peers/strategy"):format(
            run.folder)),
    },
    { name = "ansible", peer = true, command = ansible "" },
}

-- BENCH_SITE_TOOLS leaves out others: on many hosts the peers take hours.
local chosen = os.getenv("BENCH_SITE_TOOLS") or "batch steps mitogen ansible"

-- How many steps were changed, of the last lines of the output. Ansible: "h1 : ok=39 changed=0 ..."; ours: a table, in
-- which hosts with the same figures share a row, "h[1-10] (10)".
local function changed_in(output)
    local total, columns, at = 0, nil, nil
    for line in output:gmatch("[^\n]+") do
        total = total + (tonumber(line:match("changed=(%d+)")) or 0)
        local words = {}
        for word in line:gmatch("%S+") do
            words[#words + 1] = word
            if line:match("^%s+ok%s+changed") and word == "changed" then columns, at = line, #words end
        end
        if columns and columns ~= line then
            local _, count = columns:gsub("%S+", "")
            local hosts = tonumber(line:match("%((%d+)%)")) or 1
            total = total + hosts * (tonumber(words[#words - count + at]) or 0)
        end
    end
    return total
end

local function one_run(tool, count, prefix, figures, notes)
    local output = site .. "/output"
    local command = ("{ %s >%s 2>&1; }"):format(tool.command(count), output)
    local found, said = run.figures(run.orrery(place, "process", command), LIMIT)
    for _, note in ipairs(said) do notes[#notes + 1] = note end
    if not found then
        notes[#notes + 1] = run.slurp(output):match("[^\n]*[Ff][Aa][Ii][Ll][Ee][Dd][^\n]*")
        return false
    end
    for name, value in pairs(found) do figures[prefix .. name] = value end
    figures[prefix .. "changed"] = changed_in(run.slurp(output))
    return true
end

local function both_runs(tool, count, figures, notes)
    -- Where the second one is all that is wanted of a peer, it finds what ours has left.
    if not (tool.peer and os.getenv("BENCH_SITE_SECOND")) then
        reset(count)
        if not one_run(tool, count, "first.", figures, notes) then return false end
    end
    return one_run(tool, count, "again.", figures, notes)
end

local function measure(tool, count)
    local figures, notes = {}, {}
    if not both_runs(tool, count, figures, notes) then return nil, notes end
    if figures["again.changed"] > 0 then
        notes[#notes + 1] = ("calls %d changed in the second run"):format(figures["again.changed"])
    end
    compare(tool.name, count, notes)
    return figures, notes
end

local subjects, tables = {}, {}

local ROWS = {
    { "Orrery, a batch", "batch" }, { "Orrery, step by step", "steps" },
    { "Ansible with Mitogen", "mitogen" }, { "Ansible, pipelining", "ansible" },
}

local function rows_of(count)
    local rows = {}
    for i, row in ipairs(ROWS) do rows[i] = { row[1], row[2] .. count } end
    return rows
end

for _, count in ipairs(counts) do
    local names = {}
    for i = 1, count do names[i] = "h" .. i end
    write(("%s/hosts.%d"):format(site, count), table.concat(names, "\n") .. "\n")
    for _, tool in ipairs(tools) do
        subjects[#subjects + 1] = (" " .. chosen .. " "):find(" " .. tool.name .. " ", 1, true) and {
            name = tool.name .. count, peer = tool.peer, figures = function() return measure(tool, count) end,
        } or nil
    end
    tables[#tables + 1] = {
        title = ("forty tasks on %d host%s"):format(count, count == 1 and "" or "s"),
        columns = {
            { "second run s", "again.wall" }, { "first run s", "first.wall" },
            { "cpu s, second", "again.cpu.all" }, { "of it here", "again.cpu.here" },
            { "cpu s, first", "first.cpu.all" }, { "changed, first", "first.changed" },
        },
        rows = rows_of(count), ratios = { { "x batch", "batch" .. count }, { "x steps", "steps" .. count } },
    }
end

-- A link that is slow, from h1 of the same lab ------------------------------------------------------

local function lab(words)
    os.execute(("ORRERY_LAB_NAME=\"$BENCH_SITE\" %s/../spec/lab %s"):format(run.folder, words))
end

subjects[#subjects + 1] = {
    name = "latency",
    figures = function()
        reset(1)
        lab "netem h1 delay 100ms"
        local figures, notes = run.figures(("env BENCH_SSH_CONFIG=%s %s"):format(run.quote(config), run.orrery(place,
            "playbook/latency", "h1", "server=" .. extra.server, "checksum=" .. extra.checksum)))
        lab "netem h1"
        return figures, notes
    end,
}
tables[#tables + 1] = {
    title = "forty tasks in a batch, on a host that is connected, over a link with 100 ms of delay",
    columns = { { "messages", "messages" }, { "s", "seconds" }, { "in round trips", "trips" } },
    rows = { { "the first time", "latency", "first." }, { "again", "latency", "again." } },
}

report.run { name = "playbook", rounds = 3, places = { place }, subjects = subjects, tables = tables }
