--- orrery inventory: which hosts there are, and what is known of them.

local args = require "orrery.cli.args"
local Error = require "orrery.error"

local M = {}

local OK = 0

M.interruptible = true -- a source may be a program

---@type orrery.cli.Option[]
M.options = {
    { name = "inventory", short = "i", value = "text", many = true },
    { name = "list" },
    { name = "graph" },
    { name = "host", value = "text" },
    { name = "expand", value = "text" },
    { name = "fold", value = "text" },
    { name = "vars" },
    { name = "why" },
}

local ACTIONS = { "list", "graph", "host", "expand", "fold" }

local function say(text)
    if text ~= "" then io.stdout:write(require("orrery.cli.output").printable(text, 1), "\n") end
end

--- Reads the inventory that the options name, or that of $ORRERY_INVENTORY.
---@param opts table
---@return orrery.Inventory?
---Raises "inventory", "decode".
function M.load(opts)
    if not opts.inventory and (os.getenv "ORRERY_INVENTORY" or "") == "" then return nil end
    local inventory = require "orrery.play.inventory"
    local sources = opts.inventory or inventory.default()
    return sources[1] and inventory.load(sources) or nil
end

-- Mistakes in an inventory are somebody's to mend, and a stack says nothing about them.
local function told(fn, ...)
    local ok, result = pcall(fn, ...)
    if ok then return result end
    if Error.is(result) and result.code == "interrupted" then
        io.stderr:write("orrery: interrupted\n")
        return nil, true
    end
    if Error.is(result) and (result.code == "inventory" or result.code == "decode") then
        io.stdout:flush()
        io.stderr:write("orrery: ", require("orrery.cli.output").printable(result.message, 2), "\n")
        return nil, true
    end
    error(result, 0)
end

local show = {}

function show.list(inv)
    return require("orrery.json").encode(require("orrery.play.inventory.show").list(inv), { indent = 4 })
end

function show.graph(inv, opts, words)
    local group = words[1] or "all"
    if not inv:members(group) then
        local near = require("orrery.options").nearest(group, inv:groups())
        Error.raise {
            code = "inventory",
            message = ("there is no group '%s'%s"):format(group, near and (" (did you mean '%s'?)"):format(near) or ""),
        }
    end
    return require("orrery.play.inventory.show").graph(inv, group, opts.vars or false)
end

function show.host(inv, opts)
    if opts.why then return require("orrery.play.inventory.show").why(inv, opts.host) end
    return require("orrery.json").encode(inv:vars(opts.host, true), { indent = 4 })
end

local function expanded(inv, text)
    if inv then return inv:expand(text) end
    local ok, names = pcall(require("orrery.cli.hosts").expand, text)
    if ok then return names end
    if Error.is(names) and names.code == "usage" then args.fail("inventory", names.message) end
    error(names, 0)
end

function show.expand(inv, opts) return table.concat(expanded(inv, opts.expand), "\n") end

function show.fold(inv, opts) return require("orrery.play.inventory.nodeset").count(expanded(inv, opts.fold)) end

local function action_of(opts, words)
    local chosen
    for _, name in ipairs(ACTIONS) do
        if opts[name] and chosen then
            args.fail("inventory", ("'--%s' and '--%s' do not go together"):format(chosen, name))
        end
        if opts[name] then chosen = name end
    end
    if not chosen then args.fail("inventory", "say what to show: --list, --graph, --host, --expand or --fold") end
    if words[chosen == "graph" and 2 or 1] then
        args.fail("inventory", ("unexpected word '%s'"):format(words[chosen == "graph" and 2 or 1]))
    end
    if opts.vars and chosen ~= "graph" then args.fail("inventory", "'--vars' goes with '--graph'") end
    if opts.why and chosen ~= "host" then args.fail("inventory", "'--why' goes with '--host'") end
    return chosen
end

---@param words string[] a group, with --graph
---@return integer status
function M.main(opts, words)
    local action = action_of(opts, words)
    require("orrery.interrupt").install()
    local failed, inv
    inv, failed = told(M.load, opts)
    if failed then return 1 end
    if not inv and action ~= "expand" and action ~= "fold" then
        args.fail("inventory", "no inventory: say which with -i, or in $ORRERY_INVENTORY")
    end
    local text
    text, failed = told(show[action], inv, opts, words)
    if failed then return 1 end
    say(text)
    return OK
end

return M
