--- The commands of a prompt: what begins with a colon.
--
-- `run` finds the function of a command; each is in a module of orrery.repl.commands, which is read when it is
-- first used, since a prompt is to start at once. What a command needs of the prompt is written down here.

local Error = require "orrery.error"
local list = require "orrery.repl.commands.list"
local options = require "orrery.options"

---@class orrery.repl.Host
---@field name string
---@field state "connected"|"lost"|"not connected"
---@field groups string[]
---@field route string how it is, or would be, reached
---@field current? boolean inputs run there

---@class orrery.repl.Prompt what commands use of the prompt
---@field targets orrery.repl.Targets
---@field settings orrery.repl.Settings
---@field terminal? table nil: there is none
---@field inventory? orrery.Inventory
---@field width? integer columns; nil: those of the screen
---@field transcript orrery.repl.Transcript
---@field id string of the session
---@field colour boolean
---@field interactive boolean
---@field evaluate fun(self, text: string, opts?: orrery.repl.EvaluateOptions) runs an input where inputs run, and shows
---its result, or what went wrong; raises nothing
---@field shell fun(self, command: string)
---@field show_failures fun(self, failures: orrery.repl.Failure[])
---@field leave fun(self) the prompt ends
---@field print fun(text: string)

---@class orrery.repl.EvaluateOptions
---@field name? string what errors call the input: "@setup.lua"; nil: as what is typed
---@field history? boolean it goes to the history, as if it had been typed

local M = {
    ---@type orrery.repl.Command[]
    list = list,
}

---@type table<string, orrery.repl.Command>
local by_name = {}
---@type string[]
local names = {}
for i, command in ipairs(list) do by_name[command.name], names[i] = command, command.name end

local function fail(text, ...) Error.raise { code = "usage", message = text:format(...) } end

local function unknown(name)
    local near = #name <= 64 and options.nearest(name, names)
    fail("there is no command ':%s'; %s", name,
        near and ("did you mean ':%s'?"):format(near) or "':help' shows which there are")
end

--- Finds a command by its name, or by what no other begins with.
---@param name string with or without the colon
---@return orrery.repl.Command
---Raises "usage", and names the nearest.
function M.find(name)
    name = name:gsub("^:", "")
    if by_name[name] then return by_name[name] end
    local found = {}
    for _, each in ipairs(names) do
        if name ~= "" and each:sub(1, #name) == name then found[#found + 1] = each end
    end
    if #found == 0 then unknown(name) end
    if #found > 1 then
        fail("':%s' may be ':%s' or ':%s'", name, table.concat(found, "', ':", 1, #found - 1), found[#found])
    end
    return by_name[found[1]]
end

--- Shows a text that may be longer than the screen.
---@param repl orrery.repl.Prompt
---@param text string
function M.page(repl, text)
    if not repl.interactive then return repl.print(text) end
    require("orrery.repl.pager").show(text, { enabled = repl.settings.pager })
end

---@param text any
---@return boolean begins it as a command does?
function M.is(text) return type(text) == "string" and text:find "^%s*:" ~= nil end

--- Runs a line that is a command.
---@param line string ":use web1"
---@param repl orrery.repl.Prompt
---@return boolean done true
---Raises "usage" for what is wrong with the line, and what the command raises.
function M.run(line, repl)
    local name, bang, rest = line:match "^%s*:?%s*([%w_%-]*)(!?)%s*(.-)%s*$"
    if not name or name == "" then unknown((line:gsub("^%s*:%s*", ""))) end
    local command = M.find(name)
    if bang == "!" and command.name ~= "save" then fail("':%s' takes no '!'", command.name) end
    if rest ~= "" and command.form == "" then fail("':%s' takes nothing behind it, not '%s'", command.name, rest) end
    if rest == "" and command.form:find "^%u" then
        fail("':%s' needs %s; see ':help %s'", command.name, command.form, command.name)
    end
    require("orrery.repl.commands." .. command.where)[command.name](repl, rest, bang == "!")
    return true
end

return M
