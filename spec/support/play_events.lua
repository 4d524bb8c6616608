--- Events of a play that never was: for specs, and for looking at what views make of one.
--
-- The same options give the same events. Hosts run side by side, each at its own pace.

local M = {}

local START = 1790000000.25

--- Its own numbers, so that a library's do not change with it: xorshift would do as well.
local function randoms(seed)
    local state = seed % 2147483647
    return function(n)
        state = (state * 16807) % 2147483647
        if n then return state % n + 1 end
        return state / 2147483647
    end
end

local CONF_BEFORE = [[
user www-data;
worker_processes 2;

events { worker_connections 512; }
http {
    server_tokens on;
    include /etc/nginx/sites/*;
}
]]
local CONF_AFTER = CONF_BEFORE:gsub("_processes 2", "_processes 8"):gsub("tokens on", "tokens off")

local STEPS = {
    { name = "package cache is fresh", resource = "package", seconds = 1.2, usual = "ok" },
    { name = "package nginx", resource = "package", seconds = 2.5, usual = "changed", lines = true,
        message = "installed nginx 1.22.1-9" },
    { name = "user app", resource = "user", seconds = 0.1, usual = "ok" },
    { name = "directory /srv/app", resource = "file", seconds = 0.05, usual = "changed",
        diff = {
            { what = "mode", before = "700", after = "755" }, { what = "owner", before = "root", after = "app" },
        } },
    { name = "template /etc/nginx/nginx.conf", resource = "template", seconds = 0.1, usual = "changed",
        diff = { { path = "/etc/nginx/nginx.conf", before = CONF_BEFORE, after = CONF_AFTER } } },
    { name = "copy app-2.4.1.tar.gz", resource = "copy", seconds = 6, usual = "changed", bytes = 48 * 1024 * 1024 },
    { name = "unpack the release", resource = "command", seconds = 1.5, usual = "changed", lines = true },
    { name = "link /srv/app/current", resource = "file", seconds = 0.05, usual = "changed" },
    { name = "migrate the database", resource = "command", seconds = 0.4, usual = "skipped",
        message = "only on the first host" },
    { name = "service nginx", resource = "service", seconds = 0.7, usual = "ok" },
    { name = "health check", resource = "http", seconds = 0.3, usual = "ok" },
}

local LINES = {
    "Reading package lists...", "Building dependency tree...", "Get:1 http://deb.debian.org bookworm/main nginx",
    "Unpacking nginx (1.22.1-9) ...", "Setting up nginx (1.22.1-9) ...", "Processing triggers for man-db",
}

local function failure(name, at)
    if name:find "package" then
        return {
            code = "command", at = at,
            message = "cannot install nginx: apt-get ended with status 100",
            result = { code = 100, stdout = "", stderr = "E: Unable to locate package nginx\n"
                .. "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (apt-get)" },
        }
    end
    return {
        code = "file", at = at, message = "cannot write /srv/app: No space left on device",
        cause = { code = "system", message = "write: ENOSPC" },
    }
end

---@class spec.EventOptions
---@field hosts? integer
---@field names? string[]
---@field steps? integer how many; the list is gone through again and again
---@field seed? integer
---@field failures? number how many of the hosts fail, of 1
---@field lost? number
---@field check? boolean
---@field lines? boolean false: no step_line, no step_progress

local function host_names(opts)
    if opts.names then return opts.names end
    local names = {}
    for i = 1, opts.hosts or 3 do
        local kind = i % 10 == 0 and "db" or "web"
        names[i] = ("%s%d"):format(kind, i)
    end
    return names
end

local function add(list, time, event)
    event.time = time
    list[#list + 1] = event
    event.order = #list
end

local function add_course(list, step, event, time, seconds)
    local n = 4
    for i = 1, n do
        local at = time + seconds * i / (n + 1)
        if step.lines then
            add(list, at, { event = "step_line", play = 1, host = event.host, step = event.step, stream = "stdout",
                line = LINES[(i - 1) % #LINES + 1] })
        elseif step.bytes then
            add(list, at, { event = "step_progress", play = 1, host = event.host, step = event.step,
                done = math.floor(step.bytes * i / (n + 1)), total = step.bytes })
        end
    end
end

local function add_step(list, opts, step, i, host, time, random, status)
    local seconds = step.seconds * (0.5 + random())
    local at = ("deploy.lua:%d"):format(10 + i)
    local round = math.floor((i - 1) / #STEPS)
    local name = round > 0 and ("%s (%d)"):format(step.name, round + 1) or step.name
    local start = { event = "step_start", play = 1, host = host, step = tostring(i), name = name,
        resource = step.resource, handler = false, at = at }
    add(list, time, start)
    if opts.lines ~= false then add_course(list, step, start, time, seconds) end
    time = time + seconds
    local failed = status == "failed"
    add(list, time, { event = "step_end", play = 1, host = host, step = tostring(i), name = name,
        resource = step.resource, status = status, seconds = seconds, attempts = 1,
        diff = status == "changed" and step.diff or nil, message = status == step.usual and step.message or nil,
        error = failed and failure(name, at) or nil })
    return time
end

local function add_host(list, opts, host, random)
    local time = START + 0.2 + random() * 0.3
    add(list, time, { event = "host_start", play = 1, host = host })
    local steps, pace = opts.steps or #STEPS, random()
    local fails = pace < (opts.failures or 0) and random(steps)
    local lost = not fails and pace > 1 - (opts.lost or 0) and random(steps)
    for i = 1, steps do
        local step = STEPS[(i - 1) % #STEPS + 1]
        if lost == i then
            add(list, time + 15, { event = "host_end", play = 1, host = host, status = "lost",
                error = { code = "dead", message = "the connection to " .. host .. " was lost: no answer for 15 s" } })
            return
        end
        local status = step.usual
        if fails == i then status = "failed" elseif random() < 0.06 then status = "ok" end
        time = add_step(list, opts, step, i, host, time, random, status) + 0.01
        if status == "failed" then
            add(list, time, { event = "host_end", play = 1, host = host, status = "failed",
                error = failure(step.name, ("deploy.lua:%d"):format(10 + i)) })
            return
        end
    end
    if random() < 0.2 then
        add(list, time, { event = "message", play = 1, host = host, level = "info", text = "configuration is new" })
    end
    add(list, time, { event = "host_end", play = 1, host = host, status = "ok" })
end

local function counts(list, names)
    local hosts = {}
    for _, name in ipairs(names) do
        hosts[name] = { ok = 0, changed = 0, failed = 0, skipped = 0, unknown = 0, ignored = 0, lost = 0 }
    end
    for _, e in ipairs(list) do
        if e.event == "step_end" then hosts[e.host][e.status] = hosts[e.host][e.status] + 1 end
        if e.event == "host_end" and e.status == "lost" then hosts[e.host].lost = 1 end
    end
    return hosts
end

--- All events of a run, in order.
---@param opts? spec.EventOptions
---@return table[]
function M.make(opts)
    opts = opts or {}
    local random, names, list = randoms(opts.seed or 42), host_names(opts), {}
    add(list, START, { event = "run_start", playbook = "deploy.lua", check = opts.check or false, diff = false })
    add(list, START + 0.1, { event = "play_start", play = 1, name = "web tier", hosts = names })
    for _, name in ipairs(names) do add_host(list, opts, name, random) end
    table.sort(list, function(a, b)
        if a.time ~= b.time then return a.time < b.time end
        return a.order < b.order
    end)
    local last, status = list[#list].time, "ok"
    for _, e in ipairs(list) do
        e.order = nil
        if e.event == "host_end" and e.status ~= "ok" then status = "failed" end
    end
    list[#list + 1] = { event = "play_end", play = 1, status = status, seconds = last - START, time = last + 0.1 }
    list[#list + 1] = { event = "run_end", time = last + 0.2, seconds = last + 0.2 - START, status = status,
        hosts = counts(list, names) }
    return list
end

--- Hands events to a view.
---@param view table
---@param events table[]
---@param upto? integer
function M.feed(view, events, upto)
    for i = 1, upto or #events do view:event(events[i]) end
end

--- The fields of each event, and of errors ("error"), as docs/events.md has them in its tables.
---@return table<string, table<string, true>>
function M.documented()
    local file = assert(io.open("docs/events.md", "rb"))
    local known, names, common = {}, {}, {}
    for line in file:lines() do
        local row = line:match "^| (`.-) |"
        if line:find "^#" then names = {} end
        local first = line:match "^`([%w_]+)`"
        if first then names = { first } end
        if line == "## Errors" then names = { "error" } end
        for _, name in ipairs(names) do known[name] = known[name] or {} end
        if row then
            for field in row:gmatch "`([%w_]+)`" do
                for _, name in ipairs(names) do known[name][field] = true end
                if field == "event" or field == "time" then common[field] = true end
            end
        end
    end
    file:close()
    for name, fields in pairs(known) do
        if name ~= "error" then
            for field in pairs(common) do fields[field] = true end
        end
    end
    return known
end

return M
