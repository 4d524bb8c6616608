--- The terminal of a prompt: lines are edited, remembered and completed by readline (runtime/app/line.c), and what
--- others write appears above the line.
--
-- Reading blocks by appearance. The loop tells that there is something to read, and whoever reads then lets readline
-- have it; so completion, which may wait, waits where read was called. While nothing is read the terminal is as the
-- program found it: what runs may write to it and read from it as any program.

local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local options = require "orrery.options"
local sched = require "orrery.sched"

local M = {}

-- Numbers of the two descriptors that are waited for, in messages.
local STDIN, SIGNALS = 1, 2

local HELD = 0.2 -- seconds that an unfinished line above the prompt waits for what follows
local MOST_HELD = 4096

---@class orrery.repl.Terminal
---@field ready fun(text: string): "complete"|"incomplete"|"syntax" whether an input goes on; unless it is set: no
---@field history orrery.repl.History
---@field package complete fun(line: string, cursor: integer, before: string): integer?, table?
---@field package stdin? orrery.Input
---@field package signals? orrery.Input
---@field package news? orrery.Future what read waits for
---@field package completing? orrery.Task
---@field package interrupted boolean
---@field package reading boolean
---@field private held string an unfinished line that others write
---@field private held_since number
---@field private releasing boolean
---@field private writing boolean what is written now is not to be held
---@field package rest string lines of a paste that are inputs of their own
---@field package before string lines of the input that is being typed, each with its newline
local Terminal = {}
Terminal.__index = Terminal

local SCHEMA = {
    history = { type = { "string", "boolean" }, default = true },
    complete = { type = "function" },
}

---@type orrery.repl.Terminal?
local open

link.handle(core.handle.INPUT, function()
    local news = open and open.news
    if news then news:resolve() end
end)

---@class orrery.repl.TerminalOptions
---@field history? string|boolean path of the file; true: where people have it (history.lua); false: none
---@field complete? fun(line: string, cursor: integer, before: string): integer, table `line`, of which `cursor` bytes
---are before the cursor, and the lines before it that belong to the same input. Returns where what is replaced begins
---(1-based), and a list of { text=, shown=, final= }. It may block

--- Takes the terminal: stdin and stdout. One at a time.
---@param opts? orrery.repl.TerminalOptions
---@return orrery.repl.Terminal? terminal nil where there is no terminal
---@return string? why
---Raises "state" where one is open; "option".
function M.open(opts)
    opts = options.check("terminal.open", opts, SCHEMA)
    local ok, line = pcall(require, "orrery.line")
    if not ok then return nil, "only the command orrery has a prompt" end
    if open then
        Error.raise { code = "state", message = "terminal.open: it is open already", at = Error.at() }
    end
    local guest, fd = line.open()
    if not guest then return nil, fd end
    local self = setmetatable({
        line = line, complete = opts.complete or function() end, rest = "", before = "",
        held = "", held_since = 0, releasing = false, writing = false,
        ready = function() return "complete" end, interrupted = false, reading = false,
        stdin = core.input(0, STDIN), signals = core.input(fd, SIGNALS),
    }, Terminal)
    open = self
    core.screen_guest(guest)
    require("orrery.repl.writers").install(function(text) return self:hold(text) end, line.terminals())
    self:remember_in(opts.history)
    return self
end

---@private
function Terminal:remember_in(where)
    local history = require "orrery.repl.history"
    local path = where
    if type(where) == "boolean" then path = where and history.path() or nil end
    self.history = history.open(path, function(text) self:above("orrery: " .. text .. "\n") end)
end

-- Completion, in a task, so that an interrupt ends it.
local function candidates(self, text, cursor)
    if self.interrupted then return end
    self.completing = sched.spawn(self.complete, text, cursor, self.before)
    local ok, from, list = pcall(self.completing.get, self.completing)
    self.completing = nil
    if ok then return from, list end
end

-- Waits until there is something to read, or to be looked at.
local function await(self)
    if self.interrupted then return end
    self.news = sched.future "a line to be typed"
    if self.stdin then self.stdin:arm() end
    self.signals:arm()
    self.news:take()
end

-- One line: "line", text; "eof"; or "interrupt".
local function type_line(self, prompt, text)
    local function complete(...) return candidates(self, ...) end
    while not self.line.start(prompt, text) do
        await(self)
        if self.interrupted then return "interrupt" end
        self.line.take(complete)
    end
    while true do
        if self.stdin then await(self) end
        if self.interrupted then return "interrupt" end
        local what, typed = self.line.take(complete)
        if what then return what, typed end
    end
