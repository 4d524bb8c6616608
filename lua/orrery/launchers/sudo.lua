--- sudo(8). A password goes over stdin, and no terminal is needed.

-- Whose password it wants, sudo says itself: the user's own, or that of the target (targetpw, rootpw).
local PROMPT = "[sudo] password for %p@%h ({mark}): "

-- A login shell gets its command line with everything quoted but dollar signs.
local LOGIN = [[eval "`echo '{^}' | tr ^ '\044'`"]]

local function kept(preserve)
    if type(preserve) ~= "table" then return preserve and "-E" end
    return "--preserve-env=" .. table.concat(preserve, ",")
end

---@class orrery.SudoOptions: orrery.LauncherOptions
---@field user? string default root
---@field group? string
---@field login? boolean by way of the user's login shell, in their home directory
---@field preserve_env? boolean|string[] keep the environment, or these variables, as far as sudoers lets it

---@type orrery.Launcher
return {
    name = "sudo",
    target = "user",
    prompts = true,
    options = {
        user = { type = "string", default = "root" }, group = "string", login = "boolean",
        preserve_env = { "boolean", "table" },
    },
    argv = function(o)
        return {
            "sudo", o.ask == false and not o.password and "-n" or { "-S", "-p", PROMPT },
            "-H", kept(o.preserve_env), o.group and { "-g", o.group }, "-u", o.user, o.login and "-i",
            "--", "sh", "-c", o.login and LOGIN or "{}",
        }
    end,
    signs = {
        { "must have a tty", "auth", "it wants a terminal (requiretty in sudoers), and there is none" },
        { "timed out reading password", "timeout", "it waited too long for the password (passwd_timeout in sudoers)" },
        { "a password is required", "credentials",
            "it wants a password, and nobody is to be asked for it (ask = false)" },
        { "incorrect password attempt", "auth", "the password is wrong" },
        { "not in the sudoers file", "auth", "this user may not use it" },
        { "^sh %-c %.%.%.", "auth", "this user may not do this" },
        { "is not allowed to", "auth", "this user may not do this" },
        { "may not run sudo", "auth", "this user may not use it" },
        { "unknown user", "connect", "there is no such user" },
        { "unknown group", "connect", "there is no such group" },
        { "account validation failure", "auth", "the account is locked or has expired" },
        { "must be owned by uid 0", "connect", "it is not installed as it must be" },
        { "no new privileges", "connect", "it can do nothing here: the process may gain no privileges" },
    },
}
