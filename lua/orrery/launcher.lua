--- Ways into a child by a command: sudo, podman exec, chroot ... docs/launchers.md explains them.
--
-- A launcher is a table that says what its options are and what command line they make; it does nothing.
-- From it comes a plan, which is the request of context.open; opening it is a second step.

local context = require "orrery.context"
local Error = require "orrery.error"
local nested = require "orrery.nested"
local options = require "orrery.options"
local questions = require "orrery.ask"
local sched = require "orrery.sched"

local M = {}

---@class orrery.Launcher
---@field name string as which it is called, orrery.NAME; stands in front of the route
---@field target? string the option that is set where a string is the first argument
---@field list? string the option that is set where a list is
---@field options? orrery.OptionSchema
---@field argv fun(opts: table): table the command line. Lists in it are spliced in, nil and false are left out.
---In its last word {} stands for what a shell is to run, as `sh -c '{}'`
---@field label? fun(opts: table): string what stands behind the name in the route; default: the target
---@field prompts? boolean it may ask for a password on its output, and reads it from stdin
---@field subject? fun(opts: table): string whose password that is, where its words do not say
---@field signs? string[][] what its words mean, { Lua pattern, code of an error, text for a person }, in order
---@field check? fun(opts: table) raises where options do not go together

---@class orrery.LauncherOptions what every launcher takes, besides its own
---@field name? string what errors and logs call the context; default: the target
---@field program? string the command's file, where it is not in the PATH
---@field bootstrap_timeout? number seconds until the agent runs, default 60; a person who is asked does not count
---@field keepalive? number seconds; default 15
---@field cache? string a directory to keep the agent in, before the usual ones
---@field no_cache? boolean leave nothing there
---@field send? "optimistic"|"deferred"
---@field password? string where it may ask for one, as all below
---@field ask? false|fun(question: orrery.Asked): string?
---@field askpass? string
---@field share? boolean what was right for a user is tried for those of the same name elsewhere; default true

local function positive(value) return value > 0, "must be greater than 0" end

local COMMON = {
    name = "string", program = "string", keepalive = "number", cache = "string", no_cache = "boolean",
    bootstrap_timeout = { type = "number", check = positive },
    send = { enum = { "optimistic", "deferred" } },
}

local ASKING = {
    password = { type = "string", secret = true },
    ask = {
        type = { "function", "boolean" },
        check = function(value) return value ~= true, "must be a function, or false" end,
    },
    askpass = "string",
    share = { type = "boolean", default = true },
}

local DEFINITION = {
    name = {
        type = "string", required = true,
        check = function(value) return value:find "^%a[%w_]*$", "must be a name" end,
    },
    target = "string", list = "string", options = { type = "table", default = {} },
    argv = { type = "function", required = true },
    label = "function", prompts = "boolean", subject = "function", signs = { type = "table", default = {} },
    check = "function",
}

--- Those that are here, each in a file of its own.
local BUILT_IN = {}
for _, name in ipairs { "chroot", "doas", "docker", "exec", "incus", "kubectl", "lxc", "lxd", "machinectl",
    "nsenter", "podman", "runuser", "su", "sudo", "unshare" } do
    BUILT_IN[name] = true
end

---@type table<string, orrery.Launcher> with `schema`, all options that there are
local known = {}

local function fail(code, ...)
    Error.raise { code = code, message = ("%s: %s"):format(...), at = Error.at() }
end

-- What was said to the script's function, by the launcher and the user. (In this process the runtime keeps it.)
---@type table<string, orrery.Task>
local said = {}

--- Makes a plan fit for another context to open: questions come back here, and what is shared is shared here.
---@param plan table
---@return table plan the same
function M.for_another(plan)
    local asking, launcher = plan.asking, plan.route:match("^[^:]*")
    if asking.nobody then return plan end
    local share, program, last = asking.share, asking.program, nil
    local ask = plan.ask or function(question) return questions.person(question, program) end
    asking.share, asking.program = nil, nil
    plan.ask = function(question)
        if question.kind ~= "password" or not share then return ask(question) end
        local key = launcher .. " " .. question.subject:match("^[^@]*")
        if not said[key] or said[key] == last then said[key] = sched.spawn(ask, question) end
        last = said[key] -- asked again, this is what was wrong
        local ok, answer = pcall(last.get, last)
        if ok and answer ~= nil then return answer end
        if said[key] == last then said[key] = nil end
        if not ok then error(answer, 0) end
    end
    return plan
