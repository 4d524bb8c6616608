--- The orrery command. Each subcommand is a module of its own, loaded when it is asked for, so that
--- `orrery --help` opens nothing.

local args = require "orrery.cli.args"
local Error = require "orrery.error"
local options = require "orrery.options"

local M = {}

--- Exit statuses, beside those of the subcommands; --help says them too.
local OK, FAILED, USAGE = 0, 1, 64

local LOG_WARN, LOG_TRACE = 1, 4

---@class orrery.cli.Command
---@field options? orrery.cli.Option[]
---@field interruptible? boolean it ends by itself after Ctrl-C, having called orrery.interrupt.install
---@field operand? string options may stand behind its first word, too; what it is called. Further words follow "--"
---@field main fun(opts: table, words: string[], argv: string[]): integer exit status

---@type table<string, string> the modules of the subcommands
local COMMANDS = {
    run = "orrery.cli.run",
    play = "orrery.cli.play",
    exec = "orrery.cli.exec",
    inventory = "orrery.cli.inventory",
    doc = "orrery.cli.doc",
    vault = "orrery.cli.vault",
    attach = "orrery.cli.attach",
    repl = "orrery.cli.repl",
    ["ssh-check"] = "orrery.cli.ssh_check",
    version = "orrery.cli.version",
    help = false,
}
local NAMES = { "run", "play", "exec", "inventory", "doc", "vault", "repl", "attach", "ssh-check", "version", "help" }

---@type orrery.cli.Option[] may stand before and after the name of a subcommand
local COMMON = {
    { name = "verbose", short = "v", many = true },
    { name = "log", value = "text" },
    { name = "help", short = "h" },
    { name = "version" },
}

local function open_log(opts)
    if not opts.verbose and not opts.log then return end
    local core = require "orrery.core"
    if opts.verbose then core.log_level(math.min(LOG_WARN + opts.verbose, LOG_TRACE)) end
    if not opts.log then return end
    local ok, _, why = core.log_open(opts.log)
    if not ok then Error.raise { code = "usage", message = "orrery: " .. why } end
end

local function unknown_command(word)
    local near = #word <= 64 and options.nearest(word, NAMES)
    local hint = near and (" (did you mean '%s'?)"):format(near) or ""
    if not near and word:match("%.lua$") then
        hint = (" (did you mean 'orrery run %s', or 'orrery play %s'?)"):format(word, word)
    end
    args.fail(nil, ("unknown command '%s'%s"):format(word, hint))
end

local function show_help(topic)
    local texts = require "orrery.cli.help"
    topic = topic or "orrery"
    if not texts[topic] then unknown_command(topic) end
    io.stdout:write(texts[topic])
    return OK
end

-- The options of one subcommand together with the common ones.
local function known_to(command)
    local known = {}
    for _, option in ipairs(command.options or {}) do known[#known + 1] = option end
    for _, option in ipairs(COMMON) do known[#known + 1] = option end
    return known
end

-- The words that are no options.
local function operands(command, name, opts, argv, at)
    local known = known_to(command)
    at = args.read(argv, at, known, opts, name)
    if not command.operand or not argv[at] or argv[at - 1] == "--" then return args.rest(argv, at) end
    local first = argv[at]
    at = args.read(argv, at + 1, known, opts, name)
    if argv[at] and argv[at - 1] ~= "--" then
        args.fail(name, ("unexpected '%s': what %s is given stands behind '--'"):format(argv[at], command.operand))
    end
    local words = args.rest(argv, at)
    table.insert(words, 1, first)
    return words
end

local function run_command(name, opts, argv, at)
    if name == "help" then
        at = args.read(argv, at, COMMON, opts, name)
        return show_help(argv[at] or opts.help and name)
    end
    local command = require(COMMANDS[name]) ---@type orrery.cli.Command
    local words = operands(command, name, opts, argv, at)
    if opts.help then return show_help(name) end
    open_log(opts)
    local status = command.main(opts, words, argv)
    if command.interruptible and require("orrery.interrupt").happened() then
        status = require("orrery.interrupt").STATUS
    end
    if opts.stats then require("orrery.cli.stats").show() end
    return status
end

local function dispatch(argv)
    local opts = {}
    local at = args.read(argv, 1, COMMON, opts)
    local name = argv[at]
    if opts.version then name, at = "version", at - 1 end
    if opts.help and not name then return show_help() end
    if not name then
        io.stderr:write((require "orrery.cli.help").orrery)
        return USAGE
    end
    if COMMANDS[name] == nil then unknown_command(name) end
    return run_command(name, opts, argv, at + 1)
end

--- Prints an error on stderr, the message first.
---@param err orrery.Error
function M.report(err)
    io.stdout:flush()
    local text = "orrery: " .. Error.format(err)
    io.stderr:write(require("orrery.cli.output").printable(text, 2), "\n")
end

--- Runs the command. Raises nothing.
---@param argv string[] argv[0] is the program
---@return integer status
function M.main(argv)
    local ok, status = xpcall(dispatch, Error.handler, argv)
    if ok then return status end
    if status.code == "usage" then
        io.stderr:write(status.message, "\n")
        return USAGE
    end
    M.report(status)
    return FAILED
end

return M
