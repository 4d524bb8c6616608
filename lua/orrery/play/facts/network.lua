--- Facts: names, interfaces, addresses, the way out.

local M = {}

M.doc = "names, interfaces, addresses, the way out"

M.fields = {
    { "hostname", "as the kernel has it, up to its first dot" },
    { "fqdn", "the full name: that of the kernel, or of /etc/hosts; nil where only DNS would know it" },
    { "domain", "what follows `hostname` in it" },
    { "interfaces",
        "by name: { up, mac, mtu, speed (Mbit/s), kind, addresses = { { family, address, prefix }, ... } }" },
    { "ipv4", "list of addresses that others can reach: not of the loopback interface, not link-local" },
    { "ipv6", "the same" },
    { "default_ipv4", "{ interface, gateway, address }: the way out; nil: there is none" },
    { "default_ipv6", "the same" },
    { "nameservers", "list, of /etc/resolv.conf" },
    { "search", "list of domains, of /etc/resolv.conf" },
}

-- Names ---------------------------------------------------------------------------------------------

-- What /etc/hosts calls this machine first, where that is a full name.
local function name_of_hosts(m, hostname)
    for line in m:lines "/etc/hosts" do
        local words = {}
        for word in line:gsub("#.*", ""):gmatch "%S+" do words[#words + 1] = word end
        for i = 2, #words do
            if words[i] == hostname and words[2]:find "%." then return words[2] end
        end
    end
end

local function names(m)
    local full = m:hostname() or m:line "/proc/sys/kernel/hostname"
    if not full then return nil end
    local short = full:match "^[^%.]+" or full
    local fqdn = full:find "%." and full or name_of_hosts(m, full)
    return short, fqdn, fqdn and fqdn:match "^[^%.]+%.(.+)$"
end

local function resolv(m)
    local servers, search = {}, {}
    for line in m:lines "/etc/resolv.conf" do
        local key, rest = line:match "^%s*(%a+)%s+(.*)$"
        if key == "nameserver" then servers[#servers + 1] = rest:match "^%S+" end
        if key == "search" or key == "domain" then
            search = {}
            for word in rest:gmatch "%S+" do search[#search + 1] = word end
        end
    end
    return servers, search
end

-- Interfaces ----------------------------------------------------------------------------------------

local function kind_of(m, base)
    if m:exists(base .. "/bridge") then return "bridge" end
    if m:exists(base .. "/bonding") then return "bond" end
    if m:number(base .. "/type") == 772 then return "loopback" end -- ARPHRD_LOOPBACK
    if m:exists(base .. "/tun_flags") then return "tunnel" end
    return (m:line(base .. "/uevent") and (m:read(base .. "/uevent") or ""):match "DEVTYPE=(%w+)") or "ethernet"
end

local IFF_UP = 1

local function interface(m, name)
    local base = "/sys/class/net/" .. name
    local flags, speed, mac = m:line(base .. "/flags"), m:number(base .. "/speed"), m:line(base .. "/address")
    return {
        up = flags and (tonumber(flags) or 0) % 2 == IFF_UP, mac = mac ~= "00:00:00:00:00:00" and mac or nil,
        mtu = m:number(base .. "/mtu"), speed = speed and speed > 0 and speed or nil, kind = kind_of(m, base),
        addresses = {},
    }
end

local function is_global(address)
    local a = address.address
    return not (a:find "^127%." or a:find "^169%.254%." or a == "::1" or a:find "^[fF][eE][89abAB]")
end

local function interfaces(m)
    local found, lists = {}, { ipv4 = {}, ipv6 = {} }
    for _, name in ipairs(m:list "/sys/class/net") do
        if m:exists("/sys/class/net/" .. name .. "/mtu") then found[name] = interface(m, name) end
    end
    for _, each in ipairs(m:addresses()) do
        local of = found[each.interface]
        if not of then
            of = { addresses = {} }
            found[each.interface] = of
        end
        table.insert(of.addresses, { family = each.family, address = each.address, prefix = each.prefix })
        if is_global(each) then table.insert(lists[each.family], each.address) end
    end
    return found, lists
end

-- The way out ---------------------------------------------------------------------------------------

-- "0100007F", as the kernel writes an address of IPv4, on a machine that is little-endian.
local function ipv4_of(hex)
    local a, b, c, d = hex:match "^(%x%x)(%x%x)(%x%x)(%x%x)$"
    return table.concat({ tonumber(d, 16), tonumber(c, 16), tonumber(b, 16), tonumber(a, 16) }, ".")
end

-- Shortened as inet_ntop(3) does it: the longest run of two zeros or more, the first of such.
local function ipv6_of(hex)
    local parts, best, length = {}, nil, 1
    for part in hex:gmatch "%x%x%x%x" do parts[#parts + 1] = ("%x"):format(tonumber(part, 16)) end
    for from = 1, #parts do
        local to = from
        while parts[to] == "0" do to = to + 1 end
        if to - from > length then best, length = from, to - from end
    end
    if not best then return table.concat(parts, ":") end
    return table.concat(parts, ":", 1, best - 1) .. "::" .. table.concat(parts, ":", best + length)
end

local function first_address(found, name, family)
    for _, each in ipairs(found[name] and found[name].addresses or {}) do
        if each.family == family and is_global(each) then return each.address end
    end
end

local function default_ipv4(m, found)
    local best
    for line in m:lines "/proc/net/route" do
        local name, to, gateway, metric, mask = line:match
            "^(%S+)%s+(%x+)%s+(%x+)%s+%x+%s+%d+%s+%d+%s+(%d+)%s+(%x+)"
        if to == "00000000" and mask == "00000000" and (not best or tonumber(metric) < best.metric) then
            best = { metric = tonumber(metric), interface = name, gateway = gateway ~= "00000000" and gateway }
        end
    end
    if not best then return nil end
    return {
        interface = best.interface, gateway = best.gateway and ipv4_of(best.gateway) or nil,
        address = first_address(found, best.interface, "ipv4"),
    }
end

local NOWHERE = ("0"):rep(32)

local function default_ipv6(m, found)
    local best
    for line in m:lines "/proc/net/ipv6_route" do
        local to, prefix, gateway, metric, name = line:match
            "^(%x+) (%x+) %x+ %x+ (%x+) (%x+) %x+ %x+ %x+%s+(%S+)"
        if to == NOWHERE and prefix == "00" and name ~= "lo" and (not best or tonumber(metric, 16) < best.metric) then
            best = { metric = tonumber(metric, 16), interface = name, gateway = gateway ~= NOWHERE and gateway }
        end
    end
    if not best then return nil end
    return {
        interface = best.interface, gateway = best.gateway and ipv6_of(best.gateway) or nil,
        address = first_address(found, best.interface, "ipv6"),
    }
end

function M.gather(m)
    local hostname, fqdn, domain = names(m)
    local found, lists = interfaces(m)
    local servers, search = resolv(m)
    return {
        hostname = hostname, fqdn = fqdn, domain = domain, interfaces = found, ipv4 = lists.ipv4, ipv6 = lists.ipv6,
        default_ipv4 = default_ipv4(m, found), default_ipv6 = default_ipv6(m, found), nameservers = servers,
        search = search,
    }
end

return M