end

--- What `orrery.NAME` is.
---@type table<string, fun(first?: string|table, opts?: table): orrery.Context>
M.openers = {}

-- Makes `orrery.NAME` and `ctx:NAME` of it.
local function publish(name)
    local function schema() return M.schema(name) end
    local function open(first, opts) return context.open(M.plan(name, first, opts)) end
    local function plan(...) return M.for_another(M.plan(name, ...)) end
    M.openers[name] = options.declare(open, schema)
    nested.add(name, options.declare(plan, schema))
end

local function add(definition)
    local launcher = options.check("launcher", definition, DEFINITION)
    launcher.schema = {}
    for _, schema in ipairs { COMMON, launcher.prompts and ASKING or {}, launcher.options } do
        for option, spec in pairs(schema) do launcher.schema[option] = spec end
    end
    known[launcher.name] = launcher
    return launcher
end

local function find(name)
    if not known[name] and BUILT_IN[name] then add(require("orrery.launchers." .. name)) end
    return known[name]
end

--- All options of a launcher.
---@param name string
---@return orrery.OptionSchema
function M.schema(name) return find(name).schema end

--- Adds a launcher of your own: afterwards there is orrery.NAME(target, options).
---@param definition orrery.Launcher
---Raises "option" for what is wrong in it; "argument" for a name that is taken.
function M.register(definition)
    local launcher = options.check("launcher", definition, DEFINITION)
    if BUILT_IN[launcher.name] or rawget(require "orrery", launcher.name) ~= nil then
        fail("argument", "launcher", ("there is an orrery.%s already"):format(launcher.name))
    end
    add(definition)
    publish(launcher.name)
end
options.declare(M.register, DEFINITION, 1)

-- The arguments of orrery.NAME as one table of options.
local function read(launcher, first, opts)
    local all = {}
    if type(first) == "table" then
        if opts ~= nil then fail("argument", launcher.name, "options twice") end
        opts = first
    elseif first ~= nil then
        if not launcher.target then fail("argument", launcher.name, "a table of options was expected") end
        all[launcher.target] = first
    end
    if opts ~= nil and type(opts) ~= "table" then fail("argument", launcher.name, "options must be a table") end
    for option, value in pairs(opts or {}) do
        if type(option) == "number" and launcher.list then
            all[launcher.list] = all[launcher.list] or {}
            all[launcher.list][option] = value
        else
            all[option] = value
        end
    end
    return options.check(launcher.name, all, launcher.schema)
end

