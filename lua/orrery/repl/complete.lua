--- What can be typed next: Lua, `:commands` with what they take, `!commands` of a shell.
--
-- Values and files are asked for where the input will run. That may be another machine, or one that is lost: then there
-- are no candidates. It never raises.

local code = require "orrery.repl.complete.code"
local names = require "orrery.repl.names"
local words = require "orrery.repl.complete.words"

local M = {}

--- Candidates that there are at most.
M.MOST = 500

---@class orrery.repl.CompleteEnv
---@field id? string of the session
---@field call fun(name: string, ...: any): any calls a function where inputs run; may raise, and take a moment
---@field hosts? fun(): string[], string[] the names of hosts, and of groups
---@field commands? orrery.repl.CompletedCommand[]|table<string, table>
---@field words? table<string, string[]|fun(): string[]> by what commands take
---@field most? integer

---@class orrery.repl.CompletedCommand
---@field name string
---@field args? string "host", "file", "name", "setting", "command", "lua", "shell", or a list in the env's `words`
---@field words? string[] that it takes

---@class orrery.repl.Candidate
---@field text string what replaces what is there
---@field shown string short form, for a list
---@field kind string
---@field final? boolean a space may follow

-- Lists -------------------------------------------------------------------------------------------

-- "web10" behind "web9".
local function sort_key(each)
    return each.shown:gsub("%d+", function(digits) return ("0"):rep(12 - #digits) .. digits end)
end

local function tidy(list)
    local keys, kept, seen = {}, {}, {}
    for _, each in ipairs(list) do
        if not seen[each.text] then
            seen[each.text], kept[#kept + 1] = true, each
            keys[each] = sort_key(each)
        end
    end
    table.sort(kept, function(a, b)
        if keys[a] ~= keys[b] then return keys[a] < keys[b] end
        return a.text < b.text
    end)
    for i = #kept, M.MOST + 1, -1 do kept[i] = nil end
    return kept
end

local function matching(list, prefix, kind)
    local found = {}
    for _, each in ipairs(list) do
        if each:sub(1, #prefix) == prefix then
            found[#found + 1] = { text = each, shown = each, kind = kind, final = true }
        end
    end
    return found
end

local function last_word(rest) return rest:match "()(%S*)$" end

-- Files and programs ------------------------------------------------------------------------------

local function quoted_file(each, word, after)
    local text = words.shell_quoted(each.name, word.quote)
    if each.kind == "directory" then return { text = text .. "/", shown = each.name .. "/", kind = "directory" } end
    local quote = word.quote and after:sub(1, 1) ~= word.quote and word.quote or ""
    return { text = text .. quote, shown = each.name, kind = each.kind, final = true }
end

local function shell(rest, after, env)
    local word, list = words.shell(rest), {}
    local asked = word.first and not word.value:find "[/~]" and "programs" or "files"
    if asked == "programs" and word.value == "" then return word.from, {} end
    for _, each in ipairs(code.ask(env, asked, word.value, env.most) or {}) do
        list[#list + 1] = quoted_file(each, word, after)
    end
    return word.from, list
end

-- Commands read and write files of this machine, whose names are the rest of the line.
local function file(rest)
    local list = {}
    for _, each in ipairs((names.files(rest, M.MOST))) do
        local is_directory = each.kind == "directory"
        local text = each.name .. (is_directory and "/" or "")
        list[#list + 1] = { text = text, shown = text, kind = each.kind, final = not is_directory or nil }
    end
    return 1 + #(rest:match "^.*/" or ""), list
end

-- Commands ----------------------------------------------------------------------------------------

local function host(rest, _, env)
    local from, operand = words.operand(rest)
    if not from then return #rest + 1, {} end
    return from, code.hosts(operand, env)
end

local function listed(list)
    if type(list) == "function" then
        local ok, found = pcall(list)
        list = ok and found
    end
    return type(list) == "table" and list or {}
end

local function all_commands(env)
    local list = {}
    for key, each in pairs(listed(env.commands)) do
        list[#list + 1] = type(key) == "string" and { name = key, args = each.args, words = each.words } or each
    end
    return list
end

local function command_names(env)
    local list = {}
    for _, each in ipairs(all_commands(env)) do list[#list + 1] = each.name end
    return list
end

local function command(rest, _, env)
    local from, word = last_word(rest)
    local list = {}
    for _, each in ipairs(matching(command_names(env), (word:gsub("^:", "")), "command")) do
        if word:find "^:" then each.text, each.shown = ":" .. each.text, ":" .. each.shown end
        list[#list + 1] = each
    end
    return from, list
end

-- What can be looked up: values, and resources.
local function documented(rest, after, env)
    local from, list = code.at(rest, "(", env)
    local _, word = last_word(rest)
    local ok, resource = pcall(require, "orrery.play.resource")
    local known = { ok and resource.names() or {}, listed((env.words or {}).name), command_names(env) }
    for i, each in ipairs(known) do
        for _, found in ipairs(matching(each, word, i == 3 and "command" or "resource")) do
            if from == #rest - #word + 1 then list[#list + 1] = found end
        end
    end
    for n = #list, 1, -1 do
        if list[n].kind == "keyword" then table.remove(list, n) end
    end
    return from, list, after
end

local SWITCH = { "off", "on" }

local function setting_values(name)
    local settings = require "orrery.repl.settings"
    for _, setting in ipairs(settings.list) do
        if setting.name == name then return setting.choices or (setting.kind == "switch" and SWITCH) or {} end
    end
    return {}
end

local function setting(rest)
    local from, word = last_word(rest)
    local name = rest:match "^%s*(%S+)%s"
    local ok, list = pcall(function()
        return name and setting_values(name) or require("orrery.repl.settings").names()
    end)
    return from, matching(ok and list or {}, word, "setting")
end

local TAKES = {
    host = host, file = file, lua = code.at, shell = shell, command = command, name = documented, setting = setting,
}

local function argument(rest, after, env, name)
    for _, each in ipairs(all_commands(env)) do
        if each.name == name then
            if TAKES[each.args] then return TAKES[each.args](rest, after, env) end
            local from, word = last_word(rest)
            return from, matching(listed(each.words or (env.words or {})[each.args]), word, "word")
        end
    end
    return #rest + 1, {}
end

-- Where -------------------------------------------------------------------------------------------

local function colon(text, after, env, begins)
    local name, rest = text:match("^(%S+)%s+()", begins)
    if name then
        local from, list = argument(text:sub(rest), after, env, name)
        return rest + from - 1, list
    end
    local list = matching(command_names(env), text:sub(begins), "command")
    for _, each in ipairs(list) do each.shown = ":" .. each.text end
    return begins, list
end

local function find(text, after, env)
    local sign, begins = text:match "^%s*([:!])()"
    if sign == ":" then return colon(text, after, env, begins) end
    if sign == "!" then
        local from, list = shell(text:sub(begins), after, env)
        return begins + from - 1, list
    end
    return code.at(text, after, env)
end

--- What can be typed at a place.
---@param line string the input so far; of one that has several lines, all of them, or the one with the cursor in it
---@param cursor integer bytes in front of it
---@param env orrery.repl.CompleteEnv
---@param above? string the lines in front of that one
---@return integer from the byte where what is replaced begins, which ends at the cursor
---@return orrery.repl.Candidate[] candidates sorted, at most M.MOST
function M.at(line, cursor, env, above)
    local own = setmetatable({ most = M.MOST }, { __index = env })
    local head = above and above ~= "" and above:gsub("\n?$", "\n", 1) or ""
    local ok, from, list = pcall(find, head .. line:sub(1, cursor), line:sub(cursor + 1), own)
    if not ok then return cursor + 1, {} end
    return math.max(from - #head, 1), tidy(list)
end

return M
