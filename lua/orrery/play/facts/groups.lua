--- Facts: groups of users.

local M = {}

M.doc = "groups of /etc/group by name: `facts.groups.www.members`"

M.each = { { "gid", "" }, { "members", "list of names; not of those whose first group it is" } }

function M.gather(m)
    local groups = {}
    for line in m:lines "/etc/group" do
        local name, gid, names = line:match "^([^:]+):[^:]*:(%d+):(.*)$"
        if name and not groups[name] then
            local members = {}
            for member in names:gmatch "[^,]+" do members[#members + 1] = member end
            groups[name] = { gid = tonumber(gid), members = members }
        end
    end
    return groups
end

return M
