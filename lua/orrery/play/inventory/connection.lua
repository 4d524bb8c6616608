--- How a host is reached, as its inventory says: options of orrery.ssh, launchers, who to become. What Ansible calls
--- these things (ansible_host, ansible_user ...) is understood where it has a counterpart here.

local Error = require "orrery.error"
local json = require "orrery.json"
local options = require "orrery.options"
local secret = require "orrery.secret"
local ssh_arguments = require "orrery.play.inventory.ssh_arguments"

local M = {}

---@class orrery.inventory.Connection
---@field links orrery.inventory.Link[] one after the other, from this machine on
---@field become? { enabled: boolean, user?: string, method?: string, password?: string } what is wanted on top of it

---@class orrery.inventory.Link
---@field launcher string "ssh", "local", or a launcher: "podman"
---@field target? string what the launcher is given first
---@field options table

-- What Ansible calls them ----------------------------------------------------------------------------

local function number(value) return tonumber(value), "a number" end

local TRUE = { ["true"] = true, yes = true, on = true, ["1"] = true, y = true, t = true }
local FALSE = { ["false"] = true, no = true, off = true, ["0"] = true, n = true, f = true }

local function boolean(value)
    if type(value) == "boolean" then return value end
    local word = tostring(value):lower()
    if TRUE[word] or FALSE[word] then return TRUE[word] or false end
    return nil, "yes or no"
end

local function text(value)
    if type(value) == "table" and getmetatable(value) == nil then return nil, "text" end
    if type(value) == "boolean" then return nil, "text" end
    return type(value) == "number" and ("%.14g"):format(value) or value
end

-- From here on it is shown nowhere, whatever the file that it stands in looks like.
local function hidden(value)
    local plain, must = text(value)
    if type(plain) == "string" and plain ~= "" then return secret.new(plain) end
    return plain, must
end

local function home(value)
    local path = text(value)
    if type(path) ~= "string" then return path, "a path" end
    return (path:gsub("^~/", function() return (os.getenv "HOME" or "~") .. "/" end))
end

local function checking(value)
    local checked, must = boolean(value)
    if checked == nil then return nil, must end
    return not checked and "no" or nil
end

---@type table<string, { [1]: string, [2]: fun(value: any): any, string? }> which option, and of what kind
local NAMES = {
    ansible_connection = { "connection", text },
    ansible_host = { "ssh.host", text }, ansible_ssh_host = { "ssh.host", text },
    ansible_port = { "ssh.port", number }, ansible_ssh_port = { "ssh.port", number },
    ansible_user = { "ssh.user", text }, ansible_ssh_user = { "ssh.user", text },
    ansible_password = { "ssh.password", hidden }, ansible_ssh_password = { "ssh.password", hidden },
    ansible_ssh_pass = { "ssh.password", hidden },
    ansible_ssh_private_key_file = { "ssh.identity", home }, ansible_private_key_file = { "ssh.identity", home },
    ansible_ssh_private_key_passphrase = { "ssh.passphrase", hidden },
    ansible_ssh_timeout = { "ssh.connect_timeout", number }, ansible_timeout = { "ssh.connect_timeout", number },
    ansible_host_key_checking = { "ssh.strict", checking }, ansible_ssh_host_key_checking = { "ssh.strict", checking },
    ansible_become = { "become.enabled", boolean }, ansible_become_user = { "become.user", text },
    ansible_become_method = { "become.method", text },
    ansible_become_password = { "become.password", hidden }, ansible_become_pass = { "become.password", hidden },
    ansible_sudo_pass = { "become.password", hidden },
}

-- Strings of arguments for ssh(1); what they say applies together.
local ARGUMENTS = { ansible_ssh_common_args = true, ansible_ssh_extra_args = true, ansible_ssh_args = true }

