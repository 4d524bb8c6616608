--- :help.

local columns = require "orrery.repl.columns"

local M = {}

local function overview(width)
    local commands = require("orrery.repl.commands").list
    local lines, group = {}, nil
    for _, command in ipairs(commands) do
        if command.group ~= group then
            group = command.group
            lines[#lines + 1] = group
        end
        local left = ("  :%s %s"):format(command.name, command.form):gsub(" +$", "")
        columns.entry(lines, left, 22, command.summary, width)
    end
    for _, each in ipairs {
        { "  !COMMAND", "run a shell command where inputs run" },
        { "  INPUT;", "do not show the result" },
        { "  _, _1, _2 ...", "what the last input gave" },
    } do
        if each[1] == "  !COMMAND" then lines[#lines + 1] = "Inputs" end
        columns.entry(lines, each[1], 22, each[2], width)
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
