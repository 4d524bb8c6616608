--- A repository of tiny packages on a host of the lab, for its real apt. Hosts of the lab have no way out.

local remote = require "spec.support.remote"
local system = require "spec.support.play_system"

local debian = {}

---@class spec.Deb
---@field name string
---@field version string
---@field fields? table<string, string> Depends, Provides ...
---@field files? table<string, string> contents by path
---@field conffiles? string[]
---@field scripts? table<string, string> postinst, prerm ...: lines of sh

local function control(deb)
    local lines = { "Package: " .. deb.name, "Version: " .. deb.version, "Architecture: all",
        "Maintainer: Spec <spec@example.org>", "Description: for a spec" }
    for key, value in pairs(deb.fields or {}) do lines[#lines + 1] = key .. ": " .. value end
    return table.concat(lines, "\n") .. "\n"
end

-- Makes the package on the host, with its dpkg-deb.
local function build(target, directory, deb)
    local root = ("/tmp/deb/%s_%s"):format(deb.name, deb.version)
    system.write(target, root .. "/DEBIAN/control", control(deb))
    for path, text in pairs(deb.files or {}) do system.write(target, root .. path, text) end
    for script, text in pairs(deb.scripts or {}) do
        system.write(target, root .. "/DEBIAN/" .. script, "#!/bin/sh\nset -e\n" .. text .. "\n", "755")
    end
    if deb.conffiles then
        system.write(target, root .. "/DEBIAN/conffiles", table.concat(deb.conffiles, "\n") .. "\n")
    end
    local file = ("%s_%s_all.deb"):format(deb.name, deb.version)
    system.sh(target, ("chmod -R go-w %s; dpkg-deb -Znone --root-owner-group -b %s %s/%s"):format(root, root,
        directory, file))
    local size, hash = system.sh(target, ("cd %s; stat -c %%s %s; sha256sum %s"):format(directory, file, file))
        :match "^(%d+)\n(%x+)"
    return control(deb) .. ("Filename: ./%s\nSize: %s\nSHA256: %s\n"):format(file, size, hash)
end

--- Makes a repository of packages, in place of one that is there. Who uses it writes "deb [trusted=yes] file:DIR ./".
---@param target spec.System
---@param directory string
---@param debs spec.Deb[]
function debian.repository(target, directory, debs)
    system.sh(target, ("rm -rf %s /tmp/deb; mkdir -p %s"):format(directory, directory))
    local entries = {}
    for i, deb in ipairs(debs) do entries[i] = build(target, directory, deb) end
    remote.write(target.root .. directory .. "/Packages", table.concat(entries, "\n"))
    local size, hash = system.sh(target, ("cd %s; stat -c %%s Packages; sha256sum Packages"):format(directory))
        :match "^(%d+)\n(%x+)"
    remote.write(target.root .. directory .. "/Release",
        ("Origin: spec\nSuite: spec\nDate: %s\nSHA256:\n %s %s Packages\n")
        :format(os.date "!%a, %d %b %Y %H:%M:%S UTC", hash, size))
    system.sh(target, "rm -rf /tmp/deb")
end

--- Signs a repository with a key that is made on the host.
---@param target spec.System
---@param directory string
---@return string key the public part, as text
function debian.sign(target, directory)
    local gpg = "GNUPGHOME=/root/spec-gnupg gpg --batch --quiet --passphrase '' "
    system.sh(target, "mkdir -p -m 700 /root/spec-gnupg; " .. gpg .. "--list-keys spec@example.org >/dev/null 2>&1 || "
        .. gpg .. "--quick-gen-key spec@example.org ed25519 sign never")
    system.sh(target, ("cd %s; rm -f InRelease; %s --clearsign -o InRelease Release"):format(directory, gpg))
    local key = system.sh(target, gpg .. "--armor --export spec@example.org")
    system.sh(target, "GNUPGHOME=/root/spec-gnupg gpgconf --kill gpg-agent; true")
    return key
end

--- Takes the host's own repositories away, which are those of this machine and cannot be reached.
---@param target spec.System
function debian.isolate(target)
    system.sh(target, "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*; "
        .. "mkdir -p /etc/apt/sources.list.d /etc/apt/keyrings /var/lib/apt/lists/partial")
end

return debian
