--- LXD's lxc exec. (LXC itself is orrery.lxc.)

return require("orrery.launchers.incus").like("lxd", "lxc")
