--- orrery play: runs a playbook.

local args = require "orrery.cli.args"
local Error = require "orrery.error"
local ssh_options = require "orrery.cli.ssh_options"

local M = {}

M.interruptible = true
M.operand = "FILE"

---@type orrery.cli.Option[]
M.options = {
    { name = "inventory", short = "i", value = "text", many = true },
    { name = "var", short = "e", value = "text", many = true },
    { name = "limit", value = "text" },
    { name = "tags", value = "text", many = true },
    { name = "skip-tags", value = "text", many = true },
    { name = "check" },
    { name = "diff" },
    { name = "failed" },
    { name = "from-start" },
    { name = "start-at", value = "text" },
    { name = "step" },
    { name = "forks", value = "count" },
    { name = "throttle", value = "count" },
    { name = "force-handlers" },
    { name = "list-hosts" },
    { name = "list-tasks" },
    { name = "output", value = "text" },
    { name = "report", value = "text" },
    { name = "no-record" },
    { name = "vault-passphrase-file", value = "text", many = true },
    { name = "stats" },
}

-- As in the other commands, but for -i.
for _, option in ipairs(ssh_options.list) do
    local copy = {}
    for key, value in pairs(option) do copy[key] = value end
    if copy.short == "i" then copy.short = nil end
    table.insert(M.options, copy)
end

local function fail(text) args.fail("play", text) end

-- Reading the command line -------------------------------------------------------------------------

