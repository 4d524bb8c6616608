--- Facts: who this is.

local groups_of = require("orrery.play.facts.groups").gather
local users_of = require("orrery.play.facts.users").gather

local M = {}

M.doc = "the user that things are done as"

M.fields = {
    { "name", "nil for a uid that has none in /etc/passwd" }, { "uid", "" }, { "gid", "" },
    { "home", "" }, { "shell", "" },
    { "groups", "list of names (a number for one without): those that this process has" },
}

local function group_names(m)
    local status, by_id, names = m:pairs_of("/proc/self/status", ":"), {}, {}
    for name, group in pairs(groups_of(m)) do by_id[group.gid] = name end
    for id in (status.Groups or ""):gmatch "%d+" do names[#names + 1] = by_id[tonumber(id)] or id end
    return names, tonumber((status.Gid or ""):match "^%d+%s+(%d+)")
end

function M.gather(m)
    local uid = m:uid()
    local groups, gid = group_names(m)
    for name, user in pairs(users_of(m)) do
        if user.uid == uid then
            return {
                name = name, uid = uid, gid = gid or user.gid, home = user.home, shell = user.shell, groups = groups,
            }
        end
    end
    return { uid = uid, gid = gid, groups = groups, home = m:getenv "HOME" }
end

return M
