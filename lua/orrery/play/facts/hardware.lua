--- Facts: what the firmware says about the machine.

local M = {}

M.doc = "what the firmware says about the machine; all nil in most containers and on many ARM machines"

M.fields = {
    { "vendor", "\"Dell Inc.\"" }, { "product", "\"PowerEdge R640\"" },
    { "serial", "of the product; nil unless it is read as root" },
    { "uuid", "nil unless it is read as root" },
    { "board", "\"0H28RR\"" }, { "bios_version", "" }, { "bios_date", "\"03/21/2023\"" },
    { "machine_id", "of /etc/machine-id: it stays with the installation, not with the hardware" },
}

function M.gather(m)
    local function dmi(name) return m:line("/sys/class/dmi/id/" .. name) end
    local model = m:read "/proc/device-tree/model"
    return {
        vendor = dmi "sys_vendor", product = dmi "product_name" or model and model:gsub("%z", "") or nil,
        serial = dmi "product_serial", uuid = dmi "product_uuid", board = dmi "board_name",
        bios_version = dmi "bios_version", bios_date = dmi "bios_date", machine_id = m:line "/etc/machine-id",
    }
end

return M
