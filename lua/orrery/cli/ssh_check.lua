--- orrery ssh-check: connects to one host step by step, and explains what it did.

local args = require "orrery.cli.args"
local Error = require "orrery.error"
local ssh_options = require "orrery.cli.ssh_options"

local M = {}

local OK, FAILED = 0, 1
local WIDTH, LABEL = 80, 17
local VALUE = 27 -- of a keyword, where its source stands on the same line

---@type orrery.cli.Option[]
M.options = ssh_options.with { { name = "transport", value = "text" } }

-- Output ------------------------------------------------------------------------------------------

local function say(text)
    io.stdout:write(require("orrery.cli.output").printable(text, 1), "\n")
end

--- "  ok label     text", wrapped; words that are too long stay whole.
local function row(mark, label, text)
    local head = ("  %-3s%-" .. LABEL - 5 .. "s"):format(mark, label)
    local line = head
    for word in text:gmatch("%S+") do
        if #line > #head and #line + 1 + #word > WIDTH then
            say(line)
            line = (" "):rep(#head)
        end
        line = line .. " " .. word
    end
    say(line)
end

local function ms(seconds)
    return seconds < 0.1 and ("%.1f ms"):format(seconds * 1e3) or ("%.2f s"):format(seconds)
end

local function keyword(name, value, source)
    local line = ("  %-22s %s"):format(name, value)
    if #value <= VALUE and 25 + VALUE + 1 + #source <= WIDTH then
        say(("%-" .. 25 + VALUE .. "s %s"):format(line, source))
    else
        say(line)
        say((" "):rep(25) .. source)
    end
end

-- Configuration -----------------------------------------------------------------------------------

-- Keywords, as written; where they are in orrery.SshConfig; the option that wins over them. These are shown
-- though nobody has set them; of the others, those that somebody has.
local ALWAYS = {
    { "HostName", "host" }, { "User", "user", "user" }, { "Port", "port", "port" },
    { "IdentityFile", "identities", "identity" }, { "IdentityAgent", "agent_socket" },
    { "UserKnownHostsFile", nil, "known_hosts" }, { "StrictHostKeyChecking", "strict" },
}
-- This one only where it is given.
local JUMP = { "ProxyJump", nil, "jump" }

local function values_of(plan, key, field)
    local value = plan.config[field]
    if field == nil then value = plan.way.found[key] end
    if value == nil then value = "none" end
    return type(value) == "table" and value or { value }
end

local function show_keyword(plan, name, places, field, option)
    if plan.opts[option] then places = { "option" } end
    local values = option == "known_hosts" and plan.opts.known_hosts or values_of(plan, name:lower(), field)
    for i, value in ipairs(values) do
        keyword(name, tostring(value), places and places[math.min(i, #places)] or "default")
    end
end

local function show_configuration(plan, trace)
    local query = table.concat(require("orrery.ssh_config").query(plan.host, plan.opts), " ")
    say(("Configuration, as '%s' has it"):format(query))
    local done, names = {}, {}
    local function show(entry)
        local key = entry[1]:lower()
        done[key] = true
        show_keyword(plan, entry[1], trace.sources[key], entry[2], entry[3])
    end
    for _, entry in ipairs(ALWAYS) do show(entry) end
    if plan.opts.jump then show(JUMP) end
    for key, name in pairs(trace.names) do
        if not done[key] and plan.way.found[key] then names[#names + 1] = name end
    end
    table.sort(names)
    for _, name in ipairs(names) do show_keyword(plan, name, trace.sources[name:lower()]) end
    say ""
end

local function show_transport(plan)
    say "Transport"
    if plan.transport == "libssh2" then
        row("", "in-process", ("libssh2 %s; nothing that is configured needs ssh(1)")
            :format((require "orrery.core").ssh_version))
    elseif plan.reason then
        row("", "ssh(1)", "since " .. plan.reason)
    else
        row("", "ssh(1)", "as the option says")
    end
    for _, reason in ipairs(plan.way and plan.way.reasons or {}) do
        if reason.text ~= plan.reason then row("", "", "also: " .. reason.text) end
    end
    say ""
end

-- The hosts on the way, from here on.
local function show_way(plan)
    local hops, config = {}, plan.config
    while config and config.via do
        config = config.via
        table.insert(hops, 1, ("%s: %s@%s port %s"):format(config.name, config.user, config.host, config.port))
    end
    for i, hop in ipairs(hops) do row("", i == 1 and "by way of" or "then", hop) end
    if plan.config and plan.config.proxy_command then row("", "by way of", plan.config.proxy_command) end
    if hops[1] then row("", "then", plan.name) end
end

-- Steps -------------------------------------------------------------------------------------------

-- Each attempt to log in that failed, one a line.
local function show_tried(tried)
    for attempt in (tried .. ", "):gmatch("(.-%)), ") do row("--", "login", attempt) end
end

-- Rows for what was done; returns the step that was not.
local function show_steps(r)
    if r.address == "" then return "address" end
    row("ok", "address", ("%s (resolve %s)"):format(r.address, ms(r.resolve)))
    if r.banner == "" then return "connection" end
    row("ok", "connection", ("%s (connect %s)"):format(r.banner, ms(r.connect)))
    if r.fingerprint == "" then return "key exchange" end
    row("ok", "key exchange", ("%s, %s, %s (%s)"):format(r.kex, r.cipher, r.mac ~= "" and r.mac or "no MAC",
        ms(r.key_exchange)))
    local how = r.trusted ~= "" and "known by " .. r.trusted or "was not known"
    local tried = r.auth ~= "" or r.tried ~= ""
    row((r.trusted ~= "" or tried) and "ok" or "--", "host key", ("%s %s %s"):format(r.host_key, r.fingerprint, how))
    if not tried and r.trusted == "" then return "host key" end
    show_tried(r.tried)
    if r.auth == "" then return "login" end
    row("ok", "login", ("%s (%s)"):format(r.auth, ms(r.authentication)))
    if r.exec == 0 then return "session" end
    row("ok", "session", ("exec (%s)"):format(ms(r.exec)))
    return "agent"
end

-- ssh(1) does not tell how much of the time was its own.
local function show_agent(info, seconds)
    local how = info.uploaded == 0 and "was there already" or ("%d bytes were sent"):format(info.uploaded)
    row("ok", "agent", ("%s; %s, %s, uid %d, pid %d (%s)"):format(how, info.hostname, info.machine, info.uid,
        info.pid, ms(seconds) .. (info.ssh and "" or " with the login")))
end

local function spent(r)
    return r and r.resolve + r.connect + r.key_exchange + r.authentication + r.exec or 0
end

local function show_success(plan, ctx, seconds)
    local core, info = require "orrery.core", ctx:info()
    if plan.failure then row("--", "in-process", plan.failure.message) end
    if info.ssh then show_steps(info.ssh) else row("ok", "ssh(1)", "connected") end
    show_agent(info, math.max(0, seconds - spent(info.ssh)))
    local start = core.now()
    ctx:call("os.time")
    row("ok", "call", ms(core.now() - start))
    say ""
    say(("%s can be used; it took %s"):format(plan.name, ms(seconds)))
end

-- Where ssh(1) failed it tells no steps, but the code says as much.
local STEP_OF = {
    connect = "connection", timeout = "connection", auth = "login", credentials = "login", hostkey = "host key",
    hostkey_changed = "host key", hostkey_revoked = "host key", bootstrap = "agent", option = "configuration",
}

local function failed_step(plan, err)
    if require("orrery.cli.ssh_advice").jump_host(plan, err) then return "jump host" end
    local step = err.ssh and show_steps(err.ssh) or STEP_OF[err.code] or "connection"
    return step == "connection" and err.message:find("resolve", 1, true) and "address" or step
end

local function show_failure(plan, err, advice)
    local step = failed_step(plan, err)
    row("NO", step, err.message)
    if Error.is(err.cause) then row("", "before", "inside this process: " .. tostring(err.cause.message)) end
    say ""
    say(("%s cannot be used: %s (%s)"):format(plan.name, step, err.code))
    for _, text in ipairs(advice) do row("", "to do", text) end
end

-- The whole ---------------------------------------------------------------------------------------

local function options_of(target, opts)
    local options = ssh_options.of(target, opts)
    options.transport = opts.transport
    return options
end

local function show_plan(plan)
    local config = require "orrery.ssh_config"
    local trace = require("orrery.ssh_trace").trace(config.query(plan.host, plan.opts))
    local sources = trace.sources
    if plan.config then show_configuration(plan, trace) end
    show_transport(plan)
    local notes = plan.config and require("orrery.cli.ssh_advice").before(plan, sources) or {}
    for _, note in ipairs(notes) do row("!", "note", note) end
    if notes[1] then say "" end
    say "Connection"
    show_way(plan)
    io.stdout:flush()
    return sources
end

---@param words string[] the host
---@return integer status
function M.main(opts, words)
    if not words[1] then args.fail("ssh-check", "which host?") end
    if words[2] then args.fail("ssh-check", ("one host at a time, not also '%s'"):format(words[2])) end
    local core, advice = require "orrery.core", require "orrery.cli.ssh_advice"
    local ssh = (require "orrery") and require "orrery.ssh"
    local planned, plan = pcall(ssh.plan, words[1], options_of(words[1], opts))
    if not planned then
        local err = Error.from(plan)
        show_failure({ name = words[1] }, err, advice.after({ name = words[1] }, err, {}))
        return FAILED
    end
    local sources = show_plan(plan)
    local start = core.now()
    local ok, ctx = pcall(ssh.connect, plan)
    local seconds = core.now() - start
    if ok then
        show_success(plan, ctx, seconds)
        ctx:close()
        return OK
    end
    local err = Error.from(ctx)
    show_failure(plan, err, advice.after(plan, err, sources))
    return FAILED
end

return M