---@type table<string, string|false> connections of Ansible's; false: this machine
local CONNECTIONS = {
    ssh = "ssh", smart = "ssh", paramiko = "ssh", paramiko_ssh = "ssh", ["local"] = "local",
    ["ansible.builtin.ssh"] = "ssh", ["ansible.builtin.local"] = "local", ["ansible.builtin.paramiko_ssh"] = "ssh",
    docker = "docker", ["community.docker.docker"] = "docker", ["community.docker.docker_api"] = "docker",
    podman = "podman", ["containers.podman.podman"] = "podman",
    kubectl = "kubectl", ["kubernetes.core.kubectl"] = "kubectl",
    lxc = "lxc", ["community.general.lxc"] = "lxc", lxd = "lxd", ["community.general.lxd"] = "lxd",
    incus = "incus", ["community.general.incus"] = "incus",
    chroot = "chroot", ["community.general.chroot"] = "chroot", machinectl = "machinectl",
}

-- Launchers that are told whom or what to enter: the host's name, where nothing else is said.
local NAMED = {
    ssh = true, podman = true, docker = true, lxc = true, lxd = true, incus = true, kubectl = true,
    machinectl = true, chroot = true,
}

-- Putting it together --------------------------------------------------------------------------------

---@class orrery.inventory.Reach
---@field host string
---@field found table<string, any> options by their place: "ssh.user"
---@field from table<string, string>
local Reach = {}
Reach.__index = Reach

function Reach:fail(setting, why)
    Error.raise {
        code = "inventory",
        message = ("%s: %s of host '%s' %s"):format(setting.from, setting.key:gsub("^ssh%.", "ssh option "), self.host,
            why),
    }
end

function Reach:put(place, value, from)
    if value == json.null then value = nil end
    self.found[place], self.from[place] = value, from
end

function Reach:ansible(setting)
    local value = setting.value
    if type(value) == "string" and value:find "{{" then
        self:fail(setting, "is a template of Jinja; such are not evaluated, so the value must stand there")
    end
    if value == json.null then
        return NAMES[setting.key] and self:put(NAMES[setting.key][1], nil, setting.from)
    end
    if ARGUMENTS[setting.key] then
        local found, why = ssh_arguments.read(tostring(value))
        if not found then self:fail(setting, "has " .. why) end
        for name, each in pairs(found) do self:put("ssh." .. name, each, setting.from) end
        return
    end
    local place, read = unpack(NAMES[setting.key])
    local converted, must = read(value)
    if converted == nil and must then self:fail(setting, ("must be %s, not '%s'"):format(must, tostring(value))) end
    self:put(place, converted, setting.from)
end

local BECOME = { user = true, method = true, password = true, enabled = true }

-- "app", true, { user = "app", method = "su" }.
function Reach:become(setting)
    local value = setting.value
    if type(value) == "boolean" then return self:put("become.enabled", value, setting.from) end
    if type(value) == "string" then value = { user = value } end
    if type(value) ~= "table" then self:fail(setting, "must be true, a user, or a table") end
    self:put("become.enabled", value.enabled ~= false, setting.from)
    for key, each in pairs(value) do
        if not BECOME[key] then
            self:fail(setting, ("has no '%s': it has user, method, password, enabled"):format(tostring(key)))
        end
        self:put("become." .. key, each, setting.from)
    end
end

function Reach:take(setting)
    if setting.option and setting.key == "become" then
        self:become(setting)
    elseif setting.option then
        self:put(setting.key, setting.value, setting.from)
        -- What says how to connect later wins, whichever way it says it.
        if setting.key == "launch" then self:put("connection", nil) end
    elseif NAMES[setting.key] or ARGUMENTS[setting.key] then
        self:ansible(setting)
        if setting.key == "ansible_connection" then self:put("launch", nil) end
    end
end

function Reach:under(prefix)
    local all = {}
    for place, value in pairs(self.found) do
        local name = place:match("^" .. prefix .. "%.(.+)$")
        if name then all[name] = value end
    end
    return all
end

function Reach:ssh_link()
    local opts = self:under "ssh"
    local target = opts.host or self.host
    opts.host = nil
    return { launcher = "ssh", target = target, options = opts }
end

