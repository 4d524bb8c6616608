--- --list-hosts and --list-tasks: what plays are about, without a connection to any host.
--
-- A play is a function, so its steps are known when it has run. Here it runs once, for its first host, with an `h`
-- that does nothing: each step is noted, and what it returns is a value of which nothing is known. Where the function
-- decides by such a value, the list may end.

local filter = require "orrery.play.filter"
local naming = require "orrery.play.naming"
local resource = require "orrery.play.resource"

local M = {}

---@type nil|fun(text: string) where it is said, if not on stdout
M.write = nil

-- A value that is not known: whatever is read of it, or called, is of the same kind, and it is no number.
local Unknown = {}
Unknown.__index = function() return setmetatable({}, Unknown) end
Unknown.__call = Unknown.__index
Unknown.__tostring = function() return "?" end
Unknown.__concat = function(a, b) return tostring(a) .. tostring(b) end

local function unknown() return setmetatable({ changed = false, failed = false, skipped = false }, Unknown) end

-- Methods that are no steps.
local PLAIN = { say = true, warn = true, flush_handlers = true, call = true }

local function tag_text(tags)
    local names = {}
    for tag in pairs(tags) do names[#names + 1] = tag end
    if #names == 0 then return "" end
    table.sort(names)
    return "  [" .. table.concat(names, ", ") .. "]"
end

local function add(state, name, kind, tags)
    tags = filter.set(state.tags, tags)
    if not filter.wanted(state.only, state.skip, tags) then return end
    local label = kind and name:sub(1, #kind) ~= kind and ("%s (%s)"):format(name, kind) or name
    state.lines[#state.lines + 1] = ("%s%s%s"):format(("  "):rep(state.depth + 2), label, tag_text(tags))
end

local function inside(state, tags, fn)
    local before = state.tags
    state.tags, state.depth = filter.set(before, tags), state.depth + 1
    local ok, err = pcall(fn)
    state.tags, state.depth = before, state.depth - 1
    if not ok then error(err, 0) end
end

-- `name` is what a step is called, unless its resource has another meaning for it.
local function title(kind, opts)
    local definition = type(kind) == "string" and resource.find(kind)
    if type(opts.title) == "string" then return opts.title end
    if type(opts.name) == "string" and not (definition and definition.options.name) then return opts.name end
    return naming.of(kind, opts)
end

local function list_task(state, h, name, opts, fn)
    if type(opts) == "function" then opts, fn = {}, opts end
    add(state, name, nil, opts.tags)
    inside(state, opts.tags, function() fn(h) end)
    return unknown()
end

local function list_apply(state, list)
    for _, item in ipairs(list) do add(state, title(item[1], item), item[1], item.tags) end
    return setmetatable({}, { __index = unknown })
end

local function step(state, h, method)
    return function(_, first, second, third)
        if PLAIN[method] then return unknown() end
        if method == "as" then return h end
        if method == "task" then return list_task(state, h, first, second, third) end
        if method == "batch" then
            local fn = type(first) == "function" and first or second
            return fn and fn(h) or unknown()
        end
        if method == "apply" then return list_apply(state, first) end
        local opts = type(first) == "table" and first or {}
        add(state, title(method, opts), method, opts.tags)
        return unknown()
    end
end

-- The `h` of a listing.
local function host(state, name, vars)
    local h = { name = name, vars = vars, facts = unknown(), check = true }
    return setmetatable(h, { __index = function(_, method) return step(state, h, method) end })
end

local function tasks(play)
    local settings, name = play.session.settings, play.hosts[1]
    local state = {
        lines = {}, depth = 0, tags = filter.set(play.spec.tags),
        only = settings.tags and filter.set(settings.tags),
        skip = settings.skip_tags and filter.set(settings.skip_tags),
    }
    local ok, err = pcall(play.spec.run, host(state, name, play:vars(name)))
    if not ok then
        state.lines[#state.lines + 1] =
            "    (what follows depends on what the steps return: " .. tostring(err):gsub("\n.*", "") .. ")"
    end
    for _, handler in ipairs(play.handlers.names) do
        state.lines[#state.lines + 1] = "    handler: " .. handler
    end
    return state.lines
end

--- Says what a play is about.
---@param play orrery.play.Play
---@return orrery.PlayResult
function M.play(play)
    local count = #play.hosts
    local tags = tag_text(filter.set(play.spec.tags))
    local head = ("play %d: %s (%d host%s)%s"):format(play.number, play.name, count, count == 1 and "" or "s", tags)
    local lines = { head }
    if play.session.settings.list == "hosts" then
        for _, name in ipairs(play.hosts) do lines[#lines + 1] = "  " .. name end
    elseif count > 0 then
        for _, line in ipairs(tasks(play)) do lines[#lines + 1] = line end
    end
    local write = M.write or function(text) io.stdout:write(text) end
    write(table.concat(lines, "\n") .. "\n")
    return { ok = true, hosts = play.hosts, results = setmetatable({}, { __index = unknown }), failed = {} }
end

return M
