--- Facts: what installs software.

local M = {}

M.doc = "what installs software"

M.fields = {
    { "manager",
        "\"apt\", \"dnf\", \"yum\", \"zypper\", \"apk\", \"pacman\", \"xbps\", \"emerge\", \"opkg\"; "
        .. "nil: none of these" },
    { "managers", "list of all of these that are there, and \"snap\", \"flatpak\", \"nix\", \"brew\"" },
    { "format", "\"deb\", \"rpm\", \"apk\" ...; nil where `manager` is" },
}

-- In the order in which they are looked for: a Debian can have rpm and dnf installed, for other ends.
local KNOWN = {
    { "apt", "apt-get", "deb" }, { "dnf", "dnf", "rpm" }, { "dnf", "dnf5", "rpm" }, { "dnf", "microdnf", "rpm" },
    { "zypper", "zypper", "rpm" }, { "yum", "yum", "rpm" }, { "apk", "apk", "apk" }, { "pacman", "pacman", "pacman" },
    { "xbps", "xbps-install", "xbps" }, { "emerge", "emerge", "ebuild" }, { "opkg", "opkg", "ipk" },
}
local BESIDES = { "snap", "flatpak", "nix", "brew" }

local WHERE = { "/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/", "/usr/local/bin/" }

local function has(m, program)
    for _, directory in ipairs(WHERE) do
        if m:exists(directory .. program) then return true end
    end
    return false
end

function M.gather(m)
    local first, all, seen = nil, {}, {}
    for _, each in ipairs(KNOWN) do
        if not seen[each[1]] and has(m, each[2]) then
            seen[each[1]], all[#all + 1] = true, each[1]
            first = first or each
        end
    end
    for _, name in ipairs(BESIDES) do
        if has(m, name) then all[#all + 1] = name end
    end
    return { manager = first and first[1], format = first and first[3], managers = all }
end

return M
