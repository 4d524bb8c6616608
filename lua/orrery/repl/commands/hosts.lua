--- :hosts, :use, :here, :connect, :close.

local columns = require "orrery.repl.columns"
local nodeset = require "orrery.play.inventory.nodeset"

local M = {}

local FOLDED = 40 -- so many hosts have a line each

local function counted(count) return ("%d host%s"):format(count, count == 1 and "" or "s") end

function M.use(repl, expression) repl:show_failures(repl.targets:use(expression)) end

function M.here(repl) repl.targets:here() end

function M.connect(repl, expression)
    local opened, failures = repl.targets:connect(expression ~= "" and expression or nil)
    repl:show_failures(failures)
    if opened > 0 then
        repl.print(counted(opened) .. " connected")
    elseif #failures == 0 then
        repl.print "no host is lost"
    end
end

function M.close(repl, expression) repl.print(counted(repl.targets:close(expression)) .. " closed") end

local function chosen(repl, expression)
    local hosts = repl.targets:list()
    if expression == "" then return hosts end
    local wanted, list = {}, {}
    for _, name in ipairs(repl.targets:expand(expression)) do wanted[name] = true end
    for _, host in ipairs(hosts) do
        if wanted[host.name] then
            list[#list + 1] = host
            wanted[host.name] = nil
        end
    end
    local left = {}
    for name in pairs(wanted) do left[#left + 1] = name end
    table.sort(left)
    for _, name in ipairs(left) do
        list[#list + 1] = { name = name, state = "not connected", groups = {}, route = "" }
    end
    return list
end

-- What is not well comes first.
local ORDER = { lost = 1, connected = 2, ["not connected"] = 3 }

-- A route without its host: "ssh:web1" is alike for all of them.
local function way_of(host)
    local at = host.route:find(host.name, 1, true)
    return at and host.route:sub(1, at - 1) .. "…" .. host.route:sub(at + #host.name) or host.route
end

local function rows_of(hosts)
    local rows = {}
    for _, host in ipairs(hosts) do
        rows[#rows + 1] = {
            host.current and "*" or "", host.name, host.state, table.concat(host.groups or {}, ","), host.route or "",
        }
    end
    return rows
end

-- Hosts that differ in nothing but their names, in the order of what is to be seen first.
local function sorts_of(hosts)
    local sorts, by_key = {}, {}
    for _, host in ipairs(hosts) do
        local sort = {
            mark = host.current and "*" or "", state = host.state, groups = table.concat(host.groups or {}, ","),
            way = way_of(host), names = {},
        }
        local key = table.concat({ sort.mark, sort.state, sort.groups, sort.way }, "\0")
        if not by_key[key] then
            by_key[key], sorts[#sorts + 1] = sort, sort
        end
        table.insert(by_key[key].names, host.name)
    end
    table.sort(sorts, function(x, y)
        if ORDER[x.state] ~= ORDER[y.state] then return ORDER[x.state] < ORDER[y.state] end
        return #x.names < #y.names
    end)
    return sorts
end

local function folded_rows(hosts)
    local rows = {}
    for i, sort in ipairs(sorts_of(hosts)) do
        local name = nodeset.fold(sort.names)
        if #sort.names > 1 then name = ("%s (%d)"):format(name, #sort.names) end
        rows[i] = { sort.mark, name, sort.state, sort.groups, sort.way }
    end
    return rows
end

-- Names may be of any length when they are folded, and states must be seen all the same.
local function bounded(rows, width)
    local most = math.max(12, math.floor(width / 2))
    for _, row in ipairs(rows) do row[2] = columns.cut(row[2], most) end
    return rows
end

--- What states of hosts are shown as.
---@param hosts orrery.repl.Host[]
---@param width integer
---@return string
function M.text(hosts, width)
    if #hosts == 0 then return "no hosts: ':connect HOST' connects one" end
    local rows = #hosts > FOLDED and folded_rows(hosts) or rows_of(hosts)
    table.insert(rows, 1, { "", "HOST", "STATE", "GROUPS", "ROUTE" })
    if width < 60 then -- the route is long, and says the least
        for _, row in ipairs(rows) do row[5] = nil end
    end
    return table.concat(columns.table(bounded(rows, width), width), "\n")
end

function M.hosts(repl, expression)
    repl.print(M.text(chosen(repl, expression), columns.width(repl)))
end

return M
