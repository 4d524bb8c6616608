--- Facts: accounts.

local M = {}

M.doc = "accounts of /etc/passwd by name (those of a directory service are not among them): `facts.users.app.home`"

M.each = {
    { "uid", "" }, { "gid", "" },
    { "comment", "the full name, mostly" },
    { "home", "" }, { "shell", "" },
}

function M.gather(m)
    local users = {}
    for line in m:lines "/etc/passwd" do
        local name, uid, gid, comment, home, shell = line:match "^([^:]+):[^:]*:(%d+):(%d+):([^:]*):([^:]*):([^:]*)$"
        if name and not users[name] then
            users[name] = { uid = tonumber(uid), gid = tonumber(gid), comment = comment, home = home, shell = shell }
        end
    end
    return users
end

return M
