--- The prompt of `orrery repl`: reads inputs, runs them here or on hosts, shows what came of it.
--
-- What an input means is session.lua's, in whatever context it runs; where it runs is targets.lua's; the terminal
-- is terminal.lua's; what begins with a colon is in commands.lua.

local answers = require "orrery.repl.answers"
local core = require "orrery.core"
local Error = require "orrery.error"
local interrupt = require "orrery.interrupt"
local nodeset = require "orrery.play.inventory.nodeset"
local output = require "orrery.cli.output"
local running = require "orrery.repl.running"
local sched = require "orrery.sched"
local session = require "orrery.repl.session"
local sgr = require "orrery.sgr"
local Targets = require "orrery.repl.targets"
local xdg = require "orrery.xdg"

local M = {}

local EVAL = "orrery.repl.session.eval"
local OK, FAILED = 0, 1
local SIGINT = 2
local INDENT = 2 -- of an answer below the hosts that gave it

---@class orrery.repl.Repl
---@field id string names the session in all contexts
---@field targets orrery.repl.Targets
---@field settings orrery.repl.Settings
---@field transcript orrery.repl.Transcript
---@field terminal? orrery.repl.Terminal nil without one
---@field inventory? orrery.Inventory
---@field interactive boolean
---@field colour boolean
---@field print fun(text: string) writes lines to the person
---@field status integer
---@field private over boolean
---@field private busy boolean an input runs
local Repl = {}
Repl.__index = Repl

---@type orrery.repl.Repl? the only one of this process
local current