end

-- Always takes the line away at its end, however that comes.
local function read_line(self, prompt, text)
    link.expect(1)
    local ok, what, typed = xpcall(type_line, Error.handler, self, prompt, text)
    link.expect(-1)
    self.news = nil
    self.line.stop(ok and "^C" or "")
    if not ok then error(what, 0) end
    return what, typed
end

-- The most lines at the start of a text that are an input of their own; nil where there are none. The others come next.
local function first_input(self, text)
    local at, found = 0, nil
    while true do
        at = text:find("\n", at + 1, true)
        if not at then break end
        if self.ready(text:sub(1, at - 1)) == "complete" then found = at end
    end
    if found then return text:sub(1, found - 1), text:sub(found + 1) end
end

-- What is made of the lines so far: a whole input, or nil where it goes on.
local function take(self, text)
    local what = self.ready(text)
    if what == "incomplete" then return end
    local first, rest
    if what == "syntax" and text:find("\n", 1, true) then first, rest = first_input(self, text) end
    self.rest = rest or ""
    return first or text
end

-- What is left of a paste that was several inputs.
local function take_rest(self)
    local text = self.rest
    self.rest = ""
    if text:find "%S" then return take(self, text), text end
end

local function read(self, prompt, again)
    local whole, text = take_rest(self)
    if whole then return whole end
    self.before = text and text .. "\n" or ""
    while true do
        local what, typed = read_line(self, self.before == "" and prompt or again)
        if what ~= "line" then return nil, what end
        typed = self.before .. typed:gsub("\n+$", "")
        whole = take(self, typed)
        if whole then return whole end
        self.before = typed .. "\n"
    end
end

--- Reads an input. Blocks by appearance.
---@param prompt string what does not take room on the screen stands between \1 and \2
---@param again? string the prompt of further lines
---@return string? text nil at its end
---@return "eof"|"interrupt"? why
---Raises "state" where it is being read already, "cancelled".
function Terminal:read(prompt, again)
    if self.reading then
        Error.raise { code = "state", message = "terminal: an input is being read already", at = Error.at() }
    end
    self.reading, self.interrupted = true, false
    local ok, text, why = xpcall(read, Error.handler, self, prompt, again or "")
    self.reading, self.before = false, ""
    self:release()
    if not ok then error(text, 0) end
    if text then self.history:add(text) else self.rest = "" end
    return text, why
end

--- Adds an entry to the history that has not been typed.
---@param text string
function Terminal:remember(text) self.history:add(text) end

--- Ends read: what was typed is dropped. Without effect while nothing is read.
function Terminal:interrupt()
    if not self.reading then return end
    self.interrupted = true
    if self.completing then self.completing:cancel() end
    if self.news then self.news:resolve() end
end

--- Writes text above the line that is being typed; where none is, just writes it.
---@param text string it ends in a newline afterwards
function Terminal:above(text)
    if text == "" or self.line.above(text) then return end
    if text:sub(-1) ~= "\n" then text = text .. "\n" end
    self.writing = true
    io.stdout:write(text)
    io.stdout:flush()
    self.writing = false
end

-- What is written piece by piece: lines appear when they are whole, or when nothing has come for a moment.
---@private
function Terminal:hold(text)
    if not self.reading or self.writing then return false end
    local held = self.held .. text
    local lines, rest = held:match "^(.*\n)(.*)$"
    self.held = rest or held
    if lines then self:above(lines) end
    if #self.held > MOST_HELD then self:release() end
    if self.held ~= "" then self:release_later() end
    return true
end

---@private
function Terminal:release_later()
    self.held_since = core.now()
    if self.releasing then return end
    self.releasing = true
    local function look()
        local left = self.held_since + HELD - core.now()
        if left > 0 and self.held ~= "" then return sched.after(left, look) end
        self.releasing = false
        self:release()
    end
    sched.after(HELD, look)
end

---@private
function Terminal:release()
    local text = self.held
    self.held = ""
    self:above(text)
end

---@return integer columns, integer lines
function Terminal:size() return self.line.size() end

---@return integer columns
function Terminal:width() return (self.line.size()) end

--- Gives the terminal back. Idempotent.
function Terminal:close()
    if open ~= self then return end
    self:interrupt()
    require("orrery.repl.writers").uninstall()
    core.screen_guest(nil)
    self.line.close()
    if self.stdin then self.stdin:close() end
    self.signals:close()
    open = nil
end

return M