-- One step of `launch`: "local", { "podman", "pg", user = "app" }. Of { "ssh" } the `ssh` options say more.
function Reach:link(step, setting, last)
    if type(step) == "string" then step = { step } end
    if type(step) ~= "table" or type(step[1]) ~= "string" then
        self:fail(setting, "must be a launcher, { launcher, target, option = ... }, or a list of such")
    end
    local launcher = step[1] == "localhost" and "local" or step[1]
    local link = launcher == "ssh" and self:ssh_link() or { launcher = launcher, options = {} }
    link.target = step[2] or link.target
    for key, value in pairs(step) do
        if type(key) == "string" then link.options[key] = value end
    end
    if last and not link.target and NAMED[launcher] then link.target = self.host end
    return link
end

function Reach:launch(value, setting)
    local steps = value
    if type(value) ~= "table" or type(value[1]) ~= "table" then steps = { value } end
    local links = {}
    for i, step in ipairs(steps) do links[i] = self:link(step, setting, i == #steps) end
    return links
end

function Reach:connected(name, setting)
    local launcher = CONNECTIONS[name]
    if not launcher then
        local known = json.keys(CONNECTIONS)
        local near = options.nearest(name, known)
        self:fail(setting, ("is '%s', which is no way to connect here%s"):format(name,
            near and (" (did you mean '%s'?)"):format(near) or ""))
    end
    if launcher == "ssh" then return self:ssh_link() end
    if launcher == "local" then return { launcher = "local", options = {} } end
    local link = { launcher = launcher, target = self.found["ssh.host"] or self.host, options = {} }
    local user = self.found["ssh.user"]
    if user and (launcher == "docker" or launcher == "podman") then link.options.user = user end
    return link
end

local function default_become(become)
    if next(become) == nil then return nil end
    become.enabled = become.enabled or false
    return become
end

--- Says how a host is reached.
---@param host string
---@param settings orrery.inventory.Setting[] all that applies, what wins last
---@return orrery.inventory.Connection
---Raises "inventory" for what cannot be done here.
function M.resolve(host, settings)
    local self = setmetatable({ host = host, found = {}, from = {} }, Reach)
    for _, setting in ipairs(settings) do self:take(setting) end
    local links
    if self.found.launch ~= nil then
        links = self:launch(self.found.launch, { key = "launch", from = self.from.launch })
    elseif self.found.connection then
        links = { self:connected(self.found.connection,
            { key = "ansible_connection", from = self.from.connection }) }
    else
        -- Ansible's rule, and that of everyone else.
        local here = host == "localhost" and not self.found["ssh.host"] and next(self:under "ssh") == nil
        links = { here and { launcher = "local", options = {} } or self:ssh_link() }
    end
    links[#links].options.name = links[#links].options.name or host
    return { links = links, become = default_become(self:under "become") }
end

-- Opening --------------------------------------------------------------------------------------------

local function opener(where, launcher)
    if launcher == "local" then return where.localhost end
    local ok, found = pcall(function() return where[launcher] end)
    return ok and type(found) == "function" and found or nil
end

-- What others than orrery.ssh take of its options.
local COMMON = { name = true, keepalive = true, send = true }
local LAUNCHED = { name = true, keepalive = true, send = true, cache = true, no_cache = true, bootstrap_timeout = true }

local function merged(link, more)
    local opts = {}
    for key, value in pairs(link.options) do opts[key] = value end
    for key, value in pairs(more) do
        local fits = link.launcher == "ssh" or (link.launcher == "local" and COMMON or LAUNCHED)[key]
        if fits then opts[key] = value end
    end
    return opts
end

--- Opens a context.
---@param connection orrery.inventory.Connection
---@param host string for errors
---@param more? orrery.SshOptions for its last link, which win; of others than orrery.ssh as far as they have them
---@return orrery.Context
---Raises what opening raises; "inventory" for a launcher that is not there.
function M.open(connection, host, more)
    local orrery = require "orrery"
    local where, ctx = orrery, nil
    for i, link in ipairs(connection.links) do
        local open = opener(where, link.launcher)
        if not open then
            local message = ("host '%s': there is no launcher '%s'"):format(host, link.launcher)
            Error.raise { code = "inventory", message = message }
        end
        local opts = merged(link, i == #connection.links and more or {})
        local args = link.launcher == "local" and { opts } or { link.target or opts, link.target and opts or nil }
        if ctx then ctx = open(ctx, unpack(args)) else ctx = open(unpack(args)) end
        where = ctx
    end
    return ctx
end

return M
