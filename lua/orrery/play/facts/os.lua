--- Facts: the operating system.

local M = {}

M.doc = "the operating system and its kernel"

M.fields = {
    { "name", "what it calls itself: \"debian\", \"ubuntu\", \"rocky\", \"alpine\" (ID of os-release)" },
    { "family", "whose packages and habits it has: \"debian\", \"redhat\", \"suse\", \"alpine\" ...; else `name`" },
    { "version", "\"12\", \"22.04\", \"3.19.1\"; nil for one without versions" },
    { "major", "the number that it begins with" },
    { "codename", "\"bookworm\"" },
    { "pretty", "\"Debian GNU/Linux 12 (bookworm)\"" },
    { "kernel", "\"linux\"" },
    { "kernel_release", "\"6.1.0-18-amd64\"" },
    { "kernel_version", "the build of it, as `uname -v` says" },
    { "arch", "\"x86_64\", \"aarch64\", as `uname -m` says" },
    { "libc", "\"glibc\", \"musl\", \"uclibc\"; nil where none was found" },
    { "libc_version", "\"2.36\"; of glibc only" },
}

local FAMILIES = {
    debian = "debian ubuntu linuxmint raspbian devuan kali pop proxmox",
    redhat = "rhel redhat centos fedora rocky almalinux ol oracle amzn scientific virtuozzo",
    suse = "suse opensuse sles sled opensuse-leap opensuse-tumbleweed",
    arch = "arch archarm manjaro endeavouros", alpine = "alpine postmarketos", gentoo = "gentoo funtoo",
}
local FAMILY_OF = {}
for family, names in pairs(FAMILIES) do
    for name in names:gmatch "%S+" do FAMILY_OF[name] = family end
end

-- os-release is made of assignments that a shell could read.
local function os_release(m)
    local found = {}
    for _, path in ipairs { "/etc/os-release", "/usr/lib/os-release" } do
        for line in m:lines(path) do
            local key, value = line:match "^%s*([%w_]+)=(.*)$"
            if key then
                local quoted = value:match '^"(.*)"%s*$' or value:match "^'(.*)'%s*$"
                found[key] = (quoted or value:match "^(.-)%s*$"):gsub("\\(.)", "%1")
            end
        end
        if next(found) then return found end
    end
    return found
end

-- What there was before os-release.
local OLD = {
    { "/etc/debian_version", "debian" }, { "/etc/alpine-release", "alpine" }, { "/etc/redhat-release", "redhat" },
    { "/etc/SuSE-release", "suse" }, { "/etc/arch-release", "arch" }, { "/etc/gentoo-release", "gentoo" },
}

local function old_release(m)
    for _, each in ipairs(OLD) do
        if m:exists(each[1]) then
            local text = m:line(each[1]) or ""
            return { ID = each[2], VERSION_ID = text:match "%d[%d%.]*", PRETTY_NAME = text ~= "" and text or nil }
        end
    end
    return {}
end

local function family_of(release)
    local id = release.ID
    if not id then return nil end
    if FAMILY_OF[id] then return FAMILY_OF[id] end
    for like in (release.ID_LIKE or ""):gmatch "%S+" do
        if FAMILY_OF[like] then return FAMILY_OF[like] end
    end
    return id
end

-- Its version stands in glibc itself; nothing is run for that.
local function glibc_version(m, path)
    local text = m:read(path)
    return text and text:match "GNU C Library [^\n]- version (%d+%.%d+)"
end

local function libc(m)
    for _, directory in ipairs { "/lib", "/lib64", "/usr/lib", "/usr/lib64" } do
        for _, name in ipairs(m:list(directory)) do
            if name:find "^ld%-musl%-" then return "musl" end
            if name:find "^ld%-uClibc" then return "uclibc" end
            local inner = directory .. "/" .. name .. "/libc.so.6"
            if name == "libc.so.6" then return "glibc", glibc_version(m, directory .. "/" .. name) end
            if name:find "%-linux%-gnu" and m:exists(inner) then return "glibc", glibc_version(m, inner) end
        end
    end
end

function M.gather(m)
    local release, uname = os_release(m), m:uname()
    if not release.ID then release = old_release(m) end
    local version = release.VERSION_ID
    local name, libc_version = libc(m)
    return {
        name = release.ID, family = family_of(release), version = version,
        major = version and tonumber(version:match "^%d+"),
        codename = release.VERSION_CODENAME or release.UBUNTU_CODENAME
            or (release.VERSION or ""):match "%(([%w ]+)%)",
        pretty = release.PRETTY_NAME, kernel = uname.sysname and uname.sysname:lower(),
        kernel_release = uname.release, kernel_version = uname.version, arch = uname.machine,
        libc = name, libc_version = libc_version,
    }
end

return M
