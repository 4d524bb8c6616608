--- orrery exec: one command on many hosts.

local args = require "orrery.cli.args"
local hosts = require "orrery.cli.hosts"
local output = require "orrery.cli.output"
local ssh_options = require "orrery.cli.ssh_options"

local M = {}

-- Exit statuses; --help says them too.
local ALL_OK, COMMAND_FAILED, NOT_REACHED = 0, 1, 2

M.interruptible = true

local DEFAULT_LIMIT = 64
local SUMMARY_PARTS = 20 -- causes that the summary spells out; each was reported when it came up

---@type orrery.cli.Option[]
M.options = ssh_options.with {
    { name = "hosts", short = "H", value = "text", many = true },
    { name = "hosts-file", value = "text", many = true },
    { name = "inventory", short = "i", value = "text", many = true },
    { name = "limit", value = "count" },
    { name = "timeout", short = "t", value = "seconds" },
    { name = "on-disconnect", value = "text" },
    { name = "local" },
    { name = "fold" },
    { name = "stats" },
}

---@class orrery.cli.Host
---@field target string as the user wrote it: "deploy@web1"
---@field name string what output calls it: "web1"
---@field known? string as which the inventory knows it

local function expressions(opts, inventory)
    local targets = {}
    local function add(names)
        for _, target in ipairs(names) do targets[#targets + 1] = target end
    end
    for _, text in ipairs(opts.hosts or {}) do add(hosts.expand(text, inventory)) end
    for _, path in ipairs(opts["hosts-file"] or {}) do add(hosts.read(path, inventory)) end
    return targets
end

-- Each host once, by the shortest name that no other one has.
---@return orrery.cli.Host[]
local function host_list(opts, inventory)
    local list, seen, uses = {}, {}, {}
    for _, target in ipairs(expressions(opts, inventory)) do
        if not seen[target] then
            seen[target] = true
            local name = target:match("@([^@]+)$") or target
            uses[name] = (uses[name] or 0) + 1
            list[#list + 1] = { target = target, name = name, known = inventory and inventory:has(name) and name }
        end
    end
    for _, host in ipairs(list) do
        if uses[host.name] > 1 then host.name = host.target end
    end
    return list
end

-- A mistake in the inventory is told as one on the command line is.
local function usage(fn, ...)
    local ok, result = pcall(fn, ...)
    if ok then return result end
    local err = require("orrery.error").from(result)
    if err.code == "usage" then args.fail("exec", err.message) end
    if err.code == "inventory" or err.code == "decode" then
        require("orrery.error").raise { code = "usage", message = "orrery exec: " .. err.message }
    end
    error(err, 0)
end

-- Keys were given with -i, as to ssh(1), before there were inventories.
local function check_sources(opts)
    for _, source in ipairs(opts.inventory or {}) do
        local file = io.open(source, "rb")
        local line = file and file:read("*l")
        if file then file:close() end
        if line and line:find "^%-%-%-%-%-BEGIN .*PRIVATE KEY" then
            args.fail("exec", ("'%s' is a private key; say '--identity %s'"):format(source, source))
        end
    end
end

local function get_hosts(opts)
    check_sources(opts)
    local inventory = usage(require("orrery.cli.inventory").load, opts)
    local list = usage(host_list, opts, inventory)
    if #list == 0 then
        local empty = opts.hosts or opts["hosts-file"]
        args.fail("exec", empty and "these are no hosts at all" or "no hosts: say them with -H web1,web2")
    end
    return list, inventory
end

-- One word is for a shell, as with ssh; several are the program and its arguments.
local function get_argv(words)
    if #words == 0 or words[1] == "" then args.fail("exec", "a command is missing") end
    if #words == 1 then return { "sh", "-c", words[1] } end
    return words
end

local function open(host, opts, inventory)
    local orrery = require "orrery"
    if opts["local"] then return orrery.localhost { name = host.name } end
    local options = ssh_options.of(host.target, opts)
    options.name = host.name
    if host.known then
        options.user = host.target:match("^(.+)@[^@]+$") or options.user
        return inventory:open(host.known, options)
    end
    return orrery.ssh(host.target, options)
end

-- The progress of all hosts -----------------------------------------------------------------------

---@class orrery.cli.Exec
---@field opts table
---@field argv string[]
---@field list orrery.cli.Host[]
---@field inventory? orrery.Inventory
---@field printer orrery.output.Printer
---@field said table<integer, { name: string, text: string, note: string }> with --fold
---@field causes table<integer, string> why a host failed
---@field begun table<integer, true>
---@field status integer
local Exec = {}
Exec.__index = Exec

function Exec:fail(index, status, text)
    self.printer:stderr(self.list[index].name, text)
    self.causes[index] = text:match("^[^\n]*")
    self.status = math.max(self.status, status)
end

local function ending(result, opts)
    if result.timed_out then return ("ran longer than %g s and was ended"):format(opts.timeout) end
    return output.ending(result) or ""
end

-- "connect: no route to host". Of a command that did not start, the message says all.
---@return string text, string code
local function cause(thrown)
    local err = require("orrery.error").from(thrown)
    local code, message = tostring(err.code), tostring(err.message)
    if code == "interrupted" then return "interrupted", code end
    return code == "command" and message or code .. ": " .. message, code
end

function Exec:command(ctx, name)
    local opts = self.opts
    if opts.fold then
        return ctx:run(self.argv, {
            check = false, timeout = opts.timeout, on_disconnect = opts["on-disconnect"], merge = true,
        })
    end
    return ctx:run(self.argv, {
        check = false, timeout = opts.timeout, on_disconnect = opts["on-disconnect"], capture = false,
        on_stdout = function(line) self.printer:stdout(name, line) end,
        on_stderr = function(line) self.printer:stderr(name, line) end,
    })
end

function Exec:opening_failed(index, thrown)
    local text, code = cause(thrown)
    if code == "interrupted" then text = "interrupted: not connected yet" end
    self:fail(index, NOT_REACHED, text)
end

function Exec:command_failed(index, thrown)
    local text, code = cause(thrown)
    if code == "interrupted" then
        text = thrown.ended and "interrupted: the command was ended"
            or "interrupted: whether the command has ended is not known"
    end
    self:fail(index, code == "command" and COMMAND_FAILED or NOT_REACHED, text)
end

-- Runs in a task of its own, and raises nothing: one host is no matter of another.
function Exec:host(host, index)
    self.begun[index] = true
    local ok, ctx = pcall(open, host, self.opts, self.inventory)
    if not ok then return self:opening_failed(index, ctx) end
    local result
    ok, result = pcall(self.command, self, ctx, host.name)
    if ok then
        local note = ending(result, self.opts)
        if note ~= "" then self:fail(index, COMMAND_FAILED, note) end
        if self.opts.fold then
            self.said[index] = { name = host.name, text = result.stdout, note = note }
        end
    else
        self:command_failed(index, result)
    end
    pcall(ctx.close, ctx)
end

function Exec:fold()
    local said = {}
    for index = 1, #self.list do said[#said + 1] = self.said[index] end
    self.printer:groups(output.group(said))
end

-- "18 of 20 ok; failed: web[1-2]: exit status 3". Equal causes are said once.
function Exec:summary()
    local causes, names, count = {}, {}, 0
    for index = 1, #self.list do
        local text = self.causes[index]
        if text then
            count = count + 1
            if not names[text] then
                names[text], causes[#causes + 1] = {}, text
            end
            table.insert(names[text], self.list[index].name)
        end
    end
    if count == 0 or #self.list == 1 then return end -- one host's cause was just said
    local parts = {}
    for i = 1, math.min(#causes, SUMMARY_PARTS) do
        parts[i] = ("%s: %s"):format(hosts.fold(names[causes[i]]), causes[i])
    end
    if #causes > SUMMARY_PARTS then
        parts[#parts + 1] = ("and %d other causes"):format(#causes - SUMMARY_PARTS)
    end
    self.printer:note(("%d of %d ok; failed: %s"):format(
        #self.list - count, #self.list, table.concat(parts, "; ")))
end

-- The hosts that were under way have said so.
function Exec:interrupted(thrown)
    if not require("orrery.interrupt").happened() then error(thrown, 0) end
    for index = 1, #self.list do
        if not self.begun[index] then self.causes[index] = "not begun" end
    end
end

local ON_DISCONNECT = { kill = true, finish = true }

---@param words string[] the command
---@return integer status
function M.main(opts, words)
    local argv = get_argv(words)
    local list, inventory = get_hosts(opts)
    local policy = opts["on-disconnect"]
    if policy and not ON_DISCONNECT[policy] then
        args.fail("exec", ("option '--on-disconnect' must be kill or finish, not '%s'"):format(policy))
    end
    local orrery, sched = require "orrery", require "orrery.sched"
    local names = {}
    for i, host in ipairs(list) do names[i] = host.name end
    local self = setmetatable({
        opts = opts, argv = argv, list = list, inventory = inventory,
        said = {}, causes = {}, begun = {}, status = ALL_OK,
    }, Exec)
    local function flush() self.printer:flush() end
    self.printer = output.printer(names, function() sched.after(0, flush) end)
    require("orrery.interrupt").install()
    local ok, err = pcall(orrery.each, list, { limit = opts.limit or DEFAULT_LIMIT }, function(host, index)
        self:host(host, index)
    end)
    if not ok then self:interrupted(err) end
    if opts.fold then self:fold() end
    self:summary()
    self.printer:flush()
    return self.status
end

return M
