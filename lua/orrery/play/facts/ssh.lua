--- Facts: the SSH server.

local M = {}

M.doc = "the SSH server"

M.fields = {
    { "host_keys",
        "list of { type = \"ssh-ed25519\", key = \"AAAA...\", comment, file }: the public ones of /etc/ssh" },
}

function M.gather(m)
    local keys = {}
    for _, name in ipairs(m:list "/etc/ssh") do
        local line = name:find "^ssh_host_.*_key%.pub$" and m:line("/etc/ssh/" .. name)
        local kind, key, comment = (line or ""):match "^(%S+)%s+(%S+)%s*(.*)$"
        if kind then
            keys[#keys + 1] = {
                type = kind, key = key, comment = comment ~= "" and comment or nil, file = "/etc/ssh/" .. name,
            }
        end
    end
    return { host_keys = keys }
end

return M