-- Without the gaps, and without the lists in it.
local function flatten(list, into)
    into = into or {}
    for i = 1, table.maxn(list) do
        local word = list[i]
        if type(word) == "table" then
            flatten(word, into)
        elseif word then
            into[#into + 1] = tostring(word)
        end
    end
    return into
end

-- One that comes from an inventory must not be taken for an option.
local function check_target(launcher, opts)
    local target = launcher.target and opts[launcher.target]
    if type(target) == "string" and (target == "" or target:find "^%-" or target:find "%c") then
        fail("argument", launcher.name, ("option '%s' cannot be %q"):format(launcher.target, target))
    end
end

local function asking(launcher, opts)
    if not launcher.prompts then return { nobody = true } end
    if (opts.password or ""):find "[%z\r\n]" then
        fail("option", launcher.name, "option 'password' has the end of a line in it")
    end
    return {
        prompts = true, nobody = opts.ask == false, program = opts.askpass, password = opts.password,
        share = opts.share, subject = launcher.subject and launcher.subject(opts),
    }
end

-- It may have to travel, and takes nothing of the launcher along but what it needs.
local function explainer(signs, program, label)
    return function(err) return M.explain(signs, program, label, err) end
end

--- What is to be opened, as context.open takes it; opens nothing.
---@param name string of the launcher
---@param first? string|table the target, or options
---@param opts? table
---@return table request
---Raises "option", "argument".
function M.plan(name, first, opts)
    local launcher = find(name) or fail("argument", "launcher", "there is none called " .. tostring(name))
    opts = read(launcher, first, opts)
    check_target(launcher, opts)
    if launcher.check then launcher.check(opts) end
    local argv = flatten(launcher.argv(opts))
    if not (argv[#argv] or ""):find("{%^?}") then
        fail("argument", name, "the last word of its command line has no {} for what the shell is to run")
    end
    local program = argv[1] ~= "sh" and argv[1]:match("[^/]*$") or name
    argv[1] = opts.program or argv[1]
    local label = launcher.label and launcher.label(opts) or tostring(opts[launcher.target] or "")
    return {
        name = opts.name or (label ~= "" and label or name), route = name .. ":" .. label, argv = argv,
        bootstrap_timeout = opts.bootstrap_timeout, keepalive = opts.keepalive, cache = opts.cache,
        no_cache = opts.no_cache, deferred = opts.send == "deferred",
        ask = opts.ask, asking = asking(launcher, opts),
        explain = explainer(launcher.signs, program, label),
    }
end

-- Errors ------------------------------------------------------------------------------------------

-- What several of them say of a shell that is not there.
local NO_SHELL = {
    { "[Ff]ailed to run command .-sh", "bootstrap", "it cannot run sh there" },
    { "[Ff]ailed to execute sh", "bootstrap", "it cannot run sh there" },
    { "executable file .*sh.* not found", "bootstrap", "there is no sh in it" },
    { "Failed to exec \"sh\"", "bootstrap", "there is no sh in it" },
}

local function sign_of(own, words)
    for _, signs in ipairs { own, NO_SHELL } do
        for _, sign in ipairs(signs) do
            if words:find(sign[1]) then return sign[2], sign[3] end
        end
    end
end

-- Its words on one line, without our prompts and the shell's script in them. Only the last words are here.
local function tidy(text)
    return (text:gsub("%[%w+%] password for [^()]* %(%x+%): ?", "")
        :gsub("^.*can hold the agent.-exit 1%S*", "sh -c ..."):gsub("%s+", " "):match("^%s*(.-)%.?%s*$"))
end

-- How the command ended, if it was that and not the stub: "exited with status 1".
local function ending(err)
    if err.message:find(", while taking the agent into ", 1, true) or err.message:find("; tried ", 1, true) then
        return nil
    end
    local head = err.message:match("^bootstrap: ([^;]*)") or ""
    return head:match("exited with status %d+") or head:match("was killed by signal %d+ %b()")
        or head:match("closed its output, though it still runs")
end

--- What sets variables of the environment for those that take them as podman does.
---@param env? table<string, string>
---@return string[] words in the order of their names
function M.env(env)
    local words = {}
    for name, value in pairs(env or {}) do words[#words + 1] = ("--env=%s=%s"):format(name, value) end
    table.sort(words)
    return words
end

--- Says of an opening that failed what the command's own words say.
---@param signs string[][] of the launcher
---@param program string
---@param label string
---@param err orrery.Error
---@return orrery.Error err the same
function M.explain(signs, program, label, err)
    if err.code == "command" then
        err.code = "connect"
        if err.message:find("No such file or directory", 1, true) then
            err.message = ("%s is not installed here, or not in the PATH: %s"):format(program, err.message)
        end
        return err
    end
    local how = (err.code == "bootstrap" or err.code == "auth") and ending(err)
    if not how then return err end
    local words = tidy((err.stderr or "") .. " " .. (err.message:match("; it printed: (.*)$") or ""))
    local code, text = sign_of(signs, words)
    err.code = code or (err.code == "auth" and "auth" or "connect")
    text = text or err.code == "auth" and "it did not let us in"
        or ("no shell came up in %s"):format(label ~= "" and label or "it")
    err.message = ("%s: %s: %s"):format(program, text, words ~= "" and words or "it " .. how .. " and said nothing")
    return err
end

for name in pairs(BUILT_IN) do publish(name) end

return M
