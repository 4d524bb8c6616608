--- How a host is reached: what subcommands that connect take in common, and what orrery.ssh is told by it.

local M = {}

---@type orrery.cli.Option[]
M.list = {
    { name = "user", short = "l", value = "text" },
    { name = "port", short = "p", value = "port" },
    { name = "ssh-config", short = "F", value = "text" },
    { name = "identity", short = "i", value = "text", many = true },
    { name = "known-hosts", value = "text", many = true },
    { name = "jump", short = "J", value = "text" },
    { name = "connect-timeout", value = "seconds" },
    { name = "no-cache" },
}

--- The options of a subcommand: these, and its own. Where both have a letter, it is the subcommand's.
---@param own orrery.cli.Option[]
---@return orrery.cli.Option[]
function M.with(own)
    local all, letters = {}, {}
    for _, option in ipairs(own) do
        all[#all + 1] = option
        if option.short then letters[option.short] = true end
    end
    for _, option in ipairs(M.list) do
        all[#all + 1] = letters[option.short or ""] and { name = option.name, value = option.value, many = option.many }
            or option
    end
    return all
end

--- What they mean for a host. A user in front of it wins.
---@param target string "deploy@web1"
---@param opts table what was read from the command line
---@return orrery.SshOptions
function M.of(target, opts)
    return {
        user = not target:find("@", 1, true) and opts.user or nil, port = opts.port, config = opts["ssh-config"],
        identity = opts.identity, known_hosts = opts["known-hosts"], jump = opts.jump,
        connect_timeout = opts["connect-timeout"], handshake_timeout = opts["connect-timeout"],
        no_cache = opts["no-cache"],
    }
end

return M
