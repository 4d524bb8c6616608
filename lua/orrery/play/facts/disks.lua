--- Facts: block devices.

local M = {}

M.doc = "disks by name: `facts.disks.sda.size`"

M.each = {
    { "size", "bytes" },
    { "model", "nil where the device does not say" },
    { "removable", "" },
    { "rotational", "it turns; virtual disks often say so, too" },
    { "read_only", "" },
    { "partitions", "sizes by name, bytes" },
}

local SECTOR = 512 -- what sizes in /sys are in, whatever the device has

local function size_of(m, path)
    local sectors = m:number(path .. "/size")
    return sectors and sectors * SECTOR
end

local function flag(m, path)
    local number = m:number(path)
    return number and number ~= 0
end

-- Loop devices and memory disks are no disks of the machine.
local function is_disk(name) return not (name:find "^loop%d" or name:find "^ram%d" or name:find "^zram%d") end

local function disk(m, name)
    local base, partitions = "/sys/block/" .. name, {}
    for _, inner in ipairs(m:list(base)) do
        if inner:sub(1, #name) == name and m:exists(base .. "/" .. inner .. "/partition") then
            partitions[inner] = size_of(m, base .. "/" .. inner)
        end
    end
    return {
        size = size_of(m, base), model = m:line(base .. "/device/model"), removable = flag(m, base .. "/removable"),
        rotational = flag(m, base .. "/queue/rotational"), read_only = flag(m, base .. "/ro"), partitions = partitions,
    }
end

function M.gather(m)
    local disks = {}
    for _, name in ipairs(m:list "/sys/block") do
        local found = is_disk(name) and disk(m, name)
        if found and (found.size or 0) > 0 then disks[name] = found end
    end
    return disks
end

return M
