--- :time, and what `:set time on` says behind each input.

local core = require "orrery.core"

local M = {}

local function duration(seconds)
    if seconds < 0.001 then return ("%.0f us"):format(seconds * 1e6) end
    if seconds < 1 then return ("%.2f ms"):format(seconds * 1e3) end
    if seconds < 120 then return ("%.2f s"):format(seconds) end
    return ("%d min %.0f s"):format(seconds / 60, seconds % 60)
end

local function size(bytes)
    if bytes < 10000 then return ("%d B"):format(bytes) end
    if bytes < 10000 * 1024 then return ("%.0f KiB"):format(bytes / 1024) end
    return ("%.0f MiB"):format(bytes / 1024 / 1024)
end

local function counted(count, what) return ("%d %s%s"):format(count, what, count == 1 and "" or "s") end

--- What a thing has cost, for a person: "1.24 ms; sent 1 message (212 B), received 1 (98 B)".
---@param seconds number
---@param before table<string, number> core.stats() ahead of it
---@param after table<string, number> and behind it
---@return string
function M.text(seconds, before, after)
    local function spent(name) return after[name] - before[name] end
    local text, sent, received = duration(seconds), spent "messages_sent", spent "messages_received"
    if sent == 0 and received == 0 then return text end
    return ("%s; sent %s (%s), received %d (%s)"):format(text, counted(sent, "message"), size(spent "bytes_sent"),
        received, size(spent "bytes_received"))
end

--- Runs fn, and says what it has cost, also where it raises.
---@param repl orrery.repl.Prompt
---@param fn function
---@param ... any its arguments
function M.around(repl, fn, ...)
    local before, began = core.stats(), core.now()
    local ok, err = pcall(fn, ...)
    local seconds = core.now() - began
    repl.print(M.text(seconds, before, core.stats()))
    if not ok then error(err, 0) end
end

--- Runs an input, or a !command, or a command.
---@param repl orrery.repl.Prompt
---@param input string
---@param opts? orrery.repl.EvaluateOptions
function M.input(repl, input, opts)
    local commands = require "orrery.repl.commands"
    if commands.is(input) then
        commands.run(input, repl)
    elseif input:find "^!" then
        repl:shell(input:sub(2))
    else
        repl:evaluate(input, opts)
    end
end

function M.time(repl, input)
    if input ~= "" then
        local setting = repl.settings.time
        repl.settings.time = false -- said once
        local ok, err = pcall(M.around, repl, M.input, repl, input)
        repl.settings.time = setting
        if not ok then error(err, 0) end
        return
    end
    repl.settings:set("time", not repl.settings.time)
    repl.print("time is " .. (repl.settings.time and "on" or "off"))
end

return M
