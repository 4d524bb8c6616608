--- :help.

local columns = require "orrery.repl.columns"

local M = {}

local INPUTS = {
    { "!COMMAND", "run a shell command where inputs run" },
    { "INPUT;", "do not show the result" },
    { "_, _1, _2 ...", "what the last input gave" },
}

-- What there is, in groups: { heading, left, right }.
local function entries()
    local list = {}
    for _, command in ipairs(require("orrery.repl.commands").list) do
        list[#list + 1] = { command.group, (":%s %s"):format(command.name, command.form), command.summary }
    end
    for _, each in ipairs(INPUTS) do list[#list + 1] = { "Inputs", each[1], each[2] } end
    return list
end

local WIDE = 70 -- columns: headings have one of their own, so that all fits a screen of 24 lines

local function overview(width)
    local lines, group = {}, nil
    for _, entry in ipairs(entries()) do
        local heading = entry[1] ~= group and entry[1] or ""
        group = entry[1]
        if width >= WIDE then
            columns.entry(lines, columns.pad(heading, 9) .. entry[2], 30, entry[3], width)
        else
            if heading ~= "" then lines[#lines + 1] = heading end
            columns.entry(lines, "  " .. entry[2], 22, entry[3], width)
        end
    end
    columns.wrap(lines, "", "The beginning of a name will do. ':help NAME' says more. "
        .. "Ctrl-C ends what runs; Ctrl-D leaves.", width)
    return table.concat(lines, "\n")
end

local function of_command(command, width)
    local lines = {}
    local left = (":%s %s"):format(command.name, command.form):gsub(" +$", "")
    columns.entry(lines, left, columns.length(left) + 2, command.summary, width)
    lines[#lines + 1] = ""
    columns.paragraphs(lines, command.help, width)
    return table.concat(lines, "\n")
end

function M.help(repl, name)
    local width = columns.width(repl)
    if name == "" then
        repl.print(overview(width))
    else
        repl.print(of_command(require("orrery.repl.commands").find(name), width))
    end
end

return M
