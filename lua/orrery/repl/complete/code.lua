--- Completion of Lua: names, fields, options, modules, and what stands in strings.

local place = require "orrery.repl.complete.place"
local tokens = require "orrery.repl.tokens"
local words = require "orrery.repl.complete.words"

local M = {}

--- Options that are an expression of hosts.
local HOSTS = { hosts = true, host = true, limit = true, delegate_to = true, jump = true }

---@param env orrery.repl.CompleteEnv
---@param name string a function of orrery.repl.names
---@return any? result nil where it has failed, or takes too long
---@return any? second
function M.ask(env, name, ...)
    local ok, first, second = pcall(env.call, "orrery.repl.names." .. name, ...)
    if not ok then return nil end
    return first, second
end

local function starts(text, prefix) return text:sub(1, #prefix) == prefix end

-- Values ------------------------------------------------------------------------------------------

-- A function is called, mostly; not twice.
local function of_value(name, kind, after)
    local call = kind == "function" and not after:find "^%s?[({\"']" and "(" or ""
    return { text = name .. call, shown = name .. (kind == "function" and "(" or ""), kind = kind }
end

local function add_values(list, found, after)
    for _, each in ipairs(found or {}) do list[#list + 1] = of_value(each.name, each.kind, after) end
    return list
end

local function names(at, after, env)
    local list = {}
    for _, name in ipairs(at.names) do
        if starts(name, at.prefix) then list[#list + 1] = { text = name, shown = name, kind = "local" } end
    end
    for word in pairs(at.prefix ~= "" and tokens.keywords or {}) do
        if starts(word, at.prefix) then
            list[#list + 1] = { text = word, shown = word, kind = "keyword", final = true }
        end
    end
    return add_values(list, M.ask(env, "fields", env.id, {}, false, at.prefix, env.most), after)
end

-- Options -----------------------------------------------------------------------------------------

local function options_of(at, env)
    local call = at.table_of
    if not call or not (at.begins or at.key) then return {} end
    local list, argument = M.ask(env, "options", env.id, call.path, call.method)
    if not list or (argument and argument ~= call.argument) then return {} end
    return list
end

local function option_names(at, options, after)
    local list = {}
    for _, option in ipairs(options) do
        if starts(option.name, at.prefix) and not at.given[option.name] then
            local is = after:find "^%s*=[^=]" and "" or " = "
            list[#list + 1] = { text = option.name .. is, shown = option.name, kind = "option" }
        end
    end
    return list
end

local function find_option(options, key)
    for _, option in ipairs(options) do
        if option.name == key then return option end
    end
    return {}
end

local function written(value) return type(value) == "string" and ("%q"):format(value) or tostring(value) end

-- What may stand behind `key = `: the values allowed.
local function option_values(at, option)
    local list, values = {}, {}
    for i, value in ipairs(option.enum or {}) do values[i] = written(value) end
    for _, name in ipairs(option.types or {}) do
        if name == "boolean" then values[#values + 1], values[#values + 2] = "true", "false" end
    end
    for _, text in ipairs(values) do
        if starts(text, at.prefix) then list[#list + 1] = { text = text, shown = text, kind = "value" } end
    end
    return list
end

local function name(at, after, env)
    local options = options_of(at, env)
    local list
    if at.begins then list = option_names(at, options, after) end
    if at.key then list = option_values(at, find_option(options, at.key)) end
    if list and #list > 0 then return at.from, list end
    return at.from, names(at, after, env)
end

local function fields(at, after, env)
    if not at.path then return at.from, {} end
    return at.from, add_values({}, M.ask(env, "fields", env.id, at.path, at.method, at.prefix, env.most), after)
end

-- Strings -----------------------------------------------------------------------------------------

-- What the rest of a string is replaced by where it is a whole one then.
local function whole(text, at, after, kind)
    local quoted, closing = words.lua_quoted(text, at.quote), words.closing(at.quote)
    if not quoted then return nil end
    return { text = quoted .. (starts(after, closing) and "" or closing), shown = text, kind = kind }
end

local function keys(at, after, env, inside)
    local list = {}
    for _, each in ipairs(at.path and M.ask(env, "fields", env.id, at.path, "key", inside, env.most) or {}) do
        local candidate = whole(each.name, at, after, each.kind)
        if candidate and not starts(after, words.closing(at.quote)) then candidate.text = candidate.text .. "]" end
        list[#list + 1] = candidate
    end
    return at.from, list
end

-- The controller has more of them: it sends those that are asked for.
local function modules(at, after, env, inside)
    local list, local_names = {}, require "orrery.repl.names"
    for _, found in ipairs {
        M.ask(env, "modules", inside, env.most) or {}, local_names.modules(inside, env.most),
    } do
        for _, each in ipairs(found) do
            list[#list + 1] = each.kind == "package" and { text = each.name, shown = each.name, kind = "package" }
                or whole(each.name, at, after, "module")
        end
    end
    return at.from, list
end

local function of_file(each, path, at, after)
    if each.kind == "directory" then
        local quoted = words.lua_quoted(path .. "/", at.quote)
        return quoted and { text = quoted, shown = each.name .. "/", kind = "directory" } or nil
    end
    local candidate = whole(path, at, after, "file")
    if candidate then candidate.shown = each.name end
    return candidate
end

local function files(at, after, env, inside)
    local found, directory = M.ask(env, "files", inside, env.most)
    local typed, list = inside:match "^.*/" or "", {}
    if inside:find "^~[^/]*$" and #inside > 0 then return at.from, {} end
    -- Lua knows no "~".
    local head = directory ~= typed and directory or nil
    for _, each in ipairs(found or {}) do list[#list + 1] = of_file(each, (head or "") .. each.name, at, after) end
    if head then return at.from, list end
    return at.from + #(at.prefix:match "^.*/" or ""), list
end

--- Hosts and groups that begin as an operand does.
---@param operand string
---@param env orrery.repl.CompleteEnv
---@return table[] candidates
function M.hosts(operand, env)
    local ok, hosts, groups = pcall(env.hosts or function() end)
    local list = {}
    local function add(text, kind)
        if starts(text, operand) then list[#list + 1] = { text = text, shown = text, kind = kind } end
    end
    for _, each in ipairs(ok and groups or {}) do add("@" .. each, "group") end
    for _, each in ipairs(ok and hosts or {}) do add(each, "host") end
    return list
end

local function one_host(at, after, env, inside)
    local user = inside:match "^[^@]*@" or ""
    local list = {}
    for _, each in ipairs(M.hosts(inside:sub(#user + 1), env)) do
        if each.kind == "host" then list[#list + 1] = whole(each.text, at, after, "host") end
    end
    return at.from + #user, list
end

local function is_host(call)
    return call ~= nil and call.argument == 1 and (call.method or call.path[#call.path]) == "ssh"
end

local function allowed(at, after, option)
    local list = {}
    for _, value in ipairs(option.enum) do
        if type(value) == "string" then list[#list + 1] = whole(value, at, after, "value") end
    end
    return at.from, list
end

local function with_prefix(inside, from, list)
    local kept = {}
    for _, each in ipairs(list) do
        if starts(each.shown, inside) then kept[#kept + 1] = each end
    end
    return from, kept
end

local function text(at, after, env, inside)
    if is_host(at.call) then
        local from, list = one_host(at, after, env, inside)
        if #list > 0 then return from, list end
    end
    if HOSTS[at.key or at.list_of or ""] then
        local from, operand = words.operand(at.prefix)
        local list = from and M.hosts(operand, env) or {}
        if #list > 0 then return at.from + from - 1, list end
    end
    local option = at.key and find_option(options_of(at, env), at.key) or {}
    if option.enum then return with_prefix(inside, allowed(at, after, option)) end
    return files(at, after, env, inside)
end

local IN_STRINGS = { key = keys, module = modules, string = text }

--- What can stand at the end of a text of Lua.
---@param code string
---@param after string what follows in the line
---@param env orrery.repl.CompleteEnv
---@return integer from
---@return table[] candidates
function M.at(code, after, env)
    local at = place.of(code)
    if not at then return #code + 1, {} end
    if at.kind == "name" then return name(at, after, env) end
    if at.kind == "field" then return fields(at, after, env) end
    local inside = #at.quote > 1 and at.prefix or place.unescape(at.prefix)
    if not inside then return at.from, {} end
    return IN_STRINGS[at.kind](at, after, env, inside)
end

return M
