local apk = require "orrery.play.system.package_apk"
local dnf = require "orrery.play.system.package_dnf"
local pacman = require "orrery.play.system.package_pacman"
local rpm = require "orrery.play.system.package_rpm"
local zypper = require "orrery.play.system.package_zypper"

describe("what package managers say", function()
    it("rpm", function()
        assert.are.same({ bash = "5.1-6", ["bash.x86_64"] = "5.1-6" },
            rpm.parse "bash\t5.1-6\tx86_64\npackage nginx is not installed\n")
        assert.are.same({ "nginx-1.2", "bash" }, rpm.specs({ { name = "nginx", version = "1.2" },
            { name = "bash" } }, "-"))
    end)

    it("dnf and yum", function()
        assert.are.same({ ["java-17"] = "17.0-2.el9", nginx = "1.22.1-9" }, dnf.parse_updates(table.concat({
            "", "nginx.x86_64                1:1.22.1-9              updates",
            "java-17.x86_64   17.0-2.el9  appstream", "Obsoleting Packages", "grub2.x86_64 1:2.06 base", "",
        }, "\n")))
    end)

    it("zypper", function()
        assert.are.same({ nginx = "1.22-1" }, zypper.parse_updates(table.concat({
            "S | Repository | Name  | Current Version | Available Version | Arch",
            "--+------------+-------+-----------------+-------------------+-------",
            "v | Main       | nginx | 1.21-1          | 1.22-1            | x86_64", "",
        }, "\n")))
    end)

    it("pacman", function()
        assert.are.same({ bash = "5.1-1", nginx = "1.24-1" },
            pacman.parse "bash 5.1-1\nnginx 1.22-1 -> 1.24-1 [ignored]\n")
    end)

    it("apk", function()
        local installed, newer = apk.parse(table.concat({
            "libcrypto3-3.1.4-r1 x86_64 {openssl} (Apache-2.0) [installed]",
            "py3-pip-23.1-r0 x86_64 {py3-pip} (MIT) [installed]",
            "busybox-1.36.1-r5 x86_64 {busybox} (GPL) [upgradable from: busybox-1.36.1-r2]", "WARNING: x", "",
        }, "\n"))
        assert.are.same({ libcrypto3 = "3.1.4-r1", ["py3-pip"] = "23.1-r0" }, installed)
        assert.are.same({ busybox = "1.36.1-r5" }, newer)
    end)
end)