-- "a,b" and a, b alike.
local function words_of(texts)
    if not texts then return nil end
    local words = {}
    for _, text in ipairs(texts) do
        for word in text:gmatch "[^,%s]+" do words[#words + 1] = word end
    end
    return words
end

local function typed(name, text)
    local ok, value = pcall(require("orrery.json").decode, text, { name = "--var " .. name })
    if not ok then fail(("option '--var': %s"):format(Error.from(value).message)) end
    return value
end

--- Variables of the command line: name=value is a string, name:=value is JSON.
---@param texts? string[]
---@return table<string, any>
function M.vars(texts)
    local vars = {}
    for _, text in ipairs(texts or {}) do
        local name, sign, value = text:match "^([%a_][%w_]*)(:?=)(.*)$"
        if not name then fail(("option '--var' must be NAME=VALUE or NAME:=JSON, not '%s'"):format(text)) end
        if sign == ":=" then vars[name] = typed(name, value) else vars[name] = value end
    end
    return vars
end

local function exclude(opts, ...)
    local given
    for _, name in ipairs { ... } do
        if opts[name] then
            if given then fail(("options '--%s' and '--%s' exclude each other"):format(given, name)) end
            given = name
        end
    end
end

local function check_options(opts)
    exclude(opts, "failed", "start-at")
    exclude(opts, "list-hosts", "list-tasks")
    exclude(opts, "forks", "throttle")
    if opts["from-start"] and not opts.failed then fail "option '--from-start' goes with '--failed'" end
end

-- What orrery.ssh is told. A user in front of a host's name wins, and so do the inventory's variables.
local function ssh_of(opts)
    local ssh = ssh_options.of("", opts)
    return next(ssh) and ssh or nil
end

---@param opts table
---@param path string
---@return orrery.play.RunSettings
function M.settings(opts, path)
    check_options(opts)
    return {
        playbook = path, inventory = opts.inventory, vars = M.vars(opts.var), limit = opts.limit,
        tags = words_of(opts.tags), skip_tags = words_of(opts["skip-tags"]), check = opts.check, diff = opts.diff,
        failed = opts.failed, from_start = opts["from-start"], start_at = opts["start-at"], step = opts.step,
        forks = opts.forks or opts.throttle, force_handlers = opts["force-handlers"],
        list = opts["list-hosts"] and "hosts" or opts["list-tasks"] and "tasks" or nil,
        record = not opts["no-record"] and nil, ssh = ssh_of(opts),
    }
end

local function quoted(word)
    return word:find "^[%w_%-%./:=,@%%+%[%]]+$" and word or ("'%s'"):format(word:gsub("'", "'\\''"))
end

-- Which options a command needs, too, that goes on with this run.
local KEPT = {
    "inventory", "user", "port", "ssh-config", "identity", "known-hosts", "jump", "no-cache", "tags", "skip-tags",
    "vault-passphrase-file",
}

--- How this playbook is called, for advice. What may be secret is not in it: values of variables, and arguments.
---@param opts table
---@param path string
---@param arguments? string[]
---@return string "site.lua --inventory hosts.ini --var version=..."
function M.called(opts, path, arguments)
    local words = { quoted(path) }
    for _, name in ipairs(KEPT) do
        local value = opts[name]
        for _, each in ipairs(type(value) == "table" and value or { value }) do
            words[#words + 1] = "--" .. name
            if each ~= true then words[#words + 1] = quoted(tostring(each)) end
        end
    end
    for _, text in ipairs(opts.var or {}) do words[#words + 1] = "--var " .. text:match "^[^=]*=" .. "..." end
    if arguments and #arguments > 0 then words[#words + 1] = "-- ..." end
    return table.concat(words, " ")
end

-- --step --------------------------------------------------------------------------------------------

local ANSWERS = { [""] = "yes", y = "yes", yes = "yes", n = "no", no = "no", c = "all", continue = "all" }

--- Asks before each step, one question at a time.
---@param ask fun(text: string): string
---@return fun(step: orrery.play.StepInfo): boolean
function M.confirmer(ask)
    local all, turn = false, require("orrery.play.once").throttle()
    local function one(step)
        while not all do
            local text = ("%s: %s %s? [Y]es, [n]o, [c]ontinue without asking: "):format(
                step.host or "?", step.id, step.name)
            local answer = ANSWERS[ask(text):lower():match "^%s*(.-)%s*$"]
            if answer == "no" then return false end
            all = answer == "all"
            if answer then return true end
        end
        return true
    end
    return function(step)
        return turn:run("step", 1, function() return one(step) end)
    end
end

local function ask_person(text)
    return require("orrery.ask").person {
        kind = "prompt", host = "", subject = "", text = text, detail = "", echo = true, attempt = 1,
    }
end

-- Running -------------------------------------------------------------------------------------------

-- Mistakes in files, which say where they are: how this program came to read them says nothing.
local PLAIN = { inventory = true, decode = true, vault = true }

local function report(err)
    local interrupt = require "orrery.interrupt"
    if interrupt.happened() then
        io.stdout:flush()
        io.stderr:write("orrery: ", require("orrery.cli.output").printable(interrupt.report(), 2), "\n")
    end
    if err == nil then return end
    err = Error.from(err)
    -- What stopped a play was said by its hosts, and by the play.
    if require("orrery.play.session").is_stop(err) or interrupt.happened() and err.code == "interrupted" then return end
    if err.code == "usage" then error(err, 0) end
    if PLAIN[err.code] then err.traceback = nil end
    require("orrery.cli").report(err)
end

local function run_script(path, arguments)
    local interrupt, sched, run = require "orrery.interrupt", require "orrery.sched", require "orrery.cli.run"
    local failed, report_orphan = false, sched.on_orphan_error
    function sched.on_orphan_error(err, what)
        failed = true
        report_orphan(err, what)
    end
    interrupt.install()
    run.at_exit(run.exit_plays)
    local ok, err = pcall(require("orrery.script").run, path, arguments)
    if ok then err = nil end
    if interrupt.happened() then interrupt.settle() end
    if type(err) == "table" and err.nothing_left then
        io.stderr:write(err.message, "\n")
        return 0
    end
    local status = run.finish_plays(err)
    if status == 0 and err ~= nil then status = 1 end
    report(err)
    return failed and status == 0 and 1 or status
end

---@param words string[] the playbook, and its arguments
---@return integer status
function M.main(opts, words)
    local path, arguments = words[1], args.rest(words, 2)
    if not path then fail "a playbook is missing" end
    local settings = M.settings(opts, path)
    local views = require "orrery.play.views"
    local view, why = views.named(opts.output)
    if not view then fail(("option '--output' %s"):format(why)) end
    if settings.step then settings.confirm = M.confirmer(ask_person) end
    require "orrery"
    if opts["vault-passphrase-file"] then
        require("orrery.vault").passphrase_files(opts["vault-passphrase-file"])
    end
    if not settings.list then
        settings.views = { views.open({ view, opts.report and "html" or nil }, {
            report = opts.report, verbosity = opts.verbose, diff = opts.diff,
            playbook = M.called(opts, path, arguments),
        }) }
    end
    require("orrery.play.session").configure(settings)
    return run_script(path, arguments)
end

return M
