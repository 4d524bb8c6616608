--- The way to a host through ssh(1), as a subprocess: its command line, and what its failures mean.
--
-- For what SSH inside this process cannot do (certificates, ProxyJump, an existing ControlMaster ...), and
-- to measure beside it what a second process costs.

local Error = require "orrery.error"
local config = require "orrery.ssh_config"

local M = {}

local PROGRAM = "ssh"

--- The same phases as in this process, seconds. ssh(1) has one deadline for all of them.
local CONNECT, HANDSHAKE, BOOTSTRAP = 15, 30, 60

local function refuse(text, ...)
    Error.raise { code = "option", message = "ssh: " .. text:format(...), at = Error.at() }
end

-- ssh(1) would read them from a terminal, or from a program that is told where to find them: that is not
-- to be a file, an environment, or a command line.
local function check_secrets(opts)
    for _, name in ipairs { "password", "passphrase" } do
        if opts[name] then
            refuse("option '%s' cannot be used with transport = \"openssh\": use a key that needs none, "
                .. "an agent, or the default transport", name)
        end
    end
end

-- File names on ssh's command line have tokens and variables in them, and no way to quote those.
local function check_path(path)
    if path:find('[%%"\\%c]') or path:find("${", 1, true) then
        refuse("transport = \"openssh\" cannot use the file name %q", path)
    end
    return path
end

local function quoted(paths)
    local words = {}
    for i, path in ipairs(paths) do words[i] = '"' .. check_path(path) .. '"' end
    return table.concat(words, " ")
end

--- What is asked for wins over the configuration: ssh(1) takes the first value that it meets.
---@param host string
---@param opts orrery.SshOptions
---@return string[] argv {} stands for the text that a shell is to run there
local function command_line(host, opts)
    local argv = { PROGRAM, "-T", "-a", "-x" }
    local function add(...)
        for _, word in ipairs { ... } do argv[#argv + 1] = word end
    end
    local function set(name, value) add("-o", name .. "=" .. value) end
    if opts.config then add("-F", opts.config) end
    if opts.user then add("-l", opts.user) end
    if opts.port then add("-p", ("%d"):format(opts.port)) end
    for _, path in ipairs(opts.identity or {}) do add("-i", check_path(path)) end
    if opts.identity then set("IdentitiesOnly", "yes") end
    if opts.known_hosts then
        set("UserKnownHostsFile", quoted(opts.known_hosts))
        set("GlobalKnownHostsFile", "/dev/null")
    end
    if opts.strict then set("StrictHostKeyChecking", opts.strict) end
    if opts.connect_timeout then set("ConnectTimeout", math.ceil(opts.connect_timeout)) end
    set("BatchMode", "yes")
    set("LogLevel", "INFO") -- quieter, it does not say why it failed
    set("RemoteCommand", "none")
    set("ClearAllForwardings", "yes")
    -- A master that others use would outlive us. To use one that is there is fine.
    set("ControlMaster", "no")
    -- Were we killed while the network is silent, ssh would wait for ever.
    local alive = opts.keepalive or CONNECT
    if alive > 0 then
        set("ServerAliveInterval", math.ceil(alive))
        set("ServerAliveCountMax", 3)
    end
    add("--", host, "exec sh -c '{}'")
    return argv
end

-- Lines by which it is sure why ssh ended, and the code that they mean.
local SIGNS = {
    { "Host key verification failed", "hostkey", "ssh does not trust the host's key" },
    { "Permission denied (", "auth", "ssh was not let in" },
    { "Too many authentication failures", "auth", "ssh was not let in" },
    { "Bad configuration option", "option", "ssh does not accept its configuration" },
    { "bad configuration options", "option", "ssh does not accept its configuration" },
    { "Bad owner or permissions on", "option", "ssh does not accept its configuration" },
}

-- Without the frames of its warnings, on one line.
local function tidy(text)
    return (text:gsub("@@+", ""):gsub("%s@%s", " "):gsub("%s+", " "):match("^%s*(.-)%.?%s*$"))
end

--- Says of an opening that failed what ssh's own words say. Errors that are none of ssh's stay as they are.
---@param err orrery.Error
---@return orrery.Error err the same
local function explain(err)
    if err.code == "command" then
        err.code = "connect"
        return err
    end
    -- Else something ran at the far end, or the time was over.
    local ended = err.message:find("status 255", 1, true) or err.message:find("though it still runs", 1, true)
    if err.code ~= "bootstrap" or not ended then return err end
    local said = tidy(err.stderr or "")
    err.code = "connect"
    local what = "ssh did not get through"
    for _, sign in ipairs(SIGNS) do
        if said:find(sign[1], 1, true) then
            err.code, what = sign[2], sign[3]
            break
        end
    end
    if said == "Host key verification failed" then
        said = "it is not known, and nobody is there to be asked (option 'strict')"
    end
    err.message = what .. ": " .. (said ~= "" and said or "it exited with status 255 and said nothing")
    return err
end

--- A request for context.open.
---@param host string as ssh(1) takes it, without "user@"
---@param opts orrery.SshOptions checked; identity and known_hosts are lists
---@return table request argv, bootstrap_timeout, explain
---Raises "option" for what cannot be done in this way, "argument".
function M.request(host, opts)
    check_secrets(opts)
    config.check(host, opts)
    return {
        argv = command_line(host, opts), explain = explain,
        bootstrap_timeout = (opts.connect_timeout or CONNECT) + (opts.handshake_timeout or HANDSHAKE)
            + (opts.bootstrap_timeout or BOOTSTRAP),
    }
end

return M