-- Contexts by name, opened when they are first asked for.
local function hosts_of(targets)
    return setmetatable({}, {
        __index = function(_, name) return targets:context(tostring(name)) end,
        __tostring = function() return ("hosts (%d)"):format(#targets.order) end,
    })
end

--- The prompt of this process, for ~/.config/orrery/init.lua.
---@return orrery.repl.Repl?
function M.current() return current end

-- Showing ---------------------------------------------------------------------------------------------

local RED = "31"

-- Writes lines to the person.
local function printer(self)
    return function(text)
        if text == "" then return end
        if text:sub(-1) ~= "\n" then text = text .. "\n" end
        if self.terminal and not self.busy then return self.terminal:above(text) end
        io.stdout:write(text)
        io.stdout:flush()
    end
end

-- `formatted`: it is harmless, and coloured as it should be.
---@private
function Repl:warn(text, formatted)
    if self.interactive then
        return self.print(formatted and text or sgr.paint(self.colour and RED, output.printable(text, 1)))
    end
    io.stdout:flush()
    io.stderr:write(formatted and "" or "orrery: ", output.printable(text, 2), "\n")
end

---@private
function Repl:complain(text, formatted)
    self.status = FAILED
    self:warn(text, formatted)
end

---@private
function Repl:show_page(text)
    if text ~= "" then require("orrery.repl.commands").page(self, text) end
end

---@private
function Repl:pretty()
    return self.settings:pretty(core.screen_size() or 80, self.colour)
end

---@private
function Repl:folding() return { width = core.screen_size() or 80, colour = self.colour } end

-- Running ---------------------------------------------------------------------------------------------

-- The answers but for those of hosts that were lost meanwhile: these are told of once, and not again.
---@private
function Repl:heard(list)
    self.targets:tell()
    local heard = {}
    for _, answer in ipairs(list) do
        if answer.ok or not self.targets:is_lost(answer.name) then heard[#heard + 1] = answer end
    end
    if #heard < #list then self.status = FAILED end
    return heard
end

-- Where the process that this one is attached to has ended, there is nothing to go on with.
---@private
function Repl:failed(err)
    local parted = core.attached() and err.code == "dead" and not err.context
    self.over = self.over or parted
    self:complain(answers.error(err))
    return parted
end

-- Where the terminal's echo of Ctrl-C is in front.
---@private
function Repl:begin_line()
    if self.interactive then self.print "\n" end
end

-- Runs what Ctrl-C may end, and says what went wrong. A command may run an input: that is one and the same.
---@private
function Repl:guarded(fn, ...)
    local inner = self.busy
    self.busy = true
    local ok, result = (inner and pcall or running.run)(fn, ...)
    self.busy = inner
    if ok then return true, result end
    if Error.from(result).code == "interrupted" then self:begin_line() end
    self:failed(Error.from(result))
    return false
end

-- In the task that Ctrl-C ends.
local function evaluate(self, text, name)
    local pretty = self:pretty()
    if not self.targets.home and #self.targets.names > 1 then pretty.width = pretty.width - INDENT end
    local opts = { name = name, pretty = pretty }
    if self.targets.home then return { { name = "", ok = true, value = session.eval(self.id, text, opts) } } end
    return self.targets:each(function(ctx) return ctx:call(EVAL, self.id, text, opts) end)
end

-- Values that were shown.
local function most_values(list)
    local n = 0
    for _, answer in ipairs(list) do n = math.max(n, answer.value.hidden and 0 or answer.value.n) end
    return n
end

--- Runs an input where inputs run now, and shows what came of it. Raises nothing.
---@param text string
---@param opts? orrery.repl.EvaluateOptions
---@return boolean ok
function Repl:evaluate(text, opts)
    opts = opts or {}
    if opts.history and self.terminal then self.terminal:remember(text) end
    local ok, list = self:guarded(evaluate, self, text, opts.name)
    if not ok then return false end
    local heard = self:heard(list)
    if #heard == 0 then return false end
    local said = answers.read(text, opts.name, heard, #list > 1, self:folding())
    if said.wrong then
        self:complain(said.wrong)
    else
        self:show_page(said.text)
    end
    if said.failed or #heard < #list then
        self.status = FAILED
        return false
    end
    self:keep { text = text, values = most_values(list) }
    return true
end

-- For `:save`.
---@private
function Repl:keep(entry)
    local where = self.targets:current()
    entry.targets = where and where.names
    self.transcript:add(entry)
end

-- Of what os.execute returns.
local function exit_of(status)
    local number = tonumber(status) or 256
    return { code = math.floor(number / 256), signal = number % 256 ~= 0 and number % 128 or nil }
end

local function run_there(self, command)
    local names = self.targets:current().names
    local many = output.printer(names)
    local function flush() many:flush() end
    local function say(put)
        return function(line)
            put(line)
            sched.after(0, flush)
        end
    end
    return self.targets:each(function(ctx, name)
        local single = #names == 1
        local result = ctx:run({ "sh", "-c", command }, {
            check = false, capture = false,
            on_stdout = say(function(line) if single then print(line) else many:stdout(name, line) end end),
            on_stderr = say(function(line)
                if single then io.stderr:write(line, "\n") else many:stderr(name, line) end
            end),
        })
        flush()
        return output.ending(result)
    end)
end

--- Runs a command by a shell where inputs run; what it writes is shown as it comes. Raises nothing.
---@param command string
---@return boolean ok
function Repl:shell(command)
    if self.targets.home then
        local inner = self.busy
        self.busy = true
        local status = os.execute(command)
        self.busy = inner
        if status == 0 or status == true then
            self:keep { text = command, shell = true }
            return true
        end
        local result = exit_of(status)
        if result.signal == SIGINT then self:begin_line() end
        self:complain(result.signal == SIGINT and "interrupted by Ctrl-C" or output.ending(result))
        return false
    end
    local done, list = self:guarded(run_there, self, command)
    if not done then return false end
    local single, heard = #list == 1, self:heard(list)
    local ok = #heard == #list
    for _, answer in ipairs(heard) do
        local front = single and "" or answer.name .. ": "
        if not answer.ok then self:complain(front .. answers.error(answer.value, answer.name)) end
        if answer.ok and answer.value then self:complain(front .. answer.value) end
        ok = ok and answer.ok and not answer.value
    end
    if ok then self:keep { text = command, shell = true } end
    return ok
end

--- Says which hosts an action could not reach.
---@param failures orrery.repl.Failure[]
function Repl:show_failures(failures)
    local text = answers.failures(failures, self:folding())
    if text ~= "" then self:complain(text, #failures > 1) end
end

---@private
function Repl:do_line(line)
    local command = line:match("^%s*:(.*)$")
    if command then
        return (self:guarded(require("orrery.repl.commands").run, command, self))
    end
    local shell = line:match "^%s*!%s*(.-)%s*$"
    if shell == "" then self:complain "'!' needs a command" end
    if shell then return shell ~= "" and self:shell(shell) end
    if not line:find("%S") then return true end
    return self:evaluate(line)
end

--- Does what a line says: a command, a shell's command, or an input. Raises nothing.
---@param line string
---@return boolean ok
function Repl:run(line)
    local command = line:find("^%s*:")
    if not command then self.transcript:type(line) end
    if command or not self.settings.time then return self:do_line(line) end
    local ok
    require("orrery.repl.commands.time").around(self, function() ok = self:do_line(line) end)
    return ok
end

--- Leaves the prompt after what runs now.
function Repl:leave() self.over = true end

-- Reading ---------------------------------------------------------------------------------------------

--- Whether what was typed so far is an input.
---@param text string
---@return "complete"|"incomplete"|"syntax"
function M.ready(text)
    if not text:find("%S") then return "complete" end
    if text:find("^%s*[:!]") then return text:find("\n", 1, true) and "syntax" or "complete" end
    return (session.ready(text))
end

---@private
function Repl:prompt()
    local label = self.targets:label()
    local name = label == "" and "orrery" or label
    if not self.colour then return name .. "> ", (" "):rep(math.min(#name, 12)) .. "> " end
    local colour = label == "" and "1" or label:find("lost", 1, true) and "1;31" or "1;36"
    return ("\1\27[%sm\2%s>\1\27[0m\2 "):format(colour, name), (" "):rep(math.min(#name, 12)) .. "> "
end

---@private
function Repl:interact()
    while not self.over do
        local read, text, why = xpcall(self.terminal.read, Error.handler, self.terminal, self:prompt())
        if not read then
            if self:failed(Error.from(text)) then return end
            error(text, 0)
        end
        self.status = OK
        if text then
            -- A mistake of ours must not take the person's session with it.
            local ok, err = xpcall(self.run, Error.handler, self, text)
            if not ok then self:complain(Error.format(Error.from(err))) end
            self.busy = false
        elseif why == "eof" then
            return
        end
    end
end

-- Inputs from a file or a pipe: each as soon as it is whole. The first that fails ends it.
---@private
function Repl:read_plain(file)
    local text
    for line in file:lines() do
        text = text and text .. "\n" .. line or line
        if M.ready(text) ~= "incomplete" then
            local whole = text
            text = nil
            if not self:run(whole) or self.over then return end
        end
    end
    if text then self:run(text) end
end

-- The beginning and the end ---------------------------------------------------------------------------

---@private
function Repl:on_interrupt()
    if self.busy then return running.interrupt() end
    if self.terminal then return self.terminal:interrupt() end
    os.exit(interrupt.STATUS)
end

---@private
function Repl:on_lost(list)
    local names, causes = {}, {}
    for _, each in ipairs(list) do
        if not names[each.message] then
            names[each.message], causes[#causes + 1] = {}, each.message
        end
        table.insert(names[each.message], each.name)
    end
    for _, cause in ipairs(causes) do
        self:warn(("%s: lost: %s"):format(nodeset.fold(names[cause]), cause))
    end
end

-- What children print beside an input's result.
---@private
function Repl:on_output(name, stream, line)
    local _, only = next(self.targets:contexts())
    local alone = only and #self.targets.names == 1 and only.name == name
    local text = (alone and stream ~= "log" and "" or name .. ": ") .. output.escape(line)
    if self.busy or not self.terminal then
        (stream == "stdout" and io.stdout or io.stderr):write(text, "\n")
    else
        self.print(text)
    end
end

-- What a person wants to have at each prompt. Its locals are the session's.
---@private
function Repl:read_config()
    local config = xdg.config()
    local path = config and config .. "/orrery/init.lua"
    local file = path and io.open(path, "rb")
    if not file then return end
    local text = file:read "*a"
    file:close()
    self:evaluate(text or "", { name = "@" .. path })
    self.transcript:clear()
end

---@private
function Repl:open_terminal(history)
    self.terminal = require("orrery.repl.terminal").open {
        history = history,
        complete = function(line, cursor, before)
            return require("orrery.repl.complete").at(line, cursor, self:completion(), before)
        end,
    }
    self.terminal.ready = M.ready
end

---@private
function Repl:completion()
    local hosts, groups = self.targets:candidates()
    return {
        id = self.id, commands = require("orrery.repl.commands").list,
        hosts = function() return hosts, groups end,
        settings = self.settings,
        call = function(name, ...)
            if self.targets.home then
                local module, field = name:match("^(.*)%.([^%.]+)$")
                return require(module)[field](...)
            end
            local ctx = self.targets:first()
            if not ctx then return end
            return ctx:call_async(name, ...):take(self.settings.timeout)
        end,
    }
end

---@class orrery.repl.Options
---@field inventory? orrery.Inventory
---@field names? string[] hosts of the command line
---@field use? string where the first input runs
---@field contexts? orrery.Context[] of the tree that this process is attached to
---@field ssh? fun(name: string): orrery.SshOptions
---@field code? string[] inputs to run instead of reading any
---@field config? boolean read init.lua; default true
---@field history? boolean keep what is typed; default true
---@field interactive boolean there is a person at a terminal

---@param opts orrery.repl.Options
---@return orrery.repl.Repl
local function new(opts)
    local self = setmetatable({
        id = ("%d:%.6f"):format((core.self()), core.now()), interactive = opts.interactive,
        settings = require("orrery.repl.settings").new(), inventory = opts.inventory, status = OK, over = false,
        transcript = require("orrery.repl.transcript").new(), busy = false, colour = false,
    }, Repl)
    current = self
    self.print = printer(self)
    local function set_colour() self.colour = self.settings:colours(opts.interactive) end
    self.settings.on_change = set_colour
    set_colour()
    self.targets = Targets.new {
        inventory = opts.inventory, names = opts.names, contexts = opts.contexts, ssh = opts.ssh,
        find = function(name)
            local found, value = session.lookup(self.id, name)
            local orrery = require "orrery"
            return found and getmetatable(value) == orrery.Context and value or nil
        end,
        -- Its module gets there before the first Tab, which does not wait for long.
        on_use = opts.interactive and function(ctx)
            ctx:cast("orrery.repl.names.fields", "", {}, false, "", 0)
        end or nil,
        on_lost = function(list) self:on_lost(list) end,
    }
    session.define(self.id, "inventory", opts.inventory)
    session.define(self.id, "hosts", hosts_of(self.targets))
    return self
end

---@private
function Repl:begin(opts)
    if opts.config ~= false then self:read_config() end
    if not opts.use then return true end
    local ok, failures = self:guarded(self.targets.use, self.targets, opts.use)
    if ok then self:show_failures(failures) end
    return ok and #failures == 0
end

--- Runs a prompt until its end.
---@param opts orrery.repl.Options
---@return integer status
function M.run(opts)
    local self = new(opts)
    interrupt.watch(function() self:on_interrupt() end)
    -- In somebody else's tree, what its contexts print is shown there.
    if not core.attached() then require("orrery").on_output(function(...) self:on_output(...) end) end
    local begun = self:begin(opts)
    if opts.code then
        for _, text in ipairs(begun and opts.code or {}) do
            if not self:run(text) or self.over then break end
        end
    elseif opts.interactive then
        self:open_terminal(opts.history ~= false)
        self:interact()
        self.terminal:close()
        self.terminal = nil
    elseif begun then
        self:read_plain(io.stdin)
    end
    self.targets:close_all()
    return self.status
end

return M
